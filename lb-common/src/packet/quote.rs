//! The packet that an ICMP error quotes, read as the flow whose reply it was.
//!
//! Where replies go from the backend straight to the client, it is the VIP that routers on the way tell of their
//! troubles, and so the director, who has to tell the backend. The quoted packet came from the VIP: with its addresses
//! and ports exchanged it names the flow. A router need quote no more than the IP header and eight bytes (RFC 792), so
//! nothing behind the ports is asked for; the quoted lengths and checksums are what routers have left of them.
//!
//! The error's own checksum is not looked at, as that of a TCP segment is not: the backend does so, and it is the one
//! who acts upon the message.

use super::{FlowKey4, FlowKey6, Frame, Ipv6, Payload, icmp, protocol, transport};
use crate::reason::Reason;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// What is sure to be quoted of the transport header, in bytes.
const TRANSPORT: usize = 8;
/// IPv4's fragment offset.
const FRAGMENT_OFFSET: u16 = 0x1FFF;

/// A packet that an error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted<K> {
    /// Its addresses, ports and protocol, as it has them.
    pub key: K,
    /// Its transport header, and as much of what follows as is quoted.
    pub payload: Payload,
}

/// The packet that the message at `offset` quotes, which is `length` bytes long, at least eight.
///
/// # Errors
/// [`Reason::BadIcmpQuote`], [`Reason::IcmpUnrelated`].
#[inline(always)]
pub fn quoted_packet4<F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    length: usize,
) -> Result<Quoted<FlowKey4>, Reason> {
    let (offset, length) = (offset + icmp::HEADER, length - icmp::HEADER);
    let header = frame.window::<IPV4_HEADER>(offset).ok_or(Reason::BadIcmpQuote)?;
    let version_and_length = header.byte::<0>();
    let header_length = usize::from(version_and_length & 0x0F) * 4;
    if version_and_length >> 4 != 4 || header_length < IPV4_HEADER || header_length > length {
        return Err(Reason::BadIcmpQuote);
    }
    if header.be16::<6>() & FRAGMENT_OFFSET != 0 {
        // No ports: they were in the datagram's first fragment.
        return Err(Reason::BadIcmpQuote);
    }
    let payload = Payload {
        protocol: header.byte::<9>(),
        offset: offset + header_length,
        length: length - header_length,
    };
    let ports = ports_of(frame, payload)?;
    let key = FlowKey4::new(
        header.raw32::<12>(),
        header.raw32::<16>(),
        ports,
        payload.protocol,
    );
    Ok(Quoted { key, payload })
}

/// The packet that the message at `offset` quotes, which is `length` bytes long, at least eight.
///
/// # Errors
/// [`Reason::BadIcmpQuote`], [`Reason::IcmpUnrelated`].
#[inline(always)]
pub fn quoted_packet6<F: Frame + ?Sized>(
    frame: &F,
    offset: usize,
    length: usize,
) -> Result<Quoted<FlowKey6>, Reason> {
    let (offset, length) = (offset + icmp::HEADER, length - icmp::HEADER);
    let ip = Ipv6::at(frame, offset).map_err(|_| Reason::BadIcmpQuote)?;
    if !ip.is_version_6() || length < IPV6_HEADER {
        return Err(Reason::BadIcmpQuote);
    }
    let payload = ip
        .payload(frame, length - IPV6_HEADER)
        .map_err(|_| Reason::BadIcmpQuote)?;
    let ports = ports_of(frame, payload)?;
    let key = FlowKey6::new(ip.source(), ip.destination(), ports, payload.protocol);
    Ok(Quoted { key, payload })
}

/// The flow that an error to `vip` is about: the message lies at `offset` and is `length` bytes long, at least eight.
///
/// # Errors
/// [`Reason::BadIcmpQuote`], [`Reason::IcmpUnrelated`].
#[inline(always)]
pub fn quoted_flow4<F: Frame + ?Sized>(
    frame: &F,
    vip: u32,
    offset: usize,
    length: usize,
) -> Result<FlowKey4, Reason> {
    let (offset, length) = (offset + icmp::HEADER, length - icmp::HEADER);
    let header = frame.window::<IPV4_HEADER>(offset).ok_or(Reason::BadIcmpQuote)?;
    let version_and_length = header.byte::<0>();
    let header_length = usize::from(version_and_length & 0x0F) * 4;
    if version_and_length >> 4 != 4 || header_length < IPV4_HEADER || header_length > length {
        return Err(Reason::BadIcmpQuote);
    }
    if header.raw32::<12>() != vip {
        return Err(Reason::IcmpUnrelated);
    }
    if header.be16::<6>() & FRAGMENT_OFFSET != 0 {
        // No ports: they were in the datagram's first fragment.
        return Err(Reason::BadIcmpQuote);
    }
    let payload = Payload {
        protocol: header.byte::<9>(),
        offset: offset + header_length,
        length: length - header_length,
    };
    let ports = ports_of(frame, payload)?.rotate_left(16);
    Ok(FlowKey4::new(header.raw32::<16>(), vip, ports, payload.protocol))
}

/// The flow that an error to `vip` is about: the message lies at `offset` and is `length` bytes long, at least eight.
///
/// # Errors
/// [`Reason::BadIcmpQuote`], [`Reason::IcmpUnrelated`].
#[inline(always)]
pub fn quoted_flow6<F: Frame + ?Sized>(
    frame: &F,
    vip: [u64; 2],
    offset: usize,
    length: usize,
) -> Result<FlowKey6, Reason> {
    let (offset, length) = (offset + icmp::HEADER, length - icmp::HEADER);
    let ip = Ipv6::at(frame, offset).map_err(|_| Reason::BadIcmpQuote)?;
    if !ip.is_version_6() || length < IPV6_HEADER {
        return Err(Reason::BadIcmpQuote);
    }
    if ip.source() != vip {
        return Err(Reason::IcmpUnrelated);
    }
    let payload = ip
        .payload(frame, length - IPV6_HEADER)
        .map_err(|_| Reason::BadIcmpQuote)?;
    let ports = ports_of(frame, payload)?.rotate_left(16);
    Ok(FlowKey6::new(ip.destination(), vip, ports, payload.protocol))
}

#[inline(always)]
fn ports_of<F: Frame + ?Sized>(frame: &F, payload: Payload) -> Result<u32, Reason> {
    if !matches!(payload.protocol, protocol::TCP | protocol::UDP) {
        return Err(Reason::IcmpUnrelated);
    }
    if payload.length < TRANSPORT {
        return Err(Reason::BadIcmpQuote);
    }
    let header = frame
        .window::<TRANSPORT>(payload.offset)
        .ok_or(Reason::BadIcmpQuote)?;
    let ports = transport::ports(header.raw32::<0>());
    if ports & 0xFFFF == 0 || ports >> 16 == 0 {
        return Err(Reason::BadIcmpQuote);
    }
    Ok(ports)
}

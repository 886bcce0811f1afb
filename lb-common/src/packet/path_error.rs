//! Errors from the way to a backend, about packets that were put into a tunnel: the packet inside the quoted packet tells
//! whose it was.

use super::{EtherType, FlowKey4, FlowKey6, Frame, icmp, protocol, transport};

const IPV4: usize = 20;
const IPV6: usize = 40;
const PORTS: usize = 4;

/// A router's word that packets in a tunnel are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathError {
    /// What the router can carry, outer headers included.
    pub mtu: u32,
    /// Where the tunnel led, as it lies in an IPv6 packet (IPv4 as IPv4-mapped).
    pub backend: [u64; 2],
    /// Protocol of the outer header.
    pub protocol: u8,
    /// Destination port of the outer UDP header, as it lies in the packet; else 0.
    pub port: u16,
    /// Bytes that the tunnel added.
    pub overhead: usize,
    /// What is inside.
    pub ether_type: EtherType,
    /// Where that begins in the frame.
    pub offset: usize,
    /// Bytes of it that are quoted.
    pub length: usize,
}

/// The IPv4 message at `offset`, `length` bytes long, to `own`: fragmentation needed, about a tunnel of ours.
#[inline(always)]
pub fn path_error4<F: Frame + ?Sized>(
    frame: &F,
    own: u32,
    offset: usize,
    length: usize,
) -> Option<PathError> {
    let message = frame.window::<{ icmp::HEADER + IPV4 }>(offset)?;
    let words = usize::from(message.byte::<8>() & 15);
    if message.be16::<0>() != 0x0304 || message.byte::<8>() >> 4 != 4 || words < 5 {
        return None;
    }
    // The quoted packet is ours, and its headers are whole.
    if message.raw32::<20>() != own || length < icmp::HEADER + words * 4 {
        return None;
    }
    let quote = Quote {
        mtu: message.be16::<6>().into(),
        backend: crate::decap::mapped(message.raw32::<24>()),
        start: offset + icmp::HEADER,
        kind: message.byte::<17>(),
        payload: offset + icmp::HEADER + words * 4,
        end: offset + length,
    };
    quote.inside(frame)
}

/// The IPv6 message at `offset`, `length` bytes long, to `own`: packet too big, about a tunnel of ours.
#[inline(always)]
pub fn path_error6<F: Frame + ?Sized>(
    frame: &F,
    own: [u64; 2],
    offset: usize,
    length: usize,
) -> Option<PathError> {
    let message = frame.window::<{ icmp::HEADER + IPV6 }>(offset)?;
    if message.be16::<0>() != 0x0200 || message.byte::<8>() >> 4 != 6 || length < icmp::HEADER + IPV6 {
        return None;
    }
    if [message.raw64::<16>(), message.raw64::<24>()] != own {
        return None;
    }
    let quote = Quote {
        mtu: u32::from_be(message.raw32::<4>()),
        backend: [message.raw64::<32>(), message.raw64::<40>()],
        start: offset + icmp::HEADER,
        kind: message.byte::<14>(),
        payload: offset + icmp::HEADER + IPV6,
        end: offset + length,
    };
    quote.inside(frame)
}

/// A quoted packet of ours.
struct Quote {
    mtu: u32,
    backend: [u64; 2],
    start: usize,
    kind: u8,
    payload: usize,
    end: usize,
}

impl Quote {
    /// Looks behind the tunnel's headers, which are as we write them.
    #[inline(always)]
    fn inside<F: Frame + ?Sized>(&self, frame: &F) -> Option<PathError> {
        let (ether_type, port, skipped) = match self.kind {
            protocol::IPV4 => (EtherType::Ipv4, 0, 0),
            protocol::IPV6 => (EtherType::Ipv6, 0, 0),
            protocol::GRE => {
                let header = frame.window::<4>(self.payload)?;
                let skipped = if header.byte::<0>() & 0x80 == 0 { 4 } else { 8 };
                (ether_type(header.be16::<2>())?, 0, skipped)
            }
            protocol::UDP => {
                let header = frame.window::<12>(self.payload)?;
                let ether_type = match header.byte::<9>() {
                    protocol::IPV4 => EtherType::Ipv4,
                    protocol::IPV6 => EtherType::Ipv6,
                    _ => return None,
                };
                (ether_type, header.raw16::<2>(), 12)
            }
            _ => return None,
        };
        let offset = self.payload + skipped;
        let length = self.end.checked_sub(offset)?;
        Some(PathError {
            mtu: self.mtu,
            backend: self.backend,
            protocol: self.kind,
            port,
            overhead: offset - self.start,
            ether_type,
            offset,
            length,
        })
    }
}

#[inline(always)]
const fn ether_type(number: u16) -> Option<EtherType> {
    match number {
        0x0800 => Some(EtherType::Ipv4),
        0x86DD => Some(EtherType::Ipv6),
        _ => None,
    }
}

impl PathError {
    /// The flow of the IPv4 packet inside.
    #[inline(always)]
    pub fn flow4<F: Frame + ?Sized>(&self, frame: &F) -> Option<FlowKey4> {
        let header = frame.window::<IPV4>(self.offset)?;
        let words = usize::from(header.byte::<0>() & 15);
        let kind = header.byte::<9>();
        if header.byte::<0>() >> 4 != 4 || words < 5 || self.length < words * 4 + 8 || !has_ports(kind) {
            return None;
        }
        let ports = transport::ports(frame.window::<PORTS>(self.offset + words * 4)?.raw32::<0>());
        Some(FlowKey4::new(
            header.raw32::<12>(),
            header.raw32::<16>(),
            ports,
            kind,
        ))
    }

    /// The flow of the IPv6 packet inside, if no extension header is in the way.
    #[inline(always)]
    pub fn flow6<F: Frame + ?Sized>(&self, frame: &F) -> Option<FlowKey6> {
        let header = frame.window::<{ IPV6 + PORTS }>(self.offset)?;
        let kind = header.byte::<6>();
        if header.byte::<0>() >> 4 != 6 || self.length < IPV6 + 8 || !has_ports(kind) {
            return None;
        }
        Some(FlowKey6::new(
            [header.raw64::<8>(), header.raw64::<16>()],
            [header.raw64::<24>(), header.raw64::<32>()],
            transport::ports(header.raw32::<40>()),
            kind,
        ))
    }
}

#[inline(always)]
const fn has_ports(kind: u8) -> bool {
    matches!(kind, protocol::TCP | protocol::UDP)
}

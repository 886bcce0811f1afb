//! Packets as nearly all are: untagged, without options or extension headers, whole, and in the middle of their connection. All
//! that takes a comparison more, or has something wrong with it, is left to the other steps.

use super::{FlowKey4, FlowKey6, Frame, Ipv4, Ipv6, Transport};

/// Where the network header lies of a frame without tags.
const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86DD_u16.to_be();

/// The network header of a frame as nearly all are.
#[derive(Clone, Copy)]
pub enum UsualFrame<'a> {
    /// RFC 791.
    Ipv4(Ipv4<'a>),
    /// RFC 8200.
    Ipv6(Ipv6<'a>),
}

impl<'a> UsualFrame<'a> {
    /// Where the network header begins, in bytes from the frame's beginning.
    pub const NETWORK: usize = ETHERNET;

    /// That of a frame to one host, without tags.
    #[inline(always)]
    pub fn of<F: Frame + ?Sized>(frame: &'a F) -> Option<Self> {
        let header = frame.window::<ETHERNET>(0)?;
        if header.byte::<0>() & 1 != 0 {
            return None;
        }
        match header.raw16::<12>() {
            IPV4 => Ipv4::at(frame, ETHERNET).ok().map(Self::Ipv4),
            IPV6 => Ipv6::at(frame, ETHERNET).ok().map(Self::Ipv6),
            _ => None,
        }
    }
}

/// A packet that changes nothing about its flow, once that is established. Whether anybody can have such addresses and ports was not looked at: the
/// others have no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual<Key> {
    /// The flow.
    pub key: Key,
    /// IANA protocol number: TCP or UDP.
    pub protocol: u8,
    /// Where the transport header begins, in bytes from the frame's beginning.
    pub transport: usize,
    /// Length on the link in bytes, without padding.
    pub bytes: usize,
}

impl Usual<FlowKey4> {
    /// The packet behind this header.
    #[inline(always)]
    pub fn of<F: Frame + ?Sized>(frame: &F, ip: &Ipv4<'_>) -> Option<Self> {
        const TRANSPORT: usize = ETHERNET + 20;
        let (length, protocol) = (ip.usual_payload(frame)?, ip.protocol());
        let ports = Transport::usual_ports(frame, protocol, TRANSPORT, length)?;
        Some(Self {
            key: FlowKey4::new(ip.source(), ip.destination(), ports, protocol),
            protocol,
            transport: TRANSPORT,
            bytes: TRANSPORT + length,
        })
    }
}

impl Usual<FlowKey6> {
    /// The packet behind this header.
    #[inline(always)]
    pub fn of<F: Frame + ?Sized>(frame: &F, ip: &Ipv6<'_>) -> Option<Self> {
        const TRANSPORT: usize = ETHERNET + 40;
        let (length, protocol) = (ip.usual_payload(frame)?, ip.next_header());
        let ports = Transport::usual_ports(frame, protocol, TRANSPORT, length)?;
        Some(Self {
            key: FlowKey6::new(ip.source(), ip.destination(), ports, protocol),
            protocol,
            transport: TRANSPORT,
            bytes: TRANSPORT + length,
        })
    }
}

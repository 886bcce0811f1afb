//! The whole of a frame in one call, step by step as the XDP program does it; for the host.

use core::net::{IpAddr, Ipv4Addr};

use super::{
    EtherType, Ethernet, FlowKey, FlowKey4, FlowKey6, Frame, Icmp, Ipv4, Ipv6, TcpFlags, Transport, protocol,
    quoted_flow4, quoted_flow6,
};
use crate::reason::Reason;

/// A packet that the pipeline would balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// The flow it belongs to.
    pub key: FlowKey,
    /// TCP control bits.
    pub flags: TcpFlags,
    /// The packet is an ICMP error about a reply of the flow.
    pub quoted: bool,
}

impl Parsed {
    fn error(key: impl Into<FlowKey>) -> Self {
        Self {
            key: key.into(),
            flags: TcpFlags::NONE,
            quoted: true,
        }
    }
}

/// Takes a frame apart; `is_vip` stands for the VIP filter, which is asked as soon as the destination is known.
///
/// # Errors
/// The reason that the XDP program would count for this frame, as far as it does not depend on services and flows.
pub fn parse<F: Frame + ?Sized>(frame: &F, is_vip: impl Fn(IpAddr) -> bool) -> Result<Parsed, Reason> {
    let ethernet = Ethernet::parse(frame)?;
    let vip = |address| {
        if is_vip(address) {
            Ok(())
        } else {
            Err(Reason::NotVip)
        }
    };
    match ethernet.ether_type {
        EtherType::Arp => Err(Reason::NotIp),
        EtherType::Ipv4 => {
            let ip = Ipv4::at(frame, ethernet.end)?;
            vip(IpAddr::V4(Ipv4Addr::from(ip.destination().to_ne_bytes())))?;
            unicast(&ethernet)?;
            let (offset, length) = ip.validate(frame)?;
            if ip.protocol() == protocol::ICMP {
                return match Icmp::of_v4(frame, offset, length) {
                    Some(Icmp::EchoRequest) => Err(Reason::EchoAnswered),
                    Some(Icmp::Error) => {
                        quoted_flow4(frame, ip.destination(), offset, length).map(Parsed::error)
                    }
                    None => Err(Reason::OtherProtocol),
                };
            }
            let transport = Transport::parse(frame, ip.protocol(), offset, length)?;
            let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, ip.protocol());
            Ok(Parsed {
                key: key.into(),
                flags: transport.flags,
                quoted: false,
            })
        }
        EtherType::Ipv6 => {
            let ip = Ipv6::at(frame, ethernet.end)?;
            vip(FlowKey::from(FlowKey6::new(ip.source(), ip.destination(), 0, 0)).destination)?;
            unicast(&ethernet)?;
            let payload = ip.validate(frame)?;
            if payload.protocol == protocol::ICMPV6 {
                return match Icmp::of_v6(frame, payload.offset, payload.length) {
                    Some(Icmp::EchoRequest) => Err(Reason::EchoAnswered),
                    Some(Icmp::Error) => {
                        quoted_flow6(frame, ip.destination(), payload.offset, payload.length)
                            .map(Parsed::error)
                    }
                    None => Err(Reason::OtherProtocol),
                };
            }
            let transport = Transport::parse(frame, payload.protocol, payload.offset, payload.length)?;
            let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, payload.protocol);
            Ok(Parsed {
                key: key.into(),
                flags: transport.flags,
                quoted: false,
            })
        }
    }
}

fn unicast(ethernet: &Ethernet) -> Result<(), Reason> {
    if ethernet.group {
        Err(Reason::NotUnicastMac)
    } else {
        Ok(())
    }
}

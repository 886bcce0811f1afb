//! The pipeline: from a frame to a verdict, or to the reason why there is none.

use lb_common::{
    abi::{FrontendKey4, FrontendKey6},
    packet::{
        EtherType, Ethernet, FlowKey4, FlowKey6, Icmp, Ipv4, Ipv6, TcpFlags, Transport, protocol,
        quoted_flow4, quoted_flow6,
    },
    reason::Reason,
    tcp_state::FlowState,
};

use crate::{
    echo,
    family::{Family, V4, V6},
    filter, flow, forward, icmp,
    packet::Packet,
    schedule,
    service::find_service,
    settings::settings,
    verdict::Verdict,
};

/// Balances one frame.
#[inline(always)]
pub(crate) fn balance(packet: &Packet) -> Result<Verdict, Reason> {
    let ethernet = Ethernet::parse(packet)?;
    match ethernet.ether_type {
        EtherType::Ipv4 => {
            let ip = Ipv4::at(packet, ethernet.end)?;
            let vip = ip.destination();
            filter::vip4(vip)?;
            balance4(packet, &ethernet, &ip).map_err(|reason| {
                // The filter says "perhaps". Only what is surely ours is dropped, or counted as ours.
                if is_vip::<V4>(&FrontendKey4::new(vip, 0, protocol::ICMP)) {
                    reason
                } else {
                    Reason::NotVip
                }
            })
        }
        EtherType::Ipv6 => {
            let ip = Ipv6::at(packet, ethernet.end)?;
            let vip = ip.destination();
            filter::vip6(vip)?;
            balance6(packet, &ethernet, &ip).map_err(|reason| {
                if is_vip::<V6>(&FrontendKey6::new(vip, 0, protocol::ICMPV6)) {
                    reason
                } else {
                    Reason::NotVip
                }
            })
        }
    }
}

/// Whether the address belongs to a service: each VIP stands in the frontend table with port 0 and ICMP, too.
#[inline(always)]
fn is_vip<F: Family>(frontend: &<F::Frontend as lb_common::abi::FrontendEntry>::Key) -> bool {
    find_service::<F>(frontend).is_some()
}

#[inline(always)]
fn balance4(packet: &Packet, ethernet: &Ethernet, ip: &Ipv4<'_>) -> Result<Verdict, Reason> {
    if ethernet.group {
        return Err(Reason::NotUnicastMac);
    }
    let (offset, length) = ip.validate(packet)?;
    let backend = match Icmp::of_v4(packet, ip.protocol(), offset, length) {
        None => {
            let transport = Transport::parse(packet, ip.protocol(), offset, length)?;
            let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, ip.protocol());
            backend::<V4>(&key, ip.protocol(), transport.flags)?
        }
        Some(Icmp::Error) => {
            let key = quoted_flow4(packet, ip.destination(), offset, length)?;
            icmp::holder::<V4>(&key)?
        }
        Some(Icmp::EchoRequest) => {
            if !is_vip::<V4>(&FrontendKey4::new(ip.destination(), 0, protocol::ICMP)) {
                return Err(Reason::NotVip);
            }
            return Err(echo::answer4(packet, ethernet.end, offset));
        }
    };
    forward::forward(packet, backend, offset + length)
}

#[inline(always)]
fn balance6(packet: &Packet, ethernet: &Ethernet, ip: &Ipv6<'_>) -> Result<Verdict, Reason> {
    if ethernet.group {
        return Err(Reason::NotUnicastMac);
    }
    let payload = ip.validate(packet)?;
    let backend = match Icmp::of_v6(packet, payload.protocol, payload.offset, payload.length) {
        None => {
            let transport = Transport::parse(packet, payload.protocol, payload.offset, payload.length)?;
            let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, payload.protocol);
            backend::<V6>(&key, payload.protocol, transport.flags)?
        }
        Some(Icmp::Error) => {
            let key = quoted_flow6(packet, ip.destination(), payload.offset, payload.length)?;
            icmp::holder::<V6>(&key)?
        }
        Some(Icmp::EchoRequest) => {
            if !is_vip::<V6>(&FrontendKey6::new(ip.destination(), 0, protocol::ICMPV6)) {
                return Err(Reason::NotVip);
            }
            return Err(echo::answer6(packet, ethernet.end, payload.offset));
        }
    };
    forward::forward(packet, backend, payload.offset + payload.length)
}

/// The backend of the packet's flow: from the flow table, or newly scheduled.
#[inline(always)]
fn backend<F: Family>(key: &F::Key, transport: u8, flags: TcpFlags) -> Result<u32, Reason> {
    let hash = F::hash(key, &settings().flow_seed);
    if let Some(backend) = flow::find::<F>(key, hash, flags) {
        return Ok(backend);
    }
    let service = find_service::<F>(&F::frontend(key)).ok_or(Reason::NoService)?;
    let backend = schedule::choose(service, F::hash(key, &settings().schedule_seed))?;
    if flags.rst() {
        // The end of a connection that nobody here remembers: it is shown to the backend, and leaves no trace.
        return Ok(backend);
    }
    let state = if transport == protocol::TCP {
        FlowState::first(flags)
    } else {
        FlowState::Datagram
    };
    Ok(flow::create::<F>(key, hash, backend, state))
}

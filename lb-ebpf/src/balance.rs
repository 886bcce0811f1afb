//! The pipeline: from a frame to a verdict, or to the reason why there is none.
//!
//! What nearly every packet goes through stands in this one program. The rest is in functions of their own (see
//! [`outcome`](crate::outcome)).

use lb_common::{
    flow_table::Target,
    packet::{EtherType, Ethernet, FlowKey4, FlowKey6, Ipv4, Ipv6, Transport, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::{
    family::{V4, V6},
    flow,
    forward::{self, Shape},
    fragment::{self, Part},
    icmp, neighbour,
    outcome::Refusal,
    reset,
    settings::settings,
    stranger,
    verdict::Verdict,
    vip,
};

/// Balances one frame.
#[inline(always)]
pub(crate) fn balance(packet: &Packet) -> Result<Verdict, Refusal> {
    let ethernet = Ethernet::parse(packet)?;
    match ethernet.ether_type {
        EtherType::Arp => Err(neighbour::arp(packet, ethernet.end)),
        EtherType::Ipv4 => {
            let ip = Ipv4::at(packet, ethernet.end)?;
            // Now, since an answer has it exchanged.
            let destination = ip.destination();
            if !vip::may_be4(destination)? {
                return stranger::pass4(packet, ethernet.end, &ip);
            }
            balance4(packet, &ethernet, &ip).map_err(|refusal| vip::judge4(destination, refusal))
        }
        EtherType::Ipv6 => {
            let ip = Ipv6::at(packet, ethernet.end)?;
            // Now, since an answer has it exchanged.
            let destination = ip.destination();
            if ip.next_header() == protocol::ICMPV6 {
                neighbour::discovery(packet, ethernet.end)?;
            }
            if !vip::may_be6(destination)? {
                return stranger::pass6(packet, ethernet.end, &ip);
            }
            balance6(packet, &ethernet, &ip).map_err(|refusal| vip::judge6(destination, refusal))
        }
    }
}

#[inline(always)]
fn balance4(packet: &Packet, ethernet: &Ethernet, ip: &Ipv4<'_>) -> Result<Verdict, Refusal> {
    if ethernet.group {
        return Err(Reason::NotUnicastMac.into());
    }
    let (offset, length) = match ip.validate(packet) {
        Err(Reason::Fragment) => return fragment4(packet, ethernet, ip),
        checked => checked?,
    };
    let mut shape = Shape {
        network: ethernet.end,
        ipv6: false,
        bytes: offset + length,
        entropy: 0,
    };
    let target = if ip.protocol() == protocol::ICMP {
        icmp::target4(packet, ethernet.end, offset, length)?
    } else {
        let transport = Transport::parse(packet, ip.protocol(), offset, length)?;
        let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, ip.protocol());
        let hash = key.hash(&settings().flow_seed);
        shape.entropy = (hash >> 32) as u32;
        flow::target::<V4>(&key, hash, ip.protocol(), transport.flags)
            .map_err(|refusal| reset::answer4(packet, refusal, ethernet.end, offset, length))?
    };
    deliver(packet, target, &shape)
}

#[inline(always)]
fn balance6(packet: &Packet, ethernet: &Ethernet, ip: &Ipv6<'_>) -> Result<Verdict, Refusal> {
    if ethernet.group {
        return Err(Reason::NotUnicastMac.into());
    }
    let payload = match ip.validate(packet) {
        Err(Reason::Fragment) => return fragment6(packet, ethernet, ip),
        checked => checked?,
    };
    let mut shape = Shape {
        network: ethernet.end,
        ipv6: true,
        bytes: payload.offset + payload.length,
        entropy: 0,
    };
    let target = if payload.protocol == protocol::ICMPV6 {
        icmp::target6(packet, ethernet.end, payload.offset, payload.length)?
    } else {
        let transport = Transport::parse(packet, payload.protocol, payload.offset, payload.length)?;
        let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, payload.protocol);
        let hash = key.hash(&settings().flow_seed);
        shape.entropy = (hash >> 32) as u32;
        flow::target::<V6>(&key, hash, payload.protocol, transport.flags).map_err(|refusal| {
            reset::answer6(packet, refusal, ethernet.end, payload.offset, payload.length)
        })?
    };
    deliver(packet, target, &shape)
}

#[inline(always)]
fn fragment4(packet: &Packet, ethernet: &Ethernet, ip: &Ipv4<'_>) -> Result<Verdict, Refusal> {
    let target = match fragment::part4(packet, ethernet.end)? {
        Part::Later(target) => target,
        Part::First(protocol, transport) => {
            let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, protocol);
            let target = flow::target_of_few::<V4>(&key, protocol, transport.flags).map_err(unanswered)?;
            fragment::remember4(packet, ethernet.end, target);
            target
        }
    };
    deliver(packet, target, &part(packet, ethernet.end, false))
}

#[inline(always)]
fn fragment6(packet: &Packet, ethernet: &Ethernet, ip: &Ipv6<'_>) -> Result<Verdict, Refusal> {
    let target = match fragment::part6(packet, ethernet.end)? {
        Part::Later(target) => target,
        Part::First(protocol, transport) => {
            let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, protocol);
            let target = flow::target_of_few::<V6>(&key, protocol, transport.flags).map_err(unanswered)?;
            fragment::remember6(packet, ethernet.end, target);
            target
        }
    };
    deliver(packet, target, &part(packet, ethernet.end, true))
}

/// No fragment is answered with a reset: the length of its segment is not known.
#[inline(always)]
fn unanswered(refusal: Refusal) -> Refusal {
    if refusal.reason() == Reason::ResetSent.number() {
        Reason::UnknownFlow.into()
    } else {
        refusal
    }
}

/// What is known of a fragment.
#[inline(always)]
fn part(packet: &Packet, network: usize, ipv6: bool) -> Shape {
    Shape {
        network,
        ipv6,
        bytes: packet.linear(),
        entropy: 0,
    }
}

/// Gets the packet to its target.
#[inline(always)]
fn deliver(packet: &Packet, target: Target, shape: &Shape) -> Result<Verdict, Refusal> {
    match target {
        Target::Backend(backend) => forward::forward(packet, backend, shape),
        Target::Translation(_) => Err(Reason::BackendGone.into()),
    }
}

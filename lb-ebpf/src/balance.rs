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
    fragment, icmp, neighbour,
    outcome::Refusal,
    reset,
    settings::settings,
    stranger, translate,
    usual::Unusual,
    verdict::Verdict,
    vip,
};

/// Balances one frame, of which so much is known.
#[inline(always)]
pub(crate) fn balance(packet: &Packet, unusual: Unusual) -> Result<Verdict, Refusal> {
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
            balance4(packet, &ethernet, &ip, unusual).map_err(|refusal| vip::judge4(destination, refusal))
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
            balance6(packet, &ethernet, &ip, unusual).map_err(|refusal| vip::judge6(destination, refusal))
        }
    }
}

#[inline(always)]
fn balance4(
    packet: &Packet,
    ethernet: &Ethernet,
    ip: &Ipv4<'_>,
    unusual: Unusual,
) -> Result<Verdict, Refusal> {
    if ethernet.group {
        return Err(Reason::NotUnicastMac.into());
    }
    let (offset, length) = match ip.validate(packet) {
        Err(Reason::Fragment) => {
            let (target, shape) = fragment::target4(packet, ethernet.end, ip)?;
            return deliver(packet, target, &shape);
        }
        checked => checked?,
    };
    let mut shape = Shape {
        network: ethernet.end,
        ipv6: false,
        transport: offset,
        protocol: ip.protocol(),
        bytes: offset + length,
        entropy: 0,
    };
    let target = if ip.protocol() == protocol::ICMP {
        let target = icmp::target4(packet, ethernet.end, offset, length)?;
        if let Target::Translation(place) = target {
            return translate::error_to_backend4(packet, place, &shape);
        }
        target
    } else {
        let transport = Transport::parse(packet, ip.protocol(), offset, length)?;
        let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, ip.protocol());
        let hash = key.hash(&settings().flow_seed);
        shape.entropy = (hash >> 32) as u32;
        flow::target::<V4>(
            packet,
            &key,
            hash,
            (ip.protocol(), offset),
            transport.flags,
            unusual,
        )
        .map_err(|refusal| reset::answer4(packet, refusal, ethernet.end, offset, length))?
    };
    deliver(packet, target, &shape)
}

#[inline(always)]
fn balance6(
    packet: &Packet,
    ethernet: &Ethernet,
    ip: &Ipv6<'_>,
    unusual: Unusual,
) -> Result<Verdict, Refusal> {
    if ethernet.group {
        return Err(Reason::NotUnicastMac.into());
    }
    let payload = match ip.validate(packet) {
        Err(Reason::Fragment) => {
            let (target, shape) = fragment::target6(packet, ethernet.end, ip)?;
            return deliver(packet, target, &shape);
        }
        checked => checked?,
    };
    let mut shape = Shape {
        network: ethernet.end,
        ipv6: true,
        transport: payload.offset,
        protocol: payload.protocol,
        bytes: payload.offset + payload.length,
        entropy: 0,
    };
    let target = if payload.protocol == protocol::ICMPV6 {
        let target = icmp::target6(packet, ethernet.end, payload.offset, payload.length)?;
        if let Target::Translation(place) = target {
            return translate::error_to_backend6(packet, place, &shape);
        }
        target
    } else {
        let transport = Transport::parse(packet, payload.protocol, payload.offset, payload.length)?;
        let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, payload.protocol);
        let hash = key.hash(&settings().flow_seed);
        shape.entropy = (hash >> 32) as u32;
        flow::target::<V6>(
            packet,
            &key,
            hash,
            (payload.protocol, payload.offset),
            transport.flags,
            unusual,
        )
        .map_err(|refusal| reset::answer6(packet, refusal, ethernet.end, payload.offset, payload.length))?
    };
    deliver(packet, target, &shape)
}

/// Gets the packet to its target.
#[inline(always)]
pub(crate) fn deliver(packet: &Packet, target: Target, shape: &Shape) -> Result<Verdict, Refusal> {
    match target {
        Target::Backend(backend) => forward::forward(packet, backend, shape),
        Target::Translation(place) => translate::forward(packet, place, shape),
    }
}

//! Replies in fragments: the first one has the ports, and the others follow it.
//!
//! None is held that comes before the first one: whether it is a reply at all, only that can tell.

use lb_common::{
    flow_table::{self, Origin, Target, Translation, key_at},
    packet::{FlowKey4, FlowKey6, Fragment, Ipv4, Ipv6, TcpFlags},
};
use lb_ebpf::packet::Packet;

use super::NatFamily;
use crate::{
    family::{V4, V6},
    flow_tables::{Fragments4, Fragments6},
    forward::{Place, Shape},
    fragment::{self, recall},
    settings::settings,
};

/// The place of the translation whose replies are these.
#[inline(always)]
fn place_of<F: NatFamily>(reply: &F::Key) -> Option<u32> {
    let sought = Translation {
        reply: *reply,
        original: *reply,
        origin: Origin::default(),
    };
    let hash = F::hash(reply, &settings().flow_seed);
    flow_table::lookup(&F::translations(), &sought, hash).map(|hit| hit.place)
}

/// Takes a reply's IPv4 fragment apart, whose IPv4 header lies at `network`; `None`: it is none of ours.
#[inline(always)]
pub(super) fn part4(packet: &Packet, network: usize) -> Option<(FlowKey4, Shape, TcpFlags)> {
    let ip = Ipv4::at(packet, network).ok()?;
    let fragment = Fragment::of_v4(packet, network).ok()?;
    let mut shape = Shape {
        network,
        ipv6: false,
        transport: 0,
        protocol: fragment.protocol,
        bytes: packet.linear(),
        entropy: 0,
    };
    if fragment.is_first() {
        let transport = fragment.transport(packet).ok()?;
        let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, fragment.protocol);
        let place = place_of::<V4>(&key)?;
        fragment::remember4(packet, network, Target::Translation(place));
        shape.transport = fragment.offset;
        return Some((key, shape, transport.flags));
    }
    let name = fragment.key4(&ip);
    let Target::Translation(place) = recall(&Fragments4, &name, name.hash(&settings().flow_seed))? else {
        return None;
    };
    let known = key_at(&V4::translations(), place)?.reply;
    let key = V4::key_like(packet, Place::of(&shape), &known)?;
    Some((key, shape, TcpFlags::NONE))
}

/// Takes a reply's IPv6 fragment apart, whose IPv6 header lies at `network`; `None`: it is none of ours.
#[inline(always)]
pub(super) fn part6(packet: &Packet, network: usize) -> Option<(FlowKey6, Shape, TcpFlags)> {
    let ip = Ipv6::at(packet, network).ok()?;
    let fragment = Fragment::of_v6(packet, network).ok()?;
    let mut shape = Shape {
        network,
        ipv6: true,
        transport: 0,
        protocol: fragment.protocol,
        bytes: packet.linear(),
        entropy: 0,
    };
    if fragment.is_first() {
        let transport = fragment.transport(packet).ok()?;
        let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, fragment.protocol);
        let place = place_of::<V6>(&key)?;
        fragment::remember6(packet, network, Target::Translation(place));
        shape.transport = fragment.offset;
        return Some((key, shape, transport.flags));
    }
    let name = fragment.key6(&ip);
    let Target::Translation(place) = recall(&Fragments6, &name, name.hash(&settings().flow_seed))? else {
        return None;
    };
    let known = key_at(&V6::translations(), place)?.reply;
    let key = V6::key_like(packet, Place::of(&shape), &known)?;
    Some((key, shape, TcpFlags::NONE))
}

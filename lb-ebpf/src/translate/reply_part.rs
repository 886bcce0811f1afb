//! Replies in fragments: the first one has the ports, and the others follow it.
//!
//! None is held that comes before the first one: whether it is a reply at all, only that can tell.

use lb_common::{
    flow_table::{self, Origin, Target, Translation, key_at},
    packet::{FlowKey4, FlowKey6, Fragment, Ipv4, Ipv6, TcpFlags},
    verifier::{blur, forget},
};
use lb_ebpf::packet::{Context, Packet};

use super::NatFamily;
use crate::{
    family::{V4, V6},
    flow_tables::{Fragments4, Fragments6},
    forward::{Place, Shape},
    fragment::{self, recall},
    settings::settings,
};

/// Marks a place.
const FOUND: u64 = 1 << 32;

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
    // What follows is the same for all of them, and to be verified once.
    let noise = ip.source();
    let mut shape = Shape {
        network,
        ipv6: false,
        transport: forget::<0x7FFF>(0, noise),
        protocol: fragment.protocol,
        bytes: packet.linear(),
        entropy: 0,
    };
    if fragment.is_first() {
        let transport = fragment.transport(packet).ok()?;
        let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, fragment.protocol);
        shape.transport = forget::<0x7FFF>(fragment.offset, noise);
        return Some((key, shape, transport.flags));
    }
    let name = fragment.key4(&ip);
    let Target::Translation(place) = recall(&Fragments4, &name, name.hash(&settings().flow_seed))? else {
        return None;
    };
    let known = key_at(&V4::translations(), place)?.reply;
    let key = V4::key_like(packet, Place::of(&shape), &known)?;
    Some((key, shape, TcpFlags::new(blur(0, noise.into()) as u8)))
}

/// Takes a reply's IPv6 fragment apart, whose IPv6 header lies at `network`; `None`: it is none of ours.
#[inline(always)]
pub(super) fn part6(packet: &Packet, network: usize) -> Option<(FlowKey6, Shape, TcpFlags)> {
    let ip = Ipv6::at(packet, network).ok()?;
    let fragment = Fragment::of_v6(packet, network).ok()?;
    // What follows is the same for all of them, and to be verified once.
    let noise = ip.source()[1] as u32;
    let mut shape = Shape {
        network,
        ipv6: true,
        transport: forget::<0x7FFF>(0, noise),
        protocol: fragment.protocol,
        bytes: packet.linear(),
        entropy: 0,
    };
    if fragment.is_first() {
        let transport = fragment.transport(packet).ok()?;
        let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, fragment.protocol);
        shape.transport = forget::<0x7FFF>(fragment.offset, noise);
        return Some((key, shape, transport.flags));
    }
    let name = fragment.key6(&ip);
    let Target::Translation(place) = recall(&Fragments6, &name, name.hash(&settings().flow_seed))? else {
        return None;
    };
    let known = key_at(&V6::translations(), place)?.reply;
    let key = V6::key_like(packet, Place::of(&shape), &known)?;
    Some((key, shape, TcpFlags::new(blur(0, noise.into()) as u8)))
}

/// Others of this reply's packet are to be translated likewise, if it is the first fragment of one.
#[inline(always)]
pub(crate) fn remember_reply4(packet: &Packet, network: usize) {
    let place = tandem_part4(packet.context(), network as u32);
    if place & FOUND != 0 {
        fragment::remember4(packet, network, Target::Translation(place as u32));
    }
}

/// The place of the translation of which this is a reply's first fragment, marked, or 0.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_part4(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    first4(&packet, network).map_or(0, |place| u64::from(place) | FOUND)
}

#[inline(always)]
fn first4(packet: &Packet, network: usize) -> Option<u32> {
    let ip = Ipv4::at(packet, network).ok()?;
    let fragment = Fragment::of_v4(packet, network).ok()?;
    if !fragment.is_first() {
        return None;
    }
    let ports = fragment.transport(packet).ok()?.ports;
    place_of::<V4>(&FlowKey4::new(
        ip.source(),
        ip.destination(),
        ports,
        fragment.protocol,
    ))
}

/// Others of this reply's packet are to be translated likewise, if it is the first fragment of one.
#[inline(always)]
pub(crate) fn remember_reply6(packet: &Packet, network: usize) {
    let place = tandem_part6(packet.context(), network as u32);
    if place & FOUND != 0 {
        fragment::remember6(packet, network, Target::Translation(place as u32));
    }
}

/// The place of the translation of which this is a reply's first fragment, marked, or 0.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_part6(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    first6(&packet, network).map_or(0, |place| u64::from(place) | FOUND)
}

#[inline(always)]
fn first6(packet: &Packet, network: usize) -> Option<u32> {
    let ip = Ipv6::at(packet, network).ok()?;
    let fragment = Fragment::of_v6(packet, network).ok()?;
    if !fragment.is_first() {
        return None;
    }
    let ports = fragment.transport(packet).ok()?.ports;
    place_of::<V6>(&FlowKey6::new(
        ip.source(),
        ip.destination(),
        ports,
        fragment.protocol,
    ))
}

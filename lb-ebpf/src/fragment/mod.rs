//! Fragments: the first one of a packet is balanced like a whole packet, and the others go where it went.
//!
//! Where it went stands in a table of its own, which works like the flow table and is much smaller. A fragment that comes
//! before the first one is handed to the daemon, which sends it through here again once the first one has come.

mod hold;
mod part;
mod target;

use lb_common::{
    flow_state::FlowState,
    flow_table::{self, Entry, NewFlow, Table, Target},
    packet::{FlowKey4, FlowKey6, Fragment, Ipv4, Ipv6},
};

use lb_ebpf::packet::{Context, Packet};

use self::part::Part;
pub(crate) use self::target::{target4, target6};
use crate::{
    clock::jiffies,
    flow_tables::{Fragments4, Fragments6},
    outcome::{Refusal, decode_target, encode_target},
    settings::settings,
};

/// How long the other fragments of a packet may come after the first, in seconds: half of what hosts wait for all of them.
const TIMEOUT: u32 = 15;

/// Which part of its packet the fragment is whose IPv4 header is at `network`.
#[inline(always)]
fn part4(packet: &Packet, network: usize) -> Result<Part, Refusal> {
    Part::decode(tandem_fragment4(packet.context(), network as u32))
}

/// Which part of its packet the fragment is whose IPv6 header is at `network`.
#[inline(always)]
fn part6(packet: &Packet, network: usize) -> Result<Part, Refusal> {
    Part::decode(tandem_fragment6(packet.context(), network as u32))
}

/// Others of this packet go to this target, too.
#[inline(always)]
pub(crate) fn remember4(packet: &Packet, network: usize, target: Target) {
    tandem_follow4(packet.context(), network as u32, encode_target(Ok(target)));
}

/// Others of this packet go to this target, too.
#[inline(always)]
pub(crate) fn remember6(packet: &Packet, network: usize, target: Target) {
    tandem_follow6(packet.context(), network as u32, encode_target(Ok(target)));
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_fragment4(context: Context, network: u32) -> u64 {
    let packet = Packet::new(context);
    Part::encode(&look4(&packet, (network & 31) as usize))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_fragment6(context: Context, network: u32) -> u64 {
    let packet = Packet::new(context);
    Part::encode(&look6(&packet, (network & 31) as usize))
}

/// 1 once it is remembered, 0 where that was not possible.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_follow4(context: Context, network: u32, target: u64) -> u32 {
    let (packet, network) = (Packet::new(context), (network & 31) as usize);
    let (Ok(ip), Ok(fragment)) = (Ipv4::at(&packet, network), Fragment::of_v4(&packet, network)) else {
        return 0;
    };
    let key = fragment.key4(&ip);
    remember(
        &Fragments4,
        key,
        FlowKey4::hash(&key, &settings().flow_seed),
        target,
    )
    .is_some()
    .into()
}

/// 1 once it is remembered, 0 where that was not possible.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_follow6(context: Context, network: u32, target: u64) -> u32 {
    let (packet, network) = (Packet::new(context), (network & 31) as usize);
    let (Ok(ip), Ok(fragment)) = (Ipv6::at(&packet, network), Fragment::of_v6(&packet, network)) else {
        return 0;
    };
    let key = fragment.key6(&ip);
    remember(
        &Fragments6,
        key,
        FlowKey6::hash(&key, &settings().flow_seed),
        target,
    )
    .is_some()
    .into()
}

#[inline(always)]
fn look4(packet: &Packet, network: usize) -> Result<Part, Refusal> {
    let ip = Ipv4::at(packet, network)?;
    let fragment = Fragment::of_v4(packet, network)?;
    if fragment.is_first() {
        return Ok(Part::First(
            fragment.protocol,
            fragment.transport(packet)?,
            fragment.offset,
        ));
    }
    let key = fragment.key4(&ip);
    match recall(&Fragments4, &key, key.hash(&settings().flow_seed)) {
        Some(target) => Ok(Part::Later(target)),
        None => Err(hold::hold(packet, 4, [key.words[0], key.words[1], 0, 0, 0]).into()),
    }
}

#[inline(always)]
fn look6(packet: &Packet, network: usize) -> Result<Part, Refusal> {
    let ip = Ipv6::at(packet, network)?;
    let fragment = Fragment::of_v6(packet, network)?;
    if fragment.is_first() {
        return Ok(Part::First(
            fragment.protocol,
            fragment.transport(packet)?,
            fragment.offset,
        ));
    }
    let key = fragment.key6(&ip);
    match recall(&Fragments6, &key, key.hash(&settings().flow_seed)) {
        Some(target) => Ok(Part::Later(target)),
        None => Err(hold::hold(packet, 6, key.words).into()),
    }
}

/// Where the first fragment went, if that was not too long ago: senders use identifications again.
#[inline(always)]
pub(crate) fn recall<T: Table>(table: &T, key: &<T::Entry as Entry>::Key, hash: u64) -> Option<Target> {
    let hit = flow_table::lookup(table, key, hash)?;
    let idle = (jiffies() as u32).wrapping_sub(hit.entry.last_seen().load());
    if idle > TIMEOUT * settings().hz {
        // The daemon is to see that nothing is known.
        hit.entry.remove(hit.control);
        return None;
    }
    Some(hit.control.target())
}

#[inline(always)]
fn remember<T: Table>(table: &T, key: <T::Entry as Entry>::Key, hash: u64, target: u64) -> Option<()> {
    let target = decode_target(target).ok()?;
    if let Some(hit) = flow_table::lookup(table, &key, hash) {
        if hit.control.target() == target {
            hit.entry.touch(jiffies() as u32);
            return Some(());
        }
        // Of an earlier packet that was called the same.
        hit.entry.remove(hit.control);
    }
    let follow = NewFlow {
        key,
        hash,
        target,
        state: FlowState::Template,
        class: 0,
    };
    flow_table::put(table, &follow, jiffies());
    Some(())
}

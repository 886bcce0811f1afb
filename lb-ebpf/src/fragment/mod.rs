//! Fragments: the first one of a packet is balanced like a whole packet, and the others go where it went.
//!
//! Where it went stands in a table of its own, which works like the flow table and is much smaller. A fragment that comes
//! before the first one is handed to the daemon, which sends it through here again once the first one has come.

mod hold;

use lb_common::{
    flow_state::FlowState,
    flow_table::{self, Clock, Entry, NewFlow, Table, Target},
    packet::{FlowKey4, FlowKey6, Fragment, Ipv4, Ipv6, TcpFlags, Transport},
};

use lb_ebpf::packet::{Context, Packet};

use crate::{
    clock::jiffies,
    flow_tables::{Fragments4, Fragments6},
    maps::TIMEOUTS,
    outcome::{Refusal, decode, decode_target, encode, encode_target},
    settings::settings,
};

/// What is to be done with a fragment.
pub(crate) enum Part {
    /// It is the first one, of this protocol, to be balanced by its ports; and then to be [remembered](remember4).
    First(u8, Transport),
    /// It follows the first one.
    Later(Target),
}

/// How long the other fragments of a packet may come after the first, in seconds: half of what hosts wait for all of them.
const TIMEOUT: u32 = 15;

/// With a first fragment's protocol (bits 40..48), flags (32..40) and ports (0..32).
const FIRST: u64 = 1 << 62;

impl Part {
    #[inline(always)]
    fn encode(result: Result<Self, Refusal>) -> u64 {
        match result {
            Ok(Self::First(protocol, Transport { ports, flags })) => {
                u64::from(ports) | u64::from(flags.bits()) << 32 | u64::from(protocol) << 40 | FIRST
            }
            Ok(Self::Later(target)) => encode_target(Ok(target)),
            Err(refusal) => encode(Err(refusal)),
        }
    }

    #[inline(always)]
    fn decode(number: u64) -> Result<Self, Refusal> {
        let known = decode(number)?;
        if known & FIRST == 0 {
            return decode_target(known).map(Self::Later);
        }
        let transport = Transport {
            ports: known as u32,
            flags: TcpFlags::new((known >> 32) as u8),
        };
        Ok(Self::First((known >> 40) as u8, transport))
    }
}

/// Which part of its packet the fragment is whose IPv4 header is at `network`.
#[inline(always)]
pub(crate) fn part4(packet: &Packet, network: usize) -> Result<Part, Refusal> {
    Part::decode(tandem_fragment4(packet.context(), network as u32))
}

/// Which part of its packet the fragment is whose IPv6 header is at `network`.
#[inline(always)]
pub(crate) fn part6(packet: &Packet, network: usize) -> Result<Part, Refusal> {
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
    Part::encode(look4(&packet, (network & 31) as usize))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_fragment6(context: Context, network: u32) -> u64 {
    let packet = Packet::new(context);
    Part::encode(look6(&packet, (network & 31) as usize))
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
        return Ok(Part::First(fragment.protocol, fragment.transport(packet)?));
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
        return Ok(Part::First(fragment.protocol, fragment.transport(packet)?));
    }
    let key = fragment.key6(&ip);
    match recall(&Fragments6, &key, key.hash(&settings().flow_seed)) {
        Some(target) => Ok(Part::Later(target)),
        None => Err(hold::hold(packet, 6, key.words).into()),
    }
}

/// Where the first fragment went, if that was not too long ago: senders use identifications again.
#[inline(always)]
fn recall<T: Table>(table: &T, key: &<T::Entry as Entry>::Key, hash: u64) -> Option<Target> {
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
    let clock = Clock {
        now: jiffies(),
        timeouts: TIMEOUTS.get(0)?,
    };
    let follow = NewFlow {
        key,
        hash,
        target,
        state: FlowState::Template,
        class: 0,
    };
    flow_table::insert(table, &follow, &clock);
    Some(())
}

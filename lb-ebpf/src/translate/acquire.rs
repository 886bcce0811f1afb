//! A new flow gets its translation.
//!
//! The table of translations is what hands out addresses and ports: a reply's tuple that stands there already is somebody
//! else's, on whatever CPU he came in. So there is no list of free ports, and none to run out of step.

use lb_common::{
    flow_state::FlowState,
    flow_table::{self, Clock, Hit, Insertion, NewFlow, Target, Translation, translation_at},
    packet::{TcpFlags, protocol},
    reason::Reason,
    tcp_state,
};

use super::NatFamily;
use crate::{
    clock::jiffies,
    family::{Family, V4, V6},
    flow::Parcel,
    maps::{BACKENDS, POOLS, TIMEOUTS},
    outcome::{Refusal, decode, encode},
    schedule,
    settings::settings,
};

/// Ports that are tried for a flow before the pool counts as exhausted.
const TRIES: u32 = 32;

/// A translation that a flow would like to have.
pub(crate) type Bid<K> = NewFlow<Translation<K>>;

/// The tuple of its replies is another flow's.
const TAKEN: u64 = 1 << 32;
/// There is no room.
const FULL: u64 = 1 << 33;

/// The place of the translation that the parcel's flow to this backend gets.
#[inline(always)]
pub(crate) fn acquire<F: NatFamily>(parcel: *const Parcel<F::Key>, backend: u32) -> Result<u32, Refusal> {
    decode(F::acquire(parcel, backend)).map(|place| place as u32)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_acquire4(parcel: *const Parcel<<V4 as Family>::Key>, backend: u32) -> u64 {
    encode(bid_for::<V4>(parcel, backend))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_acquire6(parcel: *const Parcel<<V6 as Family>::Key>, backend: u32) -> u64 {
    encode(bid_for::<V6>(parcel, backend))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_bid4() -> u64 {
    place_of::<V4>()
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_bid6() -> u64 {
    place_of::<V6>()
}

#[inline(always)]
fn bid_for<F: NatFamily>(parcel: *const Parcel<F::Key>, backend: u32) -> Result<u64, Refusal> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }.ok_or(Reason::MapMissing)?;
    let flags = TcpFlags::new(parcel.flags as u8);
    if flags.rst() {
        // The end of a connection that nobody here remembers, and so of one that no backend would know by this tuple.
        return Err(Reason::NoTranslation.into());
    }
    let server = BACKENDS.get(backend).ok_or(Reason::BackendGone)?;
    let state = if parcel.protocol == u32::from(protocol::TCP) {
        tcp_state::first(flags)
    } else {
        FlowState::Udp
    };
    let class = schedule::service(parcel.service)?.policy().timeout_class;
    let reply = F::reply(server, &parcel.key);
    let bid = F::scratch().ok_or(Reason::MapMissing)?;
    bid.key.reply = reply;
    bid.key.original = parcel.key;
    bid.key.origin = parcel.origin;
    bid.target = Target::Backend(backend);
    bid.state = state;
    bid.class = class;
    if !server.tail().has_pool() {
        return match F::bid() {
            TAKEN => Err(Reason::TranslationConflict.into()),
            FULL => Err(Reason::TranslationsFull.into()),
            place => Ok(place),
        };
    }
    let pool = POOLS.get(parcel.service).ok_or(Reason::MapMissing)?;
    // Where to begin is nobody's to foresee (RFC 6056).
    let begin = (parcel.hash >> 16) as u32 ^ jiffies() as u32;
    for attempt in 0..TRIES {
        let Some((address, port)) = F::pick(pool, begin.wrapping_add(attempt.wrapping_mul(0x9E37_79B1)))
        else {
            return Err(Reason::PoolExhausted.into());
        };
        bid.key.reply = F::redirected(&bid.key.reply, address, port);
        match F::bid() {
            TAKEN => {}
            FULL => return Err(Reason::TranslationsFull.into()),
            place => return Ok(place),
        }
    }
    Err(Reason::PoolExhausted.into())
}

/// The place that the bid gets, [`TAKEN`] or [`FULL`].
#[inline(always)]
fn place_of<F: NatFamily>() -> u64 {
    let (Some(bid), Some(timeouts)) = (F::scratch(), TIMEOUTS.get(0)) else {
        return FULL;
    };
    let clock = Clock {
        now: jiffies(),
        timeouts,
    };
    bid.hash = F::hash(&bid.key.reply, &settings().flow_seed);
    let table = F::translations();
    // Nobody's translation is given to another while he may still use it.
    if flow_table::insert_sparing(&table, bid, &clock) == Insertion::Contended {
        return FULL;
    }
    let Some(Hit { place, .. }) = flow_table::lookup(&table, &bid.key, bid.hash) else {
        return FULL;
    };
    // It may be the flow's own, of an earlier life.
    match translation_at(&table, place, &bid.key.original) {
        Some(_) => place.into(),
        None => TAKEN,
    }
}

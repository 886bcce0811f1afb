//! New flows beyond what a service is to have in a second.

use lb_common::{
    abi::{Event, FloodLimits, Keeper, Persistence},
    packet::{TcpFlags, protocol},
    reason::Reason,
};

use super::Parcel;
use crate::{
    clock::jiffies,
    count,
    family::{Family, V4, V6},
    maps::SOURCES,
    outcome::{Refusal, encode},
    schedule,
    settings::settings,
};

/// The flow is entered.
const ENTERED: u64 = 0;
/// It leaves no entry.
const UNENTERED: u64 = 1;

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_flood4(parcel: *const Parcel<<V4 as Family>::Key>) -> u64 {
    encode(limit::<V4>(parcel))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_flood6(parcel: *const Parcel<<V6 as Family>::Key>) -> u64 {
    encode(limit::<V6>(parcel))
}

/// Whether the flow may leave an entry, where it is not refused.
#[inline(always)]
pub(super) fn leaves_entry(decoded: u64) -> bool {
    decoded == ENTERED
}

#[inline(always)]
fn limit<F: Family>(parcel: *const Parcel<F::Key>) -> Result<u64, Refusal> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }.ok_or(Reason::MapMissing)?;
    let service = schedule::service(parcel.service)?;
    let FloodLimits { syns, of_source } = service.flood();
    let second = (jiffies() / u64::from(settings().hz.max(1))) as u32;
    if of_source != 0 {
        // A client is an IPv4 address or an IPv6 network, as providers give them out.
        let client = Persistence {
            keeper: Keeper::Client,
            service: parcel.service,
            prefix_v4: 32,
            prefix_v6: 64,
        };
        let hash = F::hash(&F::template(&parcel.key, client, 0), &settings().flow_seed);
        let sources = SOURCES.get(0).ok_or(Reason::MapMissing)?;
        if sources.count(hash, second) > of_source {
            return Err(Reason::SourceFlood.into());
        }
    }
    let flags = TcpFlags::new(parcel.flags as u8);
    let opens = parcel.protocol == u32::from(protocol::TCP) && flags.syn() && !flags.ack();
    if syns != 0 && opens && service.syns().count(second) > syns {
        count::event(Event::SynUnentered);
        return Ok(UNENTERED);
    }
    Ok(ENTERED)
}

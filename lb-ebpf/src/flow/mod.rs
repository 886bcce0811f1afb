//! The connection a packet belongs to: found, advanced, or made.

mod enter;
mod flood;
mod parcel;
mod place;
mod placed;
mod settle;
mod template;

use lb_common::{
    abi::Event,
    flow_state::Worth,
    flow_table::{self, Control, Entry, Hit, Target},
    packet::{ConnectionId, TcpFlags, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use self::parcel::{SEVER, UNKNOWN};
pub(crate) use self::{
    enter::{tandem_enter4, tandem_enter6},
    flood::{tandem_flood4, tandem_flood6},
    parcel::Parcel,
    place::{tandem_place4, tandem_place6},
    settle::{tandem_settle4, tandem_settle6},
    template::{tandem_recall4, tandem_recall6, tandem_remember4, tandem_remember6},
};
use crate::{
    clock::jiffies,
    count, load,
    origin::origin_of,
    outcome::{Refusal, decode_target},
    reset,
    settings::settings,
    translate::NatFamily,
    usual::Unusual,
};

/// Where the packet of the flow with this hash goes, whose transport header of this protocol lies at this offset: for nearly
/// every packet, where its flow's entry says.
#[inline(always)]
pub(crate) fn target<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    hash: u64,
    (transport, offset): (u8, usize),
    flags: TcpFlags,
    unusual: Unusual,
) -> Result<Target, Refusal> {
    let mut unknown = UNKNOWN;
    if !unusual.is_unknown
        && let Some(control) = known::<F>(key, hash)
    {
        if flags.is_plain() && control.is_steady() {
            return Ok(control.target());
        }
        unknown = 0;
    }
    let flags = u32::from(flags.bits()) | unknown;
    seldom::<F>(packet, key, hash, (transport, offset), flags)
}

/// What a flow's entry says, which has seen a packet now.
#[inline(always)]
pub(crate) fn known<F: NatFamily>(key: &F::Key, hash: u64) -> Option<Control> {
    let flows = F::flows();
    let Hit { entry, control, .. } = flow_table::lookup(&flows, key, hash)?;
    entry.touch(jiffies() as u32);
    Some(control)
}

/// The same for a packet of which there are few.
#[inline(always)]
pub(crate) fn target_of_few<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    at: (u8, usize),
    flags: TcpFlags,
) -> Result<Target, Refusal> {
    let hash = F::hash(key, &settings().flow_seed);
    seldom::<F>(packet, key, hash, at, flags.bits().into())
}

#[inline(always)]
fn seldom<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    hash: u64,
    (transport, offset): (u8, usize),
    flags: u32,
) -> Result<Target, Refusal> {
    let connection = if transport == protocol::UDP {
        ConnectionId::of(packet, offset)
    } else {
        ConnectionId::default()
    };
    let parcel = F::parcel().ok_or(Reason::MapMissing)?;
    *parcel = Parcel {
        key: *key,
        hash,
        origin: origin_of(packet).unwrap_or_default(),
        schedule_hash: 0,
        connection: connection.bits().into(),
        flags,
        protocol: transport.into(),
        service: 0,
        policy: 0,
    };
    let target = decode_target(F::settle(parcel))?;
    if parcel.flags & SEVER != 0 {
        reset::sever(packet, offset)?;
    }
    Ok(target)
}

/// A flow gave up its place to a new one.
#[inline(always)]
fn evicted(worth: Worth, victim: Control) {
    load::left(victim);
    count::event(match worth {
        Worth::Expired => Event::EvictedExpired,
        Worth::HalfOpen => Event::EvictedHalfOpen,
        Worth::Closing => Event::EvictedClosing,
        Worth::IdleDatagram => Event::EvictedIdleDatagram,
        Worth::Active => Event::EvictedActive,
    });
}

//! A packet that changes its flow's state, or has no flow yet: the flow, or else the service, and for most services the
//! backend.

use lb_common::{
    abi::{ServerId, Unknown},
    flow_state::FlowState,
    flow_table::{self, Control, Entry, Hit, Target, translation_at},
    packet::{ConnectionId, TcpFlags, protocol},
    reason::Reason,
    tcp_state::{self, Segment},
};

use super::{
    Parcel,
    parcel::{SEVER, UNKNOWN},
    placed::Placed,
};
use crate::{
    clock::jiffies,
    family::{Family, V4, V6},
    journal, load,
    maps::{BACKENDS, SERVER_IDS},
    outcome::{Refusal, encode},
    schedule::{self, Moment},
    service::service_of,
    translate::NatFamily,
};

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_place4(parcel: *mut Parcel<<V4 as Family>::Key>) -> u64 {
    encode(place::<V4>(parcel))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_place6(parcel: *mut Parcel<<V6 as Family>::Key>) -> u64 {
    encode(place::<V6>(parcel))
}

/// [`Placed::number`] at once: joined as values, a variant without a backend leaves a register that the verifier holds
/// to be unread.
#[inline(always)]
fn place<F: NatFamily>(parcel: *mut Parcel<F::Key>) -> Result<u64, Refusal> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_mut() }.ok_or(Reason::MapMissing)?;
    let flags = TcpFlags::new(parcel.flags as u8);
    if parcel.flags & UNKNOWN == 0
        && let Some(Hit { entry, control, .. }) = flow_table::lookup(&F::flows(), &parcel.key, parcel.hash)
    {
        let state = control.state_number();
        let begins = tcp_state::begins_anew(state, control.client_heard(), flags);
        if !begins && state == FlowState::Ended as u8 {
            parcel.flags |= SEVER;
            if entry.change(control, control.with_state_number(FlowState::Severed as u8)) {
                load::moved(control, FlowState::Severed as u32);
            }
            return Ok(Placed::Known(control.target()).number());
        }
        let ended = state == FlowState::Severed as u8;
        if !begins && !ended {
            entry.touch(jiffies() as u32);
            if advance::<F>(&parcel.key, entry, control, flags) {
                journal::note::<F>(parcel);
            }
            return Ok(Placed::Known(control.target()).number());
        }
        if entry.remove(control) {
            load::left(control);
            end_translation::<F>(&parcel.key, control);
        }
        if !begins {
            return Err(reset(parcel.protocol, flags).into());
        }
    }
    parcel.service = service_of::<F>(&parcel.key).ok_or(Reason::NoService)?;
    let service = schedule::service(parcel.service)?;
    let policy = service.policy();
    let moment = if parcel.protocol != u32::from(protocol::UDP) && (!flags.syn() || flags.ack()) {
        Moment::Middle
    } else {
        Moment::Beginning
    };
    if moment == Moment::Middle {
        match policy.unknown {
            Unknown::Schedule => {}
            Unknown::Reset => return Err(reset(parcel.protocol, flags).into()),
            Unknown::Drop => return Err(Reason::UnknownFlow.into()),
        }
    }
    parcel.policy = policy.flags.bits();
    parcel.schedule_hash = schedule::hash::<F>(policy, &parcel.key);
    if policy.server_id != 0
        && let Some(backend) = named(parcel.service, parcel.connection, policy.server_id)
    {
        return Ok(Placed::Named(backend).number());
    }
    match schedule::by_table(service, policy, parcel.schedule_hash, moment) {
        Some(backend) => Ok(Placed::Chosen(backend?).number()),
        None => Ok(Placed::Open.number()),
    }
}

/// The backend of this service that a datagram's connection ID names, if it can be reached.
#[inline(always)]
fn named(service: u32, connection: u64, length: u8) -> Option<u32> {
    let id = ConnectionId::from_bits(connection as u32).server(length)?;
    let id = ServerId { service, id };
    let (first, second) = id.lines();
    let backend = match SERVER_IDS.get(first)?.find(id) {
        Some(backend) => backend,
        None => SERVER_IDS.get(second)?.find(id)?,
    };
    BACKENDS.get(backend)?.tail().is_ready().then_some(backend)
}

/// What a segment is told that belongs to no connection any more. A reset is not answered (RFC 9293 section 3.5.2), nor is SCTP.
#[inline(always)]
fn reset(transport: u32, flags: TcpFlags) -> Reason {
    if flags.rst() || transport != u32::from(protocol::TCP) {
        Reason::UnknownFlow
    } else {
        Reason::ResetSent
    }
}

/// The flow's state after the packet; whether that is another one.
#[inline(always)]
fn advance<F: NatFamily>(key: &F::Key, entry: &F::Flow, control: Control, flags: TcpFlags) -> bool {
    let state = control.state_number();
    let next = tcp_state::next_number(state, control.client_heard(), Segment::of(flags));
    // When another CPU was faster, its packet's change stands: order between CPUs is nobody's.
    if next == state || !entry.change(control, control.with_state_number(next)) {
        return false;
    }
    load::moved(control, next.into());
    if let Target::Translation(place) = control.target()
        && let Some(hit) = translation_at(&F::translations(), place, key)
    {
        hit.entry.change(hit.control, hit.control.with_state_number(next));
        if let Some(backend) = hit.control.backend() {
            load::moved_of(backend, state.into(), next.into());
        }
    }
    true
}

/// The translation goes with its flow, which had this control word.
#[inline(always)]
fn end_translation<F: NatFamily>(key: &F::Key, control: Control) {
    if let Target::Translation(place) = control.target()
        && let Some(hit) = translation_at(&F::translations(), place, key)
    {
        hit.entry.remove(hit.control);
        if let Some(backend) = hit.control.backend() {
            load::left_of(backend, control.state_index() as u32);
        }
    }
}

//! The connection a packet belongs to: found, advanced, or made.

use lb_common::{
    abi::Event,
    flow_state::{FlowState, Worth},
    flow_table::{self, Clock, Control, Entry, Hit, Insertion, NewFlow, Target},
    packet::{TcpFlags, protocol},
    reason::Reason,
    tcp_state::{self, Heard, Segment},
};

use crate::{
    clock::jiffies,
    count,
    family::{Family, V4, V6},
    maps::TIMEOUTS,
    outcome::{Refusal, decode_target, encode_target},
    schedule,
    service::find_service,
    settings::settings,
};

/// A packet of a flow: what [`settle`] goes by.
#[repr(C)]
pub(crate) struct Parcel<K> {
    pub(crate) key: K,
    /// The key's hash for the flow table.
    pub(crate) hash: u64,
    /// TCP's control bits.
    pub(crate) flags: u32,
    /// IANA protocol number.
    pub(crate) protocol: u32,
}

/// Where the packet of the flow with this hash goes: for nearly every packet, where its flow's entry says.
#[inline(always)]
pub(crate) fn target<F: Family>(
    key: &F::Key,
    hash: u64,
    transport: u8,
    flags: TcpFlags,
) -> Result<Target, Refusal> {
    if let Some(Hit { entry, control }) = flow_table::lookup(&F::flows(), key, hash) {
        entry.touch(jiffies() as u32);
        if flags.is_plain() && control.is_steady() {
            return Ok(control.target());
        }
    }
    let parcel = Parcel {
        key: *key,
        hash,
        flags: flags.bits().into(),
        protocol: transport.into(),
    };
    decode_target(F::settle(&parcel))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_settle4(parcel: *const Parcel<<V4 as Family>::Key>) -> u64 {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    encode_target(unsafe { parcel.as_ref() }.map_or(Err(Reason::MapMissing.into()), settle::<V4>))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_settle6(parcel: *const Parcel<<V6 as Family>::Key>) -> u64 {
    // SAFETY: as above.
    encode_target(unsafe { parcel.as_ref() }.map_or(Err(Reason::MapMissing.into()), settle::<V6>))
}

/// Where a packet goes that changes its flow's state, or has no flow yet.
#[inline(always)]
fn settle<F: Family>(parcel: &Parcel<F::Key>) -> Result<Target, Refusal> {
    let flags = TcpFlags::new(parcel.flags as u8);
    if let Some(Hit { entry, control }) = flow_table::lookup(&F::flows(), &parcel.key, parcel.hash) {
        if !tcp_state::begins_anew(control.state_number(), Heard::ClientAlone, flags) {
            advance(entry, control, flags);
            return Ok(control.target());
        }
        entry.remove(control);
    }
    let service = find_service::<F>(&F::frontend(&parcel.key)).ok_or(Reason::NoService)?;
    let backend = schedule::choose(service, F::hash(&parcel.key, &settings().schedule_seed))?;
    if flags.rst() {
        // The end of a connection that nobody here remembers: it is shown to the backend, and leaves no trace.
        return Ok(Target::Backend(backend));
    }
    create::<F>(parcel, service, backend)
}

/// The flow's state after the packet.
#[inline(always)]
fn advance<E: Entry>(entry: &E, control: Control, flags: TcpFlags) {
    let state = control.state_number();
    let next = tcp_state::next_number(state, Heard::ClientAlone, Segment::of(flags));
    if next != state {
        // When another CPU was faster, its packet's change stands: order between CPUs is nobody's.
        entry.change(control, control.with_state_number(next));
    }
}

/// Enters a new flow; the target that counts in the end, which is another's choice if another CPU was faster.
#[inline(always)]
fn create<F: Family>(parcel: &Parcel<F::Key>, service: u32, backend: u32) -> Result<Target, Refusal> {
    let clock = Clock {
        now: jiffies(),
        timeouts: TIMEOUTS.get(0).ok_or(Reason::MapMissing)?,
    };
    let state = if parcel.protocol == u32::from(protocol::TCP) {
        tcp_state::first(TcpFlags::new(parcel.flags as u8))
    } else {
        FlowState::Udp
    };
    let flow = NewFlow {
        key: parcel.key,
        hash: parcel.hash,
        target: Target::Backend(backend),
        state,
        class: schedule::policy(service)?.timeout_class,
    };
    match flow_table::insert(&F::flows(), &flow, &clock) {
        Insertion::Existing(control) => return Ok(control.target()),
        Insertion::Contended => {
            count::event(Event::FlowContended);
            return Ok(flow.target);
        }
        Insertion::Inserted => {}
        Insertion::Evicted(worth) => count::event(match worth {
            Worth::Expired => Event::EvictedExpired,
            Worth::HalfOpen => Event::EvictedHalfOpen,
            Worth::Closing => Event::EvictedClosing,
            Worth::IdleDatagram => Event::EvictedIdleDatagram,
            Worth::Active => Event::EvictedActive,
        }),
    }
    count::event(Event::FlowCreated);
    count::new_flow(backend);
    Ok(flow.target)
}

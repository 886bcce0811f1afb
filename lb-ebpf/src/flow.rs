//! The connection a packet belongs to: found, advanced, or made.

use lb_common::{
    abi::Event,
    flow_table::{self, Clock, Entry, Hit, Insertion, NewFlow},
    packet::TcpFlags,
    tcp_state::{FlowState, Worth},
};

use crate::{clock::jiffies, count, family::Family, settings::settings};

/// The backend of an established flow.
#[inline(always)]
pub(crate) fn find<F: Family>(key: &F::Key, hash: u64, flags: TcpFlags) -> Option<u32> {
    let flows = F::flows();
    let Hit { entry, control } = flow_table::lookup(&flows, key, hash)?;
    entry.touch(jiffies() as u32);
    let state = control.state();
    // The packet in the middle of an established connection, which is nearly every packet, changes nothing.
    if !(flags.is_plain() && state == FlowState::Established) {
        let next = state.next(flags);
        if next != state {
            // When another CPU was faster, its packet's change stands: order between CPUs is nobody's.
            entry.change(control, control.with_state(next));
        }
    }
    Some(control.backend())
}

/// Enters a new flow; the backend that counts in the end, which is another's choice if another CPU was faster.
#[inline(always)]
pub(crate) fn create<F: Family>(key: &F::Key, hash: u64, backend: u32, state: FlowState) -> u32 {
    let clock = Clock {
        now: jiffies(),
        timeouts: &settings().timeouts,
    };
    let flow = NewFlow {
        key: *key,
        hash,
        backend,
        state,
    };
    let insertion = flow_table::insert(&F::flows(), &flow, &clock);
    match insertion {
        Insertion::Existing(control) => return control.backend(),
        Insertion::Contended => {
            count::event(Event::FlowContended);
            return backend;
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
    backend
}

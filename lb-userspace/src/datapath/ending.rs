//! Ending the flows of backends that are to have none.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::{
    abi::BackendLoad,
    flow_state::FlowState,
    flow_table::{Bucket, Control, Entry, TranslationEntry},
    packet::FlowKey,
};

use super::translations::translation_of;

/// What becomes of a backend's flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// They are forgotten: the next packet of each is scheduled like a first one.
    Forget,
    /// TCP connections are marked as ended: the next segment of each becomes a reset for its backend, and the one after that
    /// is answered with a reset. Others are forgotten.
    Reset,
}

/// Ends the flows of these backends, in the live counts too, and says how many there were. Clients that kept these backends
/// do not keep them any more.
///
/// Runs beside the packet path. A flow that a packet changes at the same moment is left for the next time.
pub fn end<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    table: &[Bucket<E>],
    translations: &[Bucket<T>],
    loads: &[BackendLoad],
    backends: &BTreeMap<u32, Ending>,
) -> u64 {
    let mut ended = 0;
    for entry in table.iter().flat_map(|bucket| &bucket.entries) {
        let control = entry.state();
        if !control.is_live() {
            continue;
        }
        let ended_now = end_flow(entry, control, translations, loads, |number| {
            backends.get(&number).copied()
        });
        ended += u64::from(ended_now && control.state() != FlowState::Template);
    }
    ended
}

/// Ends the flow that the entry held when it had this control word, as `ending` says of its backend's number; whether that
/// was done.
pub fn end_flow<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    entry: &E,
    control: Control,
    translations: &[Bucket<T>],
    loads: &[BackendLoad],
    ending: impl FnOnce(u32) -> Option<Ending>,
) -> bool {
    let translation = translation_of(translations, entry, control);
    let number = match &translation {
        Some(translation) => translation.control.backend(),
        None => control.backend(),
    };
    let Some(number) = number else { return false };
    let Some(ending) = ending(number) else {
        return false;
    };
    let load = loads.get(number as usize);
    match (ending, control.state()) {
        (Ending::Reset, FlowState::Ended | FlowState::Severed) => false,
        (Ending::Reset, state) if is_tcp(state) => {
            let changed = entry.change(control, control.with_state(FlowState::Ended));
            if let Some(load) = load.filter(|_| changed) {
                load.moved(control.state_index() as u32, FlowState::Ended as u32);
            }
            changed
        }
        (Ending::Forget | Ending::Reset, _) => {
            let changed = entry.remove(control);
            if let Some(translation) = translation.filter(|_| changed) {
                translation.entry.remove(translation.control);
            }
            if let Some(load) = load.filter(|_| changed) {
                load.left(control.state_index() as u32);
            }
            changed
        }
    }
}

/// The flows of these backends that were ended with [`Ending::Reset`], and of which somebody has not heard yet.
pub fn ended<E: Entry<Key: Into<FlowKey>>, T: TranslationEntry<Flow = E::Key>>(
    table: &[Bucket<E>],
    translations: &[Bucket<T>],
    backends: &BTreeSet<u32>,
) -> Vec<FlowKey> {
    let entries = table.iter().flat_map(|bucket| &bucket.entries);
    let keys = entries.filter_map(|entry| {
        let control = entry.state();
        let is_ended = matches!(control.state(), FlowState::Ended | FlowState::Severed);
        if !control.is_live() || !is_ended {
            return None;
        }
        let backend = match translation_of(translations, entry, control) {
            Some(translation) => translation.control.backend(),
            None => control.backend(),
        };
        let flow = entry.snapshot()?;
        backend
            .is_some_and(|backend| backends.contains(&backend))
            .then(|| flow.key.into())
    });
    keys.collect()
}

fn is_tcp(state: FlowState) -> bool {
    match state {
        FlowState::None
        | FlowState::Established
        | FlowState::SynSent
        | FlowState::SynRecv
        | FlowState::FinWait
        | FlowState::TimeWait
        | FlowState::Close
        | FlowState::CloseWait
        | FlowState::LastAck
        | FlowState::Listen
        | FlowState::SynAck => true,
        FlowState::Udp
        | FlowState::SctpInit
        | FlowState::SctpEstablished
        | FlowState::SctpShutdown
        | FlowState::SctpClosed
        | FlowState::Template
        | FlowState::Ended
        | FlowState::Severed => false,
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        abi::{LoadCount, LoadLimits, TimeoutTable},
        flow_table::{Clock, Entry4, NewFlow, Target, Translation4, insert},
        packet::FlowKey4,
    };

    use super::*;

    #[test]
    fn flows_of_some_backends_are_ended() {
        let table: Vec<Bucket<Entry4>> = (0..64).map(|_| Bucket::default()).collect();
        let timeouts = TimeoutTable::default();
        timeouts.set_class(0, &[u32::MAX / 2; FlowState::LIMIT]);
        let clock = Clock {
            now: 1000,
            timeouts: &timeouts,
        };
        let translations: [Bucket<Translation4>; 2] = Default::default();
        let loads: [BackendLoad; 3] = Default::default();
        let states = [FlowState::Established, FlowState::Udp, FlowState::Template];
        for (load, number) in loads.iter().zip(0..) {
            load.set_limits(&LoadLimits {
                counted: true,
                ..LoadLimits::default()
            });
            for state in states {
                let port = number << 8 | state as u32;
                let flow = NewFlow {
                    key: FlowKey4::new(7, 1, port, 6),
                    hash: u64::from(port) << 32 | u64::from(port.wrapping_mul(7)),
                    target: Target::Backend(number),
                    state,
                    class: 0,
                };
                insert(&*table, &flow, &clock);
                load.entered(state as u32);
            }
        }
        let left = |number: u32| -> Vec<FlowState> {
            let entries = table.iter().flat_map(|bucket| &bucket.entries);
            let mut left: Vec<_> = entries
                .filter_map(Entry::snapshot)
                .filter(|flow| flow.control.backend() == Some(number))
                .map(|flow| flow.control.state())
                .collect();
            left.sort_unstable();
            left
        };
        let wanted = BTreeMap::from([(0, Ending::Forget), (1, Ending::Reset)]);
        assert_eq!(end(&table, &translations, &loads, &wanted), 4);
        assert_eq!((left(0), left(1)), (vec![], vec![FlowState::Ended]));
        assert_eq!(left(2).len(), states.len());
        let counts = |active, inactive| LoadCount { active, inactive };
        assert_eq!(
            loads.each_ref().map(BackendLoad::counts),
            [counts(0, 0), counts(0, 1), counts(2, 0)]
        );
        assert_eq!(
            end(&table, &translations, &loads, &wanted),
            0,
            "they are ended once"
        );
    }
}

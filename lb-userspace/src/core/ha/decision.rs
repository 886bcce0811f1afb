//! What a director that could take over does, by what it hears of the Active: the table of docs/ha.md, as one function.
//!
//! | service network | heartbeat paths | the Active's word | a fit Backup |
//! |---|---|---|---|
//! | heard | none, or all heard | says that it lives | waits |
//! | heard | one silent, or all | says that it lives | waits, and raises the anomaly |
//! | silent | none, or all silent | | takes over |
//! | silent | one heard | says that clients reach it | waits, and raises the anomaly |
//! | any | one heard | hands over to this director | takes over at once |
//! | any | one heard | hands over to another one | waits |
//! | any | one heard | that its link is down, or that it gives up | is elected at once, or waits for a better one |
//! | silent | one heard | nobody says that it is Active | is elected, or waits for a better one |
//! | heard, a lesser one | one heard | says that it lives | asks for the VIPs |
//! | heard, a lesser one | none, or all silent | | takes over |
//!
//! A director that is not fit, because clients cannot reach it or it was told so, does nothing in any case.

/// What VRRP says on the network of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// An Active that is to be left alone advertises.
    Heard,
    /// No Active advertised for its `Active_Down_Interval`, or the last one said goodbye.
    Silent,
    /// One advertises that may be preempted.
    Preemptable,
}

/// What comes over the heartbeat paths from the Active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// There are none.
    None,
    /// Nothing, on any of them.
    Silent,
    /// Something on some of them.
    Some(Word),
    /// Something on all of them.
    All(Word),
}

/// What the Active says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It holds the VIPs, and clients reach it.
    Up,
    /// Clients do not reach it any more, or it gives the VIPs up, to nobody in particular.
    Leaves,
    /// It leaves the VIPs to this director.
    HandsOver,
    /// It leaves the VIPs to another director, which lives.
    Promised,
    /// Those who are heard do not hold the VIPs: somebody is to be elected.
    NotActive,
}

/// Whether this director may hold VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Clients reach it, and nothing speaks against it.
    Fit,
    /// It neither keeps nor takes a VIP.
    Unfit,
}

/// What a Backup does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Nothing, but somebody has to know: a network fails.
    Anomaly,
    /// Takes the VIPs.
    TakeOver,
    /// Takes the VIPs if no other living director stands above it.
    Elect,
    /// Asks the lesser Active for the VIPs.
    Claim,
}

/// What a Backup does.
#[must_use]
pub const fn decide(own: Own, service: Service, paths: Paths) -> Action {
    match (own, service, paths) {
        (Own::Unfit, _, _)
        | (Own::Fit, _, Paths::Some(Word::Promised) | Paths::All(Word::Promised))
        | (Own::Fit, Service::Heard, Paths::None | Paths::All(Word::Up | Word::NotActive)) => Action::Wait,
        (Own::Fit, _, Paths::Some(Word::HandsOver) | Paths::All(Word::HandsOver))
        | (Own::Fit, Service::Silent | Service::Preemptable, Paths::None | Paths::Silent) => Action::TakeOver,
        (Own::Fit, _, Paths::Some(Word::Leaves) | Paths::All(Word::Leaves))
        | (
            Own::Fit,
            Service::Silent | Service::Preemptable,
            Paths::Some(Word::NotActive) | Paths::All(Word::NotActive),
        ) => Action::Elect,
        (Own::Fit, Service::Heard, Paths::Silent | Paths::Some(Word::Up | Word::NotActive))
        | (Own::Fit, Service::Silent, Paths::Some(Word::Up) | Paths::All(Word::Up)) => Action::Anomaly,
        (Own::Fit, Service::Preemptable, Paths::Some(Word::Up) | Paths::All(Word::Up)) => Action::Claim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [Word; 5] = [
        Word::Up,
        Word::Leaves,
        Word::HandsOver,
        Word::Promised,
        Word::NotActive,
    ];

    /// Every row of the table, and every row there is.
    #[test]
    fn the_truth_table() {
        use Action::{Anomaly, Claim, Elect, TakeOver, Wait};
        use Service::{Heard, Preemptable, Silent};
        let table = [
            (Heard, Paths::None, Wait),
            (Heard, Paths::Silent, Anomaly),
            (Heard, Paths::Some(Word::Up), Anomaly),
            (Heard, Paths::Some(Word::Leaves), Elect),
            (Heard, Paths::Some(Word::HandsOver), TakeOver),
            (Heard, Paths::Some(Word::Promised), Wait),
            (Heard, Paths::Some(Word::NotActive), Anomaly),
            (Heard, Paths::All(Word::Up), Wait),
            (Heard, Paths::All(Word::Leaves), Elect),
            (Heard, Paths::All(Word::HandsOver), TakeOver),
            (Heard, Paths::All(Word::Promised), Wait),
            (Heard, Paths::All(Word::NotActive), Wait),
            (Silent, Paths::None, TakeOver),
            (Silent, Paths::Silent, TakeOver),
            (Silent, Paths::Some(Word::Up), Anomaly),
            (Silent, Paths::Some(Word::Leaves), Elect),
            (Silent, Paths::Some(Word::HandsOver), TakeOver),
            (Silent, Paths::Some(Word::Promised), Wait),
            (Silent, Paths::Some(Word::NotActive), Elect),
            (Silent, Paths::All(Word::Up), Anomaly),
            (Silent, Paths::All(Word::Leaves), Elect),
            (Silent, Paths::All(Word::HandsOver), TakeOver),
            (Silent, Paths::All(Word::Promised), Wait),
            (Silent, Paths::All(Word::NotActive), Elect),
            (Preemptable, Paths::None, TakeOver),
            (Preemptable, Paths::Silent, TakeOver),
            (Preemptable, Paths::Some(Word::Up), Claim),
            (Preemptable, Paths::Some(Word::Leaves), Elect),
            (Preemptable, Paths::Some(Word::HandsOver), TakeOver),
            (Preemptable, Paths::Some(Word::Promised), Wait),
            (Preemptable, Paths::Some(Word::NotActive), Elect),
            (Preemptable, Paths::All(Word::Up), Claim),
            (Preemptable, Paths::All(Word::Leaves), Elect),
            (Preemptable, Paths::All(Word::HandsOver), TakeOver),
            (Preemptable, Paths::All(Word::Promised), Wait),
            (Preemptable, Paths::All(Word::NotActive), Elect),
        ];
        for (service, paths, action) in table {
            assert_eq!(decide(Own::Fit, service, paths), action, "{service:?} {paths:?}");
            assert_eq!(decide(Own::Unfit, service, paths), Wait, "{service:?} {paths:?}");
        }
        let paths = [Paths::None, Paths::Silent].into_iter();
        let some = WORDS
            .into_iter()
            .flat_map(|word| [Paths::Some(word), Paths::All(word)]);
        let all = paths
            .chain(some)
            .flat_map(|paths| [Heard, Silent, Preemptable].map(|service| (service, paths)));
        let all: Vec<_> = all.collect();
        assert_eq!(table.len(), all.len());
        for (service, paths) in all {
            assert!(
                table.iter().any(|row| (row.0, row.1) == (service, paths)),
                "{service:?} {paths:?}"
            );
        }
    }
}

//! What a backend takes part in: the one function that says so, from everything that has a say in it.
//!
//! | order | reachable | health | agent | weight | state | share |
//! |---|---|---|---|---|---|---|
//! | remove | | | | | removed | none |
//! | offline | | | | | offline | none |
//! | drain | | | | | draining | none |
//! | none, weight | no | | | | unresolved | none |
//! | none, weight | yes | down | | | down | none |
//! | none, weight | yes | up, unchecked | down | | down | none |
//! | none, weight | yes | up, unchecked | drain, 0 % | | draining | none |
//! | none, weight | yes | up, unchecked | up | 0 | ready | none |
//! | none, weight | yes | up, unchecked | up | > 0 | warming while it starts slowly, else ready | weight × slow start × agent |
//!
//! An order counts more than anything that a machine found out, and of what machines found out the cause comes before
//! what follows from it: who cannot be reached fails its checks too.

mod adapt;
mod course;
mod ramp;
mod share;

pub use self::{
    adapt::by_latency,
    course::{Course, Present},
    share::{FULL, Factor, shares},
};
use super::order::Command;

/// Everything that has a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Weight in the configuration.
    pub weight: u32,
    /// What an operator ordered.
    pub order: Option<Command>,
    /// Whether the kernel knows how to reach it.
    pub reachable: bool,
    /// What its checks say.
    pub health: Health,
    /// How far it has come in starting slowly.
    pub ramp: Factor,
    /// What it says of itself.
    pub agent: Agent,
}

impl Facts {
    /// A backend of this weight with which all is well.
    #[must_use]
    pub const fn of_weight(weight: u32) -> Self {
        Self {
            weight,
            order: None,
            reachable: true,
            health: Health::Unchecked,
            ramp: FULL,
            agent: Agent::SILENT,
        }
    }
}

/// What the checks of a backend say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// There are none.
    Unchecked,
    /// It serves.
    Up,
    /// It does not.
    Down,
}

/// What a backend says of itself, through its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Whether it wants flows at all.
    pub says: Says,
    /// How much of its weight.
    pub weight: Factor,
}

impl Agent {
    /// One that says nothing, or that there is none.
    pub const SILENT: Self = Self {
        says: Says::Up,
        weight: FULL,
    };
}

/// Whether a backend wants flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// It does.
    Up,
    /// No new ones.
    Drain,
    /// It cannot serve.
    Down,
}

/// What a backend takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effective {
    /// In a word.
    pub state: State,
    /// Its weight before slow start and agent: the order's, or the configured one; 0 if it takes no new flows.
    pub weight: u32,
    /// How much of that weight.
    pub factor: Factor,
}

/// What a backend takes part in, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It takes new flows by its weight (none with a weight of 0).
    Ready,
    /// It takes fewer than its weight says, and more and more: it has just come back.
    Warming,
    /// It takes no new flows and keeps those it has.
    Draining,
    /// An operator took it out of service; it takes no new flows.
    Offline,
    /// Its checks say that it does not serve.
    Down,
    /// The kernel does not know how to reach it.
    Unresolved,
    /// An operator took it out of the configuration.
    Removed,
}

impl Effective {
    const fn none(state: State) -> Self {
        Self {
            state,
            weight: 0,
            factor: FULL,
        }
    }

    /// Whether it is to get new flows.
    #[must_use]
    pub const fn serves(&self) -> bool {
        self.weight > 0 && !self.factor.is_zero()
    }
}

/// What a backend takes part in.
#[must_use]
pub fn effective(facts: &Facts) -> Effective {
    let weight = match facts.order {
        Some(Command::Remove) => return Effective::none(State::Removed),
        Some(Command::Offline) => return Effective::none(State::Offline),
        Some(Command::Drain) => return Effective::none(State::Draining),
        Some(Command::Weight(weight)) => weight,
        None => facts.weight,
    };
    if !facts.reachable {
        return Effective::none(State::Unresolved);
    }
    match facts.health {
        Health::Down => return Effective::none(State::Down),
        Health::Unchecked | Health::Up => {}
    }
    match facts.agent.says {
        Says::Down => return Effective::none(State::Down),
        Says::Drain => return Effective::none(State::Draining),
        Says::Up if facts.agent.weight.is_zero() => return Effective::none(State::Draining),
        Says::Up => {}
    }
    if weight == 0 {
        return Effective::none(State::Ready);
    }
    Effective {
        state: if facts.ramp == FULL {
            State::Ready
        } else {
            State::Warming
        },
        weight,
        factor: facts.ramp.of(facts.agent.weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of what has a say, against the rules written the other way round: from the outcome to what it
    /// takes.
    #[test]
    fn the_truth_table() {
        let orders = [
            None,
            Some(Command::Weight(0)),
            Some(Command::Weight(7)),
            Some(Command::Drain),
            Some(Command::Offline),
            Some(Command::Remove),
        ];
        let half = Factor::permille(500);
        let agents = [
            Agent::SILENT,
            Agent {
                says: Says::Up,
                weight: half,
            },
            Agent {
                says: Says::Up,
                weight: Factor::permille(0),
            },
            Agent {
                says: Says::Drain,
                weight: FULL,
            },
            Agent {
                says: Says::Down,
                weight: FULL,
            },
        ];
        let mut rows = 0;
        for order in orders {
            for weight in [0, 100] {
                for reachable in [true, false] {
                    for health in [Health::Unchecked, Health::Up, Health::Down] {
                        for ramp in [FULL, half] {
                            for agent in agents {
                                let facts = Facts {
                                    weight,
                                    order,
                                    reachable,
                                    health,
                                    ramp,
                                    agent,
                                };
                                check(&facts);
                                rows += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(rows, 6 * 2 * 2 * 3 * 2 * 5);
    }

    fn check(facts: &Facts) {
        let got = effective(facts);
        let ordered_away = matches!(
            facts.order,
            Some(Command::Drain | Command::Offline | Command::Remove)
        );
        let well = facts.reachable && facts.health != Health::Down && facts.agent.says != Says::Down;
        let willing = facts.agent.says == Says::Up && !facts.agent.weight.is_zero();
        let weight = match facts.order {
            Some(Command::Weight(weight)) => weight,
            _ => facts.weight,
        };
        let serves = !ordered_away && well && willing && weight > 0;
        assert_eq!(got.serves(), serves, "{facts:?}");
        let expected = match facts.order {
            Some(Command::Remove) => State::Removed,
            Some(Command::Offline) => State::Offline,
            Some(Command::Drain) => State::Draining,
            _ if !facts.reachable => State::Unresolved,
            _ if !well => State::Down,
            _ if !willing => State::Draining,
            _ if weight > 0 && facts.ramp != FULL => State::Warming,
            _ => State::Ready,
        };
        assert_eq!(got.state, expected, "{facts:?}");
        if serves {
            assert_eq!(got.weight, weight, "{facts:?}");
            assert_eq!(got.factor, facts.ramp.of(facts.agent.weight), "{facts:?}");
        } else {
            assert_eq!(got.weight, 0, "{facts:?}");
        }
    }

    /// The rows of the documentation, by hand.
    #[test]
    fn rows_by_hand() {
        let well = Facts::of_weight(100);
        for (facts, state, weight) in [
            (well, State::Ready, 100),
            (
                Facts {
                    order: Some(Command::Weight(7)),
                    ..well
                },
                State::Ready,
                7,
            ),
            (
                Facts {
                    order: Some(Command::Drain),
                    health: Health::Down,
                    ..well
                },
                State::Draining,
                0,
            ),
            (
                Facts {
                    order: Some(Command::Offline),
                    reachable: false,
                    ..well
                },
                State::Offline,
                0,
            ),
            (
                Facts {
                    health: Health::Down,
                    reachable: false,
                    ..well
                },
                State::Unresolved,
                0,
            ),
            (
                Facts {
                    health: Health::Down,
                    ..well
                },
                State::Down,
                0,
            ),
            (Facts { weight: 0, ..well }, State::Ready, 0),
        ] {
            let got = effective(&facts);
            assert_eq!((got.state, got.weight), (state, weight), "{facts:?}");
        }
    }
}

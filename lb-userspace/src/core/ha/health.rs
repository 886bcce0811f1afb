//! The health score of a group on a director, 0 to 100: how much of what stands behind its VIPs this director reaches,
//! less what its monitors have found.
//!
//! In an election it comes after the priority. It is made of what this director sees by itself: what operators ordered
//! and what backends say of themselves holds on all directors, and has no say in it.

use crate::core::backend::{Facts, Health};
use crate::core::order::Command;

/// The best score.
pub(super) const WELL: u8 = 100;

/// How many backends of a service a director reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Name of the service.
    pub service: String,
    /// Those that it reaches.
    pub reached: u32,
    /// Those that count: no operator took them out, and they have a weight.
    pub backends: u32,
}

impl Reach {
    /// Counts the backends of a service. `facts` is what this director has found out of each: [`Facts::health`] has to be
    /// what its checks say, and nothing that clients' connections say, which Backups do not see.
    pub fn count<'a>(service: &str, facts: impl IntoIterator<Item = &'a Facts>) -> Self {
        let mut reach = Self {
            service: service.to_owned(),
            reached: 0,
            backends: 0,
        };
        for facts in facts {
            let counts = match facts.order {
                Some(Command::Remove | Command::Offline | Command::Drain) => false,
                Some(Command::Weight(weight)) => weight > 0,
                None => facts.weight > 0,
            };
            let reached = match facts.health {
                Health::Up | Health::Unchecked => facts.reachable,
                Health::Down => false,
            };
            reach.backends += u32::from(counts);
            reach.reached += u32::from(counts && reached);
        }
        reach
    }

    fn share(&self) -> f64 {
        f64::from(self.reached) / f64::from(self.backends)
    }
}

/// How much of the services is reached, in percent: each counts alike, whatever the number of its backends. `None` where
/// there is nothing to reach. All of it is 100, nothing of it 0, and whatever lies between is neither.
#[must_use]
pub(super) fn share(services: &[Reach]) -> Option<u8> {
    let services: Vec<_> = services.iter().filter(|reach| reach.backends > 0).collect();
    if services.is_empty() {
        return None;
    }
    let sum: f64 = services.iter().map(|reach| reach.share()).sum();
    let percent = sum / services.len() as f64 * f64::from(WELL);
    Some(if services.iter().all(|reach| reach.reached == reach.backends) {
        WELL
    } else if services.iter().all(|reach| reach.reached == 0) {
        0
    } else {
        percent.clamp(1.0, f64::from(WELL - 1)) as u8
    })
}

/// The score: what is reached, less the points that failing monitors take.
#[must_use]
pub(super) fn score(services: &[Reach], points: u32) -> u8 {
    let share = u32::from(share(services).unwrap_or(WELL));
    share.saturating_sub(points) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(reached: u32, backends: u32) -> Reach {
        Reach {
            service: "web".to_owned(),
            reached,
            backends,
        }
    }

    #[test]
    fn who_counts_and_who_is_reached() {
        let up = Facts {
            health: Health::Up,
            ..Facts::of_weight(100)
        };
        let table = [
            // What is known of it, whether it counts, whether it is reached.
            (up, true, true),
            (Facts::of_weight(1), true, true),
            (
                Facts {
                    health: Health::Down,
                    ..up
                },
                true,
                false,
            ),
            (
                Facts {
                    reachable: false,
                    ..up
                },
                true,
                false,
            ),
            (
                Facts {
                    reachable: false,
                    health: Health::Unchecked,
                    ..up
                },
                true,
                false,
            ),
            (Facts { weight: 0, ..up }, false, false),
            (
                Facts {
                    order: Some(Command::Weight(0)),
                    ..up
                },
                false,
                false,
            ),
            (
                Facts {
                    weight: 0,
                    order: Some(Command::Weight(5)),
                    ..up
                },
                true,
                true,
            ),
            (
                Facts {
                    order: Some(Command::Drain),
                    ..up
                },
                false,
                false,
            ),
            (
                Facts {
                    order: Some(Command::Offline),
                    health: Health::Down,
                    ..up
                },
                false,
                false,
            ),
            (
                Facts {
                    order: Some(Command::Remove),
                    reachable: false,
                    ..up
                },
                false,
                false,
            ),
        ];
        for (facts, counts, reached) in table {
            let found = Reach::count("web", [&facts]);
            assert_eq!(
                (found.backends, found.reached),
                (u32::from(counts), u32::from(reached)),
                "{facts:?}"
            );
        }
        let all = Reach::count("web", table.iter().map(|(facts, ..)| facts));
        assert_eq!((all.backends, all.reached), (6, 3));
    }

    #[test]
    fn the_score() {
        type Services = &'static [(u32, u32)];
        let table: [(Services, u32, u8); 14] = [
            (&[], 0, 100),
            (&[], 30, 70),
            (&[(0, 0)], 0, 100),
            (&[(2, 2)], 0, 100),
            (&[(0, 2)], 0, 0),
            (&[(1, 2)], 0, 50),
            // A service with many backends does not drown one with few.
            (&[(100, 100), (0, 1)], 0, 50),
            (&[(1, 2), (2, 2), (0, 0)], 0, 75),
            // Nearly all is not all, and hardly any is not none.
            (&[(999, 1000)], 0, 99),
            (&[(1, 1000)], 0, 1),
            (&[(2, 3)], 0, 66),
            (&[(2, 2)], 40, 60),
            (&[(1, 2)], 60, 0),
            (&[(2, 2)], 1000, 0),
        ];
        for (services, points, expected) in table {
            let services: Vec<_> = services
                .iter()
                .map(|(reached, of)| reach(*reached, *of))
                .collect();
            assert_eq!(score(&services, points), expected, "{services:?} {points}");
        }
    }
}

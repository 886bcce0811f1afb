//! From the backends of a service to its quorum, and what is done without one.

use super::{Health as Settings, Policy};
use crate::core::backend::{Effective, Facts, Health, effective};

/// Whether a service has its quorum; remembers it, since it takes more to get it back than to keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    has_quorum: bool,
}

/// What the backends of a service take part in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Of each backend, in the order of the facts.
    pub backends: Vec<Effective>,
    /// Backends that serve by their own health.
    pub serving: u32,
    /// Whether these are enough.
    pub has_quorum: bool,
}

impl Default for Pool {
    /// A service that was not looked at yet has what it takes.
    fn default() -> Self {
        Self { has_quorum: true }
    }
}

impl Pool {
    /// Takes note of how its backends are.
    ///
    /// Those that are `backups` do not count for the quorum: they are there for when it is lost.
    pub fn stand(&mut self, facts: &[Facts], backups: &[bool], settings: &Settings) -> Standing {
        let mut backends: Vec<Effective> = facts.iter().map(effective).collect();
        let is_backup = |index: &usize| backups.get(*index).copied().unwrap_or(false);
        let serving = (0..backends.len())
            .filter(|index| backends[*index].serves() && !is_backup(index))
            .count() as u32;
        let ordinary = (0..backends.len()).filter(|index| !is_backup(index)).count() as u32;
        let needed = if self.has_quorum {
            settings.quorum
        } else {
            settings.quorum.saturating_add(settings.hysteresis)
        };
        self.has_quorum = serving >= needed.min(ordinary).max(settings.quorum);
        if !self.has_quorum {
            match settings.policy {
                Policy::Fail => {}
                Policy::All => {
                    let trusted = facts.iter().map(|facts| Facts {
                        health: Health::Unchecked,
                        ..*facts
                    });
                    backends = trusted.map(|facts| effective(&facts)).collect();
                }
                Policy::Sorry => {
                    let all = 0..backends.len();
                    if all
                        .clone()
                        .any(|index| is_backup(&index) && backends[index].serves())
                    {
                        all.filter(|index| !is_backup(index))
                            .for_each(|index| backends[index].weight = 0);
                    }
                }
            }
        }
        Standing {
            backends,
            serving,
            has_quorum: self.has_quorum,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::{backend::State, order::Command};

    fn facts(healths: &str) -> Vec<Facts> {
        let fact = |letter| Facts {
            health: if letter == 'd' { Health::Down } else { Health::Up },
            order: (letter == 'o').then_some(Command::Offline),
            ..Facts::of_weight(100)
        };
        healths.chars().map(fact).collect()
    }

    fn settings(quorum: u32, hysteresis: u32, policy: Policy) -> Settings {
        Settings {
            quorum,
            hysteresis,
            policy,
            ..Settings::default()
        }
    }

    #[test]
    fn it_takes_more_to_get_a_quorum_back_than_to_keep_it() {
        let settings = settings(2, 1, Policy::Fail);
        let mut pool = Pool::default();
        for (healths, quorum) in [
            ("uuu", true),
            ("uud", true),
            ("udd", false),
            ("uud", false),
            ("uuu", true),
            ("uud", true),
        ] {
            assert_eq!(
                pool.stand(&facts(healths), &[], &settings).has_quorum,
                quorum,
                "{healths}"
            );
        }
        // With no more backends than the quorum, hysteresis must not make it unreachable.
        let mut pool = Pool::default();
        assert!(!pool.stand(&facts("ud"), &[], &settings).has_quorum);
        assert!(pool.stand(&facts("uu"), &[], &settings).has_quorum);
    }

    #[test]
    fn without_a_quorum_checks_may_be_disbelieved_but_operators_are_not() {
        let mut pool = Pool::default();
        let standing = pool.stand(&facts("ddo"), &[], &settings(1, 0, Policy::All));
        let states: Vec<_> = standing.backends.iter().map(|backend| backend.state).collect();
        assert_eq!(states, [State::Ready, State::Ready, State::Offline]);
        assert_eq!((standing.serving, standing.has_quorum), (0, false));
        let standing = pool.stand(&facts("udo"), &[], &settings(1, 0, Policy::All));
        let states: Vec<_> = standing.backends.iter().map(|backend| backend.state).collect();
        assert_eq!(states, [State::Ready, State::Down, State::Offline]);
        let standing = Pool::default().stand(&facts("dd"), &[], &settings(1, 0, Policy::Fail));
        assert!(standing.backends.iter().all(|backend| !backend.serves()));
    }

    #[test]
    fn a_backup_is_no_part_of_a_quorum() {
        let settings = settings(2, 1, Policy::Fail);
        let mut pool = Pool::default();
        let standing = pool.stand(&facts("udu"), &[false, false, true], &settings);
        assert_eq!((standing.serving, standing.has_quorum), (1, false));
        assert!(standing.backends[2].serves());
        assert!(
            pool.stand(&facts("uud"), &[false, false, true], &settings)
                .has_quorum
        );
    }

    #[test]
    fn without_a_quorum_the_backups_may_serve_alone() {
        let settings = settings(2, 0, Policy::Sorry);
        let serving = |healths: &str| {
            let standing = Pool::default().stand(&facts(healths), &[false, false, true], &settings);
            let serves = standing.backends.iter().map(Effective::serves);
            (serves.collect::<Vec<_>>(), standing.has_quorum)
        };
        // While there is a quorum, it is the schedule that leaves backups out.
        assert_eq!(serving("uuu"), (vec![true, true, true], true));
        assert_eq!(serving("udu"), (vec![false, false, true], false));
        assert_eq!(serving("ddu"), (vec![false, false, true], false));
        // Whoever is healthy is better than nobody.
        assert_eq!(serving("udd"), (vec![true, false, false], false));
        assert_eq!(serving("udo"), (vec![true, false, false], false));
    }

    proptest! {
        #[test]
        fn a_quorum_is_never_kept_with_fewer_than_it_takes(
            steps in proptest::collection::vec("[udo]{0,6}", 1..20),
            quorum in 0..5_u32,
            hysteresis in 0..3_u32,
        ) {
            let mut pool = Pool::default();
            for healths in steps {
                let standing = pool.stand(&facts(&healths), &[], &settings(quorum, hysteresis, Policy::Fail));
                let serving = healths.matches('u').count() as u32;
                prop_assert_eq!(standing.serving, serving);
                prop_assert!(!standing.has_quorum || serving >= quorum);
                prop_assert!(standing.has_quorum || serving < quorum + hysteresis);
            }
        }
    }
}

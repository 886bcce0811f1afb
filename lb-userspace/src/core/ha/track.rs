//! What a group depends on, and what that does to its priority and its health.

use std::collections::BTreeMap;

use super::health::{self, Reach};
use crate::core::model::{Effect, Instance, Track, Tracked};

/// Where something that is tracked stands: number of the instance within the group, and its own number there.
type Place = (usize, usize);

/// Stands for the number of something tracked: the link that has the MAC address of an instance's VIPs.
pub const VIRTUAL_MAC: usize = usize::MAX;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Well,
    Failing(String),
}

/// What is known of all of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracking(BTreeMap<Place, State>);

impl Tracking {
    /// Takes note of how something is; `fault` says what is wrong with it.
    pub(super) fn note(&mut self, instance: usize, number: usize, fault: Option<&str>) {
        let state = fault.map_or(State::Well, |fault| State::Failing(fault.to_owned()));
        self.0.insert((instance, number), state);
    }

    /// Forgets what is known: other things are tracked from now on.
    pub(super) fn clear(&mut self) {
        self.0.retain(|(_, number), _| *number == VIRTUAL_MAC);
    }

    /// Takes note of how many backends are reached, for those that depend on that.
    pub(super) fn reaches(&mut self, services: &[Reach], instances: &[Instance]) {
        let share = health::share(services).unwrap_or(health::WELL);
        for ((instance, number), track) in each(instances) {
            if let Tracked::Backends(needed) = track.what {
                let fault = (share < needed).then(|| format!("{share}%, and {needed}% are needed"));
                self.note(instance, number, fault.as_deref());
            }
        }
    }

    /// Why the VIPs cannot be held: what fails, and what nothing is known of yet.
    pub(super) fn faults<'a>(&'a self, instances: &'a [Instance]) -> impl Iterator<Item = String> + 'a {
        let tracked = each(instances)
            .filter(|(_, track)| track.effect == Effect::Fault)
            .filter_map(|(place, track)| self.fault(place, &track.what));
        let of_their_own = instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| instance.virtual_mac);
        let macs = of_their_own
            .filter_map(|(instance, _)| self.fault((instance, VIRTUAL_MAC), &"the virtual MAC address"));
        tracked.chain(macs)
    }

    fn fault(&self, place: Place, what: &impl std::fmt::Display) -> Option<String> {
        match self.0.get(&place) {
            Some(State::Well) => None,
            Some(State::Failing(fault)) => Some(format!("{what}: {fault}")),
            None => Some(format!("{what} was not looked at yet")),
        }
    }

    /// What fails, and changes the priority or the health.
    pub(super) fn burdens<'a>(&'a self, instances: &'a [Instance]) -> impl Iterator<Item = String> + 'a {
        each(instances).filter_map(|(place, track)| {
            let Some(State::Failing(fault)) = self.0.get(&place) else {
                return None;
            };
            let what = &track.what;
            match track.effect {
                Effect::Fault => None,
                Effect::Priority(weight) if weight < 0 => Some(format!("{what}: {fault}: priority {weight}")),
                Effect::Priority(weight) => Some(format!("{what}: {fault}: no priority +{weight}")),
                Effect::Health(points) => Some(format!("{what}: {fault}: health -{points}")),
            }
        })
    }

    /// What is taken from the health score.
    pub(super) fn points(&self, instances: &[Instance]) -> u32 {
        let points = each(instances).map(|(place, track)| match (self.0.get(&place), track.effect) {
            (Some(State::Failing(_)), Effect::Health(points)) => u32::from(points),
            (
                Some(State::Well | State::Failing(_)) | None,
                Effect::Health(_) | Effect::Fault | Effect::Priority(_),
            ) => 0,
        });
        points.sum()
    }

    /// The priority that follows from `base`; that of an owner of the addresses is not touched.
    pub(super) fn priority(&self, base: u8, instances: &[Instance]) -> u8 {
        if base == u8::MAX {
            return base;
        }
        let weights = each(instances).map(|(place, track)| match (self.0.get(&place), track.effect) {
            (Some(State::Failing(_)), Effect::Priority(weight)) if weight < 0 => i32::from(weight),
            (Some(State::Well), Effect::Priority(weight)) if weight > 0 => i32::from(weight),
            (
                Some(State::Failing(_) | State::Well) | None,
                Effect::Priority(_) | Effect::Fault | Effect::Health(_),
            ) => 0,
        });
        let priority = i32::from(base) + weights.sum::<i32>();
        priority.clamp(1, i32::from(u8::MAX) - 1) as u8
    }
}

fn each(instances: &[Instance]) -> impl Iterator<Item = (Place, &Track)> {
    let instances = instances.iter().enumerate();
    instances.flat_map(|(number, instance)| {
        let tracks = instance.track.iter().enumerate();
        tracks.map(move |(index, track)| ((number, index), track))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::tests::instance, *};

    fn instances(effects: &[Effect]) -> Vec<Instance> {
        let track = effects.iter().map(|&effect| Track {
            what: Tracked::File("/x".into()),
            effect,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 1,
        });
        vec![Instance {
            track: track.collect(),
            ..instance("a", 1, &["192.0.2.10"])
        }]
    }

    #[test]
    fn without_a_weight_it_decides_and_with_one_it_counts() {
        let instances = instances(&[Effect::Fault, Effect::Priority(-30), Effect::Priority(20)]);
        let mut tracking = Tracking::default();
        let faults = |tracking: &Tracking| tracking.faults(&instances).collect::<Vec<_>>();
        assert_eq!(faults(&tracking), ["the file /x was not looked at yet"]);
        assert_eq!(tracking.priority(100, &instances), 100);
        tracking.note(0, 0, None);
        tracking.note(0, 1, None);
        tracking.note(0, 2, None);
        assert!(faults(&tracking).is_empty());
        assert_eq!(tracking.priority(100, &instances), 120);
        tracking.note(0, 0, Some("there is none"));
        tracking.note(0, 1, Some("there is none"));
        tracking.note(0, 2, Some("there is none"));
        assert_eq!(faults(&tracking), ["the file /x: there is none"]);
        assert_eq!(tracking.priority(100, &instances), 70);
    }

    #[test]
    fn without_its_mac_address_an_instance_is_not_held() {
        let mut group = instances(&[Effect::Priority(-30)]);
        group[0].virtual_mac = true;
        let mut tracking = Tracking::default();
        let faults = |tracking: &Tracking| tracking.faults(&group).collect::<Vec<_>>();
        assert_eq!(
            faults(&tracking),
            ["the virtual MAC address was not looked at yet"]
        );
        tracking.note(0, VIRTUAL_MAC, Some("not here"));
        assert_eq!(faults(&tracking), ["the virtual MAC address: not here"]);
        tracking.note(0, VIRTUAL_MAC, None);
        tracking.clear();
        assert!(
            faults(&tracking).is_empty(),
            "what is tracked changed, and not that"
        );
    }

    #[test]
    fn a_priority_stays_one() {
        let mut tracking = Tracking::default();
        let low = instances(&[Effect::Priority(-254)]);
        tracking.note(0, 0, Some("down"));
        assert_eq!(tracking.priority(100, &low), 1);
        assert_eq!(tracking.priority(255, &low), 255, "an owner's");
        let high = instances(&[Effect::Priority(254)]);
        tracking.note(0, 0, None);
        assert_eq!(tracking.priority(100, &high), 254);
    }

    #[test]
    fn points_are_taken_from_the_health_while_something_fails() {
        let monitored = instances(&[Effect::Health(30), Effect::Priority(-5), Effect::Health(20)]);
        let mut tracking = Tracking::default();
        assert_eq!(tracking.points(&monitored), 0, "nothing is known yet");
        tracking.note(0, 0, Some("full"));
        tracking.note(0, 1, Some("gone"));
        tracking.note(0, 2, None);
        assert_eq!(tracking.points(&monitored), 30);
        tracking.note(0, 2, Some("full"));
        assert_eq!(tracking.points(&monitored), 50);
        assert_eq!(tracking.priority(100, &monitored), 95);
        let said: Vec<_> = tracking.burdens(&monitored).collect();
        assert_eq!(
            said,
            [
                "the file /x: full: health -30",
                "the file /x: gone: priority -5",
                "the file /x: full: health -20"
            ]
        );
        assert_eq!(tracking.faults(&monitored).count(), 0);
    }

    #[test]
    fn backends_can_be_what_it_depends_on() {
        let mut group = instances(&[Effect::Fault]);
        group[0].track[0].what = Tracked::Backends(50);
        let mut tracking = Tracking::default();
        let faults = |tracking: &Tracking| tracking.faults(&group).collect::<Vec<_>>();
        assert_eq!(faults(&tracking), ["the reach of backends was not looked at yet"]);
        let reach = |reached| {
            [Reach {
                service: "web".to_owned(),
                reached,
                backends: 4,
            }]
        };
        for (reached, expected) in [
            (4, &[][..]),
            (2, &[]),
            (1, &["the reach of backends: 25%, and 50% are needed"]),
        ] {
            tracking.reaches(&reach(reached), &group);
            assert_eq!(faults(&tracking), expected, "{reached} of 4");
        }
        tracking.reaches(&[], &group);
        assert_eq!(
            faults(&tracking),
            [""; 0],
            "where there is nothing to reach, nothing is missed"
        );
    }
}

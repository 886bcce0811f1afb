//! What a group depends on, and what that does to its priority.

use std::collections::BTreeMap;

use crate::core::model::{Instance, Track};

/// Where something that is tracked stands: number of the instance within the group, and its own number there.
type Place = (usize, usize);

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
        self.0.clear();
    }

    /// Why the VIPs cannot be held: what fails, and what nothing is known of yet.
    pub(super) fn faults<'a>(&'a self, instances: &'a [Instance]) -> impl Iterator<Item = String> + 'a {
        each(instances)
            .filter(|(_, track)| track.weight == 0)
            .filter_map(|(place, track)| match self.0.get(&place) {
                Some(State::Well) => None,
                Some(State::Failing(fault)) => Some(format!("{}: {fault}", track.what)),
                None => Some(format!("{} was not looked at yet", track.what)),
            })
    }

    /// The priority that follows from `base`; that of an owner of the addresses is not touched.
    pub(super) fn priority(&self, base: u8, instances: &[Instance]) -> u8 {
        if base == u8::MAX {
            return base;
        }
        let weights = each(instances).map(|(place, track)| match (self.0.get(&place), track.weight) {
            (Some(State::Failing(_)), weight) if weight < 0 => i32::from(weight),
            (Some(State::Well), weight) if weight > 0 => i32::from(weight),
            (Some(State::Failing(_) | State::Well) | None, _) => 0,
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
    use crate::core::model::Tracked;

    fn instances(weights: &[i16]) -> Vec<Instance> {
        let track = weights.iter().map(|&weight| Track {
            what: Tracked::File("/x".into()),
            weight,
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
        let instances = instances(&[0, -30, 20]);
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
    fn a_priority_stays_one() {
        let mut tracking = Tracking::default();
        let low = instances(&[-254]);
        tracking.note(0, 0, Some("down"));
        assert_eq!(tracking.priority(100, &low), 1);
        assert_eq!(tracking.priority(255, &low), 255, "an owner's");
        let high = instances(&[254]);
        tracking.note(0, 0, None);
        assert_eq!(tracking.priority(100, &high), 254);
    }
}

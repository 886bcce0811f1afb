//! How a backend comes back: slowly at first, and with a part of its weight that follows what is wanted.

use std::time::Duration;

use super::{FULL, Factor, adapt::Adapter, ramp::Ramp};

/// What is known of a backend at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Whether it serves; `None` while too little is known of it to say.
    pub serves: Option<bool>,
    /// The part of its weight that it ought to have.
    pub wanted: Factor,
    /// How long a slow start takes.
    pub slow_start: Duration,
}

/// How a backend has come and gone. `now` is monotonic, counted from any fixed point.
///
/// What is found serving when the daemon begins has no slow start: who serves there is as warm as it will ever be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Course {
    serves: Option<bool>,
    ramp: Option<Ramp>,
    /// Length of the next slow start, if an operator set it.
    once: Option<Duration>,
    adapter: Option<Adapter>,
    started: Option<Factor>,
}

impl Course {
    /// That of a backend that was added to a service that serves already.
    #[must_use]
    pub fn added() -> Self {
        Self {
            serves: Some(false),
            ..Self::default()
        }
    }

    /// Has the next slow start take this long; `None`: as the service has it.
    pub const fn set_next(&mut self, length: Option<Duration>) {
        self.once = length;
    }

    /// How far it has come in starting slowly.
    #[must_use]
    pub fn ramp(&self) -> Factor {
        self.started.unwrap_or(FULL)
    }

    /// The part of its weight that it has, by what it says and how fast it answers; `None` if it does not serve.
    #[must_use]
    pub fn part(&self) -> Option<Factor> {
        self.adapter.map(|adapter| adapter.part())
    }

    /// Takes note of what is known; whether that makes a difference.
    pub fn follow(&mut self, present: &Present, now: Duration) -> bool {
        let before = (self.ramp(), self.part());
        match (self.serves, present.serves) {
            (_, None) => {}
            (_, Some(false)) => {
                self.ramp = None;
                self.adapter = None;
            }
            (Some(true), Some(true)) => {
                if let Some(adapter) = &mut self.adapter {
                    adapter.follow(present.wanted, now);
                }
            }
            (came @ (None | Some(false)), Some(true)) => {
                let usual = came.map_or(Duration::ZERO, |_| present.slow_start);
                self.ramp = Ramp::begin(self.once.take().unwrap_or(usual), now);
                self.adapter = Some(Adapter::new(present.wanted, now));
            }
        }
        self.serves = present.serves.or(self.serves);
        self.ramp = self.ramp.filter(|ramp| !ramp.is_over(now));
        self.started = self.ramp.map(|ramp| ramp.factor(now));
        before != (self.ramp(), self.part())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(4);

    /// Goes through one second after the other: `+` serves, `-` does not, `?` nothing is known.
    fn run(course: &mut Course, seconds: &str) -> Vec<u32> {
        let at = |(second, letter)| {
            let serves = match letter {
                '+' => Some(true),
                '-' => Some(false),
                _ => None,
            };
            let present = Present {
                serves,
                wanted: FULL,
                slow_start: SLOW,
            };
            course.follow(&present, Duration::from_secs(second));
            course.ramp().as_permille()
        };
        (0..).zip(seconds.chars()).map(at).collect()
    }

    #[test]
    fn who_comes_back_starts_slowly_and_who_was_there_does_not() {
        let mut course = Course::default();
        assert_eq!(run(&mut course, "?++"), [1000, 1000, 1000]);
        let slow = [1000, 200, 400, 600, 800, 1000];
        assert_eq!(run(&mut Course::default(), "-+++++"), slow);
        assert_eq!(run(&mut Course::added(), "?+++++"), slow);
        // Who falls in the middle begins again; what is not known changes nothing.
        assert_eq!(
            run(&mut Course::default(), "-++-++?+"),
            [1000, 200, 400, 1000, 200, 400, 600, 800]
        );
    }

    #[test]
    fn an_operator_sets_the_next_slow_start_and_no_other() {
        let mut course = Course::default();
        course.set_next(Some(Duration::from_secs(1)));
        assert_eq!(run(&mut course, "-++-++"), [1000, 500, 1000, 1000, 200, 400]);
        let mut course = Course::default();
        course.set_next(Some(Duration::ZERO));
        assert_eq!(run(&mut course, "-++"), [1000, 1000, 1000]);
    }

    #[test]
    fn a_part_is_followed_while_it_serves_and_taken_at_once_when_it_comes_back() {
        let mut course = Course::default();
        let mut follow = |serves, wanted, second| {
            let present = Present {
                serves: Some(serves),
                wanted: Factor::permille(wanted),
                slow_start: Duration::ZERO,
            };
            let changed = course.follow(&present, Duration::from_secs(second));
            (course.part().map(Factor::as_permille), changed)
        };
        assert_eq!(follow(true, 1000, 0), (Some(1000), true));
        assert_eq!(follow(true, 300, 1), (Some(900), true));
        assert_eq!(follow(true, 300, 2), (Some(800), true));
        assert_eq!(follow(false, 300, 3), (None, true));
        assert_eq!(follow(false, 300, 4), (None, false));
        assert_eq!(follow(true, 300, 5), (Some(300), true));
    }
}

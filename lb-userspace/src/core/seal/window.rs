//! Which counters of a session were seen (RFC 4303 section 3.4.3, with more room for reordering).

/// Counters behind the highest one that are still told apart.
pub(super) const WIDTH: u64 = 2048;

const WORDS: usize = (WIDTH / 64) as usize;

/// A bit for each of the last [`WIDTH`] counters, in a ring: counter `n` has bit `n % WIDTH`.
#[derive(Debug, Clone)]
pub(super) struct Window {
    highest: u64,
    seen: [u64; WORDS],
}

/// What a window says of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Seen,
    TooOld,
}

impl Window {
    /// A window in which only `first` was seen.
    pub(super) fn starting_with(first: u64) -> Self {
        let mut window = Self {
            highest: first,
            seen: [0; WORDS],
        };
        window.mark(first);
        window
    }

    /// Changes nothing: the counter is not believed yet.
    pub(super) fn examine(&self, counter: u64) -> Verdict {
        if counter > self.highest {
            Verdict::New
        } else if self.highest - counter >= WIDTH {
            Verdict::TooOld
        } else if self.is_marked(counter) {
            Verdict::Seen
        } else {
            Verdict::New
        }
    }

    /// Takes note of a counter that [`Self::examine`] calls new.
    pub(super) fn accept(&mut self, counter: u64) {
        if counter > self.highest {
            if counter - self.highest >= WIDTH {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..counter {
                    self.clear(skipped);
                }
            }
            self.highest = counter;
        }
        self.mark(counter);
    }

    fn is_marked(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        self.seen[word] & bit != 0
    }

    fn mark(&mut self, counter: u64) {
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, counter: u64) {
        let (word, bit) = place(counter);
        self.seen[word] &= !bit;
    }
}

fn place(counter: u64) -> (usize, u64) {
    ((counter % WIDTH / 64) as usize, 1 << (counter % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_does_not_matter_inside_the_window() {
        let mut window = Window::starting_with(10);
        for (counter, verdict) in [
            (10, Verdict::Seen),
            (12, Verdict::New),
            (11, Verdict::New),
            (11, Verdict::Seen),
            (9, Verdict::New),
            (10 + WIDTH, Verdict::New),
            (10, Verdict::TooOld),
            (11, Verdict::Seen),
            (13, Verdict::New),
            (10 + 10 * WIDTH, Verdict::New),
            (10 + 10 * WIDTH - 1, Verdict::New),
            (11 + WIDTH, Verdict::TooOld),
        ] {
            assert_eq!(window.examine(counter), verdict, "{counter}");
            if verdict == Verdict::New {
                window.accept(counter);
            }
        }
    }

    proptest! {
        /// Against a set that forgets nothing.
        #[test]
        fn it_agrees_with_a_set(steps in proptest::collection::vec(0..3 * WIDTH, 1..300)) {
            let first = 5 * WIDTH;
            let mut window = Window::starting_with(first);
            let mut seen = BTreeSet::from([first]);
            for step in steps {
                let highest = *seen.last().unwrap();
                // From well behind the highest to well ahead of it.
                let counter = highest + step - 3 * WIDTH / 2;
                let expected = if highest >= counter + WIDTH {
                    Verdict::TooOld
                } else if seen.contains(&counter) {
                    Verdict::Seen
                } else {
                    Verdict::New
                };
                prop_assert_eq!(window.examine(counter), expected);
                if expected == Verdict::New {
                    window.accept(counter);
                    seen.insert(counter);
                }
            }
        }
    }
}

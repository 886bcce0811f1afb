//! Small numbers, given out lowest first and taken back.

use std::collections::BTreeSet;

/// Which of the numbers below a limit are taken.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    limit: u32,
    /// Every number from here on is free.
    fresh: u32,
    /// Free numbers below `fresh`.
    returned: BTreeSet<u32>,
}

impl Numbers {
    /// Numbers below `limit`, of which `taken` are in use.
    pub(super) fn new(limit: u32, taken: impl IntoIterator<Item = u32>) -> Self {
        let taken: BTreeSet<u32> = taken.into_iter().collect();
        let fresh = taken.last().map_or(0, |last| last + 1);
        Self {
            limit,
            fresh,
            returned: (0..fresh).filter(|number| !taken.contains(number)).collect(),
        }
    }

    /// The lowest free number, now taken.
    pub(super) fn take(&mut self) -> Option<u32> {
        if let Some(number) = self.returned.pop_first() {
            return Some(number);
        }
        let number = self.fresh;
        (number < self.limit).then(|| {
            self.fresh += 1;
            number
        })
    }

    /// Makes a number free again.
    pub(super) fn give_back(&mut self, number: u32) {
        self.returned.insert(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_first_and_never_twice() {
        let mut numbers = Numbers::new(5, [0, 2]);
        assert_eq!(
            [numbers.take(), numbers.take(), numbers.take()],
            [Some(1), Some(3), Some(4)]
        );
        assert_eq!(numbers.take(), None);
        numbers.give_back(2);
        assert_eq!((numbers.take(), numbers.take()), (Some(2), None));
    }
}

//! Sets of leaves.

use lb_common::wire::sync::Leaves;

/// A set of numbers below a limit.
#[derive(Debug, Clone, Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    count: usize,
}

impl Bitmap {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            words: vec![0; limit.div_ceil(64)],
            count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it was not in there; a number beyond the limit never is, and never will be.
    pub(super) fn insert(&mut self, number: usize) -> bool {
        let bit = 1 << (number % 64);
        match self.words.get_mut(number / 64) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                self.count += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether it was in there.
    pub(super) fn remove(&mut self, number: usize) -> bool {
        let bit = 1 << (number % 64);
        match self.words.get_mut(number / 64) {
            Some(word) if *word & bit != 0 => {
                *word &= !bit;
                self.count -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.words
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    pub(super) fn clear(&mut self) {
        if self.count > 0 {
            self.words.fill(0);
            self.count = 0;
        }
    }

    /// The first number from `from` on.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = self.words.get(index)? & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = *self.words.get(index)?;
        }
        Some(index * 64 + word.trailing_zeros() as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let number = self.next(from)?;
            from = number + 1;
            Some(number)
        })
    }
}

/// Ascending leaves as runs.
pub(super) fn runs(leaves: impl IntoIterator<Item = u16>) -> Vec<Leaves> {
    let mut runs: Vec<Leaves> = Vec::new();
    for leaf in leaves {
        match runs.last_mut() {
            Some(run)
                if u32::from(run.first) + u32::from(run.count) == u32::from(leaf) && run.count < u16::MAX =>
            {
                run.count += 1;
            }
            Some(_) | None => runs.push(Leaves {
                first: leaf,
                count: 1,
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set() {
        let mut set = Bitmap::new(200);
        for number in [3, 64, 65, 199] {
            assert!(set.insert(number) && !set.insert(number));
        }
        assert!(!set.insert(256) && !set.contains(256));
        assert_eq!(
            (set.len(), set.iter().collect::<Vec<_>>()),
            (4, vec![3, 64, 65, 199])
        );
        assert_eq!(
            (set.next(4), set.next(66), set.next(200)),
            (Some(64), Some(199), None)
        );
        assert!(set.remove(64) && !set.remove(64) && !set.remove(1000));
        assert!(set.contains(65) && !set.contains(64));
        set.clear();
        assert!(set.is_empty() && set.iter().next().is_none());
    }

    #[test]
    fn neighbours_make_a_run() {
        let run = |first, count| Leaves { first, count };
        assert_eq!(
            runs([1, 2, 3, 7, 65_534, 65_535]),
            [run(1, 3), run(7, 1), run(65_534, 2)]
        );
        assert!(runs([]).is_empty());
    }
}

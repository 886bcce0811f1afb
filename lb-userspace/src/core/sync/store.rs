//! Orders and verdicts that hold on all directors: small, few, and the last word counts.

use std::collections::BTreeMap;

use lb_common::wire::{
    seal::NodeId,
    sync::{MAX_KEY, MAX_VALUE, StoreItem},
};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// Items that a store holds at most.
pub const MAX_ITEMS: usize = 1 << 16;

/// How long it is remembered that an item was taken back.
const REMOVED_FOR_MS: u64 = 7 * 86_400_000;
/// News of a removal that is older than this is of use to nobody, and not told.
const STALE_REMOVAL_MS: u64 = 6 * 86_400_000;

/// What was said about something, when, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Word {
    /// When, in the cluster's milliseconds.
    pub stamp: u64,
    /// Which director said it: a [`NodeId`].
    pub author: u64,
    /// What; `None` if it was taken back.
    pub value: Option<String>,
}

impl Word {
    /// Whether it is of use to nobody at `now_ms`.
    fn is_stale(&self, now_ms: u64) -> bool {
        self.value.is_none() && self.stamp.saturating_add(STALE_REMOVAL_MS) < now_ms
    }
}

/// The last word on each thing. The order of words is total, so all directors that have heard the same agree.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Store {
    words: BTreeMap<String, Word>,
}

/// What became of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is the last one now; this was said before.
    Taken(Option<Word>),
    /// It had been heard already.
    Known,
    /// A later one is known.
    Overruled,
}

/// Why something cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsayable {
    /// No room.
    #[error("the replicated store has no room for `{0}`: it holds {MAX_ITEMS} items")]
    Full(String),
    /// The key is empty or too long.
    #[error("`{0}` cannot be a key of the replicated store: it has 1 to {MAX_KEY} bytes")]
    Key(String),
    /// The value is too long.
    #[error("what is said of `{key}` has {length} bytes, and {MAX_VALUE} are the most")]
    Value {
        /// The key.
        key: String,
        /// Of the value.
        length: usize,
    },
}

impl Store {
    /// The last word on `key`; `None` if nothing was ever said, or it was taken back.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.words.get(key)?.value.as_deref()
    }

    /// The last word on `key`; also that it was taken back.
    #[must_use]
    pub fn word(&self, key: &str) -> Option<&Word> {
        self.words.get(key)
    }

    /// Whether nothing was ever said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// All that is said, by key; also what was taken back.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Word)> {
        self.words.iter().map(|(key, word)| (key.as_str(), word))
    }

    /// The latest moment that is spoken of.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.words.values().map(|word| word.stamp).max().unwrap_or(0)
    }

    /// Says `value` of `key`, or takes back what was said, at `now_ms`: it is the last word until somebody says more.
    ///
    /// # Errors
    /// [`Unsayable`].
    pub fn say(
        &mut self,
        key: &str,
        value: Option<String>,
        author: NodeId,
        now_ms: u64,
    ) -> Result<Outcome, Unsayable> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Unsayable::Key(key.to_owned()));
        }
        if let Some(value) = &value
            && value.len() > MAX_VALUE
        {
            return Err(Unsayable::Value {
                key: key.to_owned(),
                length: value.len(),
            });
        }
        let before = self.words.get(key);
        if before.and_then(|word| word.value.as_ref()) == value.as_ref() {
            return Ok(Outcome::Known);
        }
        let stamp = before.map_or(now_ms, |word| now_ms.max(word.stamp + 1));
        let author = author.0;
        let word = Word { stamp, author, value };
        match self.merge(key, word, now_ms) {
            Some(outcome) => Ok(outcome),
            None => Err(Unsayable::Full(key.to_owned())),
        }
    }

    /// Hears what another director passes on; `None` if there is no room for it.
    pub fn merge(&mut self, key: &str, word: Word, now_ms: u64) -> Option<Outcome> {
        let Some(known) = self.words.get_mut(key) else {
            if word.is_stale(now_ms) {
                return Some(Outcome::Known);
            }
            if self.words.len() >= MAX_ITEMS {
                return None;
            }
            self.words.insert(key.to_owned(), word);
            return Some(Outcome::Taken(None));
        };
        Some(if *known == word {
            Outcome::Known
        } else if *known > word {
            Outcome::Overruled
        } else {
            Outcome::Taken(Some(std::mem::replace(known, word)))
        })
    }

    /// Forgets removals of long ago.
    pub fn tidy(&mut self, now_ms: u64) {
        self.words
            .retain(|_, word| word.value.is_some() || word.stamp.saturating_add(REMOVED_FOR_MS) >= now_ms);
    }

    /// Equal stores have equal digests: the sum of the first 8 bytes of the SHA-256 of each item that is told.
    #[must_use]
    pub fn digest(&self, now_ms: u64) -> u64 {
        let mut sum = 0_u64;
        let mut bytes = Vec::new();
        for item in self.items(now_ms) {
            bytes.clear();
            item.emit(&mut bytes);
            let hash = digest(&SHA256, &bytes);
            let mut first = [0; 8];
            first.copy_from_slice(&hash.as_ref()[..8]);
            sum = sum.wrapping_add(u64::from_be_bytes(first));
        }
        sum
    }

    /// All items that are told, as they go over the wire.
    pub fn items(&self, now_ms: u64) -> impl Iterator<Item = StoreItem<'_>> {
        let told = self.words.iter().filter(move |(_, word)| !word.is_stale(now_ms));
        told.map(|(key, word)| item(key, word))
    }

    /// One item, as it goes over the wire.
    #[must_use]
    pub fn item<'a>(&'a self, key: &'a str) -> Option<StoreItem<'a>> {
        self.words.get(key).map(|word| item(key, word))
    }
}

fn item<'a>(key: &'a str, word: &'a Word) -> StoreItem<'a> {
    StoreItem {
        key,
        stamp: word.stamp,
        author: NodeId(word.author),
        value: word.value.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn say(store: &mut Store, key: &str, value: &str, author: NodeId, now: u64) -> Outcome {
        store.say(key, Some(value.into()), author, now).unwrap()
    }

    #[test]
    fn the_last_word_counts_and_the_one_before_is_shown() {
        let mut store = Store::default();
        assert_eq!(say(&mut store, "drain/web1", "a", A, 10), Outcome::Taken(None));
        assert_eq!(say(&mut store, "drain/web1", "a", B, 11), Outcome::Known);
        let Outcome::Taken(Some(before)) = say(&mut store, "drain/web1", "b", B, 5) else {
            panic!("another word");
        };
        assert_eq!((before.value.as_deref(), before.author), (Some("a"), 1));
        assert_eq!(store.get("drain/web1"), Some("b"));
        let word = store.iter().next().unwrap().1;
        assert_eq!(
            word.stamp, 11,
            "later than what it overrules, whatever the clock says"
        );
        store.say("drain/web1", None, A, 20).unwrap();
        assert_eq!(store.get("drain/web1"), None);
        store.tidy(20 + REMOVED_FOR_MS);
        assert_eq!(store.iter().len(), 1);
        store.tidy(21 + REMOVED_FOR_MS);
        assert_eq!(store.iter().len(), 0);
    }

    #[test]
    fn it_is_bounded() {
        let mut store = Store::default();
        assert!(matches!(store.say("", None, A, 1), Err(Unsayable::Key(_))));
        let long = "x".repeat(MAX_KEY + 1);
        assert!(matches!(store.say(&long, None, A, 1), Err(Unsayable::Key(_))));
        let long = "x".repeat(MAX_VALUE + 1);
        let error = store.say("a", Some(long), A, 1);
        assert!(matches!(error, Err(Unsayable::Value { length: 1025, .. })));
        for n in 0..MAX_ITEMS {
            say(&mut store, &n.to_string(), "", A, 1);
        }
        assert!(matches!(
            store.say("a", Some(String::new()), A, 1),
            Err(Unsayable::Full(_))
        ));
        assert_eq!(
            store.merge(
                "a",
                Word {
                    stamp: 1,
                    author: 1,
                    value: None
                },
                1
            ),
            None
        );
        say(&mut store, "1", "known things may change", A, 2);
    }

    #[test]
    fn it_survives_being_written_down() {
        let mut store = Store::default();
        say(&mut store, "a", "x", A, 7);
        say(&mut store, "b", "y", A, 7);
        store.say("b", None, B, 8).unwrap();
        let text = serde_json::to_string(&store).unwrap();
        let read: Store = serde_json::from_str(&text).unwrap();
        assert_eq!(read.digest(9), store.digest(9));
        assert_eq!(read.latest(), 8);
    }

    proptest! {
        /// Whatever the order in which three directors hear each other's words, in the end they agree, on the last one.
        #[test]
        fn all_agree_in_the_end(
            words in proptest::collection::vec((0..4_usize, proptest::option::of(0..3_u8), 0..3_u64, 0..20_u64), 1..40),
            orders: [Vec<prop::sample::Index>; 3],
        ) {
            let words: Vec<_> = words
                .into_iter()
                .map(|(key, value, author, stamp)| {
                    (key.to_string(), Word { stamp, author, value: value.map(|value| value.to_string()) })
                })
                .collect();
            let stores = orders.map(|order| {
                let mut store = Store::default();
                let shuffled = order.iter().map(|index| index.get(&words));
                for (key, word) in shuffled.chain(&words) {
                    assert!(store.merge(key, word.clone(), 20).is_some());
                }
                store
            });
            for store in &stores {
                prop_assert_eq!(store.digest(20), stores[0].digest(20));
                for (key, word) in store.iter() {
                    let last = words.iter().filter(|(of, _)| of == key).map(|(_, word)| word).max();
                    prop_assert_eq!(Some(word), last);
                }
            }
        }
    }
}

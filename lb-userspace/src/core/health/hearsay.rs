//! What the directors of a cluster say to each other of backends. It counts where a director has not found out by itself:
//! after it has started, until its own checks have had an outcome.
//!
//! There is one word on each backend of a service, and the last one counts. A director speaks when what it finds changes, and is not
//! what was said last. So whoever lives keeps the word true, and nobody contradicts twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    net::IpAddr,
};

use lb_common::wire::seal::NodeId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Check, Verdict};
use crate::core::sync::{Outcome, Store, Unsayable, Word};

/// What the keys of verdicts begin with.
const PREFIX: &str = "health/";
/// Bytes of a value: with its key it has to fit into the shortest datagram.
const MOST: usize = 896;
/// Characters of a reason that are passed on.
const MOST_WHY: usize = 160;

/// What tells one check from another, on all directors: a part of a digest of what is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Like(u32);

impl Like {
    /// Of a check.
    #[must_use]
    pub fn of(check: &Check) -> Self {
        struct Hasher(Sha256);
        impl fmt::Write for Hasher {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.update(text);
                Ok(())
            }
        }
        let mut hasher = Hasher(Sha256::new());
        // A hasher takes everything.
        let _ = write!(hasher, "{check:?}");
        let digest: [u8; 32] = hasher.0.finalize().into();
        Self(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
    }
}

/// What one check of a backend has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Type of the check.
    pub check: String,
    /// Which check.
    pub like: Like,
    /// What it has come to.
    pub state: Verdict,
    /// Why; empty if all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What a director has found of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saying {
    /// Its name.
    pub by: String,
    /// Each check that has come to a verdict.
    pub checks: Vec<Found>,
}

impl Saying {
    /// What it says of this check.
    #[must_use]
    pub fn of(&self, like: Like) -> Option<&Found> {
        self.checks.iter().find(|found| found.like == like)
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let states = |saying: &Self| -> Vec<_> {
            let checks = saying.checks.iter();
            checks.map(|found| (found.like.0, found.state)).collect()
        };
        states(self) == states(other)
    }
}

/// The last word on each backend, and what this director has found.
#[derive(Debug, Default)]
pub struct Hearsay {
    words: Store,
    /// What the words say, as far as it is understood.
    sayings: BTreeMap<String, Saying>,
    own: BTreeMap<String, Vec<Verdict>>,
}

fn key(service: &str, backend: IpAddr) -> String {
    format!("{PREFIX}{service}/{backend}")
}

impl Hearsay {
    /// All that was said, also what was taken back.
    #[must_use]
    pub fn words(&self) -> &Store {
        &self.words
    }

    /// What was said last of a backend, by whomever.
    #[must_use]
    pub fn of(&self, service: &str, backend: IpAddr) -> Option<&Saying> {
        self.sayings.get(&key(service, backend))
    }

    /// Takes note of what the director `author` itself has found of a backend; what it is to say, if that is news.
    ///
    /// # Errors
    /// [`Unsayable`].
    pub fn find(
        &mut self,
        (service, backend): (&str, IpAddr),
        found: Saying,
        author: NodeId,
        now_ms: u64,
    ) -> Result<Option<(String, Word)>, Unsayable> {
        let key = key(service, backend);
        let verdicts: Vec<_> = found.checks.iter().map(|found| found.state).collect();
        if self.own.get(&key) == Some(&verdicts) {
            return Ok(None);
        }
        self.own.insert(key.clone(), verdicts);
        let known = self.sayings.get(&key);
        if known.is_some_and(|known| known.says_the_same(&found)) {
            return Ok(None);
        }
        let value = to_value(found.clone());
        let outcome = self.words.say(&key, Some(value), author, now_ms)?;
        self.sayings.insert(key.clone(), found);
        Ok(self.said(&key, &outcome))
    }

    /// Takes back what was said of backends that `author` has found something of, and that are not among `kept` any more.
    pub fn withdraw(
        &mut self,
        kept: &BTreeSet<(String, IpAddr)>,
        author: NodeId,
        now_ms: u64,
    ) -> Vec<(String, Word)> {
        self.words.tidy(now_ms);
        let kept: BTreeSet<String> = kept
            .iter()
            .map(|(service, backend)| key(service, *backend))
            .collect();
        let gone: Vec<String> = self
            .own
            .keys()
            .filter(|key| !kept.contains(*key))
            .cloned()
            .collect();
        let mut words = Vec::new();
        for key in gone {
            self.own.remove(&key);
            self.sayings.remove(&key);
            // What was said before can be taken back.
            if let Ok(outcome) = self.words.say(&key, None, author, now_ms) {
                words.extend(self.said(&key, &outcome));
            }
        }
        words
    }

    fn said(&self, key: &str, outcome: &Outcome) -> Option<(String, Word)> {
        match outcome {
            Outcome::Taken(_) => Some((key.to_owned(), self.words.word(key)?.clone())),
            Outcome::Known | Outcome::Overruled => None,
        }
    }

    /// Hears what another director said; `None` if it is about something else, else whether it is news.
    pub fn hear(&mut self, key: &str, word: &Word, now_ms: u64) -> Option<bool> {
        if !key.starts_with(PREFIX) {
            return None;
        }
        let outcome = self.words.merge(key, word.clone(), now_ms);
        if !matches!(outcome, Some(Outcome::Taken(_))) {
            return Some(false);
        }
        let saying = word
            .value
            .as_deref()
            .and_then(|value| serde_json::from_str(value).ok());
        match saying {
            Some(saying) => self.sayings.insert(key.to_owned(), saying),
            // It was taken back, or a later version says it otherwise.
            None => self.sayings.remove(key),
        };
        Some(true)
    }
}

/// What is said in the store: JSON. Reasons that are too long for that are shortened, and then left out.
fn to_value(mut saying: Saying) -> String {
    for most in [MOST_WHY, MOST_WHY / 4, 0] {
        for found in &mut saying.checks {
            found.why = found.why.chars().take(most).collect();
        }
        // It has no maps, whose keys might not be text.
        let value = serde_json::to_string(&saying).unwrap_or_default();
        if value.len() <= MOST || most == 0 {
            return value;
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Down, Up};

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const WEB1: (&str, IpAddr) = ("web", IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    fn saying(by: &str, states: &[Verdict]) -> Saying {
        let found = |(number, &state): (u32, &Verdict)| Found {
            check: "http".into(),
            like: Like(number),
            state,
            why: if state == Down {
                format!("{by} got 503")
            } else {
                String::new()
            },
        };
        Saying {
            by: by.into(),
            checks: (0..).zip(states).map(found).collect(),
        }
    }

    /// What is said is heard by the other.
    fn tell(from: Result<Option<(String, Word)>, Unsayable>, to: &mut Hearsay) -> bool {
        match from.expect("it can be said") {
            Some((key, word)) => to.hear(&key, &word, 0).expect("a verdict"),
            None => false,
        }
    }

    #[test]
    fn a_director_speaks_when_it_finds_something_else_than_was_said() {
        let (mut a, mut b) = (Hearsay::default(), Hearsay::default());
        assert!(tell(a.find(WEB1, saying("a", &[Up, Down]), A, 10), &mut b));
        assert_eq!(b.of(WEB1.0, WEB1.1), Some(&saying("a", &[Up, Down])));
        assert_eq!(b.of("mail", WEB1.1), None);
        // The same, once more and by another.
        assert!(!tell(a.find(WEB1, saying("a", &[Up, Down]), A, 11), &mut b));
        assert!(!tell(b.find(WEB1, saying("b", &[Up, Down]), B, 12), &mut a));
        // Something else, and then nobody contradicts what he has contradicted.
        assert!(tell(b.find(WEB1, saying("b", &[Up, Up]), B, 13), &mut a));
        assert!(!tell(a.find(WEB1, saying("a", &[Up, Down]), A, 14), &mut b));
        assert_eq!(a.of(WEB1.0, WEB1.1).map(|saying| &*saying.by), Some("b"));
        assert!(tell(a.find(WEB1, saying("a", &[Down, Down]), A, 15), &mut b));
        assert_eq!(
            b.of(WEB1.0, WEB1.1)
                .and_then(|saying| saying.of(Like(0)))
                .map(|found| found.state),
            Some(Down)
        );
    }

    #[test]
    fn who_has_just_started_hears_what_was_said_and_what_was_taken_back() {
        let (mut a, mut late) = (Hearsay::default(), Hearsay::default());
        a.find(WEB1, saying("a", &[Down]), A, 10).unwrap();
        for (key, word) in a.words().iter() {
            assert_eq!(late.hear(key, word, 20), Some(true));
            assert_eq!(late.hear(key, word, 20), Some(false));
        }
        assert_eq!(late.of(WEB1.0, WEB1.1), Some(&saying("a", &[Down])));
        let other = Word {
            stamp: 1,
            author: 1,
            value: None,
        };
        assert_eq!(late.hear("order/service/web", &other, 20), None);
        let kept = BTreeSet::from([("web".to_owned(), WEB1.1)]);
        assert!(a.withdraw(&kept, A, 30).is_empty());
        for (key, word) in a.withdraw(&BTreeSet::new(), A, 30) {
            assert_eq!(late.hear(&key, &word, 30), Some(true));
        }
        assert_eq!(late.of(WEB1.0, WEB1.1), None);
    }

    #[test]
    fn what_is_said_fits_and_what_is_not_understood_is_left_alone() {
        let mut many = saying("a", &[Down; 6]);
        many.checks[2].why = "\u{1F525}".repeat(2_000);
        let value = to_value(many.clone());
        assert!(value.len() <= MOST, "{value}");
        assert!(
            serde_json::from_str::<Saying>(&value)
                .unwrap()
                .says_the_same(&many)
        );
        let mut heard = Hearsay::default();
        let newer = Word {
            stamp: 5,
            author: 9,
            value: Some("{\"says\": 7}".into()),
        };
        assert_eq!(heard.hear("health/web/10.0.0.1", &newer, 5), Some(true));
        assert_eq!(heard.of(WEB1.0, WEB1.1), None);
    }
}

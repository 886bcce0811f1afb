//! The fuzzer's corpus of sync messages, replayed: what once was worth keeping is still read, or refused, as its name says.

#[path = "../../fuzz/sync_oracle.rs"]
mod oracle;

use std::{collections::BTreeSet, fs, path::Path};

use lb_common::wire::sync::Refusal;

/// A message that was put there by hand is named `OUTCOME-what-it-is`.
#[test]
fn every_message_of_the_corpus_ends_as_its_name_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/sync");
    let mut outcomes = BTreeSet::new();
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the corpus is part of the repository") {
        let entry = entry.expect("the directory can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let payload = fs::read(entry.path()).expect("the file can be read");
        let outcome = oracle::read(&payload).map_or_else(Refusal::slug, |()| "read");
        count += 1;
        if let Some((expected, _)) = name.split_once('-') {
            assert_eq!(outcome, expected, "{name}");
            outcomes.insert(expected.to_owned());
        }
        // Whatever ends early, or is damaged, is refused or read; nothing panics.
        for length in 0..payload.len() {
            let _ = oracle::read(&payload[..length]);
        }
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = oracle::read(&damaged);
        }
    }
    assert!(count >= 20, "only {count} messages");
    for outcome in [
        "read",
        "truncated",
        "other_version",
        "unknown_kind",
        "overlong",
        "bad_value",
    ] {
        assert!(outcomes.contains(outcome), "no message that ends as {outcome}");
    }
}

//! The fuzzer's corpus, replayed: what once was worth keeping stays right.

#[path = "../../fuzz/oracle.rs"]
mod oracle;

use std::{fs, net::IpAddr, path::Path};

use lb_common::{packet::parse, reason::Reason};

/// The corpus: the file's name, and the frame.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/parse");
    let entries = fs::read_dir(&directory).expect("the corpus is part of the repository");
    entries
        .map(|entry| {
            let entry = entry.expect("the directory can be read");
            let frame = fs::read(entry.path()).expect("the file can be read");
            (entry.file_name().to_string_lossy().into_owned(), frame)
        })
        .collect()
}

#[test]
fn every_frame_of_the_corpus_is_understood_as_others_understand_it() {
    let corpus = corpus();
    assert!(corpus.len() >= 60, "only {} frames", corpus.len());
    for (_, frame) in corpus {
        oracle::check(&frame);
    }
}

/// A frame that was put there by hand is named `OUTCOME-what-it-is`.
#[test]
fn every_named_frame_ends_as_its_name_says() {
    let vips: [IpAddr; 2] = ["192.0.2.10", "2001:db8::10"].map(|vip| vip.parse().expect("an address"));
    let mut outcomes = std::collections::BTreeSet::new();
    for (name, frame) in corpus() {
        let Some((outcome, _)) = name.split_once('-') else {
            continue;
        };
        let got =
            parse(&frame[..], |address| vips.contains(&address)).map_or_else(Reason::slug, |_| "balanced");
        assert_eq!(got, outcome, "{name}");
        outcomes.insert(outcome.to_owned());
    }
    // All that a frame can come to by itself.
    for reason in Reason::ALL.iter().filter(|reason| reason.is_of_the_frame()) {
        assert!(
            outcomes.contains(reason.slug()),
            "no frame that ends as {reason:?}"
        );
    }
    assert!(outcomes.contains("balanced"));
}

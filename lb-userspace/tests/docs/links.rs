//! Links between the documents, and from them to the code, lead somewhere.

use std::collections::BTreeSet;

use crate::{documents, read, root};

/// Targets of a document's links that are meant to be in this repository.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("](")
        .filter_map(|(at, opening)| text[at + opening.len()..].split(')').next())
        .filter(|target| !target.contains("://"))
}

/// Names of a document's headings, as a link gives them: in lower case, without punctuation, joined by `-`.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for path in documents() {
        let text = read(&path);
        let (directory, _) = path.rsplit_once('/').expect("documents are in a directory");
        for target in targets(&text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                file => format!("{directory}/{file}"),
            };
            assert!(root().join(&file).exists(), "{path}: there is no {target}");
            assert!(
                anchor.is_empty() || anchors(&read(&file)).contains(anchor),
                "{path}: {file} has no heading `{anchor}`"
            );
            links += 1;
        }
    }
    assert!(links >= 10, "only {links} links found");
}

#[test]
fn every_page_is_in_the_book_once() {
    let summary = read("docs/SUMMARY.md");
    let listed: Vec<&str> = targets(&summary).collect();
    let listed_once: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(listed.len(), listed_once.len(), "{listed:?}");
    let pages: Vec<String> = documents()
        .into_iter()
        .filter_map(|path| path.strip_prefix("docs/").map(str::to_owned))
        .filter(|page| page != "SUMMARY.md")
        .collect();
    let pages: BTreeSet<&str> = pages.iter().map(String::as_str).collect();
    assert_eq!(listed_once, pages);
}

#[test]
fn a_heading_becomes_an_anchor() {
    let anchors = anchors("# Direct routing\n\n## `[director]`: this machine\ntext\n");
    assert!(anchors.contains("direct-routing") && anchors.contains("director-this-machine"));
    assert_eq!(anchors.len(), 2);
}

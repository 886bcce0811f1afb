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
fn a_heading_becomes_an_anchor() {
    let anchors = anchors("# Direct routing\n\n## `[director]`: this machine\ntext\n");
    assert!(anchors.contains("direct-routing") && anchors.contains("director-this-machine"));
    assert_eq!(anchors.len(), 2);
}

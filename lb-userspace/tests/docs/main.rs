//! The documents say what the code does.

mod drop_reasons;
mod events;
mod examples;
mod links;
mod metrics;
mod schemas;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the documents' paths begin.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A document, by its path in the repository.
fn read(path: &str) -> String {
    let full = root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

/// Paths of the documents: those at the top and those in `docs`.
fn documents() -> Vec<String> {
    let markdown = |directory: &str| {
        let entries = fs::read_dir(root().join(directory)).expect("a directory of documents");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        names
            .filter(|name| name.ends_with(".md"))
            .map(|name| format!("{directory}{name}"))
            .collect::<Vec<_>>()
    };
    let mut paths = [markdown("./"), markdown("docs/")].concat();
    paths.sort();
    assert!(paths.len() >= 7, "only {paths:?}");
    paths
}

/// The fenced blocks of `language` in a document.
fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!("```{language}\n");
    let starts: Vec<_> = text
        .match_indices(&opening)
        .map(|(at, _)| at + opening.len())
        .collect();
    starts
        .into_iter()
        .map(|start| text[start..].split("```").next().unwrap_or_default())
}

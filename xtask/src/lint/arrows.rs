//! Which way imports may point: `core` decides and does no I/O, so it knows nothing of the rooms that do.

use super::Source;

/// Where the pure state machines live.
const CORE: &str = "lb-userspace/src/core";

/// What leads out of core: the daemon's rooms that do I/O, and libraries for it. Core has no modules of these names.
const OUTER: &[&str] = &[
    "crate::api",
    "crate::cli",
    "crate::daemon",
    "crate::datapath",
    "crate::io",
    "crate::net",
    "crate::notify",
    "crate::probe",
    "aya",
    "axum",
    "hyper",
    "hyper_util",
    "libc",
    "memmap2",
    "nix",
    "rtnetlink",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "tokio",
];

/// The paths in `source` that point out of core.
pub(super) fn complaints(source: &Source) -> Vec<String> {
    let Source { path, text } = source;
    let is_core = path
        .strip_prefix(CORE)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    if !is_core || !path.ends_with(".rs") {
        return Vec::new();
    }
    paths(text)
        .into_iter()
        .filter_map(|found| {
            let absolute = from_crate(&found);
            let outer = OUTER.iter().find(|outer| is_below(&absolute, outer))?;
            Some(format!(
                "{path}: `{found}` points out of core, to `{outer}`: have the caller pass in what it gives"
            ))
        })
        .collect()
}

fn is_below(path: &str, ancestor: &str) -> bool {
    let rest = path.strip_prefix(ancestor);
    // A library's name alone may be any variable's.
    rest.is_some_and(|rest| rest.starts_with("::") || (rest.is_empty() && ancestor.contains("::")))
}

/// Any number of `super` is taken to reach the crate's root.
fn from_crate(path: &str) -> String {
    let rest = path.trim_start_matches("super::");
    if rest.len() < path.len() {
        format!("crate::{rest}")
    } else {
        path.to_owned()
    }
}

/// The paths of a Rust source, groups such as `a::{b, c::d}` written out.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // The path before each brace that is open; empty where it opens a block.
    let mut prefixes = Vec::new();
    let mut path = String::new();
    for token in text
        .lines()
        .flat_map(|line| tokens(line.split("//").next().unwrap_or_default()))
    {
        let continues = path.ends_with("::");
        match token {
            "::" => path.push_str(token),
            // Or else `use ::a` would be read as `use::a`.
            "use" => end(&mut path, &mut found),
            word if word.starts_with(is_of_word) => {
                if !continues {
                    end(&mut path, &mut found);
                    path.push_str(prefixes.last().map_or("", String::as_str));
                }
                path.push_str(word);
            }
            "{" if continues => prefixes.push(std::mem::take(&mut path)),
            "{" => {
                end(&mut path, &mut found);
                prefixes.push(String::new());
            }
            other => {
                end(&mut path, &mut found);
                if other == "}" {
                    prefixes.pop();
                }
            }
        }
    }
    end(&mut path, &mut found);
    found
}

fn end(path: &mut String, found: &mut Vec<String>) {
    let whole = std::mem::take(path);
    if !whole.is_empty() {
        found.push(whole.trim_start_matches("::").to_owned());
    }
}

/// Words, `::` and single characters of punctuation; blanks are left out.
fn tokens(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let length = if is_of_word(first) {
            rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{complaints, paths};
    use crate::lint::Source;

    fn of(path: &str, text: &str) -> Vec<String> {
        complaints(&Source {
            path: path.into(),
            text: text.into(),
        })
    }

    #[test]
    fn groups_are_written_out() {
        let text = "use a::{b, c::{d, e as f}, self};\nfn g(x: h::I) { j::k(x); l }";
        let found = paths(text);
        for expected in ["a::b", "a::c::d", "a::c::e", "a::self", "h::I", "j::k", "l"] {
            assert!(
                found.iter().any(|path| path == expected),
                "{expected} in {found:?}"
            );
        }
    }

    #[test]
    fn arrows_out_of_core_are_found() {
        for text in [
            "use crate::net;",
            "use crate::datapath::Maps;",
            "use crate::{config::Service, datapath::{Maps}};",
            "use super::super::daemon::Loop;",
            "fn f() { crate::api::serve(); }",
            "use tokio::time::sleep;",
            "use ::nix::unistd;",
            "use std::{collections::HashMap, fs};",
            "use std::{\n    thread,\n    time::Duration,\n};",
            "fn f(map: aya::maps::Array<u8>) {}",
        ] {
            for path in ["lb-userspace/src/core/a/b.rs", "lb-userspace/src/core.rs"] {
                assert_eq!(of(path, text).len(), 1, "{path}: {text}");
            }
        }
    }

    #[test]
    fn arrows_inside_core_and_to_the_contract_are_welcome() {
        for text in [
            "use lb_common::hash::Hash;",
            "use crate::core::health::State;",
            "use crate::config::Service;",
            "use super::health::State;",
            "use std::{net::IpAddr, time::Duration};",
            "use crate::network::Name;",
            "// as tokio::time does it, and crate::net",
            "let libc = 3; let x = libc + 1;",
        ] {
            assert!(of("lb-userspace/src/core/a.rs", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn other_rooms_may_use_what_they_like() {
        for path in [
            "lb-userspace/src/daemon/a.rs",
            "lb-userspace/src/core_dump.rs",
            "lb-userspace/src/core/notes.md",
        ] {
            assert!(of(path, "use crate::net::Socket;").is_empty(), "{path}");
        }
    }
}

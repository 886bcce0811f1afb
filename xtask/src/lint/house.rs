//! Sizes of files, unfinished work, and paths that exist on one machine only.

use std::path::Path;

use super::Source;

/// More than this and a file holds two topics.
const MOST_LINES: usize = 800;
/// A step of the pipeline stays short enough to be read with the verifier's eyes.
const MOST_LINES_OF_STEP: usize = 200;
const STEPS: &str = "lb-ebpf/src/";

/// What must not be left in the code. In two halves, because this file is checked too.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("#[", "ignore"), concat!("XX", "X:")];

/// Directories that any machine may have, so that naming them says nothing about one.
const COMMON: &[&str] = &[
    "/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr", "/usr/src", "/var", "/var/tmp",
];

/// The paths that betray this machine: the workspace, the directory it lies in, and the user's home.
pub(super) fn machine_paths(workspace: &Path, home: Option<&Path>) -> Vec<String> {
    let mut paths: Vec<_> = [Some(workspace), workspace.parent(), home]
        .into_iter()
        .flatten()
        .filter(|path| !COMMON.iter().any(|common| path == &Path::new(common)))
        .map(|path| path.display().to_string())
        .collect();
    paths.dedup();
    paths
}

/// What is wrong with `source`, each with its place.
pub(super) fn complaints(source: &Source, machine_paths: &[String]) -> Vec<String> {
    let Source { path, text } = source;
    let mut complaints = Vec::new();
    if path.ends_with(".rs") {
        let most = if path.starts_with(STEPS) {
            MOST_LINES_OF_STEP
        } else {
            MOST_LINES
        };
        let lines = text.lines().count();
        if lines > most {
            complaints.push(format!(
                "{path}: {lines} lines, where {most} are the most: split it by topic"
            ));
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        if path.ends_with(".rs") {
            let unfinished = UNFINISHED.iter().filter(|word| line.contains(**word));
            complaints.extend(unfinished.map(|word| format!("{path}:{number}: {word} is left: finish it")));
        }
        let paths = machine_paths
            .iter()
            .filter(|machine_path| names(line, machine_path));
        complaints.extend(paths.map(|found| format!("{path}:{number}: {found} exists on this machine only")));
    }
    complaints
}

/// Whether `line` names `path` or something below it, and not a longer path that only contains its letters.
fn names(line: &str, path: &str) -> bool {
    let is_part_of_path = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(is_part_of_path)
            && !after.is_some_and(|c| c != '/' && c != '.' && is_part_of_path(c))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{MOST_LINES, MOST_LINES_OF_STEP, UNFINISHED, complaints, machine_paths, names};
    use crate::lint::Source;

    fn of(path: &str, text: impl Into<String>) -> Vec<String> {
        complaints(
            &Source {
                path: path.into(),
                text: text.into(),
            },
            &["/example/7".to_owned()],
        )
    }

    #[test]
    fn files_have_a_greatest_size() {
        let cases = [
            ("lb-common/src/a.rs", MOST_LINES, 0),
            ("lb-common/src/a.rs", MOST_LINES + 1, 1),
            ("lb-ebpf/src/parse.rs", MOST_LINES_OF_STEP, 0),
            ("lb-ebpf/src/parse.rs", MOST_LINES_OF_STEP + 1, 1),
            ("lb-ebpf/builder/src/a.rs", MOST_LINES, 0),
            ("Cargo.lock", MOST_LINES + 1, 0),
        ];
        for (path, lines, expected) in cases {
            assert_eq!(
                of(path, "\n".repeat(lines)).len(),
                expected,
                "{path} of {lines} lines"
            );
        }
    }

    #[test]
    fn unfinished_work_is_found_in_code() {
        for word in UNFINISHED {
            let text = format!("fn a() {{}}\n// {word}\n");
            let found = of("a/src/b.rs", text.as_str());
            assert!(
                found.len() == 1 && found[0].starts_with("a/src/b.rs:2: "),
                "{found:?}"
            );
            assert!(of("docs/rules.md", text).is_empty());
        }
    }

    #[test]
    fn paths_of_this_machine_are_found_in_any_file() {
        assert_eq!(of("README.md", "see\n`/example/7/x`").len(), 1);
        assert!(of("README.md", "see /example/71/x").is_empty());
    }

    #[test]
    fn a_path_is_a_whole_path() {
        let cases = [
            ("/example/7", true),
            ("cd /example/7/a", true),
            ("(/example/7)", true),
            ("look at /example/7.", true),
            ("/other/example/7", false),
            ("/example/77", false),
            ("/example", false),
        ];
        for (line, expected) in cases {
            assert_eq!(names(line, "/example/7"), expected, "{line}");
        }
    }

    #[test]
    fn directories_that_any_machine_has_betray_nothing() {
        let paths = |workspace: &str, home: &str| machine_paths(Path::new(workspace), Some(Path::new(home)));
        assert_eq!(paths("/tmp/tandem", "/root"), ["/tmp/tandem"]);
        assert_eq!(
            paths("/example/home/src/tandem", "/example/home"),
            ["/example/home/src/tandem", "/example/home/src", "/example/home"]
        );
        assert_eq!(
            paths("/example/home/tandem", "/example/home"),
            ["/example/home/tandem", "/example/home"]
        );
        assert_eq!(paths("/example/tandem", "/root"), ["/example/tandem", "/example"]);
    }
}

//! Which compiler and which linker can build for the `bpf` targets, of those that a machine has.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::environment::is_of_outer_build;

/// Where Linux distributions put the compiler that they package.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";
const SYSTEM_CARGO: &str = "/usr/bin/cargo";

/// A Rust toolchain that can build for a `bpf` target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// A nightly of rustup with the component `rust-src`: cargo builds `core` along with the program.
    Nightly {
        /// As `rustup toolchain list` names it.
        name: String,
    },
    /// The distribution's compiler with a prebuilt `core` for the target (Debian's `libstd-rust-web-dev-bpf`).
    System {
        /// The compiler.
        rustc: PathBuf,
        /// The cargo that belongs to it.
        cargo: PathBuf,
    },
}

/// A bpf-linker that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linker {
    /// Absolute path of the binary.
    pub path: PathBuf,
}

/// What a machine lacks for building the XDP programs. The text says what to install, in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No compiler that builds for the target.
    #[error(
        "no Rust toolchain here builds for {target}: run `cargo xtask setup`, or on Debian 12 `apt-get install \
         rustc-web cargo-web libstd-rust-web-dev-bpf`, elsewhere `rustup toolchain install nightly -c rust-src`"
    )]
    Toolchain {
        /// The target that was looked for.
        target: &'static str,
    },
    /// No bpf-linker, or one that does not start.
    #[error(
        "no working bpf-linker in PATH or in cargo's bin directory: run `cargo xtask setup`, or \
         `cargo binstall bpf-linker`"
    )]
    Linker,
}

/// Looks for a toolchain that builds for `target`: the system's first, then a rustup nightly with `rust-src`.
///
/// The system's comes first because its LLVM stands still, along with the bpf-linker built against it; a nightly's
/// moves on, and a bpf-linker cannot read what a newer LLVM wrote.
///
/// # Errors
/// [`Missing::Toolchain`] where there is neither.
pub fn find_toolchain(target: &'static str) -> Result<Toolchain, Missing> {
    let system = has_prebuilt_core(target).unwrap_or(false) && Path::new(SYSTEM_CARGO).exists();
    choose(system, installed_nightlies, has_library_source).ok_or(Missing::Toolchain { target })
}

fn choose(
    system: bool,
    nightlies: impl FnOnce() -> Vec<String>,
    has_source: impl Fn(&str) -> bool,
) -> Option<Toolchain> {
    if system {
        return Some(Toolchain::System {
            rustc: SYSTEM_RUSTC.into(),
            cargo: SYSTEM_CARGO.into(),
        });
    }
    let name = nightlies().into_iter().find(|name| has_source(name))?;
    Some(Toolchain::Nightly { name })
}

/// Looks for a bpf-linker that starts, in `PATH` and then in cargo's bin directory (which `PATH` need not hold).
///
/// # Errors
/// [`Missing::Linker`] where there is none.
pub fn find_linker() -> Result<Linker, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    linker_candidates(env::split_paths(&path), cargo_home())
        .find(|candidate| candidate.is_file() && runs(candidate))
        .map(|path| Linker { path })
        .ok_or(Missing::Linker)
}

fn linker_candidates(
    path: impl Iterator<Item = PathBuf>,
    cargo_home: Option<PathBuf>,
) -> impl Iterator<Item = PathBuf> {
    path.chain(cargo_home.map(|home| home.join("bin")))
        .map(|directory| directory.join("bpf-linker"))
}

fn cargo_home() -> Option<PathBuf> {
    let of_user = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(of_user)
}

fn runs(linker: &Path) -> bool {
    output(Command::new(linker).arg("--version")).is_some()
}

/// The nightlies that rustup has installed, by their full names, with and without `rust-src`.
pub fn installed_nightlies() -> Vec<String> {
    output(rustup().args(["toolchain", "list"]))
        .map(|listing| nightlies_of(&listing))
        .unwrap_or_default()
}

/// The nightlies of `rustup toolchain list`, whose lines are `NAME` or `NAME (active, default)`.
fn nightlies_of(listing: &str) -> Vec<String> {
    listing
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .map(str::to_owned)
        .collect()
}

fn has_library_source(nightly: &str) -> bool {
    let sysroot = output(rustup().args(["run", nightly, "rustc", "--print", "sysroot"]));
    sysroot.is_some_and(|sysroot| {
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core")
            .is_dir()
    })
}

fn has_prebuilt_core(target: &str) -> Option<bool> {
    let libdir = output(Command::new(SYSTEM_RUSTC).args(["--target", target, "--print", "target-libdir"]))?;
    let holds_core = |name: &str| name.starts_with("libcore-") && name.ends_with(".rlib");
    let entries = std::fs::read_dir(libdir.trim()).ok()?;
    Some(
        entries
            .flatten()
            .any(|entry| entry.file_name().to_str().is_some_and(holds_core)),
    )
}

fn rustup() -> Command {
    let mut command = Command::new("rustup");
    // Looking must not download.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command
}

/// Standard output of a command that succeeded, run outside of the outer build's environment.
fn output(command: &mut Command) -> Option<String> {
    forget_outer_build(command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).ok())
        .flatten()
}

/// Keeps the outer build's variables from `command`.
pub(crate) fn forget_outer_build(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_outer_build) {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Missing, Toolchain, choose, linker_candidates, nightlies_of};

    #[test]
    fn the_system_comes_before_a_nightly_and_a_nightly_needs_source() {
        let system = Toolchain::System {
            rustc: "/usr/bin/rustc".into(),
            cargo: "/usr/bin/cargo".into(),
        };
        let nightly = |name: &str| Toolchain::Nightly {
            name: name.to_owned(),
        };
        let cases = [
            (true, &["a", "b"][..], &["b"][..], Some(system)),
            (false, &["a", "b"], &["b"], Some(nightly("b"))),
            (false, &["a", "b"], &["a", "b"], Some(nightly("a"))),
            (false, &["a", "b"], &[], None),
            (false, &[], &[], None),
        ];
        for (system, nightlies, with_source, expected) in cases {
            let names = || nightlies.iter().map(|&name| name.to_owned()).collect();
            let chosen = choose(system, names, |name| with_source.contains(&name));
            assert_eq!(
                chosen, expected,
                "system {system}, {nightlies:?}, source in {with_source:?}"
            );
        }
    }

    #[test]
    fn nightlies_are_told_from_other_toolchains() {
        let listing = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                       nightly-x86_64-unknown-linux-gnu\n\
                       nightly-2026-05-20-x86_64-unknown-linux-gnu (override)\n\
                       1.95.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(
            nightlies_of(listing),
            [
                "nightly-x86_64-unknown-linux-gnu",
                "nightly-2026-05-20-x86_64-unknown-linux-gnu"
            ]
        );
        assert!(nightlies_of("no installed toolchains\n").is_empty());
        assert!(nightlies_of("").is_empty());
    }

    #[test]
    fn the_linker_is_looked_for_in_path_and_then_in_cargo_home() {
        let path = ["/opt/bin", "/usr/bin"].map(PathBuf::from);
        let candidates: Vec<_> = linker_candidates(path.into_iter(), Some("/opt/cargo".into())).collect();
        let expected = [
            "/opt/bin/bpf-linker",
            "/usr/bin/bpf-linker",
            "/opt/cargo/bin/bpf-linker",
        ];
        assert_eq!(candidates, expected.map(PathBuf::from));
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_the_remedy() {
        for (missing, remedy) in [
            (
                Missing::Toolchain {
                    target: "bpfel-unknown-none",
                },
                "rust-src",
            ),
            (Missing::Linker, "cargo binstall bpf-linker"),
        ] {
            let text = missing.to_string();
            assert!(
                text.contains("cargo xtask setup") && text.contains(remedy),
                "{text}"
            );
            assert!(!text.contains('\n'), "{text}");
        }
    }
}

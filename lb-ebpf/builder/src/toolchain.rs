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
        "no Rust toolchain here builds for {target}: run `cargo xtask setup`, or `rustup toolchain install \
         nightly -c rust-src`, or on Debian 12 `apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf`"
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

/// Looks for a toolchain that builds for `target`: a rustup nightly with `rust-src` first, then the system's.
///
/// # Errors
/// [`Missing::Toolchain`] where there is neither.
pub fn find_toolchain(target: &'static str) -> Result<Toolchain, Missing> {
    let nightly = nightlies()
        .into_iter()
        .find(|name| has_library_source(rustup().args(["run", name.as_str(), "rustc"])).unwrap_or(false));
    // Asked only where there is no nightly: it starts a compiler.
    let system = || {
        let ready = Path::new(SYSTEM_CARGO).exists() && has_prebuilt_core(target).unwrap_or(false);
        ready.then(|| (PathBuf::from(SYSTEM_RUSTC), PathBuf::from(SYSTEM_CARGO)))
    };
    choose(nightly, system).ok_or(Missing::Toolchain { target })
}

fn choose(nightly: Option<String>, system: impl FnOnce() -> Option<(PathBuf, PathBuf)>) -> Option<Toolchain> {
    match nightly {
        Some(name) => Some(Toolchain::Nightly { name }),
        None => system().map(|(rustc, cargo)| Toolchain::System { rustc, cargo }),
    }
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

fn nightlies() -> Vec<String> {
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

fn has_library_source(rustc: &mut Command) -> Option<bool> {
    let sysroot = output(rustc.args(["--print", "sysroot"]))?;
    Some(
        Path::new(sysroot.trim())
            .join("lib/rustlib/src/rust/library/core")
            .is_dir(),
    )
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

    fn system() -> Option<(PathBuf, PathBuf)> {
        Some(("/usr/bin/rustc".into(), "/usr/bin/cargo".into()))
    }

    #[test]
    fn a_nightly_with_source_comes_before_the_system() {
        let nightly = Toolchain::Nightly {
            name: "nightly-x".into(),
        };
        let distribution = Toolchain::System {
            rustc: "/usr/bin/rustc".into(),
            cargo: "/usr/bin/cargo".into(),
        };
        let cases = [
            (Some("nightly-x".to_owned()), system(), Some(nightly.clone())),
            (Some("nightly-x".to_owned()), None, Some(nightly)),
            (None, system(), Some(distribution)),
            (None, None, None),
        ];
        for (nightly, system, expected) in cases {
            assert_eq!(
                choose(nightly.clone(), || system.clone()),
                expected,
                "{nightly:?} {system:?}"
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
        let candidates: Vec<_> =
            linker_candidates(path.into_iter(), Some("/home/user/.cargo".into())).collect();
        let expected = [
            "/opt/bin/bpf-linker",
            "/usr/bin/bpf-linker",
            "/home/user/.cargo/bin/bpf-linker",
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

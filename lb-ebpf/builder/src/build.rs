//! The inner cargo run that turns `lb-ebpf` into BPF objects.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{env, fs, io, process};

use crate::toolchain::{Linker, Missing, Toolchain, find_linker, find_toolchain, forget_outer_build};

/// The package that holds the XDP programs.
const PACKAGE: &str = "lb-ebpf";

const LITTLE_ENDIAN: &str = "bpfel-unknown-none";
const BIG_ENDIAN: &str = "bpfeb-unknown-none";

/// The target whose programs the machine that compiled this can load.
pub const HOST_TARGET: &str = if cfg!(target_endian = "big") {
    BIG_ENDIAN
} else {
    LITTLE_ENDIAN
};

/// Whose change means that the programs must be built again, relative to the workspace.
const SOURCES: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "lb-ebpf/Cargo.toml",
    "lb-ebpf/src",
    "lb-common/Cargo.toml",
    "lb-common/src",
];

/// `debuginfo` and `--btf` give the object its type information. ISA v3 (Linux 5.12) has the atomics that the
/// flow table needs; v4 is not loaded by Linux before 6.6.
const FLAGS: &str = "-C debuginfo=2 -C target-cpu=v3 -C link-arg=--btf";

/// Why the XDP programs could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Called outside of a build script.
    #[error("{name} is not set: XDP programs are built from a build script, which cargo runs")]
    NotABuildScript {
        /// The variable that cargo sets for build scripts.
        name: &'static str,
    },
    /// Something has to be installed first.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Cargo did not start.
    #[error("cannot start {program} to build the XDP programs: {source}")]
    Start {
        /// What was to be run.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The compiler or the linker refused; it said why on standard error.
    #[error("the XDP programs did not build ({status}); the compiler's messages are above")]
    Failed {
        /// How cargo ended.
        status: ExitStatus,
    },
    /// An object could not be put in place.
    #[error("cannot copy the XDP program {from} to {to}: {source}")]
    Copy {
        /// Where cargo left it.
        from: PathBuf,
        /// Where it belongs.
        to: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Builds the programs `bins` of package `lb-ebpf` and puts each into `OUT_DIR` under its own name; returns the
/// paths in the same order. Tells cargo which sources they depend on.
///
/// # Errors
/// [`BuildError::Missing`] names what to install; the others say which step failed.
pub fn build(bins: &[&str]) -> Result<Vec<PathBuf>, BuildError> {
    let workspace = workspace();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let target = target_for(&variable("CARGO_CFG_TARGET_ENDIAN")?);
    let toolchain = find_toolchain(target)?;
    let linker = find_linker()?;
    let target_dir = target_dir(&out_dir, |directory| directory.join("CACHEDIR.TAG").exists());

    let mut cargo = cargo(&toolchain, &linker, target);
    cargo.current_dir(&workspace).arg("--target-dir").arg(&target_dir);
    cargo.args(bins.iter().flat_map(|bin| ["--bin", bin]));
    if workspace.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    // Standard output is cargo's instructions from this build script.
    let status = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|source| BuildError::Start {
            program: cargo.get_program().into(),
            source,
        })?;
    if !status.success() {
        return Err(BuildError::Failed { status });
    }
    let built = target_dir.join(target).join("release");
    bins.iter()
        .map(|bin| copy(&built.join(bin), out_dir.join(bin)))
        .collect()
}

/// [`build`] for a build script's `main`: on failure cargo shows one line as this package's error, and the script
/// ends with exit code 1.
pub fn build_or_exit(bins: &[&str]) {
    if let Err(error) = build(bins) {
        println!("cargo::error={error}");
        process::exit(1);
    }
}

fn variable(name: &'static str) -> Result<String, BuildError> {
    env::var(name).map_err(|_| BuildError::NotABuildScript { name })
}

/// The workspace that this package is compiled in.
fn workspace() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir
        .ancestors()
        .nth(2)
        .unwrap_or(manifest_dir)
        .to_path_buf()
}

/// A BPF object has the byte order of the machine that loads it.
fn target_for(endian: &str) -> &'static str {
    if endian == "big" {
        BIG_ENDIAN
    } else {
        LITTLE_ENDIAN
    }
}

/// One directory `bpf` under the outer target directory, so that packages and profiles share one build of the
/// programs. It is not the outer one itself: the outer cargo holds that one's lock and waits for us.
fn target_dir(out_dir: &Path, is_target_root: impl Fn(&Path) -> bool) -> PathBuf {
    out_dir
        .ancestors()
        .find(|directory| is_target_root(directory))
        .unwrap_or(out_dir)
        .join("bpf")
}

fn cargo(toolchain: &Toolchain, linker: &Linker, target: &str) -> Command {
    let mut command = Command::new(match toolchain {
        Toolchain::Nightly { .. } => Path::new("rustup"),
        Toolchain::System { cargo, .. } => cargo,
    });
    forget_outer_build(&mut command);
    match toolchain {
        Toolchain::Nightly { name } => {
            command.args(["run", name, "cargo", "build", "-Z", "build-std=core"]);
        }
        Toolchain::System { rustc, .. } => {
            // aya-ebpf uses unstable features, which a stable compiler refuses otherwise.
            command
                .arg("build")
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1");
        }
    }
    command.args(["--release", "--package", PACKAGE, "--target", target]);
    command.env("RUSTFLAGS", FLAGS);
    let linker_variable = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    command.env(linker_variable, &linker.path);
    command
}

fn copy(from: &Path, to: PathBuf) -> Result<PathBuf, BuildError> {
    match fs::copy(from, &to) {
        Ok(_) => Ok(to),
        Err(source) => Err(BuildError::Copy {
            from: from.to_path_buf(),
            to,
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::ffi::OsStr;
    use std::path::Path;
    use std::process::Command;

    use super::{BuildError, LITTLE_ENDIAN, build, cargo, target_dir, target_for, workspace};
    use crate::toolchain::{Linker, Toolchain};

    fn linker() -> Linker {
        Linker {
            path: "/opt/bin/bpf-linker".into(),
        }
    }

    fn arguments(command: &Command) -> Vec<&str> {
        command.get_args().filter_map(OsStr::to_str).collect()
    }

    fn settings(command: &Command) -> HashMap<&str, &str> {
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
            .collect()
    }

    #[test]
    fn a_nightly_builds_core_too() {
        let command = cargo(
            &Toolchain::Nightly {
                name: "nightly-x".into(),
            },
            &linker(),
            LITTLE_ENDIAN,
        );
        assert_eq!(command.get_program(), "rustup");
        let expected = ["run", "nightly-x", "cargo", "build", "-Z", "build-std=core"];
        assert_eq!(arguments(&command)[..expected.len()], expected);
        assert!(!settings(&command).contains_key("RUSTC_BOOTSTRAP"));
    }

    #[test]
    fn the_system_compiler_is_named_by_its_path() {
        let toolchain = Toolchain::System {
            rustc: "/usr/bin/rustc".into(),
            cargo: "/usr/bin/cargo".into(),
        };
        let command = cargo(&toolchain, &linker(), LITTLE_ENDIAN);
        assert_eq!(command.get_program(), "/usr/bin/cargo");
        assert!(!arguments(&command).contains(&"-Z"));
        let settings = settings(&command);
        assert_eq!(settings["RUSTC"], "/usr/bin/rustc");
        assert_eq!(settings["RUSTC_BOOTSTRAP"], "1");
        assert_eq!(
            settings["CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER"],
            "/opt/bin/bpf-linker"
        );
        assert!(settings["RUSTFLAGS"].contains("--btf"));
    }

    #[test]
    fn the_object_has_the_byte_order_of_the_host() {
        assert_eq!(target_for("little"), "bpfel-unknown-none");
        assert_eq!(target_for("big"), "bpfeb-unknown-none");
    }

    #[test]
    fn the_inner_build_has_a_directory_of_its_own_under_the_outer_one() {
        let out_dir = Path::new("/w/target/release/build/lb-userspace-1/out");
        let in_target = target_dir(out_dir, |directory| directory == Path::new("/w/target"));
        assert_eq!(in_target, Path::new("/w/target/bpf"));
        assert_eq!(target_dir(out_dir, |_| false), out_dir.join("bpf"));
    }

    #[test]
    fn the_workspace_holds_the_package_of_the_programs() {
        assert!(workspace().join("lb-ebpf/Cargo.toml").is_file());
    }

    #[test]
    fn outside_of_a_build_script_it_says_so() {
        // `cargo test` sets no OUT_DIR for a package without a build script.
        let error = build(&["tandem-xdp"]).expect_err("there is no OUT_DIR");
        assert!(
            matches!(error, BuildError::NotABuildScript { name: "OUT_DIR" }),
            "{error}"
        );
    }
}

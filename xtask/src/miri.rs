//! miri: the flow table's writers under an interpreter that knows what the memory model forbids.
//!
//! It is a component of rustup's nightly, which building does not need and a machine need not have; a run without it says so.

use std::process::Command;

use lb_ebpf_builder::installed_nightlies;

use crate::cargo::workspace;
use crate::program::{run, succeeds};

/// Tests in which several threads write to one table. The others are of no more use here than natively, and take minutes.
const TESTS: &[&str] = &["several_writers", "a_race_for_one_flow"];

/// Each seed is another order of the threads and another choice among the values that a load may see.
const FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-many-seeds=0..8";

/// The nightly that has miri.
pub(crate) fn find() -> Option<String> {
    installed_nightlies()
        .into_iter()
        .find(|nightly| succeeds(cargo_miri(nightly).arg("--version")))
}

/// Adds miri to a nightly that is there. Whether that is possible depends on what the registry still has of its day, and nothing
/// else needs it: a failure is only told.
pub(crate) fn ensure() {
    let nightlies = installed_nightlies();
    let Some(nightly) = nightlies.first() else { return };
    if find().is_some() {
        return;
    }
    println!("set-up: adding miri to {nightly} (it runs the tests of the flow table's writers)");
    let mut add = Command::new("rustup");
    add.args(["component", "add", "miri", "rust-src", "--toolchain", nightly]);
    if let Err(error) = run(&mut add) {
        eprintln!("set-up: {error:#}; the tests go on without miri");
    }
}

/// The tests under the miri of this nightly.
pub(crate) fn tests(nightly: &str) -> Command {
    let mut command = cargo_miri(nightly);
    command
        .args(["test", "--package", "lb-common", "--lib", "--"])
        .args(TESTS)
        .env("MIRIFLAGS", FLAGS);
    command
}

fn cargo_miri(nightly: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", nightly, "cargo", "miri"])
        .current_dir(workspace());
    command
}

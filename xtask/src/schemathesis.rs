//! schemathesis: requests for the API, generated from its OpenAPI document.
//!
//! It is a Python program that no distribution packages, so it gets an environment of its own below `target`, which a machine need not
//! have; a test run without it says so.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::workspace;
use crate::program::{run, succeeds};

/// The release that the test was written for.
const RELEASE: &str = "schemathesis==4.32.5";

fn environment() -> PathBuf {
    workspace().join("target/tools/schemathesis")
}

/// Installs it. It comes from another registry than everything else, and only one test needs it: a failure is only told.
pub(crate) fn ensure() {
    if succeeds(Command::new(environment().join("bin/schemathesis")).arg("--version")) {
        return;
    }
    println!("set-up: installing {RELEASE} (requests that are generated from the API's document)");
    if let Err(error) = install() {
        eprintln!("set-up: {error:#}; the tests go on without it");
    }
}

fn install() -> Result<()> {
    let environment = environment();
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", RELEASE]))
}

//! `cargo xtask lint`: format, clippy, dependencies, and the rules of the house that no tool knows.

mod arrows;
mod house;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, workspace};
use crate::program::{find, output_of, run};
use crate::setup::{self, Purpose};

/// A file of the repository.
struct Source {
    /// Relative to the workspace.
    path: String,
    text: String,
}

/// Runs all checks; the first that fails ends it.
///
/// # Errors
/// A check found something; it is on standard error.
pub(crate) fn lint() -> Result<()> {
    run(cargo("fmt").args(["--all", "--check"]))?;
    check_house_rules()?;
    // Clippy runs the build scripts, which build the XDP programs.
    setup::ensure(&[Purpose::Build])?;
    run(cargo("clippy").args(["--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    if find("cargo-deny").is_some() {
        run(cargo("deny").args(["--workspace", "check"]))?;
    } else {
        println!(
            "lint: cargo-deny is not installed, so licences and advisories of dependencies were not checked"
        );
    }
    Ok(())
}

fn check_house_rules() -> Result<()> {
    let sources = tracked_sources()?;
    let paths = house::machine_paths(workspace(), std::env::var_os("HOME").as_deref().map(Path::new));
    let complaints: Vec<_> = sources
        .iter()
        .flat_map(|source| {
            let of_house = house::complaints(source, &paths);
            of_house.into_iter().chain(arrows::complaints(source))
        })
        .collect();
    for complaint in &complaints {
        eprintln!("lint: {complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} breaches of the rules above", complaints.len());
    }
    Ok(())
}

/// What git tracks and is text; a file that was deleted but not yet committed is left out.
fn tracked_sources() -> Result<Vec<Source>> {
    let listing = output_of(
        std::process::Command::new("git")
            .current_dir(workspace())
            .args(["ls-files", "-z"]),
    )
    .context("git names the files to check")?;
    let mut sources = Vec::new();
    for path in listing.split_terminator('\0') {
        let file = workspace().join(path);
        if !file.is_file() {
            continue;
        }
        let bytes = fs::read(&file).with_context(|| format!("cannot read {path}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(sources)
}

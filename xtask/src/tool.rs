//! Programs from crates.io that some commands need, each of one release, below `target/dist/tools`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::{cargo, workspace};
use crate::program::run;

/// A program as cargo installs it.
pub(crate) struct Tool {
    /// Name of the crate and of the program.
    pub(crate) name: &'static str,
    /// Its release.
    pub(crate) release: &'static str,
    /// Why it is needed.
    pub(crate) why: &'static str,
}

impl Tool {
    /// Where the program is, which is built if it is not there.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn ensure(&self) -> Result<PathBuf> {
        let tools = workspace().join("target/dist/tools");
        let release = format!("{}@{}", self.name, self.release);
        let installed = tools.join("bin").join(self.name);
        let marker = tools.join(&release);
        if !installed.exists() || !marker.exists() {
            println!("set-up: building {release} ({})", self.why);
            run(cargo("install")
                .args(["--quiet", "--locked", "--root"])
                .arg(&tools)
                .arg(&release))?;
            fs::write(&marker, "").with_context(|| format!("cannot write {}", marker.display()))?;
        }
        Ok(installed)
    }
}

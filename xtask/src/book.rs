//! `book`: the documents as a book.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::cargo::workspace;
use crate::program::run;
use crate::tool::Tool;

const MDBOOK: Tool = Tool {
    name: "mdbook",
    release: "0.4.52",
    why: "it makes the book",
};

/// `cargo xtask book`.
///
/// # Errors
/// mdBook cannot be built, or finds something wrong.
pub(crate) fn book() -> Result<()> {
    run(Command::new(MDBOOK.ensure()?).arg("build").arg(workspace()))?;
    // Where `book.toml` says.
    let first = workspace().join("target/book/index.html");
    ensure!(first.is_file(), "mdBook made no {}", first.display());
    println!("{}", first.display());
    Ok(())
}

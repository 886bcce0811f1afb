//! `tandem bench compare`

use std::{io::Write, path::PathBuf};

use clap::Args;

use super::{CliError, Exit, Show};
use crate::bench::result::compare::Comparison;

#[derive(Debug, Args)]
pub(super) struct Compare {
    /// Result before the change, as `--output` or `-j` wrote it.
    #[arg(value_name = "BEFORE.json")]
    before: PathBuf,
    /// Result after it.
    #[arg(value_name = "AFTER.json")]
    after: PathBuf,
}

pub(super) fn run<W: Write>(arguments: &Compare, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let comparison =
        Comparison::of_files(&arguments.before, &arguments.after).map_err(CliError::Measuring)?;
    if show.json {
        show.json(&comparison)?;
    } else {
        write!(show.out, "{comparison}")?;
    }
    Ok(Exit::Success)
}

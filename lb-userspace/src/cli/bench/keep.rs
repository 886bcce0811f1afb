//! Where a result goes.

use std::{fmt::Display, io::Write, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::{CliError, Exit, Show};
use crate::bench::{
    picture::Picture,
    result::{
        Kept,
        files::{Files, Open, Unfit},
    },
};

/// Files beside the terminal.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files (opened before anything is measured)")]
pub(super) struct Keep {
    /// Keep the result in this file as JSON, for `tandem bench compare`.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The same as CSV, a value a line.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw a picture of it, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw the same as PNG, which takes `rsvg-convert`.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

impl From<Unfit> for CliError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::File { path, source } => Self::File { path, source },
            Unfit::Twice { .. } | Unfit::Renderer(_) => Self::Measuring(unfit.into()),
        }
    }
}

impl Keep {
    /// Before anything is measured.
    pub(super) fn open(&self) -> Result<Ready, CliError> {
        let files = Files {
            json: self.output.clone(),
            csv: self.csv.clone(),
            svg: self.svg.clone(),
            png: self.png.clone(),
        };
        Ok(Ready(files.open()?))
    }
}

/// Files that wait for a result.
pub(super) struct Ready(Open);

impl Ready {
    /// Shows the result of the benchmark of this name, and writes what is to be kept.
    pub(super) fn present<W: Write>(
        mut self,
        benchmark: &str,
        report: &(impl Serialize + Display),
        picture: impl FnOnce() -> Picture,
        show: &mut Show<'_, W>,
    ) -> Result<Exit, CliError> {
        if show.json {
            show.json(&Kept::new(benchmark, report))?;
        } else {
            write!(show.out, "{report}")?;
        }
        // Whatever becomes of the files, somebody has seen it.
        show.out.flush()?;
        self.0.keep(benchmark, report).map_err(CliError::Measuring)?;
        self.0.draw(picture).map_err(CliError::Measuring)?;
        Ok(Exit::Success)
    }
}

//! Where results go beside the terminal.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lb_tests::bench::result::files::{self, Open};

/// The result for machines.
#[derive(Args)]
pub(crate) struct Files {
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the result to this file as CSV, a value a line.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// The result for the eye.
#[derive(Args)]
pub(crate) struct Picture {
    /// Draw a picture of it, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw the same as PNG.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

impl Files {
    /// For a result that nobody draws.
    pub(crate) fn open(&self) -> Result<Open> {
        let files = files::Files {
            json: self.json.clone(),
            csv: self.csv.clone(),
            ..files::Files::default()
        };
        Ok(files.open()?)
    }

    /// For one that is drawn, too.
    pub(crate) fn open_with(&self, picture: &Picture) -> Result<Open> {
        let files = files::Files {
            json: self.json.clone(),
            csv: self.csv.clone(),
            svg: picture.svg.clone(),
            png: picture.png.clone(),
        };
        Ok(files.open()?)
    }
}

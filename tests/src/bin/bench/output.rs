//! Where results go beside the terminal. Files are opened before the work of minutes, not after it.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::Args;
use lb_tests::bench::{csv, picture};
use serde::Serialize;

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

/// Files that wait for a result.
pub(crate) struct Open {
    json: Option<File>,
    csv: Option<File>,
}

/// Files that wait for a picture.
pub(crate) struct Canvas {
    svg: Option<File>,
    png: Option<File>,
}

/// An older result stays until there is a newer one.
fn create(path: Option<&PathBuf>) -> Result<Option<File>> {
    let create = |path: &PathBuf| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        file.with_context(|| format!("cannot write {}", path.display()))
    };
    path.map(create).transpose()
}

fn emptied(file: File) -> Result<File> {
    file.set_len(0).context("emptying the file of an older result")?;
    Ok(file)
}

impl Files {
    pub(crate) fn open(&self) -> Result<Open> {
        Ok(Open {
            json: create(self.json.as_ref())?,
            csv: create(self.csv.as_ref())?,
        })
    }
}

impl Open {
    pub(crate) fn write(self, result: &impl Serialize) -> Result<()> {
        if let Some(file) = self.json {
            let mut file = BufWriter::new(emptied(file)?);
            serde_json::to_writer_pretty(&mut file, result).context("writing the JSON file")?;
            writeln!(file)
                .and_then(|()| file.flush())
                .context("writing the JSON file")?;
        }
        if let Some(file) = self.csv {
            let result = serde_json::to_value(result).context("the result in JSON")?;
            emptied(file)?
                .write_all(csv::of(&result).as_bytes())
                .context("writing the CSV file")?;
        }
        Ok(())
    }
}

impl Picture {
    pub(crate) fn open(&self) -> Result<Canvas> {
        if self.png.is_some() {
            picture::can_rasterise()?;
        }
        Ok(Canvas {
            svg: create(self.svg.as_ref())?,
            png: create(self.png.as_ref())?,
        })
    }
}

impl Canvas {
    pub(crate) fn draw(self, picture: impl FnOnce() -> String) -> Result<()> {
        if self.svg.is_none() && self.png.is_none() {
            return Ok(());
        }
        let svg = picture();
        let write = |file, bytes: &[u8]| emptied(file)?.write_all(bytes).context("writing the picture");
        if let Some(file) = self.svg {
            write(file, svg.as_bytes())?;
        }
        if let Some(file) = self.png {
            write(file, &picture::rasterised(&svg)?)?;
        }
        Ok(())
    }
}

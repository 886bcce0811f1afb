//! Where results go beside the terminal. Files are opened before the work of minutes, not after it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::{Kept, csv};
use crate::bench::picture::{
    Picture,
    png::{self, NoRenderer},
};

/// Files that a result is to go to.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// As JSON.
    pub json: Option<PathBuf>,
    /// As CSV.
    pub csv: Option<PathBuf>,
    /// As a picture.
    pub svg: Option<PathBuf>,
    /// As the same picture, in dots.
    pub png: Option<PathBuf>,
}

/// Why a result could not be kept, so that it need not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One would overwrite the other.
    #[error("{} is named twice: each form of a result needs a file of its own", path.display())]
    Twice {
        /// Which.
        path: PathBuf,
    },
    /// Nothing draws pictures in dots.
    #[error(transparent)]
    Renderer(#[from] NoRenderer),
}

impl Files {
    /// Opens all, and looks for what else is needed. What is in them stays until there is a result.
    ///
    /// # Errors
    /// What would keep a result from being written.
    pub fn open(&self) -> Result<Open, Unfit> {
        let renderer = self.png.as_ref().map(|_| png::renderer()).transpose()?;
        let mut places = Vec::new();
        let mut open = |path: &Option<PathBuf>| -> Result<Option<Waiting>, Unfit> {
            let Some(path) = path else { return Ok(None) };
            let of = |source| Unfit::File {
                path: path.clone(),
                source,
            };
            let waiting = Waiting::open(path).map_err(of)?;
            let facts = waiting.file.metadata().map_err(of)?;
            let place = (facts.dev(), facts.ino());
            if facts.is_file() && places.contains(&place) {
                return Err(Unfit::Twice { path: path.clone() });
            }
            places.push(place);
            Ok(Some(waiting))
        };
        Ok(Open {
            json: open(&self.json)?,
            csv: open(&self.csv)?,
            svg: open(&self.svg)?,
            png: open(&self.png)?.zip(renderer),
        })
    }
}

/// A file that waits for a result. If there comes none, it is as it was before.
#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    file: File,
    is_new: bool,
}

impl Waiting {
    fn open(path: &PathBuf) -> io::Result<Self> {
        let (file, is_new) = match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path)?, false)
            }
            other => (other?, true),
        };
        Ok(Self {
            path: path.clone(),
            file,
            is_new,
        })
    }

    fn fill(mut self, bytes: &[u8]) -> Result<()> {
        // Pipes and terminals have no length.
        let is_file = self.file.metadata().is_ok_and(|facts| facts.is_file());
        let emptied = if is_file { self.file.set_len(0) } else { Ok(()) };
        self.is_new = false;
        emptied
            .and_then(|()| self.file.write_all(bytes))
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_new {
            // Whoever took it away meanwhile has done this.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Files that wait for a result.
#[derive(Debug)]
pub struct Open {
    json: Option<Waiting>,
    csv: Option<Waiting>,
    svg: Option<Waiting>,
    png: Option<(Waiting, PathBuf)>,
}

impl Open {
    /// Writes the result of the benchmark of this name, as JSON and as CSV.
    ///
    /// # Errors
    /// When the system takes it no more.
    pub fn keep(&mut self, benchmark: &str, result: &impl Serialize) -> Result<()> {
        let kept = Kept::new(benchmark, result);
        if let Some(file) = self.json.take() {
            let mut text = serde_json::to_vec_pretty(&kept).context("the result as JSON")?;
            text.push(b'\n');
            file.fill(&text)?;
        }
        if let Some(file) = self.csv.take() {
            let result = serde_json::to_value(&kept).context("the result as JSON")?;
            file.fill(csv::of(&result).as_bytes())?;
        }
        Ok(())
    }

    /// Draws the result, if somebody wants to see it.
    ///
    /// # Errors
    /// When the system takes it no more, or the renderer fails.
    pub fn draw(&mut self, picture: impl FnOnce() -> Picture) -> Result<()> {
        if self.svg.is_none() && self.png.is_none() {
            return Ok(());
        }
        let svg = picture().svg();
        if let Some(file) = self.svg.take() {
            file.fill(svg.as_bytes())?;
        }
        if let Some((file, renderer)) = self.png.take() {
            file.fill(&png::rasterised(&renderer, &svg)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::tempdir;

    use super::*;

    #[test]
    fn an_older_result_stays_until_there_is_a_newer_one() {
        let directory = tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        fs::write(&old, "of before, and longer than what comes after it, by far").unwrap();
        let files = Files {
            json: Some(old.clone()),
            csv: Some(new.clone()),
            ..Files::default()
        };
        let before = fs::read(&old).unwrap();
        let waiting = files.open().unwrap();
        assert!(new.exists());
        drop(waiting);
        assert_eq!((fs::read(&old).unwrap(), new.exists()), (before, false));
        files
            .open()
            .unwrap()
            .keep("live", &json!({ "seconds": 1 }))
            .unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&fs::read(&old).unwrap()).unwrap();
        assert_eq!(
            (&kept["benchmark"], &kept["seconds"]),
            (&json!("live"), &json!(1))
        );
        assert!(fs::read_to_string(&new).unwrap().contains(",,seconds,,1\n"));
    }

    #[test]
    fn what_could_not_be_kept_is_said_before() {
        let directory = tempdir().unwrap();
        let path = directory.path().join("none/result.csv");
        let files = Files {
            csv: Some(path.clone()),
            ..Files::default()
        };
        let error = files.open().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot write {}: No such", path.display())),
            "{error}"
        );
        let same = directory.path().join("same");
        let files = Files {
            json: Some(same.clone()),
            svg: Some(directory.path().join("./same")),
            ..Files::default()
        };
        let error = files.open().unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
        assert!(!same.exists());
    }

    #[test]
    fn a_picture_goes_where_it_is_wanted() {
        let directory = tempdir().unwrap();
        let svg = directory.path().join("result.svg");
        let files = Files {
            svg: Some(svg.clone()),
            ..Files::default()
        };
        files.open().unwrap().draw(|| Picture::new("a title")).unwrap();
        assert!(fs::read_to_string(&svg).unwrap().contains("a title"));
        let mut nowhere = Files::default().open().unwrap();
        nowhere.draw(|| unreachable!("nobody wants to see it")).unwrap();
    }
}

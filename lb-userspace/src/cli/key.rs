//! `tandem key`

use std::{io::Write, num::NonZeroU8, path::PathBuf};

use clap::{Args, Subcommand};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;

use super::{CliError, Exit, Show};
use crate::{config::KeyFile, core::seal::KeyId};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a key that only its owner may read; copy it to every director of the cluster.
    New {
        /// File to be made.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Key that the new one is to replace.
        #[arg(long, value_name = "OLD")]
        rotate: Option<PathBuf>,
        /// Number of the key, 1 to 255 [default: 1, or the next one after OLD]
        #[arg(long, value_name = "N")]
        id: Option<NonZeroU8>,
    },
    /// Says what key is in a file, without giving it away.
    Show {
        /// Key file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What JSON says.
#[derive(Serialize)]
struct KeyView {
    file: String,
    id: NonZeroU8,
    fingerprint: String,
    seed_fingerprint: String,
}

pub(super) fn run<W: Write>(arguments: &Arguments, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let (file, key) = match &arguments.verb {
        Verb::New { file, rotate, id } => {
            let key = match rotate {
                Some(old) => KeyFile::load(old)?.successor(random()?),
                None => KeyFile::new(KeyId(NonZeroU8::MIN), random()?, random()?),
            };
            let key = match id {
                Some(id) => key.with_id(KeyId(*id)),
                None => key,
            };
            key.create(file)?;
            (file, key.key())
        }
        Verb::Show { file } => (file, KeyFile::load(file)?.key()),
    };
    let view = KeyView {
        file: file.display().to_string(),
        id: key.id().0,
        fingerprint: key.fingerprint().to_string(),
        seed_fingerprint: key.seed_fingerprint().to_string(),
    };
    if show.json {
        show.json(&view)?;
    } else {
        writeln!(
            show.out,
            "{}: key {}, fingerprint {}, seed {}",
            view.file, view.id, view.fingerprint, view.seed_fingerprint
        )?;
    }
    Ok(Exit::Success)
}

fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CliError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn key(verb: Verb) -> Result<serde_json::Value, CliError> {
        let mut out = Vec::new();
        run(
            &Arguments { verb },
            &mut Show {
                json: true,
                out: &mut out,
            },
        )?;
        Ok(serde_json::from_slice(&out).unwrap())
    }

    fn new(file: &Path, rotate: Option<&Path>, id: Option<u8>) -> Result<serde_json::Value, CliError> {
        key(Verb::New {
            file: file.into(),
            rotate: rotate.map(Into::into),
            id: id.and_then(NonZeroU8::new),
        })
    }

    #[test]
    fn a_key_is_made_shown_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let first = new(&path("1"), None, None).unwrap();
        assert_eq!(first["id"], 1);
        let file = path("1");
        assert_eq!(key(Verb::Show { file }).unwrap(), first);

        let second = new(&path("2"), Some(&path("1")), None).unwrap();
        assert_eq!(second["id"], 2);
        assert_eq!(second["seed_fingerprint"], first["seed_fingerprint"]);
        assert_ne!(second["fingerprint"], first["fingerprint"]);

        let stranger = new(&path("3"), None, Some(9)).unwrap();
        assert_eq!(stranger["id"], 9);
        assert_ne!(stranger["seed_fingerprint"], first["seed_fingerprint"]);

        let error = new(&path("3"), None, None).unwrap_err();
        assert_eq!(error.exit(), Exit::Negative);
        let error = new(&path("4"), Some(&path("5")), None).unwrap_err();
        assert!(error.to_string().contains("tandem key new"), "{error}");
        assert!(!path("4").exists());
    }
}

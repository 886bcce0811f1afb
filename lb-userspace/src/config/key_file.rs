//! Files with a cluster's key: made by `tandem key new`, read by every director of the cluster.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    num::NonZeroU8,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::core::{
    model::Config,
    seal::{Authentication, Key, KeyId, Keyring, KeyringError, SECRET, SEED},
};

/// Most bytes of a key file that are read.
const MAX_SIZE: u64 = 4096;
/// What others than owner and group may do with a key file: nothing. The group may read it.
const TOO_OPEN: u32 = 0o027;

const COMMENT: &str = "\
# Key of a Tandem cluster: for every director of the cluster, and for nobody else.
# Whoever has it can move virtual IPs and enter connections.
";

/// A key as a file holds it.
#[derive(Clone)]
pub struct KeyFile {
    id: KeyId,
    secret: [u8; SECRET],
    seed: [u8; SEED],
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)
    }
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    id: NonZeroU8,
    secret: String,
    seed: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error(
        "there is no key file `{}`: make one with `tandem key new`, or copy it from another director of the cluster",
        .0.display()
    )]
    NotFound(PathBuf),
    /// The file may not be read or written.
    #[error("the key file `{}` may not be {what} by this user: run as root, or change its owner", path.display())]
    PermissionDenied {
        /// The file.
        path: PathBuf,
        /// "read" or "made".
        what: &'static str,
    },
    /// Others may read or change it.
    #[error(
        "the key file `{}` has mode {mode:o}, so others may read or change it: `chmod 600 {0}`, and if strangers have had \
         access to it, make another key",
        .path.display()
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file belongs to somebody else.
    #[error(
        "the key file `{}` belongs to user {owner}, who can change it: `chown root {0}`", path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// There is a file already.
    #[error("there is a file `{}` already, and it stays: name another", .0.display())]
    Exists(PathBuf),
    /// Reading or writing failed in another way.
    #[error("the key file `{}` cannot be {what}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "read" or "made".
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something else than a key is in it.
    #[error("`{}` is no key file: {what}; `tandem key new` makes one", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The keys do not go together.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// The keyring that a configuration names; `None` for a director without a cluster.
///
/// # Errors
/// [`KeyFileError`].
pub fn keyring(config: &Config) -> Result<Option<Keyring>, KeyFileError> {
    let Some(cluster) = &config.cluster else {
        return Ok(None);
    };
    let keys = cluster
        .key_files
        .iter()
        .map(|path| Ok(KeyFile::load(path)?.key()))
        .collect::<Result<Vec<Key>, KeyFileError>>()?;
    let authentication: Authentication = cluster.authentication;
    let keyring = Keyring::new(&cluster.name, &config.director.name, keys, authentication)?;
    Ok(Some(keyring))
}

impl KeyFile {
    /// A key of these random bytes.
    #[must_use]
    pub fn new(id: KeyId, secret: [u8; SECRET], seed: [u8; SEED]) -> Self {
        Self { id, secret, seed }
    }

    /// A key that is to replace this one: another number and secret, the same seed.
    #[must_use]
    pub fn successor(&self, secret: [u8; SECRET]) -> Self {
        let id = self.id.0.checked_add(1).unwrap_or(NonZeroU8::MIN);
        Self::new(KeyId(id), secret, self.seed)
    }

    /// The same key under another number.
    #[must_use]
    pub fn with_id(self, id: KeyId) -> Self {
        Self { id, ..self }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::new(self.id, &self.secret, &self.seed)
    }

    /// Reads the key at `path`, unless somebody may have tampered with it.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| failure(path, "read", source);
        let file = File::open(path).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        let malformed = |what: &str| KeyFileError::Malformed {
            path: path.into(),
            what: what.to_owned(),
        };
        if !facts.is_file() {
            return Err(malformed("it is no ordinary file"));
        }
        if facts.mode() & TOO_OPEN != 0 {
            return Err(KeyFileError::TooOpen {
                path: path.into(),
                mode: facts.mode() & 0o7777,
            });
        }
        let own = nix::unistd::Uid::effective().as_raw();
        if facts.uid() != 0 && facts.uid() != own {
            return Err(KeyFileError::Owner {
                path: path.into(),
                owner: facts.uid(),
            });
        }
        let mut text = String::new();
        file.take(MAX_SIZE + 1)
            .read_to_string(&mut text)
            .map_err(|source| match source.kind() {
                io::ErrorKind::InvalidData => malformed("it is no text"),
                _ => failed(source),
            })?;
        if text.len() as u64 > MAX_SIZE {
            return Err(malformed("it is too long"));
        }
        Self::parse(&text).map_err(|what| malformed(&what))
    }

    fn parse(text: &str) -> Result<Self, String> {
        // What toml says beyond the message shows the line: it may be the secret.
        let text: Text = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Ok(Self {
            id: KeyId(text.id),
            secret: from_hex(&text.secret).ok_or("its `secret` is not 64 hexadecimal digits")?,
            seed: from_hex(&text.seed).ok_or("its `seed` is not 64 hexadecimal digits")?,
        })
    }

    fn text(&self) -> String {
        let text = Text {
            id: self.id.0,
            secret: to_hex(&self.secret),
            seed: to_hex(&self.seed),
        };
        let text = toml::to_string(&text).expect("a number and two strings always have a TOML form");
        format!("{COMMENT}{text}")
    }

    /// Writes the key to a new file that only its owner may read.
    ///
    /// # Errors
    /// [`KeyFileError`]; a file that is there already stays as it is.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let mut file = file.map_err(|source| failure(path, "made", source))?;
        let written = file
            .write_all(self.text().as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(|source| {
            // Half a key is of no use to anybody.
            let _ = std::fs::remove_file(path);
            failure(path, "made", source)
        })
    }
}

fn failure(path: &Path, what: &'static str, source: io::Error) -> KeyFileError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound if what == "read" => KeyFileError::NotFound(path),
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path),
        io::ErrorKind::PermissionDenied => KeyFileError::PermissionDenied { path, what },
        _ => KeyFileError::Io { path, what, source },
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = (high? << 4 | low?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn id(id: u8) -> KeyId {
        KeyId(NonZeroU8::new(id).expect("not 0"))
    }

    fn key_file() -> KeyFile {
        KeyFile::new(id(7), [0xA5; SECRET], [0x5A; SEED])
    }

    fn written(text: &str, mode: u32) -> Result<KeyFile, KeyFileError> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cluster.key");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
        KeyFile::load(&path)
    }

    #[test]
    fn what_is_made_is_read_and_nobody_else_may_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("cluster.key");
        key_file().create(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
        let read = KeyFile::load(&path).expect("read");
        assert_eq!(read.key().fingerprint(), key_file().key().fingerprint());
        assert_eq!(read.key().id(), id(7));

        let other = key_file().successor([1; SECRET]);
        assert!(matches!(other.create(&path), Err(KeyFileError::Exists(_))));
        let read = KeyFile::load(&path).expect("still there");
        assert_eq!(read.key().fingerprint(), key_file().key().fingerprint());
    }

    #[test]
    fn a_successor_has_its_own_secret_and_number_and_the_same_seed() {
        let (old, new) = (key_file().key(), key_file().successor([1; SECRET]).key());
        assert_eq!(new.id(), id(8));
        assert_ne!(new.fingerprint(), old.fingerprint());
        assert_eq!(new.seed_fingerprint(), old.seed_fingerprint());
        let last = key_file().with_id(id(255)).successor([1; SECRET]);
        assert_eq!(last.key().id(), id(1));
    }

    #[test]
    fn a_file_that_others_may_touch_is_refused() {
        let text = key_file().text();
        for mode in [0o400, 0o600, 0o640, 0o440] {
            assert!(written(&text, mode).is_ok(), "{mode:o}");
        }
        for mode in [0o604, 0o602, 0o620, 0o666, 0o644, 0o660] {
            let error = written(&text, mode).expect_err("too open");
            assert!(matches!(error, KeyFileError::TooOpen { mode: found, .. } if found == mode));
        }
    }

    #[test]
    fn what_is_no_key_is_said_without_showing_it() {
        let good = key_file().text();
        let secret = to_hex(&[0xA5; SECRET]);
        for bad in [
            String::new(),
            "secret".to_owned(),
            good.replace("id = 7", "id = 0"),
            good.replace("id = 7", "id = 256"),
            good.replace("seed", "seat"),
            good.replace(&secret, &secret[1..]),
            good.replace(&secret, &secret.replace('a', "ä")),
            good.replace("secret = \"", "secret = "),
            format!("{good}{good}"),
            format!("{good}{}", "#".repeat(5000)),
        ] {
            let error = written(&bad, 0o600).expect_err(&bad);
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&secret[..8]), "{shown}");
        }
        let directory = tempfile::tempdir().expect("a directory");
        assert!(matches!(
            KeyFile::load(&directory.path().join("none")),
            Err(KeyFileError::NotFound(_))
        ));
        assert!(matches!(
            KeyFile::load(directory.path()),
            Err(KeyFileError::Malformed { .. })
        ));
    }
}

//! The directory on the bpf file system in which maps and links outlive the daemon.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::statfs;

use super::DatapathError;

/// Where the pins are unless the operator says otherwise.
pub const DEFAULT_DIRECTORY: &str = "/sys/fs/bpf/tandem";

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: i64 = 0xCAFE_4A11;

/// The pins of one datapath.
#[derive(Debug, Clone)]
pub struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Pins below `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directories, and makes sure that they can hold pins.
    ///
    /// # Errors
    /// [`DatapathError::NoBpfFs`], [`DatapathError::Permission`], [`DatapathError::Pin`].
    pub fn prepare(&self) -> Result<(), DatapathError> {
        let links = self.links();
        fs::create_dir_all(&links).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => DatapathError::Permission {
                what: format!("make the directory {}", links.display()),
            },
            _ => DatapathError::Pin {
                path: links.clone(),
                source,
            },
        })?;
        let facts = statfs(&links).map_err(|error| DatapathError::Pin {
            path: links.clone(),
            source: error.into(),
        })?;
        if facts.filesystem_type().0 as i64 & 0xFFFF_FFFF != BPF_FS_MAGIC {
            // What was just made would only be in the way of a mount; a failure to remove it harms nobody.
            let _ = fs::remove_dir(&links);
            let _ = fs::remove_dir(&self.directory);
            return Err(DatapathError::NoBpfFs {
                directory: self.directory.clone(),
            });
        }
        Ok(())
    }

    /// Path of a map's pin.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Path of the pin of the link to an interface.
    #[must_use]
    pub fn link(&self, interface: &str) -> PathBuf {
        // No interface name contains a slash, but the bpf file system allows no dot either.
        self.links().join(interface.replace('.', "@"))
    }

    fn links(&self) -> PathBuf {
        self.directory.join("links")
    }

    /// Interfaces to which links are pinned.
    ///
    /// # Errors
    /// [`DatapathError::Pin`].
    pub fn linked_interfaces(&self) -> Result<Vec<String>, DatapathError> {
        let path = self.links();
        let failed = |source| DatapathError::Pin {
            path: path.clone(),
            source,
        };
        let mut interfaces = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            interfaces.push(name.to_string_lossy().replace('@', "."));
        }
        Ok(interfaces)
    }

    /// Removes a pin, if there is one.
    ///
    /// # Errors
    /// [`DatapathError::Pin`].
    pub fn remove(&self, path: &Path) -> Result<(), DatapathError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DatapathError::Pin {
                path: path.to_owned(),
                source,
            }),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes everything: the interfaces are released, and the connections forgotten. Whether there was anything.
    ///
    /// # Errors
    /// [`DatapathError::Pin`].
    pub fn remove_all(&self) -> Result<bool, DatapathError> {
        if !self.directory.exists() {
            return Ok(false);
        }
        for interface in self.linked_interfaces()? {
            self.remove(&self.link(&interface))?;
        }
        for map in lb_common::abi::names::MAPS {
            self.remove(&self.map(map))?;
        }
        for directory in [self.links(), self.directory.clone()] {
            fs::remove_dir(&directory).map_err(|source| DatapathError::Pin {
                path: directory,
                source,
            })?;
        }
        Ok(true)
    }
}

//! The directory on the bpf file system in which maps and links outlive the daemon.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use lb_common::abi::names;
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    net::if_::if_indextoname,
    sys::{statfs::statfs, statvfs::FsFlags},
};

use super::{DatapathError, link};

/// Where the pins are unless the operator says otherwise.
pub const DEFAULT_DIRECTORY: &str = "/sys/fs/bpf/tandem";

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: i64 = 0xCAFE_4A11;
/// For the owner alone: whoever may open the directory may also lock it.
const MODE: u32 = 0o700;

/// The pins of one datapath.
#[derive(Debug, Clone)]
pub struct Pins {
    directory: PathBuf,
    /// Names of the maps that are pinned there.
    maps: &'static [&'static str],
}

/// The right to write to the pinned maps, which one process has at a time; dying gives it up.
#[derive(Debug)]
pub struct Claim {
    pins: Pins,
    /// Whether the pins go when the claim does.
    temporary: bool,
    _lock: Flock<File>,
}

impl Claim {
    /// The pins outlive the claim from now on.
    pub fn keep(&mut self) {
        self.temporary = false;
    }

    /// The pins go with the claim: nobody has put anything in force through them yet.
    pub(super) fn make_temporary(&mut self) {
        self.temporary = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = self.pins.remove_all()
        {
            tracing::warn!(%error, "cannot remove the maps that were made in vain");
        }
    }
}

impl Pins {
    /// Pins below `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::with_maps(directory, &names::MAPS)
    }

    /// Pins of these maps below `directory`.
    #[must_use]
    pub(super) fn with_maps(directory: impl Into<PathBuf>, maps: &'static [&'static str]) -> Self {
        Self {
            directory: directory.into(),
            maps,
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directories, makes sure that they can hold pins, and keeps everybody else from writing to them.
    ///
    /// # Errors
    /// [`DatapathError::NoBpfFs`], [`DatapathError::ReadOnly`], [`DatapathError::InUse`],
    /// [`DatapathError::Permission`], [`DatapathError::Pin`].
    pub fn claim(&self) -> Result<Claim, DatapathError> {
        self.check_file_system()?;
        loop {
            DirBuilder::new()
                .recursive(true)
                .mode(MODE)
                .create(&self.directory)
                .map_err(|source| self.failed("make the directory", &self.directory, source))?;
            if let Some(claim) = self.lock()? {
                let links = self.links();
                match fs::create_dir(&links) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(self.failed("make the directory", &links, error));
                    }
                    Ok(()) | Err(_) => return Ok(claim),
                }
            }
        }
    }

    /// The right to the pins there are; `None` when there are none.
    ///
    /// # Errors
    /// [`DatapathError::InUse`], [`DatapathError::Permission`], [`DatapathError::Pin`].
    pub fn claim_existing(&self) -> Result<Option<Claim>, DatapathError> {
        self.lock()
    }

    /// `None` when the directory is not there, or was removed by whoever had it locked.
    fn lock(&self) -> Result<Option<Claim>, DatapathError> {
        let path = &self.directory;
        let directory = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|source| self.failed("open", path, source))?,
        };
        let lock =
            Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
                Errno::EWOULDBLOCK => DatapathError::InUse {
                    directory: path.clone(),
                },
                error => self.failed("lock", path, error.into()),
            })?;
        let identity = |facts: fs::Metadata| (facts.dev(), facts.ino());
        let locked = lock.metadata().map(identity);
        let locked = locked.map_err(|source| self.failed("look at", path, source))?;
        if fs::metadata(path).map(identity).ok() != Some(locked) {
            return Ok(None);
        }
        Ok(Some(Claim {
            pins: self.clone(),
            temporary: false,
            _lock: lock,
        }))
    }

    /// Looks at what there is of the path, so that nothing is made where it would only be in the way of a mount.
    fn check_file_system(&self) -> Result<(), DatapathError> {
        for path in self.directory.ancestors() {
            let path = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            let facts = match statfs(path) {
                Ok(facts) => facts,
                Err(Errno::ENOENT) => continue,
                Err(error) => return Err(self.failed("look at", path, error.into())),
            };
            if facts.filesystem_type().0 as i64 & 0xFFFF_FFFF != BPF_FS_MAGIC {
                return Err(DatapathError::NoBpfFs {
                    directory: self.directory.clone(),
                });
            }
            if facts.flags().contains(FsFlags::ST_RDONLY) {
                return Err(DatapathError::ReadOnly {
                    directory: self.directory.clone(),
                });
            }
            return Ok(());
        }
        Err(DatapathError::NoBpfFs {
            directory: self.directory.clone(),
        })
    }

    fn failed(&self, what: &'static str, path: &Path, source: io::Error) -> DatapathError {
        match source.kind() {
            io::ErrorKind::PermissionDenied => DatapathError::PinPermission {
                what: format!("{what} {}", path.display()),
                directory: self.directory.clone(),
            },
            _ => DatapathError::Pin {
                what,
                path: path.to_owned(),
                source,
            },
        }
    }

    /// Path of a map's pin.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Path of the pin of the link to an interface.
    #[must_use]
    pub fn link(&self, interface: &str) -> PathBuf {
        self.links().join(link_name(interface))
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
        let failed = |source| self.failed("list", &path, source);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut interfaces = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            interfaces.push(interface_name(&name.to_string_lossy()));
        }
        Ok(interfaces)
    }

    /// Index of the interface to which the pin of the link to `interface` leads at present. It is another one when
    /// interfaces have changed names, and none when there is no pin, or when the interface is gone.
    #[must_use]
    pub(super) fn leads_to(&self, interface: &str) -> Option<u32> {
        link::ifindex(&self.link(interface)).ok().flatten()
    }

    /// ID of the program that the pinned link to `interface` has there; `None` when there is none, or nobody may ask.
    #[must_use]
    pub fn program_of(&self, interface: &str) -> Option<u32> {
        link::program(&self.link(interface)).ok()
    }

    /// Gives each pin of a link the name that its interface has now, and removes those whose interface is gone: a link
    /// stays with its interface whatever that is called.
    ///
    /// # Errors
    /// [`DatapathError::Pin`], [`DatapathError::PinPermission`].
    pub(super) fn follow_names(&self) -> Result<(), DatapathError> {
        let mut moved = Vec::new();
        for pinned in self.linked_interfaces()? {
            let path = self.link(&pinned);
            let ifindex =
                link::ifindex(&path).map_err(|source| self.failed("ask the link at", &path, source))?;
            let name = ifindex.and_then(|ifindex| Some((ifindex, if_indextoname(ifindex).ok()?)));
            match name {
                None => self.remove(&path)?,
                Some((_, name)) if name.to_str() == Ok(pinned.as_str()) => {}
                Some((ifindex, name)) => {
                    // Names may have been swapped. No interface has a colon in its name.
                    let aside = self.links().join(format!("renamed:{ifindex}"));
                    self.rename(&path, &aside)?;
                    moved.push((aside, self.link(&name.to_string_lossy())));
                }
            }
        }
        moved.iter().try_for_each(|(from, to)| self.rename(from, to))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DatapathError> {
        fs::rename(from, to).map_err(|source| self.failed("rename", from, source))
    }

    /// Removes a pin, if there is one.
    ///
    /// # Errors
    /// [`DatapathError::Pin`], [`DatapathError::PinPermission`].
    pub fn remove(&self, path: &Path) -> Result<(), DatapathError> {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", path, source))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes the links and the maps: the interfaces are released, and the connections forgotten.
    ///
    /// # Errors
    /// [`DatapathError::Pin`], [`DatapathError::PinPermission`].
    pub(super) fn clear(&self) -> Result<(), DatapathError> {
        for interface in self.linked_interfaces()? {
            self.remove(&self.link(&interface))?;
        }
        self.maps.iter().try_for_each(|map| self.remove(&self.map(map)))
    }

    /// Removes the links, the maps and the directories.
    ///
    /// # Errors
    /// [`DatapathError::Pin`], [`DatapathError::PinPermission`]; [`DatapathError::Strangers`] when all of ours is gone, and
    /// there is more.
    pub fn remove_all(&self) -> Result<(), DatapathError> {
        self.clear()?;
        for directory in [self.links(), self.directory.clone()] {
            match fs::remove_dir(&directory) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // It is where the file system is mounted.
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) => {
                    return Err(DatapathError::Strangers { directory });
                }
                Err(error) => return Err(self.failed("remove", &directory, error)),
            }
        }
        Ok(())
    }
}

/// What a link's pin is called: the bpf file system allows no dot, and no interface has a slash in its name.
fn link_name(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

fn interface_name(link: &str) -> String {
    link.replace("%2e", ".").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_has_a_pin_of_its_own() {
        for (interface, link) in [
            ("eth0", "eth0"),
            ("eth0.7", "eth0%2e7"),
            ("wan@1", "wan@1"),
            ("%2e", "%252e"),
            ("a%.b", "a%25%2eb"),
        ] {
            assert_eq!(link_name(interface), link);
            assert_eq!(interface_name(link), interface);
        }
    }

    #[test]
    fn nothing_is_made_where_there_is_no_bpf_file_system() {
        let directory = tempfile::tempdir().unwrap();
        let pins = Pins::new(directory.path().join("a/b"));
        assert!(matches!(pins.claim(), Err(DatapathError::NoBpfFs { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(matches!(pins.claim_existing(), Ok(None)));
    }
}

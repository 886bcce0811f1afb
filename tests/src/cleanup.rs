//! What a lab leaves on the machine, recorded so that it is removed whatever becomes of the process.
//!
//! Each lab has a directory `/run/tandem-lab/ID` with a file `owner`: a process, and what it calls the lab. A lab goes when it is dropped, when its process
//! exits or gets SIGINT, SIGTERM or SIGHUP, and otherwise when the next lab is made: that one first removes the labs
//! whose owner is dead. A process is known by its id and its start time, since ids are used again.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::mount::{MntFlags, umount2};

use crate::error::LabError;
use crate::netns;
use crate::process_table::{self, Identity};

/// Directories and sockets of the running labs.
const RUN: &str = "/run/tandem-lab";
/// Large files, which may not fit where `/run` is; a lab's id follows.
const DATA: &str = "/var/tmp/tandem-lab-";

/// The labs of this process that are still standing.
static STANDING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A lab's entry among the labs of this machine.
#[derive(Debug)]
pub(crate) struct Record {
    id: String,
}

impl Record {
    /// Removes the labs of dead processes, then takes the first free id for the lab called `name`.
    pub(crate) fn claim(name: &str) -> Result<Self, LabError> {
        let run = Path::new(RUN);
        // One process at a time removes or claims, so a directory without an owner was left by a dead one.
        let _lock = lock(run)?;
        let mut taken = Vec::new();
        for id in ids(run) {
            if owner(&id).is_some_and(Identity::is_alive) {
                taken.push(id);
            } else {
                remove(&id);
            }
        }
        let id = (1..)
            .map(|n| format!("tl{n}"))
            .find(|id| !taken.contains(id))
            .unwrap_or_default();
        let record = Self { id };
        let directory = record.directory();
        fs::create_dir(&directory).map_err(LabError::file("make", &directory))?;
        let owner = directory.join("owner");
        fs::write(&owner, format!("{}\n{name}\n", Identity::own()))
            .map_err(LabError::file("write", &owner))?;
        standing().push(record.id.clone());
        crate::farewell::arrange(remove_standing);
        Ok(record)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// For sockets, configuration and logs.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(RUN).join(&self.id)
    }

    /// For large files; made when first asked for.
    pub(crate) fn data_directory(&self) -> Result<PathBuf, LabError> {
        let path = data_directory(&self.id);
        fs::create_dir_all(&path).map_err(LabError::file("make", &path))?;
        Ok(path)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Removal under the lock: a signal that comes meanwhile waits for it.
        let mut standing = standing();
        standing.retain(|id| *id != self.id);
        remove(&self.id);
        remove_if_last();
    }
}

/// Makes the directory of all labs and locks it.
fn lock(run: &Path) -> Result<File, LabError> {
    loop {
        fs::create_dir_all(run).map_err(LabError::file("make", run))?;
        let Ok(directory) = File::open(run) else { continue };
        directory.lock().map_err(LabError::file("lock", run))?;
        let same = |meta: Metadata| {
            directory
                .metadata()
                .is_ok_and(|locked| locked.ino() == meta.ino())
        };
        // Otherwise the last lab's end has removed it meanwhile.
        if fs::metadata(run).is_ok_and(same) {
            return Ok(directory);
        }
    }
}

/// Removes the directory of all labs, unless there is one in it or about to be.
fn remove_if_last() {
    if let Ok(directory) = File::open(RUN)
        && directory.try_lock().is_ok()
    {
        let _ = fs::remove_dir(RUN);
    }
}

fn data_directory(id: &str) -> PathBuf {
    format!("{DATA}{id}").into()
}

fn standing() -> MutexGuard<'static, Vec<String>> {
    STANDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every lab of this process.
fn remove_standing() {
    let mut standing = standing();
    for id in standing.drain(..) {
        remove(&id);
    }
    remove_if_last();
}

fn ids(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| {
            name.strip_prefix("tl")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        })
        .collect()
}

fn owner(id: &str) -> Option<Identity> {
    let record = fs::read_to_string(Path::new(RUN).join(id).join("owner")).ok()?;
    record.lines().next()?.parse().ok()
}

/// Removes all that a lab left, as far as it goes; what could not be removed is told on stderr.
fn remove(id: &str) {
    let namespaces = namespaces(id);
    process_table::kill_inside(&namespaces);
    let directory = Path::new(RUN).join(id);
    let mut mounts = mounts_below(&directory);
    mounts.extend(namespaces.iter().cloned());
    for mount in &mounts {
        report(
            mount,
            umount2(mount, MntFlags::MNT_DETACH).map_err(io::Error::from),
        );
    }
    for namespace in &namespaces {
        report(namespace, fs::remove_file(namespace));
    }
    report(&directory, fs::remove_dir_all(&directory));
    let data = data_directory(id);
    report(&data, fs::remove_dir_all(&data));
}

fn report(path: &Path, result: io::Result<()>) {
    if let Err(error) = result
        // Not there, or a namespace's file that was never mounted on.
        && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
    {
        eprintln!("lab: cannot remove {}: {error}", path.display());
    }
}

/// The files in `/run/netns` of a lab's namespaces.
fn namespaces(id: &str) -> Vec<PathBuf> {
    let prefix = format!("{id}-");
    let entries = fs::read_dir(netns::DIRECTORY).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    ours.map(|entry| entry.path()).collect()
}

/// Mount points below a directory, the last mounted first.
fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    points
        .filter(|point| point.starts_with(directory) && point != directory)
        .collect()
}

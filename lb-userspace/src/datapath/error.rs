//! What can go wrong below.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, pin::PinError, programs::ProgramError};

use super::StepError;

/// Why the datapath could not be started or changed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// No permission.
    #[error(
        "no permission to {what}: run as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_NET_RAW"
    )]
    Permission {
        /// The attempt.
        what: String,
    },
    /// The kernel refused the object.
    #[error("the kernel refused the XDP program: {}", explain(.0))]
    Load(#[source] Box<EbpfError>),
    /// The kernel refused a program.
    #[error("the kernel refused to load the program `{program}`: {}", explain(.source))]
    Program {
        /// Its name.
        program: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// The classifiers for checks cannot be put on an interface.
    #[error("cannot send checks to VIPs by way of `{interface}`: {}", explain(.source))]
    CheckPath {
        /// The interface.
        interface: String,
        /// Why.
        source: Box<ProgramError>,
    },
    /// Checks are to go more ways than there is room for.
    #[error("cannot send checks to so many VIPs: expected 16384 VIPs, and backends in tunnels, at most")]
    TooManyCheckedVips,
    /// The object in this binary is not what the daemon expects.
    #[error("the eBPF object in this binary has no `{name}`: the build is broken")]
    Missing {
        /// Program, map or variable.
        name: &'static str,
    },
    /// A map could not be used.
    #[error("map {map}: {source}")]
    Map {
        /// Its name.
        map: &'static str,
        /// Why.
        source: Box<MapError>,
    },
    /// A map could not be mapped into memory.
    #[error("map {map} cannot be mapped into memory: {source}; is the kernel older than 5.5?")]
    Mmap {
        /// Its name.
        map: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The bpf file system is not there.
    #[error(
        "{directory} is not on a bpf file system, so the maps could not outlive the daemon; mount one with \
         `mount -t bpf bpf /sys/fs/bpf`, or name another directory with --bpffs"
    )]
    NoBpfFs {
        /// The directory.
        directory: PathBuf,
    },
    /// The bpf file system takes nothing.
    #[error(
        "{directory} is on a bpf file system that is mounted read-only; mount it anew with \
         `mount -o remount,rw /sys/fs/bpf`, or name another directory with --bpffs"
    )]
    ReadOnly {
        /// The directory.
        directory: PathBuf,
    },
    /// The pins belong to a process that lives.
    #[error(
        "another tandemd works with the maps below {directory}: stop it first (`tandem status` shows its process ID), or \
         name another directory with --bpffs"
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// There is something that `--detach` does not know.
    #[error(
        "balancing has ended, but {directory} holds what this version of tandemd did not make; if nobody needs it, \
         remove it with `rm -r {directory}`"
    )]
    Strangers {
        /// The directory.
        directory: PathBuf,
    },
    /// No permission in the directory.
    #[error(
        "no permission to {what}: run as root, or give {directory} to the user that tandemd runs as (and mount the bpf \
         file system with a mode that lets this user go there)"
    )]
    PinPermission {
        /// The attempt.
        what: String,
        /// The directory of the pins.
        directory: PathBuf,
    },
    /// A pin could not be made or removed.
    #[error("cannot {what} {path}: {source}")]
    Pin {
        /// The attempt.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pin could not be made.
    #[error("cannot pin below {directory}: {source}")]
    PinObject {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: Box<PinError>,
    },
    /// There are no maps to be read.
    #[error(
        "no director has its maps below {directory}: is tandemd running on this machine, and with another --bpffs?"
    )]
    NothingPinned {
        /// The directory.
        directory: PathBuf,
    },
    /// The pinned maps are of another version.
    #[error(
        "the maps below {directory} were made by another version of tandemd (layout {found}, this one has {expected}); \
         stop balancing with the old one first: `tandemd --detach`"
    )]
    Version {
        /// Where.
        directory: PathBuf,
        /// Their version.
        found: u64,
        /// Ours.
        expected: u32,
    },
    /// What the pinned maps say cannot be.
    #[error(
        "the maps below {directory} contradict themselves ({what}); stop balancing with `tandemd --detach` (which forgets \
         all connections) and start again"
    )]
    Corrupt {
        /// Where.
        directory: PathBuf,
        /// The contradiction.
        what: String,
    },
    /// A map of another size holds what cannot be moved.
    #[error(
        "the limit for {what} was {found} when balancing began and is {expected} now; set it back, or stop balancing \
         with `tandemd --detach` (which forgets all connections) and start again"
    )]
    Resized {
        /// Which limit.
        what: &'static str,
        /// What it was.
        found: u32,
        /// What it should be.
        expected: u32,
    },
    /// There is no such interface.
    #[error("interface `{interface}`: {source}; `ip link` lists those there are")]
    NoInterface {
        /// Its name.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// Another XDP program holds the interface.
    #[error(
        "interface `{interface}` already runs another XDP program; remove it with `ip link set dev {interface} xdp off` \
         (or, if it is pinned, by whoever pinned it)"
    )]
    Busy {
        /// Its name.
        interface: String,
    },
    /// The program could not be attached.
    #[error("cannot attach to interface `{interface}`: {}", explain(.source))]
    Attach {
        /// Its name.
        interface: String,
        /// Why.
        source: Box<ProgramError>,
    },
    /// The link cannot outlive the daemon.
    #[error(
        "this kernel attaches XDP programs to `{interface}` without a link (it is older than 5.9), so the program could \
         not outlive the daemon"
    )]
    NoLink {
        /// Its name.
        interface: String,
    },
    /// A step of a plan failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The program could not be run on a packet.
    #[error("cannot run the program on a packet: {0}")]
    TestRun(String),
    /// The clock program failed.
    #[error("cannot read the kernel's clock: {0}")]
    Clock(String),
}

/// The cause chain in one line: the last cause is the one that tells.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let line = error.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        source = error.source();
    }
    text
}

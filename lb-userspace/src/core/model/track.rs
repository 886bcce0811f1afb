//! What an instance depends on besides its own interface.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Something that is looked at again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// What is looked at.
    pub what: Tracked,
    /// Zero: while it fails, the director cannot hold the VIPs. Below zero: it is added to the priority while it fails; above,
    /// while it is well.
    pub weight: i16,
    /// Time between two looks.
    pub interval: Duration,
    /// How long a look may take.
    pub timeout: Duration,
    /// So many looks in a row have to be good until it is well.
    pub rise: u8,
    /// So many have to be bad until it fails.
    pub fall: u8,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tracked {
    /// Well while the interface is up and has a carrier.
    Interface(String),
    /// Well while this address answers pings.
    Ping(IpAddr),
    /// Well while there is such a file.
    File(PathBuf),
    /// Well while a process of this name runs.
    Process(String),
    /// Well while this program, which is run with its arguments, ends with the exit code 0.
    Program(Vec<String>),
}

impl Display for Tracked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "the interface {name}"),
            Self::Ping(address) => write!(f, "pings of {address}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Process(name) => write!(f, "the process {name}"),
            Self::Program(command) => write!(f, "the program {}", command.first().map_or("", String::as_str)),
        }
    }
}

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
    /// What its failure does.
    pub effect: Effect,
    /// Time between two looks.
    pub interval: Duration,
    /// How long a look may take.
    pub timeout: Duration,
    /// So many looks in a row have to be good until it is well.
    pub rise: u8,
    /// So many have to be bad until it fails.
    pub fall: u8,
}

/// What the failure of something does to a director's part in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// While it fails, the director cannot hold the VIPs.
    Fault,
    /// Not zero. Below zero it is added to the priority while it fails; above, while it is well.
    Priority(i16),
    /// While it fails, so many points are taken from the health score, which is 100 at most.
    Health(u8),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tracked {
    /// Well while the interface is up and has a carrier.
    Interface(String),
    /// Well while the kernel has a route to exactly this network.
    Route {
        /// The network's address, without host bits.
        network: IpAddr,
        /// Length of its prefix.
        prefix: u8,
    },
    /// Well while this address answers pings.
    Ping(IpAddr),
    /// Well while this address, on the instance's link, answers ARP or neighbour solicitations.
    Gateway(IpAddr),
    /// Well while there is such a file.
    File(PathBuf),
    /// Well while a process of this name runs.
    Process(String),
    /// Well while this program, which is run with its arguments, ends with the exit code 0.
    Program(Vec<String>),
    /// Well while the file system that has this path can be written to and has this much free, in percent.
    Disk {
        /// The path.
        path: PathBuf,
        /// How much has to be free.
        free: u8,
    },
    /// Well while so many percent of the backends behind the VIPs are reached by this director's checks.
    Backends(u8),
}

impl Display for Tracked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => write!(f, "the interface {name}"),
            Self::Route { network, prefix } => write!(f, "the route to {network}/{prefix}"),
            Self::Ping(address) => write!(f, "pings of {address}"),
            Self::Gateway(address) => write!(f, "the gateway {address}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Process(name) => write!(f, "the process {name}"),
            Self::Program(command) => write!(f, "the program {}", command.first().map_or("", String::as_str)),
            Self::Disk { path, .. } => write!(f, "the disk of {}", path.display()),
            Self::Backends(_) => f.write_str("the reach of backends"),
        }
    }
}

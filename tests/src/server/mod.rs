//! Servers that run on a lab's hosts. Each answers with the name of its host, so that a client knows who served it.

mod background;
mod digest;
pub mod dns;
pub mod grpc;
pub mod hold;
mod hostile;
pub mod mail;
pub mod nginx;
pub mod udp;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use digest::Digest;
pub use dns::DnsServer;
pub use grpc::GrpcHealth;
pub use hold::HoldServer;
pub use hostile::{Hostile, Malice};
pub use mail::MailServer;
pub use nginx::{Nginx, slow_byte};
pub use udp::UdpEcho;

use crate::error::LabError;
use crate::process::ProcessError;
use crate::wait::Timeout;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The host could not be used.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Its process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file it needs could not be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It cannot listen there.
    #[error("host {host} cannot listen on {address}: {source}")]
    Listen {
        /// The host.
        host: String,
        /// Where it was to listen.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// Its thread could not be started.
    #[error("cannot start the thread of a server: {0}")]
    Thread(#[source] io::Error),
    /// It did not answer in time.
    #[error(transparent)]
    Timeout(#[from] Timeout),
}

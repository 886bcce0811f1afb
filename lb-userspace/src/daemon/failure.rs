//! Why the daemon ends, and what its exit code says of it.

use std::{error::Error, io, process::ExitCode};

use super::{DirectorError, HaError, decap::DecapError};
use crate::{
    api::{NoGroup, SocketError},
    config::{ConfigError, KeyFileError},
    datapath::DatapathError,
    net::{NetlinkError, address::AddressError, monitor::MonitorError, packet::PacketError, vrrp::VrrpError},
};

/// The daemon, or what it was asked, failed.
const FAILURE: u8 = 1;
/// The configuration is wrong.
const CONFIGURATION: u8 = 2;
/// The system does not allow it.
const PERMISSION: u8 = 4;

/// Why the daemon ends.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What the daemon has to do is not allowed.
    #[error(
        "no permission to run a director: this process lacks {0}; run it as root, or have the service manager grant them \
         (AmbientCapabilities= of systemd)"
    )]
    Capabilities(String),
    /// The director cannot work.
    #[error(transparent)]
    Director(#[from] DirectorError),
    /// The datapath cannot be removed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The API's socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel's tables cannot be followed.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The kernel's tables cannot be changed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The pair.
    #[error(transparent)]
    Ha(#[from] HaError),
    /// The VIPs cannot be removed.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Who may use the socket.
    #[error(transparent)]
    Access(#[from] NoGroup),
    /// The keys of the cluster.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Nothing is unwrapped.
    #[error(transparent)]
    Decap(#[from] DecapError),
    /// A signal handler or the runtime.
    #[error("cannot set up the daemon: {0}")]
    Setup(#[from] io::Error),
}

impl DaemonError {
    /// As documented: 4 where permission lacks, 2 where keys or the command line are wrong, 1 otherwise.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if lacks_permission(self) {
            PERMISSION
        } else if matches!(self, Self::Keys(_) | Self::Access(_) | Self::Decap(_)) {
            CONFIGURATION
        } else {
            FAILURE
        })
    }
}

/// As documented: 4 where the file may not be read, 2 otherwise.
pub(super) fn exit_code_of(error: &ConfigError) -> ExitCode {
    ExitCode::from(match error {
        ConfigError::PermissionDenied(_) => PERMISSION,
        ConfigError::NotFound(_)
        | ConfigError::IsDirectory(_)
        | ConfigError::Unreadable { .. }
        | ConfigError::TooLarge(_)
        | ConfigError::NotUtf8 { .. }
        | ConfigError::Invalid(_) => CONFIGURATION,
    })
}

fn lacks_permission(error: &DaemonError) -> bool {
    match error {
        DaemonError::Capabilities(_) => true,
        DaemonError::Director(DirectorError::Datapath(error)) | DaemonError::Datapath(error) => matches!(
            error,
            DatapathError::Permission { .. } | DatapathError::PinPermission { .. }
        ),
        DaemonError::Director(DirectorError::Ha(error)) | DaemonError::Ha(error) => match error {
            HaError::Vrrp(
                VrrpError::Permission { .. } | VrrpError::Packet(PacketError::Permission { .. }),
            ) => true,
            HaError::Setup(error) => refusal(error),
            HaError::Vrrp(_) | HaError::Netlink(_) | HaError::Died | HaError::Busy => false,
        },
        DaemonError::Director(_) | DaemonError::Access(_) | DaemonError::Decap(_) => false,
        DaemonError::Netlink(error)
        | DaemonError::Address(AddressError::Netlink(error))
        | DaemonError::Monitor(MonitorError::Request(error)) => {
            matches!(error, NetlinkError::Permission { .. }) || was_refused(error)
        }
        DaemonError::Keys(error) => matches!(error, KeyFileError::PermissionDenied { .. }),
        DaemonError::Socket(error) => was_refused(error),
        DaemonError::Monitor(error) => was_refused(error),
        DaemonError::Address(_) => false,
        DaemonError::Setup(error) => refusal(error),
    }
}

/// Whether the cause is an answer of the system that says so.
fn was_refused(error: &dyn Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref() {
            return refusal(error);
        }
        source = error.source();
    }
    false
}

/// EACCES or EPERM.
fn refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_lack_of_permission_has_a_code_of_its_own() {
        let path = PathBuf::from("/run/tandem.sock");
        let socket = |errno| SocketError::Io {
            what: "listen on",
            path: path.clone(),
            source: io::Error::from_raw_os_error(errno),
        };
        let what = || "look".to_owned();
        for (error, lacks) in [
            (DatapathError::Permission { what: what() }.into(), true),
            (
                DaemonError::from(DirectorError::from(DatapathError::Permission { what: what() })),
                true,
            ),
            (socket(libc::EACCES).into(), true),
            (socket(libc::EPERM).into(), true),
            (socket(libc::ENOSPC).into(), false),
            (SocketError::InUse(path.clone()).into(), false),
            (NetlinkError::Permission { what: what() }.into(), true),
            (NetlinkError::Silent { what: what() }.into(), false),
            (io::Error::from_raw_os_error(libc::EMFILE).into(), false),
        ] {
            assert_eq!(lacks_permission(&error), lacks, "{error}");
        }
    }
}

//! Whether the director is in maintenance, which outlives the daemon.

use tracing::warn;

use super::state::StateDirectory;

const FILE: &str = "maintenance";
const ON: &[u8] = b"on\n";

/// Whether the director is in maintenance.
#[derive(Debug)]
pub(super) struct Maintenance {
    state: StateDirectory,
    is_on: bool,
}

impl Maintenance {
    /// As the daemon before left it.
    pub(super) fn open(state: StateDirectory) -> Self {
        let is_on = match state.read(FILE) {
            Ok(content) => content.as_deref() == Some(ON),
            Err(error) => {
                warn!(%error, "whether the director is in maintenance is not known: it takes part");
                false
            }
        };
        if is_on {
            warn!(
                "in maintenance, as before the restart: it takes no VIPs (`tandem ha maintenance off` ends that)"
            );
        }
        Self { state, is_on }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What cannot be kept is said, and holds until the daemon ends.
    pub(super) fn set(&mut self, is_on: bool) {
        self.is_on = is_on;
        let content = if is_on { ON } else { &b"off\n"[..] };
        if let Err(error) = self.state.replace(FILE, content) {
            warn!(%error, "a restart will not know of the maintenance");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintenance_outlives_the_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Maintenance::open(StateDirectory::new(directory.path()));
        let mut maintenance = open();
        assert!(!maintenance.is_on());
        maintenance.set(true);
        assert!(open().is_on());
        maintenance.set(false);
        assert!(!open().is_on());
    }
}

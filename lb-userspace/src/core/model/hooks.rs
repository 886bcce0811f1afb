//! Programs of the operator that are run when the VIPs of an instance come and go.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How long each may run where the instance does not say.
pub const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// The programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// With their arguments.
    pub commands: BTreeMap<Step, Vec<String>>,
    /// How long each may run.
    pub timeout: Duration,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            commands: BTreeMap::new(),
            timeout: DEFAULT_HOOK_TIMEOUT,
        }
    }
}

/// When a program is run, in the order in which that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Before VIPs are taken, or given away: it can say no.
    Test,
    /// Before VIPs are taken.
    PreAcquire,
    /// After VIPs were taken.
    PostAcquire,
    /// Before VIPs are given away; where they are lost, when they are.
    PreRelease,
    /// After VIPs were given away or lost.
    PostRelease,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Test,
        Self::PreAcquire,
        Self::PostAcquire,
        Self::PreRelease,
        Self::PostRelease,
    ];

    /// Its name in the configuration and in the environment of programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::PreAcquire => "pre_acquire",
            Self::PostAcquire => "post_acquire",
            Self::PreRelease => "pre_release",
            Self::PostRelease => "post_release",
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

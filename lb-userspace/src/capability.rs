//! What a process that is not root has to be allowed.

use std::{fmt, fs};

/// A capability (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capability {
    /// Its number (linux/capability.h).
    number: u32,
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is for here.
    pub(crate) what_for: &'static str,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.what_for)
    }
}

const fn capability(number: u32, name: &'static str, what_for: &'static str) -> Capability {
    Capability {
        number,
        name,
        what_for,
    }
}

/// Those that the daemon needs. For real-time priority and locked memory there are CAP_SYS_NICE and CAP_IPC_LOCK beside
/// them, or limits.
pub(crate) const NEEDED: [Capability; 4] = [
    capability(12, "CAP_NET_ADMIN", "attach programs and hold addresses"),
    capability(13, "CAP_NET_RAW", "announce addresses"),
    capability(38, "CAP_PERFMON", "load programs that read packets"),
    capability(39, "CAP_BPF", "load programs and make maps"),
];
const CAP_SYS_ADMIN: u32 = 21;
/// What CAP_SYS_ADMIN includes (capabilities(7)).
const IN_SYS_ADMIN: [u32; 2] = [38, 39];

/// The set of this process, a bit each; `None` where the kernel does not say.
pub(crate) fn effective() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let hexadecimal = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hexadecimal.trim(), 16).ok()
}

/// Whether a set has CAP_SYS_ADMIN, for what the kernel grants nobody else.
pub(crate) fn is_admin(effective: u64) -> bool {
    effective & 1 << CAP_SYS_ADMIN != 0
}

/// Those of [`NEEDED`] that a set lacks.
pub(crate) fn missing(effective: u64) -> Vec<Capability> {
    let has = |number: u32| effective & 1 << number != 0;
    let may = |number: u32| has(number) || has(CAP_SYS_ADMIN) && IN_SYS_ADMIN.contains(&number);
    NEEDED
        .into_iter()
        .filter(|capability| !may(capability.number))
        .collect()
}

/// For a sentence.
pub(crate) fn list(capabilities: &[Capability]) -> String {
    let texts: Vec<_> = capabilities.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

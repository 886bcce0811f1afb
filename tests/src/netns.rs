//! A network namespace: made by name, entered by threads and by child processes.

use std::fs::{self, File};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::LabError;
use crate::ip;

/// Where `ip netns` keeps the namespaces that have a name.
pub(crate) const DIRECTORY: &str = "/run/netns";

/// Settings of every namespace of a lab. An interface takes over `default` when it is made.
const SETTINGS: [(&str, &str); 15] = [
    // An address is usable at once: nobody else can have it.
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    // Addresses and routes are those the lab gives.
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    // An address outlives its link's going down, as it does with a network manager.
    ("ipv6/conf/all/keep_addr_on_down", "1"),
    ("ipv6/conf/default/keep_addr_on_down", "1"),
    // Direct return sends from a VIP that no route leads back to.
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Room for tens of thousands of connections between two addresses, opened in a burst.
    ("ipv4/ip_local_port_range", "1024 65535"),
    ("ipv4/tcp_max_syn_backlog", "65535"),
    ("core/somaxconn", "65535"),
    // Pings are no attack here.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/icmp_ratemask", "0"),
    ("ipv6/icmp/ratelimit", "0"),
];

/// A named network namespace, which its lab removes.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes the namespace, with the lab's settings and its loopback up.
    pub(crate) fn create(name: &str) -> Result<Self, LabError> {
        ip::batch(None, &[format!("netns add {name}")])?;
        let path = Path::new(DIRECTORY).join(name);
        let file = File::open(&path).map_err(LabError::file("open", &path))?;
        let namespace = Self {
            name: name.to_owned(),
            file,
        };
        namespace.enter(|| {
            SETTINGS
                .iter()
                .try_for_each(|(key, value)| write_setting(key, value))
        })??;
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// The name that `ip netns exec` knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The open namespace, for `setns`.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs `work` on a fresh thread inside the namespace and returns its value.
    ///
    /// A socket belongs for good to the namespace it was made in: what `work` returns can be used from anywhere.
    /// Only the network changes: `/sys/class/net` still shows the caller's interfaces. A panic of `work` is passed on.
    ///
    /// # Errors
    /// [`LabError::Namespace`] when the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        let done: Result<T, nix::Error> = thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name(self.name.clone())
                .spawn_scoped(scope, inside);
            worker
                .map_err(|_| nix::Error::EAGAIN)?
                .join()
                .unwrap_or_else(|panic| resume_unwind(panic))
        });
        done.map_err(|errno| LabError::Namespace {
            doing: "enter",
            name: self.name.clone(),
            source: io::Error::from(errno),
        })
    }

    /// Runs `ip` commands (without the leading `ip`) inside, in order.
    ///
    /// # Errors
    /// [`LabError::Ip`] with the first command that was refused; those before it stay done.
    pub fn ip<S: AsRef<str>>(&self, commands: &[S]) -> Result<(), LabError> {
        ip::batch(Some(&self.name), commands)
    }

    /// Sets a kernel parameter of this namespace: a path below `/proc/sys/net`, such as `ipv4/ip_forward`.
    ///
    /// # Errors
    /// [`LabError::File`] when there is no such parameter or it refuses the value.
    pub fn set(&self, parameter: &str, value: &str) -> Result<(), LabError> {
        self.enter(|| write_setting(parameter, value))?
    }
}

/// `/proc/sys/net` shows the namespace of the thread that looks.
fn write_setting(key: &str, value: &str) -> Result<(), LabError> {
    let path = PathBuf::from("/proc/sys/net").join(key);
    fs::write(&path, value).map_err(LabError::file("set", &path))
}

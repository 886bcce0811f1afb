//! Looking at the machine: thin, and without conclusions.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use nix::sys::{
    statfs::{BPF_FS_MAGIC, statfs},
    utsname::uname,
};

use super::{BpfFs, Daemon, Facts, Interface, Running, tables};
use crate::{
    api::{Client, ClientError},
    capability, config,
    core::model::{Config, Limits},
    datapath::{Kernel, MapSizes},
    net::{
        Netlink,
        link::{LinkError, LinkFacts},
    },
};

/// The smallest tables that the program can be loaded with.
const TRIAL: MapSizes = MapSizes {
    flows_v4: 2,
    flows_v6: 2,
    translations_v4: 2,
    translations_v6: 2,
    frontends: 1,
    services: 1,
    backends: 1,
    slot_lines: 1,
};

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Interfaces; if none is named, those of the configuration, or else of the daemon.
    pub interfaces: Vec<String>,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// Directory for pins.
    pub pins: PathBuf,
}

/// Looks at the machine and, if it runs, asks the daemon.
pub async fn gather(scope: &Scope, client: &Client) -> Facts {
    let daemon = ask(client).await;
    let (config, config_error) = match scope.config.as_deref().map(config::load) {
        None => (None, None),
        Some(Ok(loaded)) => (Some(loaded.config), None),
        Some(Err(error)) => (None, Some(error.to_string())),
    };
    let interfaces = interfaces(scope, config.as_ref(), &daemon);
    let limits = config.map_or_else(Limits::default, |config| config.limits);
    let tables_exist =
        daemon.running().is_some() || scope.pins.join(lb_common::abi::names::FLOWS_V4).exists();
    let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    let capabilities = capability::effective();
    Facts {
        kernel: uname().map_or_else(
            |error| error.to_string(),
            |name| name.release().to_string_lossy().into_owned(),
        ),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        bpffs: bpffs(&scope.pins),
        capabilities,
        jit: fs::read_to_string("/proc/sys/net/core/bpf_jit_enable")
            .ok()
            .and_then(|setting| setting.trim().parse().ok()),
        memory: field("/proc/meminfo", "MemAvailable:")
            .and_then(|kib| kib.parse::<u64>().ok())
            .map(|kib| kib << 10),
        tables: if tables_exist {
            0
        } else {
            tables::bytes(&MapSizes::new(&limits), cpus)
        },
        trial: trial(capabilities),
        config_error,
        interfaces: describe(interfaces).await,
        daemon,
    }
}

async fn ask(client: &Client) -> Daemon {
    let answers = async {
        Ok::<_, ClientError>(Running {
            status: client.status().await?,
            services: client.services().await?,
            backends: client.backends().await?,
            stats: client.stats().await?,
        })
    };
    match answers.await {
        Ok(running) => Daemon::Running(Box::new(running)),
        Err(ClientError::NotRunning { .. }) => Daemon::NotRunning,
        Err(error) => Daemon::Unknown(error.to_string()),
    }
}

fn interfaces(scope: &Scope, config: Option<&Config>, daemon: &Daemon) -> Vec<String> {
    if !scope.interfaces.is_empty() {
        return scope.interfaces.clone();
    }
    if let Some(config) = config {
        return config.director.interfaces.clone();
    }
    let of_daemon = daemon.running().map(|running| &running.status.interfaces);
    let names = of_daemon.into_iter().flatten();
    names.map(|interface| interface.name.clone()).collect()
}

async fn describe(names: Vec<String>) -> Vec<Interface> {
    let netlink = Netlink::open();
    let mut interfaces = Vec::new();
    for name in names {
        let interface = match &netlink {
            Ok(netlink) => describe_one(netlink, name).await,
            Err(error) => Interface {
                link: Err(error.to_string()),
                peer: None,
                name,
            },
        };
        interfaces.push(interface);
    }
    interfaces
}

async fn describe_one(netlink: &Netlink, name: String) -> Interface {
    let link = netlink.link_facts(&name).await;
    let other_end = link.as_ref().ok().and_then(peer_name);
    let peer = match other_end {
        Some(peer) => netlink.link_facts(peer).await.ok(),
        None => None,
    };
    let link = link.map_err(|error| match error {
        LinkError::NoInterface { .. } => "there is no such interface".to_owned(),
        LinkError::Netlink(error) => error.to_string(),
    });
    Interface { name, link, peer }
}

fn peer_name(link: &LinkFacts) -> Option<&str> {
    if link.kind.as_deref() != Some("veth") {
        return None;
    }
    link.lower.as_ref()?.name.as_deref()
}

/// The file system of the directory, or of the nearest one above that exists.
fn bpffs(directory: &Path) -> BpfFs {
    for directory in directory.ancestors() {
        match statfs(directory) {
            Ok(facts) if facts.filesystem_type() == BPF_FS_MAGIC => {
                return BpfFs::Mounted(directory.to_owned());
            }
            Ok(_) => return BpfFs::Other(directory.to_owned()),
            Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => return BpfFs::Unknown(directory.to_owned(), io::Error::from(error).to_string()),
        }
    }
    BpfFs::Other(directory.to_owned())
}

/// Loads the program, unless this user may not anyway.
fn trial(capabilities: Option<u64>) -> Option<Result<(), String>> {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_BPF: u64 = 1 << 39;
    if capabilities? & (CAP_SYS_ADMIN | CAP_BPF) == 0 {
        return None;
    }
    let outcome = Kernel::open(&TRIAL, None, None);
    Some(outcome.map(drop).map_err(|error| error.to_string()))
}

/// The word after `name` in a file of lines such as `MemAvailable: 1024 kB`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(str::to_owned)
}

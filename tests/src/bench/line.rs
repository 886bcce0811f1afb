//! Three hosts in a row: the first one sends, the middle one forwards, the last one takes.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    Host, Lab,
    bench::{
        machine,
        template::{CLIENT_MAC, Family},
    },
    cable::{End, join},
    interface::spell,
    prog_run::DIRECTOR_MAC,
    wait::wait_for_some,
};

/// What clients talk to.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The same, IPv6.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10);
const BACKENDS_PREFIXED: [&str; 6] = [
    "10.9.1.11/24",
    "10.9.1.12/24",
    "10.9.1.13/24",
    "2001:db8:9::11/64",
    "2001:db8:9::12/64",
    "2001:db8:9::13/64",
];
const SOURCE_PREFIXED: [&str; 2] = ["192.0.2.100/24", "2001:db8:1::100/64"];
const NEAR_PREFIXED: [&str; 2] = ["192.0.2.2/24", "2001:db8:1::2/64"];
const FAR_PREFIXED: [&str; 2] = ["10.9.1.1/24", "2001:db8:9::1/64"];
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);

/// What clients talk to, in this family.
#[must_use]
pub const fn vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(VIP),
        Family::V6 => IpAddr::V6(VIP6),
    }
}

/// The backends, which are one host.
#[must_use]
pub fn backends(family: Family) -> [IpAddr; 3] {
    [11, 12, 13].map(|number| match family {
        Family::V4 => Ipv4Addr::new(10, 9, 1, number).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, u16::from(number) + 6).into(),
    })
}

/// The forwarder's MAC address towards the backends.
pub const FAR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xDD, 2];
/// The backends' MAC address.
pub const BACKEND_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xBB, 1];

/// What links carry unless they are told.
const MTU: usize = 1500;
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Most bytes that a tunnel's headers take.
const TUNNEL: usize = 40;

/// For a thread of the kernel to appear.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who works where.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    /// CPU of the hosts at both ends.
    pub ends: usize,
    /// CPU of what forwards.
    pub forwarder: usize,
}

impl Cpus {
    /// The first CPU that this process may use, and the last.
    ///
    /// # Errors
    /// When there is only one.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut usable = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
        let (first, last) = (usable.next(), usable.next_back());
        let (ends, forwarder) = first.zip(last).context(
            "this process may use one CPU: what forwards needs one, and what it forwards for another",
        )?;
        Ok(Self { ends, forwarder })
    }
}

/// The hosts.
pub struct Line {
    /// Sends.
    pub source: Host,
    /// Its interface.
    pub from: String,
    /// Forwards.
    pub forwarder: Host,
    /// Its interface towards the source.
    pub near: String,
    /// Its interface towards the backends.
    pub far: String,
    /// All backends.
    pub backend: Host,
    /// Its interface.
    pub end: String,
    /// Last, so that it outlives the hosts.
    _lab: Lab,
}

impl Line {
    /// Makes the hosts; nothing forwards yet.
    ///
    /// # Errors
    /// What the lab says.
    pub fn build() -> Result<Self> {
        static BUILT: AtomicU32 = AtomicU32::new(0);
        let lab = Lab::new("bench-line")?;
        let (source, forwarder, backend) =
            (lab.host("source")?, lab.host("forwarder")?, lab.host("backend")?);
        // The kernel names its threads after interfaces, of whatever network.
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let name = |letter| format!("{letter}{:04x}{number:x}", process::id() & 0xFFFF);
        let (from, near, far, end) = (name('s'), name('n'), name('f'), name('b'));
        join(
            &End {
                host: &source,
                name: &from,
                mac: CLIENT_MAC,
                addresses: &SOURCE_PREFIXED,
            },
            &End {
                host: &forwarder,
                name: &near,
                mac: DIRECTOR_MAC,
                addresses: &NEAR_PREFIXED,
            },
        )?;
        join(
            &End {
                host: &forwarder,
                name: &far,
                mac: FAR_MAC,
                addresses: &FAR_PREFIXED,
            },
            &End {
                host: &backend,
                name: &end,
                mac: BACKEND_MAC,
                addresses: &BACKENDS_PREFIXED,
            },
        )?;
        backend
            .namespace()
            .ip(&[format!("route add default via {FAR} dev {end}")])?;
        source.namespace().ip(&[
            format!("route add 10.9.1.0/24 via {NEAR} dev {from}"),
            // Not everything that forwards packets for the VIP also says where it is.
            neighbour(VIP.into(), DIRECTOR_MAC, &from),
            neighbour(VIP6.into(), DIRECTOR_MAC, &from),
        ])?;
        // Nobody has to ask, and whoever is asked may be an XDP program.
        for family in [Family::V4, Family::V6] {
            let known = backends(family).map(|backend| neighbour(backend, BACKEND_MAC, &far));
            forwarder.namespace().ip(&known)?;
        }
        Ok(Self {
            source,
            from,
            forwarder,
            near,
            far,
            backend,
            end,
            _lab: lab,
        })
    }

    /// Makes room for frames of so many bytes on all links, and behind the forwarder for those of tunnels.
    ///
    /// # Errors
    /// What the system refused.
    pub fn carry(&self, longest: usize) -> Result<()> {
        let needed = longest.saturating_sub(ETHERNET);
        for (host, interface, mtu) in [
            (&self.source, &self.from, needed),
            (&self.forwarder, &self.near, needed),
            (&self.forwarder, &self.far, needed + TUNNEL),
            (&self.backend, &self.end, needed + TUNNEL),
        ] {
            if mtu > MTU {
                host.namespace()
                    .ip(&[format!("link set {interface} mtu {mtu}")])?;
            }
        }
        Ok(())
    }

    /// Has a thread of its own poll an interface of the forwarder, on a CPU of its own: what it costs to forward what comes there
    /// is this thread's CPU time. Something that takes frames must be on the interface already.
    ///
    /// # Errors
    /// When the kernel knows no such threads (before Linux 5.12).
    pub fn poll_apart(&self, interface: &str, cpu: usize) -> Result<Poller> {
        let mut command = self.forwarder.command("sh")?;
        let setting = format!("echo 1 > /sys/class/net/{interface}/threaded");
        let output = command.args(["-c", &setting]).output()?;
        ensure!(
            output.status.success(),
            "no thread can poll {interface}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Poller::of(interface, cpu)
    }
}

/// What tells a host who is where.
fn neighbour(address: IpAddr, mac: [u8; 6], interface: &str) -> String {
    format!(
        "neigh replace {address} lladdr {} dev {interface} nud permanent",
        spell(mac)
    )
}

/// A thread of the kernel that polls an interface.
pub struct Poller(i32);

impl Poller {
    /// Finds the thread, and has it run on this CPU alone, before all else.
    fn of(interface: &str, cpu: usize) -> Result<Self> {
        let name = format!("napi/{interface}");
        let pid = wait_for_some(PATIENCE, format!("the thread {name}"), || find(&name))?;
        let mut only = CpuSet::new();
        only.set(cpu)?;
        sched_setaffinity(Pid::from_raw(pid), &only)
            .with_context(|| format!("moving {name} to CPU {cpu}"))?;
        machine::come_first(pid)?;
        Ok(Self(pid))
    }

    /// Time that it has run.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu_time(&self) -> Result<Duration> {
        time_of(&format!("/proc/{}/schedstat", self.0))
    }
}

/// CPU time of all threads of a process so far.
///
/// # Errors
/// When it is gone.
pub fn cpu_time_of(process: u32) -> Result<Duration> {
    let tasks = format!("/proc/{process}/task");
    let threads = fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))?;
    threads
        .flatten()
        .map(|thread| time_of(&thread.path().join("schedstat").display().to_string()))
        .sum()
}

/// The first field of a schedstat (Documentation/scheduler/sched-stats.rst).
fn time_of(path: &str) -> Result<Duration> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    Ok(Duration::from_nanos(
        nanoseconds.with_context(|| format!("{path} begins with no number"))?,
    ))
}

/// The process of this name, cut after 15 bytes, which may have a number behind it.
fn find(name: &str) -> Option<i32> {
    let is_it = |pid: &i32| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.starts_with(name))
    };
    let pids = fs::read_dir("/proc").ok()?.flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(is_it)
}

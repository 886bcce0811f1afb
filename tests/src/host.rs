//! A host: a namespace with interfaces, a directory and a BPF file system of its own.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::LabError;
use crate::interface::Interface;
use crate::netns::Namespace;
use crate::process::{Process, ProcessError};
use crate::switch::Switch;
use crate::tool;

/// A machine of the lab; a clone is the same host.
#[derive(Debug, Clone)]
pub struct Host {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    number: u8,
    namespace: Namespace,
    run_dir: PathBuf,
    bpffs: PathBuf,
    interfaces: Mutex<Vec<Interface>>,
}

impl Host {
    pub(crate) fn create(
        name: &str,
        number: u8,
        namespace: Namespace,
        run_dir: PathBuf,
    ) -> Result<Self, LabError> {
        let bpffs = run_dir.join("bpf");
        fs::create_dir_all(&bpffs).map_err(LabError::file("make", &bpffs))?;
        mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>)
            .map_err(|errno| LabError::file("mount a BPF file system on", &bpffs)(errno.into()))?;
        let interfaces = Mutex::default();
        let shared = Shared {
            name: name.to_owned(),
            number,
            namespace,
            run_dir,
            bpffs,
            interfaces,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The name given to [`Lab::host`](crate::Lab::host).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The host's network.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// A directory for this host's sockets, configuration and logs, which goes with the lab.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.shared.run_dir
    }

    /// The host's own BPF file system. The host's processes see it at `/sys/fs/bpf`, the caller at this path.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.shared.bpffs
    }

    /// Gives the host its next interface (`eth0`, then `eth1`, …), on `switch`, with addresses such as `192.0.2.1/24`.
    ///
    /// # Errors
    /// [`LabError::Address`], or what the system refused.
    pub fn connect(&self, switch: &Switch, addresses: &[&str]) -> Result<Interface, LabError> {
        let mut interfaces = self
            .shared
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let interface = Interface::create(self, interfaces.len(), switch, addresses)?;
        interfaces.push(interface.clone());
        Ok(interface)
    }

    /// The interface of that name.
    ///
    /// # Errors
    /// [`LabError::NoInterface`].
    pub fn interface(&self, name: &str) -> Result<Interface, LabError> {
        let interfaces = self
            .shared
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = interfaces.iter().find(|interface| interface.name() == name);
        found.cloned().ok_or_else(|| LabError::NoInterface {
            host: self.name().to_owned(),
            interface: name.to_owned(),
        })
    }

    /// Sets the longest packet that an interface and its switch port take, in bytes.
    ///
    /// # Errors
    /// [`LabError::NoInterface`], or what the system refused: an XDP program may not bear with long frames.
    pub fn set_mtu(&self, interface: &str, mtu: u16) -> Result<(), LabError> {
        let interface = self.interface(interface)?;
        interface
            .switch()
            .namespace()
            .ip(&[format!("link set {} mtu {mtu}", interface.port())])?;
        self.namespace()
            .ip(&[format!("link set {} mtu {mtu}", interface.name())])
    }

    /// The first IPv4 address the host was connected with.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses().into_iter().find_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
    }

    /// The first IPv6 address the host was connected with.
    #[must_use]
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        self.addresses().into_iter().find_map(|ip| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        })
    }

    /// The addresses the host was connected with, in the order they were given.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let interfaces = self
            .shared
            .interfaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        interfaces
            .iter()
            .flat_map(Interface::addresses)
            .map(|address| address.ip)
            .collect()
    }

    /// Whether the address is on one of its interfaces now, whoever put it there.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn has_address(&self, address: impl Into<IpAddr>) -> Result<bool, LabError> {
        let address: IpAddr = address.into();
        let output = self.command("ip")?.args(["-o", "address", "show"]).output();
        let output = output.map_err(|source| LabError::Run {
            tool: "ip".to_owned(),
            source,
        })?;
        let shown = String::from_utf8_lossy(&output.stdout);
        let mut addresses = shown.split_whitespace().filter_map(|word| word.split('/').next());
        Ok(addresses.any(|word| word.parse() == Ok(address)))
    }

    /// Takes packets for `vips` that reach it, and never tells the network so: a backend behind direct return.
    ///
    /// The addresses are put on the loopback. ARP is answered only for addresses of the interface that was asked
    /// (`arp_ignore`) and sent only from those (`arp_announce`); the kernel's neighbour discovery is so by itself.
    ///
    /// # Errors
    /// What the system refused.
    pub fn accept_vips(&self, vips: &[IpAddr]) -> Result<(), LabError> {
        self.namespace().set("ipv4/conf/all/arp_ignore", "1")?;
        self.namespace().set("ipv4/conf/all/arp_announce", "2")?;
        let assign = |vip: &IpAddr| match vip {
            IpAddr::V4(vip) => format!("address replace {vip}/32 dev lo"),
            IpAddr::V6(vip) => format!("address replace {vip}/128 dev lo nodad"),
        };
        self.namespace().ip(&vips.iter().map(assign).collect::<Vec<_>>())
    }

    /// Runs `work` on a fresh thread inside the host's network: see [`Namespace::enter`].
    ///
    /// # Errors
    /// [`LabError::Namespace`] when the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.namespace().enter(work)
    }

    /// A command that will run on this host, with the host's network, `/sys` and `/sys/fs/bpf`.
    ///
    /// Run it with `output()` or `status()` for something short, with [`spawn`](Self::spawn) for what is to stay.
    /// It is killed when the thread that started it ends, and so also when the process does.
    ///
    /// # Errors
    /// [`LabError::MissingTool`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command, LabError> {
        let mut command = Command::new(tool::find(program.as_ref())?);
        let host = self.clone();
        let bpffs = CString::new(self.bpffs().as_os_str().as_bytes()).map_err(|error| LabError::Run {
            tool: program.as_ref().to_string_lossy().into_owned(),
            source: error.into(),
        })?;
        let parent = nix::unistd::getpid();
        let move_in = move || {
            nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent {
                // The parent died before the line above could count.
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            // SAFETY: `host`, which this closure owns, keeps the file open.
            let namespace = unsafe { BorrowedFd::borrow_raw(host.namespace().file().as_raw_fd()) };
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            own_sys(&bpffs).map_err(io::Error::from)
        };
        // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
        unsafe { command.pre_exec(move_in) };
        Ok(command)
    }

    /// Starts a command made by [`command`](Self::command) and keeps it running until the handle is dropped.
    ///
    /// Its output goes to `NAME.log` in [`run_dir`](Self::run_dir). It dies with this process, however that ends.
    ///
    /// # Errors
    /// [`ProcessError`] when it cannot be started.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Process, ProcessError> {
        Process::start(name, command, &self.run_dir().join(format!("{name}.log")))
    }

    /// Addresses of the lab are locally administered, and read `host:interface` in a capture.
    pub(crate) fn mac(&self, interface: usize) -> [u8; 6] {
        [
            0x02,
            0x7a,
            0x6c,
            0x00,
            self.shared.number,
            u8::try_from(interface).unwrap_or(u8::MAX),
        ]
    }
}

/// Gives the process a `/sys` that shows its network, with the host's BPF file system in it.
fn own_sys(bpffs: &std::ffi::CStr) -> nix::Result<()> {
    const NOTHING: Option<&std::ffi::CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted from here on stays in here.
    mount(
        NOTHING,
        c"/",
        NOTHING,
        MsFlags::MS_SLAVE | MsFlags::MS_REC,
        NOTHING,
    )?;
    // Where nothing was mounted there is nothing to take off.
    let _ = umount2(c"/sys", MntFlags::MNT_DETACH);
    mount(Some(c"sysfs"), c"/sys", Some(c"sysfs"), MsFlags::empty(), NOTHING)?;
    mount(Some(bpffs), c"/sys/fs/bpf", NOTHING, MsFlags::MS_BIND, NOTHING)
}

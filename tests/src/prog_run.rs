//! Runs of the real XDP program in the real kernel on packets that never were on a wire (`BPF_PROG_TEST_RUN`).
//!
//! A [`Rig`] has its own maps. A test says what goes in, and what comes out: action, bytes, and exactly which counters
//! moved.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use lb_common::{
    abi::Event,
    flow_state::FlowState,
    flow_table::{Bucket, Control, Entry, Snapshot},
    packet::FlowKey,
    reason::Reason,
};
use lb_userspace::{
    core::{
        model::{Connections, Forward, Frontend},
        neighbour::{Egress, Mac, NextHop},
        plan::{Desired, DesiredBackend, DesiredService, Inventory, Planner},
        schedule::{Scheduler, Scheduling},
        timeouts::Timeouts,
    },
    datapath::{FragmentPath, Kernel, MapSizes, backend_of},
};

/// Interface by which packets of a test run come in: the loopback device of the namespace.
pub const INGRESS: u32 = 1;

/// What the program said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `XDP_ABORTED`: never on purpose.
    Aborted,
    /// `XDP_DROP`.
    Drop,
    /// `XDP_PASS`.
    Pass,
    /// `XDP_TX`.
    Tx,
    /// `XDP_REDIRECT`.
    Redirect,
}

/// What became of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What the program said.
    pub action: Action,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
    /// The counters that moved, by name, and by how much: `reason.…`, `event.…`, `backend.ADDRESS.packets|bytes|flows`.
    pub counted: BTreeMap<String, u64>,
}

/// A flow as the program left it in its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Its backend.
    pub backend: IpAddr,
    /// Its state.
    pub state: FlowState,
}

/// The program with maps of its own.
pub struct Rig {
    /// The datapath.
    pub kernel: Kernel,
    fragments: FragmentPath,
    planner: Planner,
    backends: BTreeMap<u32, IpAddr>,
}

/// Maps that are large enough for tests.
pub const SIZES: MapSizes = MapSizes {
    flows_v4: 1024,
    flows_v6: 1024,
    translations_v4: 64,
    translations_v6: 64,
    frontends: 256,
    services: 64,
    backends: 256,
    slot_lines: 16_384,
};

impl Rig {
    /// Loads the program.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn new(sizes: &MapSizes) -> Result<Self> {
        let kernel = Kernel::open(sizes, None, None).context("loading the XDP program")?;
        Self::of(kernel, sizes)
    }

    /// Another form of the program, with maps of its own.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn variant(&self, object: &[u8], sizes: &MapSizes) -> Result<Self> {
        let kernel = self.kernel.variant(object, sizes);
        Self::of(kernel.context("loading the changed XDP program")?, sizes)
    }

    fn of(mut kernel: Kernel, sizes: &MapSizes) -> Result<Self> {
        let fragments = kernel.fragments()?;
        let planner = Planner::new(
            1,
            kernel.clock().hz(),
            sizes.services,
            sizes.backends,
            &Inventory::default(),
        );
        Ok(Self {
            kernel,
            fragments,
            planner,
            backends: BTreeMap::new(),
        })
    }

    /// Puts these services in force.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn configure(&mut self, desired: &Desired) -> Result<()> {
        for step in self.planner.plan(desired)? {
            self.kernel.tables.apply(&step)?;
        }
        self.backends = self
            .kernel
            .tables
            .inventory()
            .backends
            .into_iter()
            .map(|(n, b)| (n, b.address))
            .collect();
        Ok(())
    }

    /// Runs the program on one packet.
    ///
    /// # Errors
    /// When the kernel does not take the packet (shorter than 14 bytes, longer than some 60 kB).
    pub fn run(&mut self, packet: &[u8]) -> Result<Outcome> {
        self.run_behind(0, packet)
    }

    /// Runs the program on one packet behind so many bytes (a multiple of four, at most 252) of metadata, by which the room
    /// in front of it is less than the usual 256 bytes.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_behind(&mut self, metadata: u8, packet: &[u8]) -> Result<Outcome> {
        let before = self.counters()?;
        let (action, packet) = run_program(self.kernel.program()?, metadata, packet)?;
        let mut counted = self.counters()?;
        counted.retain(|name, value| {
            *value -= before.get(name).copied().unwrap_or(0);
            *value > 0
        });
        Ok(Outcome {
            action,
            packet,
            counted,
        })
    }

    /// Runs the program on one packet that it is to forward, and reads no counters: see [`Handle::send`].
    ///
    /// # Errors
    /// When the kernel does not take the packet.
    pub fn send(&mut self, packet: &[u8]) -> Result<Option<u8>> {
        self.handle()?.send(packet)
    }

    /// Another handle on the program, for another thread.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn handle(&mut self) -> Result<Handle> {
        let program = self.kernel.program()?.fd()?;
        Ok(Handle(program.as_fd().try_clone_to_owned()?))
    }

    /// The flow with this key, if the program made one: every place of the table is looked at, whatever its hash.
    #[must_use]
    pub fn flow(&self, key: &FlowKey) -> Option<Flow> {
        let tables = &self.kernel.tables;
        let flow = |control: Control, backend: Option<u32>| Flow {
            backend: self.backends[&backend.expect("a translated flow has its translation")],
            state: control.state(),
        };
        living(&tables.flows_v4)
            .find(|found| FlowKey::from(found.key) == *key)
            .map(|found| {
                let backend = backend_of(&tables.translations_v4, &found.key, found.control);
                flow(found.control, backend)
            })
            .or_else(|| {
                let found = living(&tables.flows_v6).find(|found| FlowKey::from(found.key) == *key)?;
                let backend = backend_of(&tables.translations_v6, &found.key, found.control);
                Some(flow(found.control, backend))
            })
    }

    /// Empties both flow tables, and with them the counts of flows.
    pub fn forget_flows(&self) {
        self.kernel.tables.forget_counts();
        self.fragments.forget();
        self.kernel.tables.forget_flows();
    }

    fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let totals = self.kernel.totals()?;
        let reasons = Reason::ALL
            .iter()
            .map(|&r| (format!("reason.{}", r.slug()), totals.reason(r)));
        let events = Event::ALL
            .iter()
            .map(|&e| (format!("event.{}", e.slug()), totals.event(e)));
        let mut all: BTreeMap<_, _> = reasons.chain(events).collect();
        for (&number, address) in &self.backends {
            let backend = self.kernel.backend_totals(number)?;
            for (name, value) in [
                ("packets", backend.packets),
                ("bytes", backend.bytes),
                ("flows", backend.flows),
            ] {
                *all.entry(format!("backend.{address}.{name}")).or_default() += value;
            }
        }
        Ok(all)
    }
}

/// Runs a program on one packet behind so many bytes of metadata: what it said, and the packet as it left it.
///
/// # Errors
/// When the kernel does not take the packet.
pub fn run_program(program: &Xdp, metadata: u8, packet: &[u8]) -> Result<(Action, Vec<u8>)> {
    let input = [vec![0; metadata.into()], packet.to_vec()].concat();
    let mut output = vec![0; input.len() + 256];
    // `xdp_md` (linux/bpf.h): data, data_end, data_meta, and which interface and queue, which are the usual ones.
    let context = [metadata.into(), input.len() as u32, 0, 0, 0, 0].map(u32::to_ne_bytes);
    let mut options = TestRunOptions::new();
    options.data_in = Some(&input);
    options.data_out = Some(&mut output);
    if metadata > 0 {
        options.ctx_in = Some(context.as_flattened());
    }
    let result = program.test_run(options).context("running the program")?;
    output.truncate(result.data_size_out as usize);
    output.drain(..usize::from(metadata));
    let action = match result.return_value {
        1 => Action::Drop,
        2 => Action::Pass,
        3 => Action::Tx,
        4 => Action::Redirect,
        _ => Action::Aborted,
    };
    Ok((action, output))
}

/// The program, apart from its maps.
#[derive(Debug)]
pub struct Handle(OwnedFd);

/// `BPF_PROG_TEST_RUN` in `enum bpf_cmd`, and its part of `union bpf_attr` (linux/bpf.h).
const TEST_RUN: i32 = 10;

#[repr(C)]
struct TestRunRequest {
    program: u32,
    return_value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

impl Handle {
    /// Runs the program on one packet that it is to forward; the number of the backend in its MAC address, which is
    /// [`backend_mac`]'s. `None` when the packet went nowhere.
    ///
    /// # Errors
    /// When the kernel does not take the packet.
    pub fn send(&self, packet: &[u8]) -> Result<Option<u8>> {
        let mut output = vec![0; packet.len() + 256];
        let mut request = TestRunRequest {
            program: self.0.as_raw_fd().cast_unsigned(),
            return_value: 0,
            data_size_in: packet.len() as u32,
            data_size_out: output.len() as u32,
            data_in: packet.as_ptr().expose_provenance() as u64,
            data_out: output.as_mut_ptr().expose_provenance() as u64,
            repeat: 1,
            duration: 0,
        };
        // SAFETY: the request is valid for its size, and both buffers for theirs.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                TEST_RUN,
                &raw mut request,
                size_of::<TestRunRequest>(),
            )
        };
        ensure!(
            failed == 0,
            "running the program: {}",
            std::io::Error::last_os_error()
        );
        let sent = matches!(request.return_value, 3 | 4) && output[..5] == backend_mac(0)[..5];
        Ok(sent.then_some(output[5]))
    }
}

fn living<E: Entry>(table: &[Bucket<E>]) -> impl Iterator<Item = Snapshot<E::Key>> {
    table
        .iter()
        .flat_map(|bucket| &bucket.entries)
        .filter_map(E::snapshot)
}

/// A MAC address for the n-th backend of a test.
#[must_use]
pub fn backend_mac(n: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 0xBB, n]
}

/// The director's MAC address in tests.
pub const DIRECTOR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xDD, 1];

/// The director's address in tests, of the same family as `backend`.
#[must_use]
pub fn director_address(backend: IpAddr) -> IpAddr {
    match backend {
        IpAddr::V4(_) => IpAddr::from([10, 0, 0, 254]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0xd, 2]),
    }
}

/// What the kernel would know of a backend on the link `ifindex`.
#[must_use]
pub fn on_link(backend: IpAddr, mac: [u8; 6], ifindex: u32) -> Egress {
    Egress::Resolved(NextHop {
        ifindex,
        ifname: format!("if{ifindex}"),
        source_mac: Mac(DIRECTOR_MAC),
        dest_mac: Mac(mac),
        via: backend,
        source: Some(director_address(backend)),
        mtu: 1500,
    })
}

/// One service at these frontends with backends of equal weight, 10.0.0.1 and following, all on the link `ifindex`.
#[must_use]
pub fn one_service(frontends: &[Frontend], backends: u8, ifindex: u32) -> Desired {
    let addresses = (1..=backends).map(|n| (n, IpAddr::from([10, 0, 0, n])));
    Desired {
        services: vec![DesiredService {
            name: "web".to_owned(),
            frontends: frontends.to_vec(),
            areas: Vec::new(),
            scheduling: Scheduling::new(Scheduler::Maglev, 65_537),
            timeouts: Timeouts::default(),
            forward: Forward::Dr,
            pool: None,
            connections: Connections::default(),
            backends: addresses
                .clone()
                .map(|(_, address)| DesiredBackend::new(address, 100))
                .collect(),
        }],
        egress: addresses
            .map(|(n, address)| (address, on_link(address, backend_mac(n), ifindex)))
            .collect(),
        leases: BTreeMap::new(),
    }
}

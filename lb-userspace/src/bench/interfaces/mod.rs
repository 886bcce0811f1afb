//! Packets out of a real interface, through whatever is behind it, and into another or the same.
//!
//! Two programs are attached, by links that go with this process: one to the receiving interface, which counts and ends marked
//! packets and passes all others; one to the sending interface, which passes everything, since drivers send frames for XDP only
//! while they have a program. Where a driver has no XDP, a packet socket sends. Nothing else changes on the machine.

mod refusal;
pub mod report;
mod slide;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use aya::{Ebpf, EbpfLoader, programs::xdp::XdpMode};

pub use self::refusal::{Refusal, examine_admin};
use self::{
    refusal::{Asked, Seen, examine, examine_permissions},
    report::{Port, Report, Row, Settings},
};
use super::{
    frames::{Frames, Kind, mean_length},
    front::{OBJECT, Wire, load, xdp},
    generator::{Flows, Generator, IN_A_PAGE, Pace, Priority},
    machine::{self, Machine},
    search::no_drop_rate,
    sink::{Admit, Sink},
    trial::{Delay, LOADS, Trial},
};
use crate::{
    capability,
    core::neighbour::Mac,
    net::{Netlink, link::LinkFacts, solicit},
};

/// Where packets go that nobody is to balance: RFC 2544's other network, and the port for what is to be discarded.
const NOBODY: ([u8; 4], u16) = ([198, 19, 0, 1], 9);
/// For an answer to who has an address.
const ANSWER: Duration = Duration::from_secs(2);
/// For the first packet to come: some drivers take their link down to get a program.
const FIRST: Duration = Duration::from_secs(10);
/// Packets a second before anything counts.
const WARM_UP_RATE: f64 = 50_000.0;
const WARM_UP: Duration = Duration::from_millis(500);

/// How an interface sends or receives, as results say it: by its driver's XDP, or by a socket.
const NATIVE: &str = "native";
const SOCKET: &str = "packet socket";

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Interface that packets leave by.
    pub tx: String,
    /// Interface that they come back by.
    pub rx: String,
    /// Service of a director that they are sent to; else they are sent to `rx` itself.
    pub to: Option<SocketAddr>,
    /// MAC address that they are sent to; else it is asked for.
    pub mac: Option<Mac>,
    /// What they are.
    pub kind: Kind,
    /// Whose they are.
    pub flows: Flows,
    /// Which packets.
    pub frames: Frames,
    /// Times that as many are sent as can be.
    pub rounds: usize,
    /// How long each time.
    pub turn: Duration,
    /// The share that may be lost at the no-drop rate.
    pub tolerated: f64,
    /// CPU that sends; else the last.
    pub cpu: Option<usize>,
    /// Whether a packet socket sends, although the driver may have XDP.
    pub packet_socket: bool,
    /// Whether an interface with a default route may be filled.
    pub allow_default_route: bool,
}

/// Interfaces that were looked at, and are fit.
#[derive(Debug, Clone)]
pub struct Ready {
    options: Options,
    tx: LinkFacts,
    rx: LinkFacts,
    to: SocketAddr,
    mac: Mac,
}

/// Looks at the interfaces, and for who is to get the packets.
///
/// # Errors
/// When something would not work, or would harm.
pub async fn prepare(options: Options) -> Result<Ready, Refusal> {
    examine_permissions(capability::effective())?;
    let netlink = Netlink::open()?;
    let (tx, rx) = (
        see(&netlink, &options.tx).await?,
        see(&netlink, &options.rx).await?,
    );
    let asked = Asked {
        allow_default_route: options.allow_default_route,
        has_target: options.to.is_some(),
        longest: options.frames.longest(),
    };
    examine(&tx, &rx, asked)?;
    let (tx, rx) = (tx.facts, rx.facts);
    let asked_for = match (options.mac, options.to) {
        (Some(mac), _) => Some(mac),
        (None, None) => rx.mac,
        (None, Some(to)) => solicit::solicit(to.ip(), &options.tx, ANSWER).ok(),
    };
    let to = options.to.unwrap_or_else(|| NOBODY.into());
    let mac = asked_for.ok_or_else(|| Refusal::Unanswered {
        interface: options.tx.clone(),
        address: to.ip(),
    })?;
    Ok(Ready {
        options,
        tx,
        rx,
        to,
        mac,
    })
}

async fn see(netlink: &Netlink, interface: &str) -> Result<Seen, Refusal> {
    let facts = netlink.link_facts(interface).await?;
    let is_default = netlink.is_default(facts.ifindex).await?;
    Ok(Seen { facts, is_default })
}

/// Measures, on the calling thread; `tell` hears what is being done.
///
/// # Errors
/// When a driver refuses, or nothing comes back.
pub fn run(ready: &Ready, mut tell: impl FnMut(&str)) -> Result<Report> {
    let Ready { options, tx, rx, .. } = ready;
    let cpu = machine::pin(options.cpu)?;
    let mark = rand::random::<u64>() | 1;
    let (mut sink, mode) = attach_sink(&options.rx, mark)?;
    let (_sending, by) = if options.packet_socket || options.frames.longest() > IN_A_PAGE {
        (None, SOCKET)
    } else if tx.ifindex == rx.ifindex {
        (None, if mode == NATIVE { NATIVE } else { SOCKET })
    } else {
        attach_pass(tx)?.map_or((None, SOCKET), |program| (Some(program), NATIVE))
    };
    let generator = |wire| {
        let source = tx.mac.context("an Ethernet interface has a MAC address")?;
        let mut mix = options.frames.packets(options.kind, ready.to)?;
        for (template, _) in &mut mix {
            template.address(source.0, ready.mac.0);
            template.mark(mark);
        }
        let make = if by == SOCKET {
            Generator::by_socket
        } else {
            Generator::new
        };
        make(tx.ifindex, cpu, Priority::Ordinary, &mix, options.flows, wire)
    };
    let mut plain = generator(Wire::Plain)?;
    tell("waiting for the first packets");
    wait_for_packets(ready, &mut plain, &sink)?;
    let mut trials = Vec::new();
    for round in 1..=options.rounds {
        tell(&format!(
            "as many as it goes: round {round} of {}",
            options.rounds
        ));
        trials.push(Trial::run(&mut plain, &sink, Pace::Full, options.turn)?);
    }
    let highest = trials.iter().map(|trial| trial.received as f64 / trial.seconds);
    tell("the highest rate without loss");
    let rate = no_drop_rate(highest.fold(0.0, f64::max) * 1.05, options.tolerated, |rate| {
        Trial::run(&mut plain, &sink, Pace::Rate(rate), options.turn)
    })?;
    let mut delays = Vec::new();
    if let Some(rate) = rate {
        let mut stamped = generator(Wire::Stamped)?;
        for load in LOADS {
            tell(&format!("how long packets take at {:.0} % of that", load * 100.0));
            sink.note_delays(true)?;
            Trial::run(&mut stamped, &sink, Pace::Rate(rate * load), options.turn)?;
            delays.extend(Delay::of(load, &sink.delays()?));
        }
    }
    let port = |facts: &LinkFacts, mode: &'static str| Port {
        interface: facts.name.clone(),
        driver: facts.driver.clone(),
        mtu: facts.mtu,
        mode: mode.to_owned(),
    };
    Ok(Report {
        machine: Machine::describe(cpu)?,
        tx: port(tx, by),
        rx: port(rx, mode),
        settings: Settings {
            to: options.to,
            mac: ready.mac.to_string(),
            flows: match options.flows {
                Flows::Random(flows) => Some(flows),
                Flows::Each => None,
            },
            kind: options.kind.name().to_owned(),
            frames: options.frames.describe(),
            mean_length: mean_length(&options.frames.packets(options.kind, ready.to)?),
            rounds: options.rounds,
            turn_milliseconds: options.turn.as_secs_f64() * 1000.0,
            tolerated_loss: options.tolerated,
        },
        rows: Row::of(&trials),
        loss_at_full: Trial::loss_of(&trials),
        mpps_without_loss: rate.map(|rate| rate / 1e6),
        delays,
    })
}

/// In the driver, or else where every driver has it: slower, and it is said.
fn attach_sink(interface: &str, mark: u64) -> Result<(Sink, &'static str)> {
    let admit = Admit::Marked(mark);
    match Sink::attach(interface, admit, XdpMode::Driver) {
        Ok(sink) => Ok((sink, NATIVE)),
        Err(_) => Ok((Sink::attach(interface, admit, XdpMode::Skb)?, "generic")),
    }
}

/// `None` where the driver has no XDP.
fn attach_pass(tx: &LinkFacts) -> Result<Option<Ebpf>> {
    let mut ebpf = EbpfLoader::new()
        .load(OBJECT)
        .context("the kernel refused the benchmark's maps")?;
    load(&mut ebpf, "floor_empty")?;
    let attached = xdp(&mut ebpf, "floor_empty")?.attach(&tx.name, XdpMode::Driver);
    Ok(attached.is_ok().then_some(ebpf))
}

fn wait_for_packets(ready: &Ready, generator: &mut Generator, sink: &Sink) -> Result<()> {
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < FIRST {
        let trial = Trial::run(generator, sink, Pace::Rate(WARM_UP_RATE), WARM_UP)?;
        if trial.received > 0 {
            return Ok(());
        }
        sent += trial.sent;
    }
    let Options { tx, rx, to, .. } = &ready.options;
    let hint = if to.is_some() {
        "ask the director what became of them (`tandem stats`, `tandem flow`), and see that its backend is this interface's address"
    } else {
        "are they on one cable or in one VLAN?"
    };
    bail!(
        "none of {sent} packets that left {tx} for {} came back to {rx}: {hint}",
        ready.mac
    )
}

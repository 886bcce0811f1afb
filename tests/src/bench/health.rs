//! What health costs: from a verdict to the packet path, and the probes themselves.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::{
    core::{
        health::{Judge, Probe, ProbeTarget, Timing, Verdict, Watch, WatchKey},
        model::{Forward, Frontend, Protocol},
        plan::Desired,
    },
    datapath::MapSizes,
    probe::{Marks, Prober, Watches},
};
use serde::Serialize;

use super::{
    reaction::{self, Reaction},
    stats::Summary,
    world,
};
use crate::prog_run::{Rig, SIZES};

/// How health is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Backends of the service.
    pub backends: u32,
    /// How many of them fail at once.
    pub failing: u32,
    /// Probes at intervals of two seconds.
    pub probes: u32,
    /// How often failures are measured.
    pub rounds: usize,
    /// How long probes are.
    pub watch: Duration,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Milliseconds from one verdict to the packet path.
    pub one_fails_ms: Summary,
    /// The same where many fail at once.
    pub many_fail_ms: Summary,
    /// The same in a living daemon.
    pub reaction: Reaction,
    /// Share of a core that the thread of probes takes.
    pub probes_cpu: f64,
    backends: u32,
    failing: u32,
    probes: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, what: String, summary: &Summary| {
            writeln!(
                f,
                "{what:<44} {:>7.2} ms  ({:.2} .. {:.2})",
                summary.median, summary.min, summary.max
            )
        };
        line(
            f,
            format!("one backend of {} fails", self.backends),
            &self.one_fails_ms,
        )?;
        line(
            f,
            format!("{} backends of {} fail at once", self.failing, self.backends),
            &self.many_fail_ms,
        )?;
        line(
            f,
            format!("from the verdict on one of {}, living", self.backends),
            &self.reaction.one_ms,
        )?;
        writeln!(
            f,
            "{:<44} {:>7.2} ms  each of {} changes, while checks find it",
            format!("{} of {} cease to answer, living", self.failing, self.backends),
            self.reaction.many_total_ms / self.reaction.many_changes.max(1) as f64,
            self.reaction.many_changes
        )?;
        writeln!(
            f,
            "{:<44} {:>7.1} % of a core",
            format!("{} TCP probes, one each 2 s", self.probes),
            self.probes_cpu * 100.0
        )
    }
}

/// Measures.
///
/// # Errors
/// Without root, or when probes do not do what they should.
pub fn run(options: &Options) -> Result<Report> {
    let sizes = MapSizes {
        backends: options.backends.max(256),
        ..SIZES
    };
    let mut rig = Rig::new(&sizes)?;
    let mut measure = |failing: u32| -> Result<Summary> {
        let mut samples = Vec::new();
        for round in 0..options.rounds as u32 {
            rig.configure(&desired(options.backends, 0..0)?)?;
            // What was in force is not written again while packets may still read it.
            thread::sleep(Duration::from_millis(30));
            let first = (round * failing % (options.backends - failing).max(1)) as usize;
            let failed = desired(options.backends, first..first + failing as usize)?;
            let start = Instant::now();
            rig.configure(&failed)?;
            samples.push(start.elapsed().as_secs_f64() * 1000.0);
            thread::sleep(Duration::from_millis(30));
        }
        Summary::of(&samples).context("at least one round")
    };
    Ok(Report {
        one_fails_ms: measure(1)?,
        many_fail_ms: measure(options.failing)?,
        reaction: reaction::run(options)?,
        probes_cpu: probes(options)?,
        backends: options.backends,
        failing: options.failing,
        probes: options.probes,
    })
}

/// A service over so many backends, of which those of these numbers take no new flows.
fn desired(backends: u32, down: Range<usize>) -> Result<Desired> {
    let frontend = Frontend {
        vip: Ipv4Addr::new(192, 0, 2, 10).into(),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let mut desired = world::desired(&[vec![frontend]], backends, Forward::Dr)?;
    let members = desired
        .services
        .iter_mut()
        .flat_map(|service| &mut service.backends);
    for backend in members.skip(down.start).take(down.len()) {
        backend.weight = 0;
    }
    Ok(desired)
}

/// The share of a core that so many TCP probes take, at intervals of two seconds, by the accounts of their thread. The server's
/// side of the loopback is in it.
fn probes(options: &Options) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection);
        }
    });
    let interval = Duration::from_secs(2);
    let watch = |number: u32| {
        let [_, b, c, d] = (number + 1).to_be_bytes();
        let address = IpAddr::from([127, b + 1, c, d]);
        let key = WatchKey {
            service: "bench".into(),
            backend: address,
            check: 0,
        };
        let watch = Watch {
            target: Arc::new(ProbeTarget {
                address,
                port,
                route: None,
                probe: Probe::Tcp,
            }),
            timing: Timing {
                interval,
                fast_interval: interval,
                timeout: Duration::from_secs(1),
            },
            judge: Judge {
                rise: 2,
                fall: 3,
                damping: Duration::ZERO,
            },
            assumed: Verdict::Unknown,
        };
        (key, watch)
    };
    let watches: Watches = (0..options.probes).map(watch).collect();
    let mut prober = Prober::start()?;
    prober.watch(watches, Marks::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut up = 0;
    runtime.block_on(async {
        for _ in 0..options.probes {
            let news = prober.next().await;
            up += u32::from(news.report.finding.verdict == Verdict::Up);
        }
    });
    ensure!(up == options.probes, "{up} of {} probes succeed", options.probes);
    let (before, start) = (cpu_time("tandem-probe")?, Instant::now());
    thread::sleep(options.watch);
    let (after, passed) = (cpu_time("tandem-probe")?, start.elapsed());
    Ok((after - before).as_secs_f64() / passed.as_secs_f64())
}

/// CPU time of this process's thread of that name so far.
fn cpu_time(name: &str) -> Result<Duration> {
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if fs::read_to_string(path.join("comm"))?.trim_end() == name {
            let text = fs::read_to_string(path.join("schedstat"))?;
            let nanoseconds = text.split_whitespace().next().context("an empty schedstat")?;
            return Ok(Duration::from_nanos(nanoseconds.parse()?));
        }
    }
    anyhow::bail!("there is no thread {name}")
}

//! From the verdict of a check to the packet path, in a living daemon, as it says itself.

use std::{fmt::Write as _, thread, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::{health::Options, stats::Summary};
use crate::{
    Tandem,
    server::Nginx,
    topology::{OneDirector, VIP4},
    wait_for,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions how many backends are ready.
const PAUSE: Duration = Duration::from_millis(250);

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Reaction {
    /// Milliseconds from the verdict on one backend to the packet path.
    pub one_ms: Summary,
    /// How often the schedule was made anew when many backends ceased to answer at once: their checks find it out one after
    /// the other, within an interval.
    pub many_changes: u64,
    /// How long that took in all.
    pub many_total_ms: f64,
}

/// A director, and a host that has the addresses of all backends.
struct World {
    lab: OneDirector,
    tandem: Tandem,
    backends: u32,
}

fn address(number: u32) -> String {
    format!("10.9.{}.{}", number / 250, number % 250 + 1)
}

/// Measures.
///
/// # Errors
/// Without root, or when backends are not found to be as they are.
pub fn run(options: &Options) -> Result<Reaction> {
    let lab = OneDirector::build("bench-health", 0, 1)?;
    let backend = &lab.backends[0];
    let hop = backend.ipv4().context("an address")?;
    // All of them are behind one next hop, so that the kernel need not look up each.
    lab.director
        .namespace()
        .ip(&[format!("route add 10.9.0.0/16 via {hop}")])?;
    backend.namespace().ip(&["route add local 10.9.0.0/16 dev lo"])?;
    let _server = Nginx::start(backend, &["0.0.0.0:80".parse()?], None)?;
    let mut config = format!(
        "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[[service]]\nname = \"web\"\nlisten = [\"{VIP4}:80\"]\n\
         forward = \"nat\"\ncheck = {{ type = \"tcp\", interval = \"2s\", timeout = \"1s\", rise = 1, fall = 1, damping = \"0s\" }}\n"
    );
    for number in 0..options.backends {
        write!(config, "[[service.backend]]\naddress = \"{}\"\n", address(number))?;
    }
    let world = World {
        tandem: Tandem::start(&lab.director, &config)?,
        backends: options.backends,
        lab,
    };
    world.wait_for_ready(options.backends)?;
    let mut samples = Vec::new();
    for round in 0..options.rounds as u32 {
        let victim = round * 7 % options.backends..round * 7 % options.backends + 1;
        for lives in [false, true] {
            let (changes, total) = world.react(victim.clone(), lives)?;
            samples.push(total / changes.max(1) as f64);
        }
    }
    let (many_changes, many_total_ms) = world.react(0..options.failing, false)?;
    Ok(Reaction {
        one_ms: Summary::of(&samples).context("at least one round")?,
        many_changes,
        many_total_ms,
    })
}

impl World {
    fn wait_for_ready(&self, expected: u32) -> Result<()> {
        let mut last = Value::Null;
        // Who asks without a pause is answered at the expense of what is measured.
        let mut pause = Duration::ZERO;
        wait_for(PATIENCE, format!("{expected} backends to be ready"), || {
            thread::sleep(std::mem::replace(&mut pause, PAUSE));
            last = self.tandem.ask(&["service"]).unwrap_or_default();
            last[0]["backends_ready"] == expected
        })
        .with_context(|| last.to_string())?;
        Ok(())
    }

    /// Lets these backends, all others being well, cease to answer or answer again; how often the packet path was told of
    /// it, and how long that took in all, in milliseconds.
    fn react(&self, victims: std::ops::Range<u32>, live: bool) -> Result<(u64, f64)> {
        let before = self.reaction()?;
        let verb = if live { "del" } else { "add" };
        let routes: Vec<String> = victims
            .clone()
            .map(|number| format!("route {verb} blackhole {}/32 table local", address(number)))
            .collect();
        self.lab.backends[0].namespace().ip(&routes)?;
        self.wait_for_ready(self.backends - if live { 0 } else { victims.len() as u32 })?;
        let after = self.reaction()?;
        Ok((after.0 - before.0, after.1 - before.1))
    }

    fn reaction(&self) -> Result<(u64, f64)> {
        let stats = self.tandem.ask(&["stats"])?;
        let reaction = &stats["reaction"];
        Ok((
            reaction["changes"].as_u64().context("a number of changes")?,
            reaction["total_ms"].as_f64().context("a time")?,
        ))
    }
}

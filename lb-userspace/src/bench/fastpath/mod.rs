//! Nanoseconds a packet on the way through the XDP program, by `BPF_PROG_TEST_RUN`.
//!
//! A *case* is a program behind a [`front`](super::front), with a [`template`](super::template) of its packets and what must
//! happen to them. [`measure`] runs all cases in turn, again and again, and checks the counters; [`cases`] says which there
//! are, and [`scenes`] on which directors they play; [`living`] measures a copy of a director that lives. [`report`] shows what
//! came out, and `slide` draws it.

mod cases;
pub mod living;
pub mod measure;
pub mod memory;
pub mod report;
mod scenes;
mod slide;
pub mod world;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use self::{
    cases::all_cases,
    measure::{Case, Effort, Scene, Subject, measure},
    memory::Memory,
    report::{Report, Settings},
    scenes::{Templates, make_world},
};
pub use self::{cases::in_words, scenes::LARGE_BACKENDS_EACH};
use super::machine::{self, Machine};

/// Fewest flows: the new flows of a turn are a small part of them, and their time must stand out from that of a call.
pub const MIN_FLOWS: u32 = 50_000;
/// Most flows that there may be: their table has twice as many places.
pub const MAX_FLOWS: u32 = 1 << 28;

/// Most services: their schedule tables take a gibibyte.
pub const MAX_SERVICES: u16 = 1 << 12;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Flows in each flow table: half as many as it has places.
    pub flows: u32,
    /// Services of the large director; a power of two, at most [`MAX_SERVICES`].
    pub services: u16,
    /// Times that each case has its turn.
    pub rounds: usize,
    /// Only cases whose name contains this, and what they are compared with.
    pub filter: Option<String>,
    /// CPU to measure on.
    pub cpu: Option<usize>,
}

/// CPU time of a turn, in nanoseconds: rather many turns than long ones, so that a disturbance of the machine is an
/// outlier among many samples.
const TURN: f64 = 40e6;

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// When the program does not load, the options make no sense, or a case did not do what it claims to measure.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    ensure!(
        (MIN_FLOWS..=MAX_FLOWS).contains(&options.flows),
        "the number of flows must be from {MIN_FLOWS} to {MAX_FLOWS}, not {}",
        options.flows
    );
    ensure!(
        options.services.is_power_of_two() && options.services <= MAX_SERVICES,
        "the number of services must be a power of two from 1 to {MAX_SERVICES}, not {}",
        options.services
    );
    ensure!(options.rounds > 0, "without a round there is no result");
    let machine = Machine::describe(machine::pin(options.cpu)?)?;
    let templates = Templates::new(options.services)?;
    let cases = selected(all_cases(&templates, options), options.filter.as_deref());
    ensure!(
        !cases.is_empty(),
        "no case has `{}` in its name; without --filter all are measured",
        options.filter.as_deref().unwrap_or_default()
    );
    let scenes = [Scene::Small, Scene::Large, Scene::Ipip, Scene::Gue, Scene::Nat];
    let needed = |scene: &Scene| cases.iter().any(|case| case.subject == Subject::Director(*scene));
    let scenes: Vec<Scene> = scenes.into_iter().filter(needed).collect();
    let bytes = scenes.iter().map(|&scene| scenes::bytes(scene, options)).sum();
    machine::ensure_memory(bytes, "fewer flows take less (--flows)")?;
    let mut worlds = BTreeMap::new();
    for scene in scenes {
        tell("making flows");
        worlds.insert(scene, make_world(scene, &templates, options)?);
    }
    let memory = match worlds.values_mut().next() {
        Some(world) => Some(Memory::of(world.kernel())?),
        None => None,
    };
    let effort = Effort {
        rounds: options.rounds,
        turn: TURN,
        // A sixteenth of the residents: so the table stays half full.
        new_flows: (options.flows / 16).max(1),
    };
    let outcomes = measure(cases, &mut worlds, &effort, |round| {
        tell(&format!("round {} of {}", round + 1, options.rounds));
    })?;
    let settings = Settings {
        flows: options.flows,
        services: options.services,
        rounds: options.rounds,
        turn_milliseconds: TURN / 1e6,
        living: None,
    };
    Ok(Report::new(machine, settings, &outcomes, memory))
}

/// The cases whose name contains the text, and those that they are compared with.
fn selected(cases: Vec<Case>, filter: Option<&str>) -> Vec<Case> {
    let Some(text) = filter else { return cases };
    let mut names: Vec<String> = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(text)) {
        names.push(case.name.clone());
        names.extend([case.floor, case.small].into_iter().flatten().map(str::to_owned));
    }
    cases
        .into_iter()
        .filter(|case| names.contains(&case.name))
        .collect()
}

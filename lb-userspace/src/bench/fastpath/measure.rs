//! Running the cases in turn, and checking that each did what its name says.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lb_common::reason::{Fate, Reason};
use serde::{Deserialize, Serialize};

use super::world::{Counted, World};
use crate::bench::{
    front::{Floor, Front, Target, Wrapping},
    machine::Stillness,
    stats::Summary,
    template::{Order, Payload, Template},
};

/// linux/bpf.h
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// Packets of the first run of a case, which finds out how long a packet takes.
const TRIAL: u32 = 200_000;

/// Calls that find out what a call costs, and their packets: for one alone, the kernel leaves out what it does for a
/// repeated run (it makes the call of the program a direct one, which interrupts all CPUs: some hundred microseconds).
const CALLS: usize = 15;
const CALL_PACKETS: u32 = 2;

/// Runs of a turn: with a small flow table it would take many, and each waits for the kernel for some milliseconds.
const MOST_RUNS: u32 = 4;

/// The share of residents that may be missing from the flow table while new flows are measured.
const TOLERATED: f64 = 0.01;

/// Turns that a case has in a round, if none passes without a disturbance.
const ATTEMPTS: usize = 3;

/// Directors to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// One service.
    Small,
    /// Many services with many backends.
    Large,
    /// One service whose packets go into IPIP.
    Ipip,
    /// One service whose packets go into GUE.
    Gue,
    /// One service with NAT.
    Nat,
    /// One service, and a program that notes nothing for other directors.
    Mute,
    /// A copy of one that lives.
    Living,
}

/// Which program a case measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A floor.
    Floor(Floor),
    /// The daemon's program.
    Director(Scene),
}

/// What must happen to every packet of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It goes to a backend, by an entry of the flow table.
    Forwarded,
    /// It goes to a backend, and is the first of its flow.
    Scheduled,
    /// It goes back to a client.
    Returned,
    /// It is not forwarded, for this reason.
    Refused(Reason),
}

/// Something to be measured.
#[derive(Debug, Clone)]
pub struct Case {
    /// Short and unique.
    pub name: String,
    /// Which program.
    pub subject: Subject,
    /// What that puts in front of packets.
    pub wrapping: Wrapping,
    /// Its packets.
    pub template: Template,
    /// Flows to choose from.
    pub flows: u32,
    /// What must happen; of no consequence for a floor.
    pub expected: Expected,
    /// Name of the floor that this case stands on.
    pub floor: Option<&'static str>,
    /// Nanoseconds above the floor that it should not exceed.
    pub target: Option<f64>,
    /// Name of the same case on a small director.
    pub small: Option<&'static str>,
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Times that each case has its turn.
    pub rounds: usize,
    /// CPU time of a turn, in nanoseconds.
    pub turn: f64,
    /// New flows that may be in the table at once beside those that were there.
    pub new_flows: u32,
}

/// What a case cost.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// One a round.
    pub samples: Vec<Sample>,
    /// The share of packets whose flow took another's place in the flow table.
    pub evicting: f64,
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Nanoseconds a packet.
    pub nanoseconds: f64,
    /// Whether the CPU was ours alone, and nobody had the kernel measure BPF programs.
    pub still: bool,
}

/// A case that is ready to run.
struct Lane {
    case: Case,
    front: Front,
    /// Packets of a turn.
    packets: u32,
    /// CPU time of a call beside its packets, in nanoseconds.
    call: f64,
    samples: Vec<Sample>,
    /// Whether the kernel measured BPF programs for somebody since this was last false.
    accounted: bool,
    /// Packets so far, and those whose flow took another's place.
    total: u64,
    evicting: u64,
}

/// Measures the cases: in each round all of them, one after the other, so that whatever disturbs the machine for a while
/// disturbs all alike. `progress` is called before each round with its number.
///
/// # Errors
/// When a program refuses to run, or a case did not do what it claims to measure.
pub fn measure(
    cases: Vec<Case>,
    worlds: &mut BTreeMap<Scene, World>,
    effort: &Effort,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Outcome>> {
    let call = cost_of_a_call()?;
    let mut lanes = Vec::new();
    for case in cases {
        lanes.push(Lane::new(case, worlds, effort, call)?);
    }
    let mut stillness = Stillness::new()?;
    for round in 0..effort.rounds {
        progress(round);
        for lane in &mut lanes {
            lane.take_turn(worlds, effort, &mut stillness)?;
        }
    }
    let outcomes = lanes.into_iter().map(|lane| Outcome {
        case: lane.case,
        samples: lane.samples,
        evicting: lane.evicting as f64 / lane.total.max(1) as f64,
    });
    Ok(outcomes.collect())
}

/// CPU time of a call beside its packets, in nanoseconds: the same for every case.
fn cost_of_a_call() -> Result<f64> {
    let template = Template::v4([198, 18], [192, 0, 2, 1], Payload::Udp(9))?;
    let mut front = Front::new(
        &template,
        1,
        Order::Random,
        &Target::Floor(Floor::Empty),
        Wrapping::Bare,
    )?;
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(front.run(CALL_PACKETS)?.nanoseconds);
    }
    Ok(Summary::of(&calls).map_or(0.0, |calls| calls.median))
}

impl Lane {
    fn new(case: Case, worlds: &mut BTreeMap<Scene, World>, effort: &Effort, call: f64) -> Result<Self> {
        let order = match case.expected {
            Expected::Scheduled => Order::Rising,
            Expected::Forwarded | Expected::Returned | Expected::Refused(_) => Order::Random,
        };
        let program;
        let mut interface = None;
        let target = match case.subject {
            Subject::Floor(floor) => Target::Floor(floor),
            Subject::Director(scene) => {
                let world = world(worlds, scene)?;
                program = world.program()?;
                interface = world.interface();
                Target::Program(&program)
            }
        };
        let front = Front::new(&case.template, case.flows, order, &target, case.wrapping)?;
        let mut lane = Self {
            front: front.coming_by(interface),
            case,
            packets: 1,
            call,
            samples: Vec::new(),
            accounted: false,
            total: 0,
            evicting: 0,
        };
        let trial = TRIAL.min(lane.most_at_once(effort));
        let each = (lane.run(worlds, trial)? / f64::from(trial)).max(1.0);
        let most = lane.most_at_once(effort).saturating_mul(MOST_RUNS);
        lane.packets = ((effort.turn / each) as u32).clamp(1, most);
        Ok(lane)
    }

    /// Takes one sample, if possible one during which the machine had no other work.
    fn take_turn(
        &mut self,
        worlds: &mut BTreeMap<Scene, World>,
        effort: &Effort,
        stillness: &mut Stillness,
    ) -> Result<()> {
        for attempt in 1..=ATTEMPTS {
            let was_still = stillness.wait()?;
            self.accounted = false;
            let nanoseconds = self.sample(worlds, effort)?;
            let still = was_still && stillness.now()? && !self.accounted;
            if still || attempt == ATTEMPTS {
                self.samples.push(Sample { nanoseconds, still });
                break;
            }
        }
        Ok(())
    }

    /// Nanoseconds a packet. The caches are as the case before left them, and are soon as this one has them: a turn is
    /// long.
    fn sample(&mut self, worlds: &mut BTreeMap<Scene, World>, effort: &Effort) -> Result<f64> {
        let most = self.most_at_once(effort);
        let (mut left, mut nanoseconds) = (self.packets, 0.0);
        while left > 0 {
            let packets = left.min(most);
            nanoseconds += self.run(worlds, packets)?;
            left -= packets;
        }
        Ok(nanoseconds / f64::from(self.packets))
    }

    /// Packets of one run: the program enters so many flows before they are removed again.
    fn most_at_once(&self, effort: &Effort) -> u32 {
        match self.case.expected {
            Expected::Scheduled => effort.new_flows,
            Expected::Forwarded | Expected::Returned | Expected::Refused(_) => u32::MAX,
        }
    }

    /// Runs `packets` packets and checks what became of them; the CPU time that they took, in nanoseconds.
    fn run(&mut self, worlds: &mut BTreeMap<Scene, World>, packets: u32) -> Result<f64> {
        let Subject::Director(scene) = self.case.subject else {
            return self.call(packets);
        };
        let world = world(worlds, scene)?;
        world.settle(match self.case.expected {
            Expected::Forwarded | Expected::Returned | Expected::Refused(_) => 0.0,
            Expected::Scheduled => TOLERATED,
        })?;
        let (before, made) = (world.counted()?, self.front.made()?);
        let nanoseconds = self.call(packets)?;
        let counted = world.counted()?.since(&before);
        self.total += u64::from(packets);
        if self.case.expected == Expected::Scheduled {
            self.evicting += counted.evicted;
            world.remove(&self.case.template, made + 1..=self.front.made()?)?;
        }
        let wanted = self.case.expected.counters(packets.into(), &counted);
        ensure!(
            counted == wanted,
            "case `{}` is not what it claims to be: {packets} packets should have counted {wanted:?}, and counted \
             {counted:?}",
            self.case.name
        );
        Ok(nanoseconds)
    }

    fn call(&mut self, packets: u32) -> Result<f64> {
        let run = self.front.run(packets)?;
        let wanted = self.case.actions();
        ensure!(
            wanted.contains(&run.action),
            "case `{}` is not what it claims to be: its program returned XDP action {} instead of {wanted:?}",
            self.case.name,
            run.action
        );
        self.accounted |= run.accounted;
        Ok((run.nanoseconds - self.call).max(0.0))
    }
}

fn world(worlds: &mut BTreeMap<Scene, World>, scene: Scene) -> Result<&mut World> {
    let world = worlds.get_mut(&scene);
    world.with_context(|| format!("a case plays in the {scene:?} world, which nobody made"))
}

impl Case {
    /// What the program may return.
    fn actions(&self) -> &'static [u32] {
        match (self.subject, self.expected) {
            (Subject::Director(_), Expected::Refused(reason)) => match reason.fate() {
                Fate::Pass => &[XDP_PASS],
                Fate::Drop => &[XDP_DROP],
                Fate::Answer => &[XDP_TX],
            },
            // Backends are reached by whatever interface, or here. It has counted them as forwarded.
            (Subject::Director(Scene::Living), _) => &[XDP_TX, XDP_REDIRECT, XDP_PASS],
            (Subject::Floor(Floor::Swap | Floor::Ipip), _)
            | (Subject::Director(_), Expected::Forwarded | Expected::Scheduled | Expected::Returned) => {
                &[XDP_TX]
            }
            (Subject::Floor(Floor::Empty | Floor::KnownCost(_)), _) => &[XDP_PASS],
        }
    }
}

impl Expected {
    /// What this many packets must count. How many flows were evicted is theirs who are scheduled.
    fn counters(self, packets: u64, counted: &Counted) -> Counted {
        let mut wanted = Counted::default();
        match self {
            Self::Forwarded => wanted.forwarded = packets,
            Self::Returned => wanted.returned = packets,
            Self::Scheduled => {
                (wanted.forwarded, wanted.created) = (packets, packets);
                wanted.evicted = counted.evicted;
            }
            Self::Refused(reason) => {
                wanted.reasons.insert(reason, packets);
            }
        }
        wanted
    }
}

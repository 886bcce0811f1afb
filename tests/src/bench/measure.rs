//! Running the cases in turn, and checking that each did what its name says.

use anyhow::{Result, ensure};
use lb_common::reason::Reason;

use super::{
    front::{Floor, Front, Target},
    stats::Summary,
    template::{Order, Template},
    world::{Counted, World},
};

/// linux/bpf.h
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// Packets of the first run of a case, which finds out how long a packet takes.
const TRIAL: u32 = 2000;

/// Calls of one packet that find out what a call costs.
const EMPTY_CALLS: usize = 9;

/// Which program a case measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A floor.
    Floor(Floor),
    /// The daemon's program in the world of this number.
    World(usize),
}

/// What must happen to every packet of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It goes to a backend, by an entry of the flow table.
    Forwarded,
    /// It goes to a backend, and is the first of its flow.
    Scheduled,
    /// It is not forwarded, for this reason.
    Refused(Reason),
}

/// Something to be measured.
#[derive(Debug, Clone)]
pub struct Case {
    /// Short, for tables and scripts.
    pub name: &'static str,
    /// Which program.
    pub subject: Subject,
    /// Its packets.
    pub template: Template,
    /// Flows to choose from.
    pub flows: u64,
    /// What must happen; of no consequence for a floor.
    pub expected: Expected,
    /// Name of the case that this one is compared with.
    pub floor: Option<&'static str>,
    /// Nanoseconds above the floor that it should not exceed.
    pub target: Option<f64>,
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
    /// Nanoseconds a packet, a round each.
    pub samples: Vec<f64>,
}

/// A case that is ready to run.
struct Lane {
    case: Case,
    front: Front,
    /// Packets of a turn.
    packets: u32,
    /// CPU time of a call beside its packets, in nanoseconds.
    call: f64,
    samples: Vec<f64>,
    evicted: u64,
    total: u64,
}

/// Measures the cases: in each round all of them, one after the other, so that whatever disturbs the machine for a while
/// disturbs all alike. `progress` is called before each round with its number.
///
/// # Errors
/// When a program refuses to run, or a case did not do what it claims to measure.
pub fn measure(
    cases: Vec<Case>,
    worlds: &mut [World],
    effort: &Effort,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Outcome>> {
    let mut lanes = Vec::new();
    for case in cases {
        lanes.push(Lane::new(case, worlds, effort)?);
    }
    for round in 0..effort.rounds {
        progress(round);
        for lane in &mut lanes {
            lane.take_turn(worlds, effort)?;
        }
    }
    let outcomes = lanes.into_iter().map(|lane| Outcome {
        case: lane.case,
        samples: lane.samples,
    });
    Ok(outcomes.collect())
}

impl Lane {
    fn new(case: Case, worlds: &mut [World], effort: &Effort) -> Result<Self> {
        let order = match case.expected {
            Expected::Scheduled => Order::Rising,
            Expected::Forwarded | Expected::Refused(_) => Order::Random,
        };
        let program;
        let target = match case.subject {
            Subject::Floor(floor) => Target::Floor(floor),
            Subject::World(number) => {
                program = worlds[number].program()?;
                Target::Program(&program)
            }
        };
        let front = Front::new(&case.template, case.flows, order, &target)?;
        let mut lane = Self {
            case,
            front,
            packets: 1,
            call: 0.0,
            samples: Vec::new(),
            evicted: 0,
            total: 0,
        };
        let mut calls = Vec::new();
        for _ in 0..EMPTY_CALLS {
            calls.push(lane.run(worlds, 1)?);
        }
        lane.call = Summary::of(&calls).map_or(0.0, |calls| calls.median);
        let each = (lane.run(worlds, TRIAL)? / f64::from(TRIAL)).max(1.0);
        lane.packets = (effort.turn / each) as u32 + 1;
        Ok(lane)
    }

    /// One sample, after a quarter as many packets that only bring the caches into the state of this case.
    fn take_turn(&mut self, worlds: &mut [World], effort: &Effort) -> Result<()> {
        let most = match self.case.expected {
            Expected::Scheduled => effort.new_flows,
            Expected::Forwarded | Expected::Refused(_) => u32::MAX,
        };
        self.run(worlds, (self.packets / 4).clamp(1, most))?;
        let (mut left, mut nanoseconds) = (self.packets, 0.0);
        while left > 0 {
            let packets = left.min(most);
            nanoseconds += self.run(worlds, packets)?;
            left -= packets;
        }
        self.samples.push(nanoseconds / f64::from(self.packets));
        Ok(())
    }

    /// Runs `packets` packets and checks what became of them; the CPU time that they took.
    fn run(&mut self, worlds: &mut [World], packets: u32) -> Result<f64> {
        let Subject::World(number) = self.case.subject else {
            return self.call(packets, self.floor_action());
        };
        let world = &mut worlds[number];
        let (before, made) = (world.counted()?, self.front.made()?);
        let action = match self.case.expected {
            Expected::Refused(reason) => match reason.fate() {
                lb_common::reason::Fate::Pass => XDP_PASS,
                lb_common::reason::Fate::Drop => 1,
                lb_common::reason::Fate::Answer => XDP_TX,
            },
            Expected::Forwarded | Expected::Scheduled => XDP_TX,
        };
        let nanoseconds = self.call(packets, action)?;
        let counted = world.counted()?.since(&before);
        self.total += u64::from(packets);
        let wanted = Counted {
            evicted: counted.evicted,
            ..self.case.expected.counters(packets.into())
        };
        ensure!(
            counted == wanted,
            "case `{}` is not what it claims to be: its {packets} packets should have counted {wanted:?}, and counted \
             {counted:?}",
            self.case.name
        );
        if self.case.expected == Expected::Scheduled {
            world.remove(&self.case.template, made + 1..=self.front.made()?)?;
            self.evicted += counted.evicted;
            if counted.evicted > 0 {
                world.settle()?;
            }
        }
        Ok(nanoseconds)
    }

    fn call(&mut self, packets: u32, action: u32) -> Result<f64> {
        let run = self.front.run(packets)?;
        ensure!(
            run.action == action,
            "case `{}` returned XDP action {} instead of {action}",
            self.case.name,
            run.action
        );
        Ok((run.nanoseconds - self.call).max(0.0))
    }

    fn floor_action(&self) -> u32 {
        match self.case.subject {
            Subject::Floor(Floor::Swap | Floor::Ipip) | Subject::World(_) => XDP_TX,
            Subject::Floor(Floor::Empty | Floor::KnownCost(_)) => XDP_PASS,
        }
    }
}

impl Expected {
    /// What this many packets must count, and nothing else.
    fn counters(self, packets: u64) -> Counted {
        let mut counted = Counted {
            forwarded: 0,
            created: 0,
            evicted: 0,
            reasons: vec![0; Reason::ALL.len()],
        };
        match self {
            Self::Forwarded => counted.forwarded = packets,
            Self::Scheduled => (counted.forwarded, counted.created) = (packets, packets),
            Self::Refused(reason) => counted.reasons[reason.number() as usize] = packets,
        }
        counted
    }
}

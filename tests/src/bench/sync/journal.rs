//! What the packet path pays for noting which flows other directors should hear of: the program as it is, and the same
//! program whose functions that note return at once, in turns.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lb_common::{abi::JournalReader, flow_state::FlowState};
use lb_userspace::{
    core::model::{Forward, Limits},
    datapath::{MapSizes, OBJECT},
};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use serde::Serialize;

use crate::bench::{
    front::Wrapping,
    machine,
    measure::{Case, Effort, Expected, Scene, Subject, measure},
    stats::Summary,
    template::{Payload, Template},
    world::{World, frontends},
};

/// What it costs, in nanoseconds a packet.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Journal {
    /// The first packet of a UDP flow, which is noted at once.
    pub new_flow: f64,
    /// The same where nothing is noted.
    pub new_flow_mute: f64,
    /// A packet of an established TCP flow.
    pub established: f64,
    /// The same where nothing is noted.
    pub established_mute: f64,
}

const VIP: [u8; 4] = [192, 0, 2, 10];
const KNOWN: [u8; 2] = [198, 18];
const NEW: [u8; 2] = [198, 19];
const HTTP: u16 = 80;
const DNS: u16 = 53;
const BACKENDS: u32 = 3;
const FLOWS: u32 = 50_000;
const EFFORT: Effort = Effort {
    rounds: 15,
    turn: 10e6,
    new_flows: FLOWS / 8,
};

/// What notes a flow.
const NOTING: [&str; 2] = ["tandem_note4", "tandem_note6"];
/// Bytes of an instruction.
const INSTRUCTION: usize = 8;
/// `exit`.
const EXIT: u8 = 0x95;
/// The first half of an instruction of 16 bytes.
const WIDE: u8 = 0x18;

pub(super) fn run() -> Result<Journal> {
    machine::pin(None)?;
    let known = Template::v4(KNOWN, VIP, Payload::TcpAck(HTTP))?;
    let new = Template::v4(NEW, VIP, Payload::Udp(DNS))?;
    let services = [[frontends(&known, 1)?, frontends(&new, 1)?].concat()];
    let sizes = MapSizes::new(&Limits {
        flows_v4: FLOWS * 2,
        flows_v6: 2,
        ..Limits::default()
    });
    let usual = World::new(&sizes, &services, BACKENDS, Forward::Dr)?;
    let mute = usual.variant(&muted()?, &sizes, &services, BACKENDS)?;
    let mut worlds = BTreeMap::from([(Scene::Small, usual), (Scene::Mute, mute)]);
    for world in worlds.values_mut() {
        world.inhabit(&known, FLOWS / 2, FlowState::Established)?;
        world.settle(0.0)?;
    }
    let case = |name: &str, scene, template: &Template, expected| Case {
        name: name.to_owned(),
        subject: Subject::Director(scene),
        wrapping: Wrapping::Bare,
        template: template.clone(),
        flows: 1,
        expected,
        floor: None,
        target: None,
        small: None,
    };
    let cases = vec![
        case("established", Scene::Small, &known, Expected::Forwarded),
        case("established, mute", Scene::Mute, &known, Expected::Forwarded),
        case("new flow", Scene::Small, &new, Expected::Scheduled),
        case("new flow, mute", Scene::Mute, &new, Expected::Scheduled),
    ];
    let readers: Vec<_> = worlds.values_mut().map(readers).collect();
    let outcomes = measure(cases, &mut worlds, &EFFORT, |_| {})?;
    let noted = worlds
        .values_mut()
        .zip(readers)
        .map(|(world, readers)| has_noted(world, readers));
    ensure!(
        noted.eq([true, false]),
        "the usual program should have noted flows, and the muted one none"
    );
    let of = |index: usize| -> Result<f64> {
        let samples = &outcomes[index].samples;
        let still = samples.iter().filter(|sample| sample.still);
        let mut nanoseconds: Vec<f64> = still.map(|sample| sample.nanoseconds).collect();
        if nanoseconds.is_empty() {
            nanoseconds = samples.iter().map(|sample| sample.nanoseconds).collect();
        }
        Ok(Summary::of(&nanoseconds).context("no sample")?.median)
    };
    Ok(Journal {
        established: of(0)?,
        established_mute: of(1)?,
        new_flow: of(2)?,
        new_flow_mute: of(3)?,
    })
}

/// Readers of what is noted from now on, by CPU.
fn readers(world: &mut World) -> Vec<JournalReader> {
    world
        .kernel()
        .tables
        .journal
        .iter()
        .map(JournalReader::from_now)
        .collect()
}

fn has_noted(world: &mut World, mut readers: Vec<JournalReader>) -> bool {
    let rings = world.kernel().tables.journal.iter();
    readers
        .iter_mut()
        .zip(rings)
        .any(|(reader, ring)| reader.next(ring).is_some())
}

/// The program's object, with functions that note nothing.
fn muted() -> Result<Vec<u8>> {
    let mut bytes = OBJECT.to_vec();
    let object = object::File::parse(OBJECT).context("reading the program's object")?;
    for name in NOTING {
        let symbol = object.symbols().find(|symbol| symbol.name() == Ok(name));
        let symbol = symbol.with_context(|| format!("the program has no function `{name}`"))?;
        let section = object.section_by_index(symbol.section_index().context("it is in no section")?)?;
        let (start, _) = section.file_range().context("it has no bytes")?;
        let start = (start + symbol.address()) as usize;
        let function = &mut bytes[start..start + symbol.size() as usize];
        let is_moved =
            |offset| (symbol.address()..symbol.address() + 2 * INSTRUCTION as u64).contains(&offset);
        ensure!(
            !section.relocations().any(|(offset, _)| is_moved(offset)) && function[INSTRUCTION] != WIDE,
            "`{name}` begins otherwise than it used to: it cannot be muted"
        );
        let exit = function
            .chunks_exact(INSTRUCTION)
            .rposition(|instruction| instruction[0] == EXIT);
        let exit = exit.with_context(|| format!("`{name}` does not end"))?;
        // What is left between must be within the verifier's reach, though it is never run: so it is jumped over by a
        // condition that always holds. `r0 = 0; if r0 == 0 goto exit`.
        function[..INSTRUCTION].copy_from_slice(&[0xB7, 0, 0, 0, 0, 0, 0, 0]);
        let [low, high] = u16::try_from(exit - 2)?.to_le_bytes();
        function[INSTRUCTION..2 * INSTRUCTION].copy_from_slice(&[0x15, 0, low, high, 0, 0, 0, 0]);
    }
    Ok(bytes)
}

//! The backend's end of tunnels: the program that unwraps, its settings, and where it is attached.

use std::net::IpAddr;

use aya::{
    EbpfLoader, Pod, include_bytes_aligned,
    maps::{Map, MapData, MapError, PerCpuArray},
    programs::Xdp,
};
use lb_common::decap::{self, COUNTERS, MOST_ADDRESSES, Outcome, Settings};

use super::{AttachMode, DatapathError, Pins, attach, object};

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/decap-xdp"));

const PROGRAM: &str = "tandem_decap";
const SETTINGS: &str = "DECAP_SETTINGS";
const MAP: &str = "DECAP_COUNTERS";

/// Where the pins are unless the operator says otherwise.
pub const DEFAULT_DIRECTORY: &str = "/sys/fs/bpf/tandem-decap";

/// What to unwrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decap {
    /// Addresses of this machine to which tunnels lead; as many as there is room for count.
    pub addresses: Vec<IpAddr>,
    /// Networks that tunnels may come from, as an address in it and the length of its prefix; none: from anywhere.
    pub sources: Vec<(IpAddr, u8)>,
    /// Port on which GUE is listened for.
    pub gue_port: u16,
}

/// Addresses, and networks, that there is room for.
pub const MOST: usize = MOST_ADDRESSES;

/// Lets aya copy the counters.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Counters([u64; COUNTERS]);

// SAFETY: integers without padding.
unsafe impl Pod for Counters {}

/// The pins of the program that unwraps, below `directory`.
#[must_use]
pub fn pins(directory: impl Into<std::path::PathBuf>) -> Pins {
    Pins::with_maps(directory, &[MAP])
}

impl Decap {
    fn settings(&self) -> Settings {
        let mut settings = Settings::NONE;
        for (to, &from) in settings.addresses.iter_mut().zip(&self.addresses) {
            *to = decap::words(from);
        }
        let room = settings.sources.iter_mut().zip(&mut settings.masks);
        for ((source, mask), &(address, length)) in room.zip(&self.sources) {
            *source = decap::words(address);
            *mask = decap::mask(address, length);
            settings.source_count += 1;
        }
        settings.gue_port = self.gue_port.into();
        settings
    }

    /// Loads the program, for [`Program::attach`] or test runs. With `pins`, its counters outlive this process.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn load(&self, pins: Option<&Pins>) -> Result<Program, DatapathError> {
        let mut loader = EbpfLoader::new();
        let settings = self.settings();
        loader.override_global(SETTINGS, settings.as_bytes(), true);
        if let Some(pins) = pins {
            loader.map_pin_path(MAP, pins.map(MAP));
        }
        let mut ebpf = loader.load(OBJECT).map_err(object::load_failed)?;
        object::load_program(&mut ebpf, PROGRAM)?;
        Ok(Program(ebpf))
    }
}

/// The loaded program.
pub struct Program(aya::Ebpf);

impl Program {
    /// Attaches to an interface, or replaces the program there.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn attach(&mut self, interface: &str, pins: &Pins) -> Result<AttachMode, DatapathError> {
        attach::attach(self.program()?, interface, pins)
    }

    /// The program, for test runs.
    ///
    /// # Errors
    /// [`DatapathError::Missing`].
    pub fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        object::program(&mut self.0, PROGRAM)
    }

    /// Packets by outcome, so far.
    ///
    /// # Errors
    /// [`DatapathError::Map`].
    pub fn counters(&self) -> Result<Vec<(Outcome, u64)>, DatapathError> {
        let map = self.0.map(MAP).ok_or(DatapathError::Missing { name: MAP })?;
        sums(&PerCpuArray::try_from(map).map_err(failed)?)
    }
}

/// Packets by outcome since unwrapping began; `None` where it has not.
///
/// # Errors
/// [`DatapathError`].
pub fn counters(pins: &Pins) -> Result<Option<Vec<(Outcome, u64)>>, DatapathError> {
    if !pins.map(MAP).exists() {
        return Ok(None);
    }
    let data = MapData::from_pin(pins.map(MAP)).map_err(|source| object::pin_failed(MAP, pins, source))?;
    let map = Map::PerCpuArray(data);
    sums(&PerCpuArray::try_from(&map).map_err(failed)?).map(Some)
}

fn sums(array: &PerCpuArray<&MapData, Counters>) -> Result<Vec<(Outcome, u64)>, DatapathError> {
    let cpus = array.get(&0, 0).map_err(failed)?;
    let sum = |outcome| cpus.iter().map(|cpu| cpu.0[outcome as usize]).sum();
    Ok(Outcome::ALL.map(|outcome| (outcome, sum(outcome))).to_vec())
}

fn failed(source: MapError) -> DatapathError {
    DatapathError::Map {
        map: MAP,
        source: Box::new(source),
    }
}

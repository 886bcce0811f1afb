//! The datapath in the kernel.

use std::{os::fd::AsFd as _, sync::Arc};

use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData, PerCpuArray, RingBuf},
    programs::Xdp,
};
use lb_common::{
    abi::{
        BackendCounters, Counters, Event, FRAGMENT_BUCKETS, Runtime, Settings, SourceTable, VERSION, names,
    },
    flow_table::Word,
    hash::Seed,
    reason::Reason,
};

use super::{
    AttachMode, Claim, DatapathError, FragmentPath, JiffyClock, Living, MapSizes, Pins, Region, Tables,
    WatchPlan, attach, clock, object, region::Shared, tables::Books,
};

/// Packets of its own making that the program may send in a second, on each CPU: as many as Linux sends ICMP errors.
const ANSWERS_PER_SECOND: u32 = 1000;

/// A [`SourceTable`], as a system call copies it.
type SourceCounts = [u64; size_of::<SourceTable>() / 8];

/// The loaded program, its maps and its links.
pub struct Kernel {
    ebpf: Ebpf,
    pins: Option<(Pins, Claim)>,
    /// The maps as memory.
    pub tables: Tables,
    settings: Settings,
    clock: JiffyClock,
    counters: PerCpuArray<MapData, Plain<Counters>>,
    backend_counters: PerCpuArray<MapData, Plain<BackendCounters>>,
}

/// Sums over all CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    counters: Counters,
}

impl Totals {
    /// Packets that were not forwarded for this reason.
    #[must_use]
    pub fn reason(&self, reason: Reason) -> u64 {
        self.counters.reasons[reason.number() as usize]
    }

    /// How often this happened.
    #[must_use]
    pub fn event(&self, event: Event) -> u64 {
        self.counters.events[event as usize]
    }
}

/// Sums of one backend over all CPUs.
pub type BackendTotals = BackendCounters;

/// Lets aya copy a counter layout.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: integers without padding.
unsafe impl Pod for Plain<Counters> {}
// SAFETY: integers without padding.
unsafe impl Pod for Plain<BackendCounters> {}

impl Kernel {
    /// Loads the program. With `pins`, takes up the maps that an earlier daemon left there, connections and all.
    /// `schedule_seed` is the cluster's; without one the director keeps its own.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn open(
        sizes: &MapSizes,
        pins: Option<Pins>,
        schedule_seed: Option<Seed>,
    ) -> Result<Self, DatapathError> {
        let mut pins = match pins {
            Some(pins) => {
                let claim = pins.claim()?;
                Some((pins, claim))
            }
            None => None,
        };
        let inherited = match &mut pins {
            Some((pins, claim)) => inherit(pins, claim)?,
            None => None,
        };
        let (flow_seed, own_schedule_seed) = inherited.unwrap_or_else(|| (random_seed(), random_seed()));
        let schedule_seed = schedule_seed.unwrap_or(own_schedule_seed);
        // The rate is needed before the program can be loaded, and reading it takes a loaded program: the clock program
        // of a throw-away object with the smallest maps.
        let clock = measure_clock()?;
        let settings = settings(sizes, flow_seed, schedule_seed, clock);
        let kernel = Self::assemble(object::OBJECT, sizes, &settings, clock, pins)?;
        remember(&kernel.tables.runtime[0], &settings);
        Ok(kernel)
    }

    /// Loads the program with these settings and maps that nobody else has, for test runs.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub(super) fn apart(
        sizes: &MapSizes,
        settings: &Settings,
        clock: JiffyClock,
    ) -> Result<Self, DatapathError> {
        Self::assemble(object::OBJECT, sizes, settings, clock, None)
    }

    /// Loads another form of [`OBJECT`](super::OBJECT), with the settings of this one and maps of its own: to measure what a
    /// part of the program costs.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn variant(&self, object: &[u8], sizes: &MapSizes) -> Result<Self, DatapathError> {
        Self::assemble(object, sizes, &self.settings, self.clock, None)
    }

    fn assemble(
        object: &[u8],
        sizes: &MapSizes,
        settings: &Settings,
        clock: JiffyClock,
        pins: Option<(Pins, Claim)>,
    ) -> Result<Self, DatapathError> {
        let directory = pins.as_ref().map(|(pins, _)| pins);
        let mut ebpf = object::load(object, sizes, settings, directory)?;
        object::load_program(&mut ebpf, names::PROGRAM)?;
        object::load_program(&mut ebpf, names::CLOCK_PROGRAM)?;
        let tables = map_tables(&mut ebpf, sizes, &settings.flow_seed, directory)?;
        Ok(Self {
            counters: per_cpu(&mut ebpf, names::COUNTERS)?,
            backend_counters: per_cpu(&mut ebpf, names::BACKEND_COUNTERS)?,
            ebpf,
            pins,
            tables,
            settings: *settings,
            clock,
        })
    }

    /// Attaches the program to an interface, or replaces it there.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn attach(&mut self, interface: &str) -> Result<AttachMode, DatapathError> {
        let Some((pins, _)) = &self.pins else {
            return Err(DatapathError::Missing {
                name: "pin directory",
            });
        };
        attach::attach(object::program(&mut self.ebpf, names::PROGRAM)?, interface, pins)
    }

    /// Whether the program still is on the interface of this name.
    #[must_use]
    pub fn is_attached(&self, interface: &str) -> bool {
        let Some((pins, _)) = &self.pins else {
            return false;
        };
        let present = nix::net::if_::if_nametoindex(interface).ok();
        present.is_some() && present == pins.leads_to(interface)
    }

    /// What was put in force outlives this process from now on.
    pub fn keep(&mut self) {
        if let Some((_, claim)) = &mut self.pins {
            claim.keep();
        }
    }

    /// Releases the interfaces that an earlier daemon held and that are not in `keep`; their names.
    ///
    /// # Errors
    /// [`DatapathError::Pin`].
    pub fn release_others(&self, keep: &[String]) -> Result<Vec<String>, DatapathError> {
        let Some((pins, _)) = &self.pins else {
            return Ok(Vec::new());
        };
        let mut interfaces = pins.linked_interfaces()?;
        interfaces.retain(|interface| !keep.contains(interface));
        self.release(&interfaces)?;
        Ok(interfaces)
    }

    /// Takes the program off these interfaces.
    ///
    /// # Errors
    /// [`DatapathError::Pin`].
    pub fn release(&self, interfaces: &[String]) -> Result<(), DatapathError> {
        let Some((pins, _)) = &self.pins else {
            return Ok(());
        };
        interfaces
            .iter()
            .try_for_each(|interface| pins.remove(&pins.link(interface)))
    }

    /// What it takes to have the program tell of packets; `sizes` are those that this one was opened with.
    #[must_use]
    pub fn watch_plan(&self, sizes: &MapSizes) -> WatchPlan {
        WatchPlan {
            sizes: *sizes,
            settings: self.settings,
            pins: self.pins.as_ref().map(|(pins, _)| pins.clone()),
        }
    }

    /// The tables of flows, to look into.
    #[must_use]
    pub fn living(&self) -> Living {
        Living {
            flows_v4: Arc::clone(&self.tables.flows_v4),
            flows_v6: Arc::clone(&self.tables.flows_v6),
            translations_v4: Arc::clone(&self.tables.translations_v4),
            translations_v6: Arc::clone(&self.tables.translations_v6),
        }
    }

    /// The program, for test runs.
    ///
    /// # Errors
    /// [`DatapathError::Missing`].
    pub fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        object::program(&mut self.ebpf, names::PROGRAM)
    }

    /// The way of fragments that came before the first one of their packet. There is one, for one thread.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn fragments(&mut self) -> Result<FragmentPath, DatapathError> {
        let map = names::HELD;
        let ring = self
            .ebpf
            .take_map(map)
            .ok_or(DatapathError::Missing { name: map })?;
        let ring = RingBuf::try_from(ring).map_err(|source| DatapathError::Map {
            map,
            source: Box::new(source),
        })?;
        let program = object::program(&mut self.ebpf, names::PROGRAM)?;
        let program = program
            .fd()
            .ok()
            .and_then(|fd| fd.as_fd().try_clone_to_owned().ok());
        let buckets = FRAGMENT_BUCKETS as usize;
        Ok(FragmentPath {
            ring,
            v4: region_of(&mut self.ebpf, buckets, names::FRAGMENTS_V4)?,
            v6: region_of(&mut self.ebpf, buckets, names::FRAGMENTS_V6)?,
            seed: self.settings.flow_seed,
            program: program.ok_or(DatapathError::Missing { name: names::PROGRAM })?,
        })
    }

    /// Takes over how many flows clients have begun in this second.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub(super) fn copy_sources(&mut self, from: &Self) -> Result<(), DatapathError> {
        let map = names::SOURCES;
        let failed = |source| DatapathError::Map {
            map,
            source: Box::new(source),
        };
        let theirs = from.ebpf.map(map).ok_or(DatapathError::Missing { name: map })?;
        let theirs = Array::<_, SourceCounts>::try_from(theirs).map_err(failed)?;
        let counts = theirs.get(&0, 0).map_err(failed)?;
        let ours = self
            .ebpf
            .map_mut(map)
            .ok_or(DatapathError::Missing { name: map })?;
        let mut ours = Array::<_, SourceCounts>::try_from(ours).map_err(failed)?;
        ours.set(0, counts, 0).map_err(failed)
    }

    /// What the program was told when it was loaded.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What a jiffy is.
    #[must_use]
    pub fn clock(&self) -> JiffyClock {
        self.clock
    }

    /// The present time in jiffies, as the packet path sees it.
    ///
    /// # Errors
    /// [`DatapathError::Clock`].
    pub fn jiffies(&mut self) -> Result<u64, DatapathError> {
        clock::read_jiffies(object::program(&mut self.ebpf, names::CLOCK_PROGRAM)?)
    }

    /// What happened to packets that were not forwarded, and other events.
    ///
    /// # Errors
    /// [`DatapathError::Map`].
    pub fn totals(&self) -> Result<Totals, DatapathError> {
        let mut sum = Counters::default();
        for cpu in read_per_cpu(&self.counters, names::COUNTERS, 0)? {
            let pairs = sum
                .reasons
                .iter_mut()
                .zip(cpu.reasons)
                .chain(sum.events.iter_mut().zip(cpu.events));
            pairs.for_each(|(sum, value)| *sum += value);
        }
        Ok(Totals { counters: sum })
    }

    /// Counters of one backend.
    ///
    /// # Errors
    /// [`DatapathError::Map`].
    pub fn backend_totals(&self, backend: u32) -> Result<BackendTotals, DatapathError> {
        let mut sum = BackendCounters::default();
        for cpu in read_per_cpu(&self.backend_counters, names::BACKEND_COUNTERS, backend)? {
            sum.packets += cpu.packets;
            sum.bytes += cpu.bytes;
            sum.flows += cpu.flows;
            sum.replies += cpu.replies;
            sum.reply_bytes += cpu.reply_bytes;
            sum.refused += cpu.refused;
        }
        Ok(sum)
    }

    /// Zeroes the counters of a backend whose number gets a new owner.
    ///
    /// # Errors
    /// [`DatapathError::Map`].
    pub fn reset_backend_totals(&mut self, backend: u32) -> Result<(), DatapathError> {
        let map = names::BACKEND_COUNTERS;
        let wrap = |source| DatapathError::Map {
            map,
            source: Box::new(source),
        };
        let cpus = self.backend_counters.get(&backend, 0).map_err(wrap)?.len();
        let zeroes = vec![Plain(BackendCounters::default()); cpus];
        let zeroes = aya::maps::PerCpuValues::try_from(zeroes).map_err(|error| wrap(error.into()))?;
        self.backend_counters.set(backend, zeroes, 0).map_err(wrap)
    }
}

/// What the program is told.
pub(super) fn settings(
    sizes: &MapSizes,
    flow_seed: Seed,
    schedule_seed: Seed,
    clock: JiffyClock,
) -> Settings {
    Settings {
        flow_seed,
        schedule_seed,
        flow_mask_v4: sizes.flows_v4 - 1,
        flow_mask_v6: sizes.flows_v6 - 1,
        frontend_mask: sizes.frontends - 1,
        answers_per_jiffy: ANSWERS_PER_SECOND.div_ceil(clock.hz()),
        translation_mask_v4: sizes.translations_v4 - 1,
        translation_mask_v6: sizes.translations_v6 - 1,
        hz: clock.hz(),
        reserved: 0,
    }
}

pub(super) fn measure_clock() -> Result<JiffyClock, DatapathError> {
    let zero = Seed::new([0; 6]);
    let settings = Settings {
        flow_seed: zero,
        schedule_seed: zero,
        flow_mask_v4: 1,
        flow_mask_v6: 1,
        frontend_mask: 0,
        answers_per_jiffy: 0,
        translation_mask_v4: 1,
        translation_mask_v6: 1,
        hz: 1,
        reserved: 0,
    };
    let sizes = MapSizes {
        flows_v4: 2,
        flows_v6: 2,
        translations_v4: 2,
        translations_v6: 2,
        frontends: 1,
        services: 1,
        backends: 1,
        slot_lines: 1,
    };
    let mut ebpf = object::load(object::OBJECT, &sizes, &settings, None)?;
    object::load_program(&mut ebpf, names::CLOCK_PROGRAM)?;
    let jiffies = clock::read_jiffies(object::program(&mut ebpf, names::CLOCK_PROGRAM)?)?;
    Ok(JiffyClock::from_reading(jiffies, clock::uptime()?))
}

/// The seeds of the maps that an earlier daemon left; `None` when it left none, and what is made now goes with the claim
/// until it is kept.
fn inherit(pins: &Pins, claim: &mut Claim) -> Result<Option<(Seed, Seed)>, DatapathError> {
    let seeds = seeds(pins)?;
    if seeds.is_none() {
        // Maps that a daemon made and did not live to fill may have any size.
        pins.clear()?;
        claim.make_temporary();
    }
    Ok(seeds)
}

/// The same, for whoever only reads.
pub(super) fn seeds(pins: &Pins) -> Result<Option<(Seed, Seed)>, DatapathError> {
    let path = pins.map(names::RUNTIME);
    if !path.exists() {
        return Ok(None);
    }
    let map = names::RUNTIME;
    let data = MapData::from_pin(&path).map_err(|source| object::pin_failed(map, pins, source))?;
    let runtime =
        Region::<Runtime>::of_map(&MapFd(&data), 1).map_err(|source| DatapathError::Mmap { map, source })?;
    match runtime[0].version.load() {
        0 => Ok(None),
        version if version == u64::from(VERSION) => {
            let seed = |words: &[Word; 6]| Seed::new(words.each_ref().map(Word::load));
            Ok(Some((
                seed(&runtime[0].flow_seed),
                seed(&runtime[0].schedule_seed),
            )))
        }
        found => Err(DatapathError::Version {
            directory: pins.directory().to_owned(),
            found,
            expected: VERSION,
        }),
    }
}

/// Leaves the seeds for the next daemon; the version last, since it says that the rest is there.
fn remember(runtime: &Runtime, settings: &Settings) {
    let pairs = [
        (&runtime.flow_seed, settings.flow_seed),
        (&runtime.schedule_seed, settings.schedule_seed),
    ];
    for (words, seed) in pairs {
        words
            .iter()
            .zip(seed.words())
            .for_each(|(word, value)| word.publish(value));
    }
    runtime.version.publish(VERSION.into());
}

fn random_seed() -> Seed {
    Seed::new(rand::random())
}

struct MapFd<'a>(&'a MapData);

impl std::os::fd::AsRawFd for MapFd<'_> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsFd as _;
        self.0.fd().as_fd().as_raw_fd()
    }
}

pub(super) fn map_tables(
    ebpf: &mut Ebpf,
    sizes: &MapSizes,
    seed: &Seed,
    pins: Option<&Pins>,
) -> Result<Tables, DatapathError> {
    let slots = region(ebpf, sizes, names::SLOTS)?;
    let services = region(ebpf, sizes, names::SERVICES)?;
    let books = Books::new(&slots, &services).map_err(|what| DatapathError::Corrupt {
        directory: pins.map(|pins| pins.directory().to_owned()).unwrap_or_default(),
        what,
    })?;
    Ok(Tables {
        runtime: region(ebpf, sizes, names::RUNTIME)?,
        vip_filter: region(ebpf, sizes, names::VIP_FILTER)?,
        strangers: region(ebpf, sizes, names::STRANGERS)?,
        frontends_v4: region(ebpf, sizes, names::FRONTENDS_V4)?,
        frontends_v6: region(ebpf, sizes, names::FRONTENDS_V6)?,
        areas: region(ebpf, sizes, names::AREAS)?,
        services,
        service_names: region(ebpf, sizes, names::SERVICE_NAMES)?,
        timeouts: Arc::new(region(ebpf, sizes, names::TIMEOUTS)?),
        slots,
        backends: region(ebpf, sizes, names::BACKENDS)?,
        loads: Arc::new(region(ebpf, sizes, names::BACKEND_LOADS)?),
        flows_v4: Arc::new(region(ebpf, sizes, names::FLOWS_V4)?),
        flows_v6: Arc::new(region(ebpf, sizes, names::FLOWS_V6)?),
        translations_v4: Arc::new(region(ebpf, sizes, names::TRANSLATIONS_V4)?),
        translations_v6: Arc::new(region(ebpf, sizes, names::TRANSLATIONS_V6)?),
        server_ids: region(ebpf, sizes, names::SERVER_IDS)?,
        pools: region(ebpf, sizes, names::POOLS)?,
        leases: Arc::new(region(ebpf, sizes, names::LEASES)?),
        claims: Arc::new(region(ebpf, sizes, names::CLAIMS)?),
        journal: Arc::new(region(ebpf, sizes, names::JOURNAL)?),
        seed: *seed,
        books,
    })
}

fn region<T: Shared>(
    ebpf: &mut Ebpf,
    sizes: &MapSizes,
    map: &'static str,
) -> Result<Region<T>, DatapathError> {
    let (elements, _) = sizes.of(map);
    region_of(ebpf, elements as usize, map)
}

pub(super) fn region_of<T: Shared>(
    ebpf: &mut Ebpf,
    elements: usize,
    map: &'static str,
) -> Result<Region<T>, DatapathError> {
    let Some(Map::Array(data)) = ebpf.map(map) else {
        return Err(DatapathError::Missing { name: map });
    };
    Region::of_map(&MapFd(data), elements).map_err(|source| DatapathError::Mmap { map, source })
}

fn per_cpu<T>(ebpf: &mut Ebpf, map: &'static str) -> Result<PerCpuArray<MapData, Plain<T>>, DatapathError>
where
    Plain<T>: Pod,
{
    let data = ebpf.take_map(map).ok_or(DatapathError::Missing { name: map })?;
    PerCpuArray::try_from(data).map_err(|source| DatapathError::Map {
        map,
        source: Box::new(source),
    })
}

fn read_per_cpu<T: Copy>(
    array: &PerCpuArray<MapData, Plain<T>>,
    map: &'static str,
    index: u32,
) -> Result<Vec<T>, DatapathError>
where
    Plain<T>: Pod,
{
    let values = array.get(&index, 0).map_err(|source| DatapathError::Map {
        map,
        source: Box::new(source),
    })?;
    Ok(values.iter().map(|value| value.0).collect())
}

//! The eBPF object in this binary, and how it is loaded.

use aya::{
    Ebpf, EbpfError, EbpfLoader, include_bytes_aligned,
    maps::{MapData, MapError},
    programs::{ProgramError, Xdp},
};
use lb_common::{
    abi::{
        FRAGMENT_BUCKETS, HELD_RING, MOST_AREAS, SERVER_ID_LINES, SLOTS_PER_LINE, Settings, WatchFilter,
        names,
    },
    flow_table::{Bucket, Entry4, Entry6, Translation4, Translation6, WAYS},
};

use nix::sys::signal::{SigSet, SigmaskHow};

use super::{DatapathError, Pins};
use crate::core::model::Limits;

/// The object with the XDP programs.
pub static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tandem-xdp"));

/// Buckets of one generation of the frontend tables: room for some 15 000 frontends of each family.
const FRONTEND_BUCKETS: u32 = 4096;
/// Services there may be.
const SERVICES: u32 = 16_384;

/// Elements of each map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapSizes {
    /// Buckets of the IPv4 flow table; a power of two.
    pub flows_v4: u32,
    /// Buckets of the IPv6 flow table; a power of two.
    pub flows_v6: u32,
    /// Buckets of the IPv4 translation table; a power of two.
    pub translations_v4: u32,
    /// Buckets of the IPv6 translation table; a power of two.
    pub translations_v6: u32,
    /// Buckets of one generation of a frontend table; a power of two.
    pub frontends: u32,
    /// Services.
    pub services: u32,
    /// Backends.
    pub backends: u32,
    /// Lines of schedule slots.
    pub slot_lines: u32,
}

impl MapSizes {
    /// Sizes for these limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let buckets = |flows: u32| flows.div_ceil(WAYS as u32).max(2).next_power_of_two();
        Self {
            flows_v4: buckets(limits.flows_v4),
            flows_v6: buckets(limits.flows_v6),
            translations_v4: buckets(limits.translations_v4),
            translations_v6: buckets(limits.translations_v6),
            frontends: FRONTEND_BUCKETS,
            services: SERVICES,
            backends: limits.backends,
            slot_lines: limits.slots.div_ceil(SLOTS_PER_LINE),
        }
    }

    /// Sizes of the maps that are pinned there.
    ///
    /// # Errors
    /// [`DatapathError`], when one is missing.
    pub(super) fn of_pins(pins: &Pins) -> Result<Self, DatapathError> {
        let elements = |map| elements(pins, map);
        Ok(Self {
            flows_v4: elements(names::FLOWS_V4)?,
            flows_v6: elements(names::FLOWS_V6)?,
            translations_v4: elements(names::TRANSLATIONS_V4)?,
            translations_v6: elements(names::TRANSLATIONS_V6)?,
            frontends: elements(names::FRONTENDS_V4)? / 2,
            services: elements(names::SERVICES)?,
            backends: elements(names::BACKENDS)?,
            slot_lines: elements(names::SLOTS)?,
        })
    }

    /// Bytes of the tables of flows and of translations.
    #[must_use]
    pub fn flow_bytes(&self) -> u64 {
        let bytes = |buckets: u32, bucket: usize| u64::from(buckets) * bucket as u64;
        bytes(self.flows_v4, size_of::<Bucket<Entry4>>())
            + bytes(self.flows_v6, size_of::<Bucket<Entry6>>())
            + bytes(self.translations_v4, size_of::<Bucket<Translation4>>())
            + bytes(self.translations_v6, size_of::<Bucket<Translation6>>())
    }

    /// Elements of the map with this name, and the limit that an operator knows it by.
    #[must_use]
    pub(super) fn of(&self, map: &str) -> (u32, &'static str) {
        match map {
            names::FLOWS_V4 => (self.flows_v4, "IPv4 flows (flows_v4; in buckets of 4)"),
            names::FLOWS_V6 => (self.flows_v6, "IPv6 flows (flows_v6; in buckets of 4)"),
            names::TRANSLATIONS_V4 => (
                self.translations_v4,
                "translated IPv4 flows (translations_v4; in buckets of 4)",
            ),
            names::TRANSLATIONS_V6 => (
                self.translations_v6,
                "translated IPv6 flows (translations_v6; in buckets of 4)",
            ),
            names::FRONTENDS_V4 | names::FRONTENDS_V6 => (self.frontends * 2, "frontends"),
            names::SERVICES | names::SERVICE_NAMES | names::POOLS => (self.services, "services"),
            names::BACKENDS | names::BACKEND_LOADS | names::BACKEND_COUNTERS => (self.backends, "backends"),
            names::SLOTS => (self.slot_lines, "schedule slots (slots; in lines of 16)"),
            names::SERVER_IDS => (SERVER_ID_LINES, "server IDs (in lines of 8)"),
            names::AREAS => (MOST_AREAS * 2, "networks and ranges of ports"),
            names::FRAGMENTS_V4 | names::FRAGMENTS_V6 => (FRAGMENT_BUCKETS, "packets in fragments"),
            names::HELD => (HELD_RING, "bytes of fragments that are held"),
            names::JOURNAL => (cpus(), "CPUs that this machine may have"),
            _ => (1, "single entries"),
        }
    }
}

/// CPUs that there may ever be. Who cannot read that cannot read per-CPU counters either, and says so.
fn cpus() -> u32 {
    aya::util::nr_cpus().map_or(1, |count| count as u32)
}

/// Loads the object with maps of these sizes; with `pins`, maps that are pinned there are used, and others pinned.
pub(super) fn load(
    object: &[u8],
    sizes: &MapSizes,
    settings: &Settings,
    pins: Option<&Pins>,
) -> Result<Ebpf, DatapathError> {
    loader(sizes, settings, pins)?.load(object).map_err(load_failed)
}

/// The same for the program that tells of packets: of which, and how many bytes there are for that.
pub(super) fn load_watched(
    sizes: &MapSizes,
    settings: &Settings,
    pins: Option<&Pins>,
    filter: &WatchFilter,
    ring: u32,
) -> Result<Ebpf, DatapathError> {
    let mut loader = loader(sizes, settings, pins)?;
    loader.map_max_entries(names::WATCH, ring);
    loader.override_global(names::WATCH_FILTER, filter.as_bytes(), true);
    loader.load(OBJECT).map_err(load_failed)
}

fn loader<'a>(
    sizes: &MapSizes,
    settings: &'a Settings,
    pins: Option<&Pins>,
) -> Result<EbpfLoader<'a>, DatapathError> {
    let mut loader = EbpfLoader::new();
    for map in names::MAPS {
        let (elements, limit) = sizes.of(map);
        loader.map_max_entries(map, elements);
        if let Some(pins) = pins {
            let path = pins.map(map);
            if path.exists() {
                check_size(pins, map, elements, limit)?;
            }
            loader.map_pin_path(map, path);
        }
    }
    loader.override_global(names::SETTINGS, settings.as_bytes(), true);
    Ok(loader)
}

/// An object's maps could not be made.
pub(super) fn load_failed(error: EbpfError) -> DatapathError {
    match permission(&error) {
        true => DatapathError::Permission {
            what: "create BPF maps".to_owned(),
        },
        false => DatapathError::Load(Box::new(error)),
    }
}

/// The program of this name.
pub(super) fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, DatapathError> {
    let program = ebpf.program_mut(name).ok_or(DatapathError::Missing { name })?;
    program.try_into().map_err(|_| DatapathError::Missing { name })
}

/// Loads the program of this name.
pub(super) fn load_program(ebpf: &mut Ebpf, name: &'static str) -> Result<(), DatapathError> {
    let program = program(ebpf, name)?;
    undisturbed(|| program.load()).map_err(|source| {
        // The verifier's verdict is EACCES as well; only that it has reasons. One of them is a lack of CAP_PERFMON ("!root").
        let judged = if let ProgramError::LoadError { verifier_log, .. } = &source {
            let reasons = verifier_log.to_string();
            !reasons.is_empty() && !reasons.contains("!root")
        } else {
            false
        };
        if !judged && permission(&source) {
            DatapathError::Permission {
                what: format!("load the XDP program `{name}`"),
            }
        } else {
            DatapathError::Program {
                program: name,
                source: Box::new(source),
            }
        }
    })
}

/// Holds signals back meanwhile. One of them would make the kernel give up the verification (EAGAIN), and aya begin anew with
/// the verifier's log, which takes twenty times as long.
pub(super) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let done = work();
    if let Ok(before) = before {
        // It was valid a moment ago.
        let _ = before.thread_set_mask();
    }
    done
}

fn check_size(
    pins: &Pins,
    map: &'static str,
    elements: u32,
    limit: &'static str,
) -> Result<(), DatapathError> {
    let found = self::elements(pins, map)?;
    if found == elements {
        Ok(())
    } else {
        Err(DatapathError::Resized {
            what: limit,
            found,
            expected: elements,
        })
    }
}

/// Elements of a map that is pinned.
fn elements(pins: &Pins, map: &'static str) -> Result<u32, DatapathError> {
    MapData::from_pin(pins.map(map))
        .and_then(|data| data.info())
        .map(|info| info.max_entries())
        .map_err(|source| pin_failed(map, pins, source))
}

/// A map that is pinned could not be opened.
pub(super) fn pin_failed(map: &'static str, pins: &Pins, source: MapError) -> DatapathError {
    if permission(&source) {
        return DatapathError::PinPermission {
            what: format!("open {}", pins.map(map).display()),
            directory: pins.directory().to_owned(),
        };
    }
    DatapathError::Map {
        map,
        source: Box::new(source),
    }
}

/// Whether the last cause is that the kernel does not allow it.
pub(super) fn permission(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::PermissionDenied
                || io.raw_os_error() == Some(libc::EPERM);
        }
        source = error.source();
    }
    false
}

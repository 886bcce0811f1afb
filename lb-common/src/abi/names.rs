//! Names of programs, maps and global variables in the eBPF object, and of their pins.

/// The XDP program.
pub const PROGRAM: &str = "tandem";
/// The same, which also tells of packets: it takes the place of the other while somebody follows them.
pub const WATCHED_PROGRAM: &str = "tandem_watched";
/// A program that is never attached: run once, it writes the time in jiffies (8 bytes) over the packet's first bytes.
pub const CLOCK_PROGRAM: &str = "tandem_clock";
/// Read-only [`Settings`](super::Settings).
pub const SETTINGS: &str = "SETTINGS";
/// Read-only [`WatchFilter`](super::WatchFilter), of the program that tells of packets.
pub const WATCH_FILTER: &str = "WATCH_FILTER";
/// Ring of [`WatchRecord`](super::WatchRecord)s; not pinned.
pub const WATCH: &str = "WATCH";
/// Array of one [`Runtime`](super::Runtime).
pub const RUNTIME: &str = "RUNTIME";
/// Array of one [`AddressSet`](super::AddressSet): the VIPs.
pub const VIP_FILTER: &str = "VIP_FILTER";
/// Array of one [`Strangers`](super::Strangers).
pub const STRANGERS: &str = "STRANGERS";
/// Array of IPv4 [`FrontendBucket`](super::FrontendBucket)s: two generations of equal size.
pub const FRONTENDS_V4: &str = "FRONTENDS_V4";
/// Array of IPv6 [`FrontendBucket`](super::FrontendBucket)s: two generations of equal size.
pub const FRONTENDS_V6: &str = "FRONTENDS_V6";
/// Array of [`AreaEntry`](super::AreaEntry): two generations of [`MOST_AREAS`](super::MOST_AREAS).
pub const AREAS: &str = "AREAS";
/// Array of [`ServiceEntry`](super::ServiceEntry), indexed by the service's number.
pub const SERVICES: &str = "SERVICES";
/// Array of [`ServerIdLine`](super::ServerIdLine)s.
pub const SERVER_IDS: &str = "SERVER_IDS";
/// Array of [`ServiceName`](super::ServiceName), indexed by the service's number; for a daemon that comes back.
pub const SERVICE_NAMES: &str = "SERVICE_NAMES";
/// Array of one [`TimeoutTable`](super::TimeoutTable).
pub const TIMEOUTS: &str = "TIMEOUTS";
/// Array of [`SlotLine`](super::SlotLine): the schedule tables of all services.
pub const SLOTS: &str = "SLOTS";
/// Array of [`BackendEntry`](super::BackendEntry), indexed by the backend's number.
pub const BACKENDS: &str = "BACKENDS";
/// Array of [`BackendLoad`](super::BackendLoad), indexed by the backend's number.
pub const BACKEND_LOADS: &str = "BACKEND_LOADS";
/// Array of IPv4 flow table [`Bucket`](crate::flow_table::Bucket)s.
pub const FLOWS_V4: &str = "FLOWS_V4";
/// Array of IPv6 flow table [`Bucket`](crate::flow_table::Bucket)s.
pub const FLOWS_V6: &str = "FLOWS_V6";
/// Array of IPv4 translation table [`Bucket`](crate::flow_table::Bucket)s.
pub const TRANSLATIONS_V4: &str = "TRANSLATIONS_V4";
/// Array of IPv6 translation table [`Bucket`](crate::flow_table::Bucket)s.
pub const TRANSLATIONS_V6: &str = "TRANSLATIONS_V6";
/// Array of [`Pool`](super::Pool), indexed by the service's number.
pub const POOLS: &str = "POOLS";
/// Array of IPv4 [`Bucket`](crate::flow_table::Bucket)s: where the fragments of packets go.
pub const FRAGMENTS_V4: &str = "FRAGMENTS_V4";
/// Array of IPv6 [`Bucket`](crate::flow_table::Bucket)s: where the fragments of packets go.
pub const FRAGMENTS_V6: &str = "FRAGMENTS_V6";
/// Ring of [`HeldFrame`](super::HeldFrame)s.
pub const HELD: &str = "HELD";
/// Array of one [`SourceTable`](super::SourceTable).
pub const SOURCES: &str = "SOURCES";
/// Array of one [`LeaseTable`](super::LeaseTable).
pub const LEASES: &str = "LEASES";
/// Array of one [`ClaimTable`](super::ClaimTable).
pub const CLAIMS: &str = "CLAIMS";
/// Array of [`JournalRing`](super::JournalRing)s, indexed by the CPU's number.
pub const JOURNAL: &str = "JOURNAL";
/// Per-CPU array of one [`Counters`](super::Counters).
pub const COUNTERS: &str = "COUNTERS";
/// Per-CPU array of [`BackendCounters`](super::BackendCounters), indexed by the backend's number.
pub const BACKEND_COUNTERS: &str = "BACKEND_COUNTERS";

/// Every map, in the order in which the daemon pins them.
pub const MAPS: [&str; 27] = [
    RUNTIME,
    VIP_FILTER,
    STRANGERS,
    FRONTENDS_V4,
    FRONTENDS_V6,
    AREAS,
    SERVICES,
    SERVICE_NAMES,
    TIMEOUTS,
    SLOTS,
    BACKENDS,
    BACKEND_LOADS,
    FLOWS_V4,
    FLOWS_V6,
    TRANSLATIONS_V4,
    TRANSLATIONS_V6,
    POOLS,
    SERVER_IDS,
    FRAGMENTS_V4,
    FRAGMENTS_V6,
    HELD,
    SOURCES,
    LEASES,
    CLAIMS,
    JOURNAL,
    COUNTERS,
    BACKEND_COUNTERS,
];

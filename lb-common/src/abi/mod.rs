//! Layout of what the XDP program and the daemon share, map by map.
//!
//! Every type is `repr(C)`, made of [`Word`](crate::flow_table::Word)s and half words (so it has no padding, and a
//! field can be replaced while the program reads it), and its size is checked at compile time.

mod address_set;
mod area;
mod backend;
mod check_path;
mod counters;
mod flood;
mod frontend;
mod held;
mod journal;
mod lease;
mod load;
mod pool;
mod schedule;
mod server_id;
mod service;
mod service_name;
mod settings;
mod strangers;
mod timeouts;
mod watch;
mod way;

pub mod names;

pub use address_set::AddressSet;
pub use area::{AreaBounds, AreaEntry, Destination, MOST_AREAS, NO_SERVICE};
pub use backend::{BackendEntry, Tail};
pub use check_path::{
    CHECK_MARK, CHECK_MARK_MASK, CHECK_RETURNS, CHECK_ROUTES, CheckAddress, CheckReturn, CheckRoute,
    is_v4 as check_is_v4,
};
pub use counters::{BackendCounters, Counters, Event};
pub use flood::{FloodLimits, Rate, SourceTable};
pub use frontend::{
    Frontend4, Frontend6, FrontendBucket, FrontendEntry, FrontendKey4, FrontendKey6, FrontendsFull, WAYS,
    build, find, places,
};
pub use held::{FRAGMENT_BUCKETS, HELD_RING, HeldFrame, HeldKey, LONGEST_HELD};
#[cfg(not(target_arch = "bpf"))]
pub use journal::JournalReader;
pub use journal::{FlowPlace, JOURNAL_SLOTS, JournalRing};
pub use lease::{CLAIMS, Claim, ClaimSlot, ClaimTable, LEASES, LeaseTable, NO_LEASE};
pub use load::{BackendLoad, LoadCount, LoadLimits};
pub use pool::{POOL_ADDRESSES, Pool};
pub use schedule::{MOST_SCHEDULE_SLOTS, NO_BACKEND, SLOTS_PER_LINE, Schedule, SlotLine};
pub use server_id::{IDS_PER_LINE, LONGEST_SERVER_ID, SERVER_ID_LINES, ServerId, ServerIdLine};
pub use service::{
    HashFields, Keeper, MOST_REPLICAS, Persistence, Policy, PolicyFlags, ServiceEntry, Unknown,
};
pub use service_name::ServiceName;
pub use settings::{Runtime, Settings};
pub use strangers::Strangers;
pub use timeouts::{TIMEOUT_CLASSES, TimeoutTable, Timeouts};
pub use watch::{ARRIVES, IDLE_WATCH_RING, LEAVES, REFUSED, WATCHED_BYTES, WatchFilter, WatchRecord};
pub use way::{Encapsulation, Link, Mac, Method, Server, Tunnel, Way};

/// Version of these layouts. Pinned maps of another version are not touched.
pub const VERSION: u32 = 7;

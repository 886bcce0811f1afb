//! The maps. Their sizes here are the smallest that load; the loader sets the real ones.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, PerCpuArray, RingBuf},
    macros::btf_map,
};
use lb_common::{
    abi::{
        AddressSet, AreaEntry, BackendCounters, BackendEntry, BackendLoad, ClaimTable, Counters, Frontend4,
        Frontend6, FrontendBucket, HELD_RING, HeldFrame, IDLE_WATCH_RING, JournalRing, LeaseTable, Pool,
        Runtime, SERVER_ID_LINES, ServerIdLine, ServiceEntry, ServiceName, SlotLine, SourceTable, Strangers,
        TimeoutTable, WatchRecord,
    },
    flow_table::{Bucket, Entry4, Entry6, Translation4, Translation6},
    packet::{FlowKey4, FlowKey6},
};

use crate::{flow::Parcel, pace::Pace, translate::Bid, watch::Watched};

/// The daemon reads and writes these without system calls.
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

#[btf_map]
pub(crate) static RUNTIME: Array<Runtime, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static VIP_FILTER: Array<AddressSet, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static STRANGERS: Array<Strangers, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static FRONTENDS_V4: Array<FrontendBucket<Frontend4>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static FRONTENDS_V6: Array<FrontendBucket<Frontend6>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static AREAS: Array<AreaEntry, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SERVICES: Array<ServiceEntry, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SERVICE_NAMES: Array<ServiceName, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static TIMEOUTS: Array<TimeoutTable, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SLOTS: Array<SlotLine, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static BACKENDS: Array<BackendEntry, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static BACKEND_LOADS: Array<BackendLoad, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static FLOWS_V4: Array<Bucket<Entry4>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static FLOWS_V6: Array<Bucket<Entry6>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static TRANSLATIONS_V4: Array<Bucket<Translation4>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static TRANSLATIONS_V6: Array<Bucket<Translation6>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SERVER_IDS: Array<ServerIdLine, { SERVER_ID_LINES as usize }, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static POOLS: Array<Pool, 1, MMAPABLE> = Array::new();
/// The packet whose flow is looked for or made.
#[btf_map]
pub(crate) static PARCEL_V4: PerCpuArray<Parcel<FlowKey4>, 1> = PerCpuArray::new();
/// The packet whose flow is looked for or made.
#[btf_map]
pub(crate) static PARCEL_V6: PerCpuArray<Parcel<FlowKey6>, 1> = PerCpuArray::new();
/// The translation that is being made: the stack has no room for it.
#[btf_map]
pub(crate) static BID_V4: PerCpuArray<Bid<FlowKey4>, 1> = PerCpuArray::new();
/// The translation that is being made.
#[btf_map]
pub(crate) static BID_V6: PerCpuArray<Bid<FlowKey6>, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static FRAGMENTS_V4: Array<Bucket<Entry4>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static FRAGMENTS_V6: Array<Bucket<Entry6>, 2, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static HELD: RingBuf<HeldFrame, { HELD_RING as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static SOURCES: Array<SourceTable, 1> = Array::new();
#[btf_map]
pub(crate) static LEASES: Array<LeaseTable, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static CLAIMS: Array<ClaimTable, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static JOURNAL: Array<JournalRing, 1, MMAPABLE> = Array::new();
/// What is told of packets; of this size while nobody follows them.
#[btf_map]
pub(crate) static WATCH: RingBuf<WatchRecord, { IDLE_WATCH_RING as usize }> = RingBuf::new();
#[btf_map]
pub(crate) static WATCHED: PerCpuArray<Watched, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static PACE: PerCpuArray<Pace, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static BACKEND_COUNTERS: PerCpuArray<BackendCounters, 1> = PerCpuArray::new();

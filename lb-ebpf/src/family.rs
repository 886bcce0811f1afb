//! What differs between IPv4 and IPv6: keys and tables. Everything else is written once, over [`Family`].

use lb_common::{
    abi::{Frontend4, Frontend6, FrontendBucket, FrontendEntry, FrontendKey4, FrontendKey6, HashFields},
    flow_table::{Bucket, Entry, Entry4, Entry6, Table},
    hash::Seed,
    packet::{FlowKey4, FlowKey6},
};

use crate::{
    flow::{
        Parcel, tandem_enter4, tandem_enter6, tandem_place4, tandem_place6, tandem_settle4, tandem_settle6,
    },
    maps::{FLOWS_V4, FLOWS_V6, FRONTENDS_V4, FRONTENDS_V6},
    settings::settings,
};

/// An address family.
pub(crate) trait Family {
    /// Key of a flow.
    type Key: Copy + PartialEq + 'static;
    /// Entry of the flow table.
    type Flow: Entry<Key = Self::Key>;
    /// Entry of the frontend table.
    type Frontend: FrontendEntry + 'static;
    /// The flow table.
    type Flows: Table<Entry = Self::Flow>;

    /// The flow table.
    fn flows() -> Self::Flows;
    /// A bucket of the frontend table.
    fn frontends(bucket: u32) -> Option<&'static FrontendBucket<Self::Frontend>>;
    /// Keyed hash of a flow.
    fn hash(key: &Self::Key, seed: &Seed) -> u64;
    /// The key with zeroes for what a schedule's hash is not over.
    fn masked(key: &Self::Key, fields: HashFields) -> Self::Key;
    /// The way of a packet that changes its flow's state, or has none yet: see [`flow`](crate::flow).
    fn settle(parcel: *mut Parcel<Self::Key>) -> u64;
    /// The first step of it.
    fn place(parcel: *mut Parcel<Self::Key>) -> u64;
    /// The last step of it.
    fn enter(parcel: *const Parcel<Self::Key>, backend: u32, target: u64) -> u64;
    /// The frontend that a flow of this key would come in by.
    fn frontend(key: &Self::Key) -> <Self::Frontend as FrontendEntry>::Key;
}

/// IPv4.
pub(crate) struct V4;

/// IPv6.
pub(crate) struct V6;

/// The IPv4 flow table.
pub(crate) struct Flows4;

/// The IPv6 flow table.
pub(crate) struct Flows6;

impl Table for Flows4 {
    type Entry = Entry4;

    #[inline(always)]
    fn mask(&self) -> u32 {
        settings().flow_mask_v4
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket<Entry4>> {
        FLOWS_V4.get(number)
    }
}

impl Table for Flows6 {
    type Entry = Entry6;

    #[inline(always)]
    fn mask(&self) -> u32 {
        settings().flow_mask_v6
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> Option<&Bucket<Entry6>> {
        FLOWS_V6.get(number)
    }
}

impl Family for V4 {
    type Key = FlowKey4;
    type Flow = Entry4;
    type Frontend = Frontend4;
    type Flows = Flows4;

    #[inline(always)]
    fn flows() -> Flows4 {
        Flows4
    }

    #[inline(always)]
    fn frontends(bucket: u32) -> Option<&'static FrontendBucket<Frontend4>> {
        FRONTENDS_V4.get(bucket)
    }

    #[inline(always)]
    fn hash(key: &FlowKey4, seed: &Seed) -> u64 {
        key.hash(seed)
    }

    #[inline(always)]
    fn masked(key: &FlowKey4, fields: HashFields) -> FlowKey4 {
        key.masked(fields)
    }

    #[inline(always)]
    fn settle(parcel: *mut Parcel<FlowKey4>) -> u64 {
        tandem_settle4(parcel)
    }

    #[inline(always)]
    fn place(parcel: *mut Parcel<FlowKey4>) -> u64 {
        tandem_place4(parcel)
    }

    #[inline(always)]
    fn enter(parcel: *const Parcel<FlowKey4>, backend: u32, target: u64) -> u64 {
        tandem_enter4(parcel, backend, target)
    }

    #[inline(always)]
    fn frontend(key: &FlowKey4) -> FrontendKey4 {
        FrontendKey4::new(
            (key.words[0] >> 32) as u32,
            key.words[1] as u32,
            (key.words[1] >> 32) as u8,
        )
    }
}

impl Family for V6 {
    type Key = FlowKey6;
    type Flow = Entry6;
    type Frontend = Frontend6;
    type Flows = Flows6;

    #[inline(always)]
    fn flows() -> Flows6 {
        Flows6
    }

    #[inline(always)]
    fn frontends(bucket: u32) -> Option<&'static FrontendBucket<Frontend6>> {
        FRONTENDS_V6.get(bucket)
    }

    #[inline(always)]
    fn hash(key: &FlowKey6, seed: &Seed) -> u64 {
        key.hash(seed)
    }

    #[inline(always)]
    fn masked(key: &FlowKey6, fields: HashFields) -> FlowKey6 {
        key.masked(fields)
    }

    #[inline(always)]
    fn settle(parcel: *mut Parcel<FlowKey6>) -> u64 {
        tandem_settle6(parcel)
    }

    #[inline(always)]
    fn place(parcel: *mut Parcel<FlowKey6>) -> u64 {
        tandem_place6(parcel)
    }

    #[inline(always)]
    fn enter(parcel: *const Parcel<FlowKey6>, backend: u32, target: u64) -> u64 {
        tandem_enter6(parcel, backend, target)
    }

    #[inline(always)]
    fn frontend(key: &FlowKey6) -> FrontendKey6 {
        FrontendKey6::new(
            [key.words[3], key.words[4]],
            key.words[0] as u32,
            (key.words[0] >> 32) as u8,
        )
    }
}

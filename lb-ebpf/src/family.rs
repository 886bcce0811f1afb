//! What differs between IPv4 and IPv6: keys and tables. Everything else is written once, over [`Family`].

use lb_common::{
    abi::{
        Frontend4, Frontend6, FrontendBucket, FrontendEntry, FrontendKey4, FrontendKey6, HashFields,
        Persistence,
    },
    flow_table::{Entry, Entry4, Entry6, Table},
    hash::Seed,
    packet::{FlowKey4, FlowKey6},
};

use crate::{
    flow::{
        Parcel, tandem_enter4, tandem_enter6, tandem_place4, tandem_place6, tandem_recall4, tandem_recall6,
        tandem_remember4, tandem_remember6, tandem_settle4, tandem_settle6,
    },
    flow_tables::{Flows4, Flows6},
    maps::{FRONTENDS_V4, FRONTENDS_V6},
};

/// An address family.
pub(crate) trait Family {
    /// Whether it is IPv6.
    const IS_V6: bool;
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
    /// Key of the template for the client of a flow.
    fn template(key: &Self::Key, persistence: Persistence) -> Self::Key;
    /// The way of a packet that changes its flow's state, or has none yet: see [`flow`](crate::flow).
    fn settle(parcel: *mut Parcel<Self::Key>) -> u64;
    /// The first step of it.
    fn place(parcel: *mut Parcel<Self::Key>) -> u64;
    /// The backend that the client keeps, or [`NO_BACKEND`](lb_common::abi::NO_BACKEND).
    fn recall(parcel: *const Parcel<Self::Key>) -> u32;
    /// The backend that the client keeps from now on, if it is to keep one, or else this one.
    fn remember(parcel: *const Parcel<Self::Key>, backend: u32) -> u32;
    /// The last step of it.
    fn enter(parcel: *const Parcel<Self::Key>, backend: u32, target: u64) -> u64;
    /// The frontend that a flow of this key would come in by.
    fn frontend(key: &Self::Key) -> <Self::Frontend as FrontendEntry>::Key;
}

/// IPv4.
pub(crate) struct V4;

/// IPv6.
pub(crate) struct V6;

impl Family for V4 {
    const IS_V6: bool = false;
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
    fn template(key: &FlowKey4, persistence: Persistence) -> FlowKey4 {
        key.template(persistence)
    }

    #[inline(always)]
    fn recall(parcel: *const Parcel<FlowKey4>) -> u32 {
        tandem_recall4(parcel)
    }

    #[inline(always)]
    fn remember(parcel: *const Parcel<FlowKey4>, backend: u32) -> u32 {
        tandem_remember4(parcel, backend)
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
    const IS_V6: bool = true;
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
    fn template(key: &FlowKey6, persistence: Persistence) -> FlowKey6 {
        key.template(persistence)
    }

    #[inline(always)]
    fn recall(parcel: *const Parcel<FlowKey6>) -> u32 {
        tandem_recall6(parcel)
    }

    #[inline(always)]
    fn remember(parcel: *const Parcel<FlowKey6>, backend: u32) -> u32 {
        tandem_remember6(parcel, backend)
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

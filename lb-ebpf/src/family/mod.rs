//! What differs between IPv4 and IPv6: keys and tables. Everything else is written once, over [`Family`].

mod v4;
mod v6;

use lb_common::{
    abi::{Destination, FrontendBucket, FrontendEntry, HashFields, Persistence},
    flow_table::{Entry, Table},
    hash::Seed,
};

use crate::flow::Parcel;

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
    /// Key of the template for the client of a flow, or of the `replica`-th one for its destination.
    fn template(key: &Self::Key, persistence: Persistence, replica: u32) -> Self::Key;
    /// Where the parcel of this CPU's packet lies.
    fn parcel() -> Option<&'static mut Parcel<Self::Key>>;
    /// The way of a packet that changes its flow's state, or has none yet: see [`flow`](crate::flow).
    fn settle(parcel: *mut Parcel<Self::Key>) -> u64;
    /// The first step of it.
    fn place(parcel: *mut Parcel<Self::Key>) -> u64;
    /// Whether a new flow is one too many, and what becomes of it then.
    fn flood(parcel: *const Parcel<Self::Key>) -> u64;
    /// The backend that the client, or the destination as its `replica`-th one, keeps; or [`NO_BACKEND`](lb_common::abi::NO_BACKEND).
    fn recall(parcel: *const Parcel<Self::Key>, replica: u32) -> u32;
    /// The backend that it keeps from now on; or [`NO_BACKEND`](lb_common::abi::NO_BACKEND) where it has a busy one there.
    fn remember(parcel: *const Parcel<Self::Key>, backend: u32, replica: u32) -> u32;
    /// The last step of it.
    fn enter(parcel: *const Parcel<Self::Key>, backend: u32, target: u64) -> u64;
    /// The frontend that a flow of this key would come in by.
    fn frontend(key: &Self::Key) -> <Self::Frontend as FrontendEntry>::Key;
    /// The same, for those that are more than one address and port.
    fn destination(key: &Self::Key) -> Destination;
}

/// IPv4.
pub(crate) struct V4;

/// IPv6.
pub(crate) struct V6;

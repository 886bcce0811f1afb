//! What differs between IPv4 and IPv6 where packets are translated.

mod v4;
mod v6;

use lb_common::{
    abi::{BackendEntry, Pool},
    flow_table::{Table, TranslationEntry},
};
use lb_ebpf::packet::{Context, Packet};

use super::Bid;
use crate::{family::Family, flow::Parcel, forward::Place, outcome::Refusal, route::Route};

/// An address family whose packets can be translated.
pub(crate) trait NatFamily: Family {
    /// An address, as it lies in a packet.
    type Address: Copy;
    /// Entry of the translation table.
    type Translation: TranslationEntry<Flow = Self::Key>;
    /// The translation table.
    type Translations: Table<Entry = Self::Translation>;

    /// The translation table.
    fn translations() -> Self::Translations;
    /// See [`acquire`](super::acquire).
    fn acquire(parcel: *const Parcel<Self::Key>, backend: u32) -> u64;
    /// A part of that.
    fn bid() -> u64;
    /// What that is about, on this CPU.
    fn scratch() -> Option<&'static mut Bid<Self::Key>>;
    /// What names the flow of the packet whose transport header lies at `transport`.
    fn key_of(packet: &Packet, place: Place, transport: usize) -> Option<Self::Key>;
    /// The same for one with none of its transport header, if that had the ports and the protocol of `known`.
    fn key_like(packet: &Packet, place: Place, known: &Self::Key) -> Option<Self::Key>;
    /// Gives the packet these addresses and ports; `transport` is 0 where none of its transport header is there.
    fn rewrite(packet: &Packet, place: Place, transport: usize, to: &Self::Key) -> Result<(), Refusal>;
    /// The way back.
    fn reversed(key: &Self::Key) -> Self::Key;
    /// What the backend's replies to this flow are named by, where its packets keep their source.
    fn reply(backend: &BackendEntry, original: &Self::Key) -> Self::Key;
    /// The reply to another address and port.
    fn redirected(reply: &Self::Key, to: Self::Address, port: u16) -> Self::Key;
    /// An address and a port of the pool.
    fn pick(pool: &Pool, number: u32) -> Option<(Self::Address, u16)>;
    /// The way to the client of this flow, by the kernel's routes.
    fn route_back(context: Context, original: &Self::Key) -> Option<Route>;
}

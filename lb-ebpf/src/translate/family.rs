//! What differs between IPv4 and IPv6 where packets are translated.

use lb_common::{
    abi::{BackendEntry, Pool},
    flow_table::{Table, Translation4, Translation6, TranslationEntry},
    packet::{FlowKey4, FlowKey6, Ipv4, Ipv6, Transport},
};
use lb_ebpf::packet::{Context, Packet};

use super::{
    Bid, rewrite,
    tables::{Translations4, Translations6},
    tandem_acquire4, tandem_acquire6, tandem_bid4, tandem_bid6,
};
use crate::{
    family::{Family, V4, V6},
    flow::Parcel,
    forward::Place,
    maps::{BID_V4, BID_V6},
    outcome::Refusal,
    route::{self, Route},
};

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
    /// Gives the packet these addresses and ports.
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

impl NatFamily for V4 {
    type Address = u32;
    type Translation = Translation4;
    type Translations = Translations4;

    #[inline(always)]
    fn translations() -> Translations4 {
        Translations4
    }

    #[inline(always)]
    fn acquire(parcel: *const Parcel<FlowKey4>, backend: u32) -> u64 {
        tandem_acquire4(parcel, backend)
    }

    #[inline(always)]
    fn bid() -> u64 {
        tandem_bid4()
    }

    #[inline(always)]
    fn scratch() -> Option<&'static mut Bid<FlowKey4>> {
        // SAFETY: this CPU's own; packets are handled one after the other.
        BID_V4.get_ptr_mut(0).map(|bid| unsafe { &mut *bid })
    }

    #[inline(always)]
    fn key_of(packet: &Packet, place: Place, transport: usize) -> Option<FlowKey4> {
        let ip = Ipv4::at(packet, place.network()).ok()?;
        let ports = Transport::ports_at(packet, transport)?;
        Some(FlowKey4::new(
            ip.source(),
            ip.destination(),
            ports,
            place.protocol(),
        ))
    }

    #[inline(always)]
    fn rewrite(packet: &Packet, place: Place, transport: usize, to: &FlowKey4) -> Result<(), Refusal> {
        rewrite::rewrite4(packet, place.network(), transport, to)
    }

    #[inline(always)]
    fn reversed(key: &FlowKey4) -> FlowKey4 {
        key.reversed()
    }

    #[inline(always)]
    fn reply(backend: &BackendEntry, original: &FlowKey4) -> FlowKey4 {
        original.answered_by(backend.address4(), backend.port())
    }

    #[inline(always)]
    fn redirected(reply: &FlowKey4, to: u32, port: u16) -> FlowKey4 {
        reply.redirected(to, port)
    }

    #[inline(always)]
    fn pick(pool: &Pool, number: u32) -> Option<(u32, u16)> {
        pool.pick4(number)
    }

    #[inline(always)]
    fn route_back(context: Context, original: &FlowKey4) -> Option<Route> {
        route::find4(context, original.destination(), original.source())
    }
}

impl NatFamily for V6 {
    type Address = [u64; 2];
    type Translation = Translation6;
    type Translations = Translations6;

    #[inline(always)]
    fn translations() -> Translations6 {
        Translations6
    }

    #[inline(always)]
    fn acquire(parcel: *const Parcel<FlowKey6>, backend: u32) -> u64 {
        tandem_acquire6(parcel, backend)
    }

    #[inline(always)]
    fn bid() -> u64 {
        tandem_bid6()
    }

    #[inline(always)]
    fn scratch() -> Option<&'static mut Bid<FlowKey6>> {
        // SAFETY: this CPU's own; packets are handled one after the other.
        BID_V6.get_ptr_mut(0).map(|bid| unsafe { &mut *bid })
    }

    #[inline(always)]
    fn key_of(packet: &Packet, place: Place, transport: usize) -> Option<FlowKey6> {
        let ip = Ipv6::at(packet, place.network()).ok()?;
        let ports = Transport::ports_at(packet, transport)?;
        Some(FlowKey6::new(
            ip.source(),
            ip.destination(),
            ports,
            place.protocol(),
        ))
    }

    #[inline(always)]
    fn rewrite(packet: &Packet, place: Place, transport: usize, to: &FlowKey6) -> Result<(), Refusal> {
        rewrite::rewrite6(packet, place.network(), transport, place.protocol(), to)
    }

    #[inline(always)]
    fn reversed(key: &FlowKey6) -> FlowKey6 {
        key.reversed()
    }

    #[inline(always)]
    fn reply(backend: &BackendEntry, original: &FlowKey6) -> FlowKey6 {
        original.answered_by(backend.address6(), backend.port())
    }

    #[inline(always)]
    fn redirected(reply: &FlowKey6, to: [u64; 2], port: u16) -> FlowKey6 {
        reply.redirected(to, port)
    }

    #[inline(always)]
    fn pick(pool: &Pool, number: u32) -> Option<([u64; 2], u16)> {
        pool.pick6(number)
    }

    #[inline(always)]
    fn route_back(context: Context, original: &FlowKey6) -> Option<Route> {
        route::find6(context, original.destination(), original.source())
    }
}

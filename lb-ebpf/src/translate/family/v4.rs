//! IPv4.

use lb_common::{
    abi::{BackendEntry, Pool},
    flow_table::Translation4,
    packet::{FlowKey4, Ipv4, Transport},
};
use lb_ebpf::packet::{Context, Packet};

use super::NatFamily;
use crate::{
    family::V4,
    flow::Parcel,
    forward::Place,
    maps::BID_V4,
    outcome::Refusal,
    route::{self, Route},
    translate::{Bid, rewrite, tables::Translations4, tandem_acquire4, tandem_bid4},
};

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
    fn key_like(packet: &Packet, place: Place, known: &FlowKey4) -> Option<FlowKey4> {
        let ip = Ipv4::at(packet, place.network()).ok()?;
        Some(FlowKey4::new(
            ip.source(),
            ip.destination(),
            known.ports(),
            known.protocol(),
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

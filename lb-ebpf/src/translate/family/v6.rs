//! IPv6.

use lb_common::{
    abi::{BackendEntry, Pool},
    flow_table::Translation6,
    packet::{FlowKey6, Ipv6, Transport},
};
use lb_ebpf::packet::{Context, Packet};

use super::NatFamily;
use crate::{
    family::V6,
    flow::Parcel,
    forward::Place,
    maps::BID_V6,
    outcome::Refusal,
    route::{self, Route},
    translate::{Bid, rewrite, tables::Translations6, tandem_acquire6, tandem_bid6},
};

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
    fn key_like(packet: &Packet, place: Place, known: &FlowKey6) -> Option<FlowKey6> {
        let ip = Ipv6::at(packet, place.network()).ok()?;
        Some(FlowKey6::new(
            ip.source(),
            ip.destination(),
            known.ports(),
            known.protocol(),
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

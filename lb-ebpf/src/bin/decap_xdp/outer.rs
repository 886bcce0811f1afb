//! The outer packet: is it a tunnel's, to this machine, from somebody who may?

use lb_common::{
    decap::{Outcome, mapped},
    packet::{Frame as _, Inside, Ipv4, Ipv6, NotInside, inside, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::settings::settings;

/// What is known of the outer packet.
pub(crate) struct Outer {
    /// DSCP and ECN.
    pub(crate) class: u8,
    /// Sum of both addresses.
    pub(crate) addresses: u64,
    pub(crate) inside: Inside,
}

/// The packet in an IPv4 packet.
#[inline(always)]
pub(crate) fn look4(packet: &Packet, network: usize) -> Result<Outer, Outcome> {
    let ip = Ipv4::at(packet, network).map_err(|_| Outcome::NoTunnel)?;
    if !may_be_tunnel(ip.protocol()) || !settings().leads_to(mapped(ip.destination())) {
        return Err(Outcome::NoTunnel);
    }
    let (offset, length) = ip.validate(packet).map_err(refused)?;
    let inside =
        inside(packet, ip.protocol(), offset, length, settings().gue_port as u16).map_err(not_inside)?;
    if !settings().may_come_from(mapped(ip.source())) {
        return Err(Outcome::ForeignSource);
    }
    let header = packet.window::<20>(network).ok_or(Outcome::Malformed)?;
    Ok(Outer {
        class: header.byte::<1>(),
        addresses: u64::from(ip.source()) + u64::from(ip.destination()),
        inside,
    })
}

/// The packet in an IPv6 packet.
#[inline(always)]
pub(crate) fn look6(packet: &Packet, network: usize) -> Result<Outer, Outcome> {
    let ip = Ipv6::at(packet, network).map_err(|_| Outcome::NoTunnel)?;
    if !settings().leads_to(ip.destination()) {
        return Err(Outcome::NoTunnel);
    }
    let payload = ip.validate(packet).map_err(refused)?;
    let inside = inside(
        packet,
        payload.protocol,
        payload.offset,
        payload.length,
        settings().gue_port as u16,
    )
    .map_err(not_inside)?;
    if !settings().may_come_from(ip.source()) {
        return Err(Outcome::ForeignSource);
    }
    let header = packet.window::<40>(network).ok_or(Outcome::Malformed)?;
    let halves = |word: u64| (word & 0xFFFF_FFFF) + (word >> 32);
    let [a, b] = ip.source();
    let [c, d] = ip.destination();
    Ok(Outer {
        class: header.byte::<0>() << 4 | header.byte::<1>() >> 4,
        addresses: halves(a) + halves(b) + halves(c) + halves(d),
        inside,
    })
}

#[inline(always)]
const fn may_be_tunnel(kind: u8) -> bool {
    matches!(
        kind,
        protocol::IPV4 | protocol::IPV6 | protocol::GRE | protocol::UDP
    )
}

/// What a packet to this machine that the parser refuses is: nothing that the kernel should not see for itself.
#[inline(always)]
const fn refused(reason: Reason) -> Outcome {
    match reason {
        Reason::Fragment => Outcome::Fragment,
        _ => Outcome::NoTunnel,
    }
}

#[inline(always)]
const fn not_inside(error: NotInside) -> Outcome {
    match error {
        NotInside::NoTunnel => Outcome::NoTunnel,
        NotInside::Malformed => Outcome::Malformed,
    }
}

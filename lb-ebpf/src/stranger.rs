//! Packets that are not addressed to a VIP: nearly all are none of our business.

use lb_common::{
    packet::{Ipv4, Ipv6, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::{maps::STRANGERS, outcome::Refusal, path_error, translate, verdict::Verdict};

/// What becomes of an IPv4 packet whose header lies at `network`.
#[inline(always)]
pub(crate) fn pass4(packet: &Packet, network: usize, ip: &Ipv4<'_>) -> Result<Verdict, Refusal> {
    let strangers = STRANGERS.get(0).ok_or(Reason::MapMissing)?;
    if !strangers.any() {
        return Err(Reason::NotVip.into());
    }
    if ip.protocol() != protocol::ICMP {
        if strangers.translations() && strangers.translated.may_hold4(ip.source()) {
            if ip.is_fragment() {
                translate::remember_reply4(packet, network);
            }
            return translate::reply4(packet, network);
        }
        return Err(Reason::NotVip.into());
    }
    if strangers.tunnels() && strangers.tunnel_sources.may_hold4(ip.destination()) {
        match path_error::send_on4(packet, network) {
            Err(refusal) if refusal.is(Reason::NotVip) => {}
            outcome => return outcome,
        }
    }
    if strangers.translations() {
        return translate::error_to_client4(packet, network);
    }
    Err(Reason::NotVip.into())
}

/// What becomes of an IPv6 packet whose header lies at `network`.
#[inline(always)]
pub(crate) fn pass6(packet: &Packet, network: usize, ip: &Ipv6<'_>) -> Result<Verdict, Refusal> {
    let strangers = STRANGERS.get(0).ok_or(Reason::MapMissing)?;
    if !strangers.any() {
        return Err(Reason::NotVip.into());
    }
    if ip.next_header() != protocol::ICMPV6 {
        if strangers.translations() && strangers.translated.may_hold6(ip.source()) {
            if ip.next_header() == protocol::FRAGMENT {
                translate::remember_reply6(packet, network);
            }
            return translate::reply6(packet, network);
        }
        return Err(Reason::NotVip.into());
    }
    if strangers.tunnels() && strangers.tunnel_sources.may_hold6(ip.destination()) {
        match path_error::send_on6(packet, network) {
            Err(refusal) if refusal.is(Reason::NotVip) => {}
            outcome => return outcome,
        }
    }
    if strangers.translations() {
        return translate::error_to_client6(packet, network);
    }
    Err(Reason::NotVip.into())
}

//! Packets that are not addressed to a VIP: nearly all are none of our business.

use lb_common::{
    packet::{Ipv4, Ipv6, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::{maps::STRANGERS, outcome::Refusal, path_error, verdict::Verdict};

/// What becomes of an IPv4 packet whose header lies at `network`.
#[inline(always)]
pub(crate) fn pass4(packet: &Packet, network: usize, ip: &Ipv4<'_>) -> Result<Verdict, Refusal> {
    let strangers = STRANGERS.get(0).ok_or(Reason::MapMissing)?;
    if strangers.any()
        && strangers.tunnels()
        && ip.protocol() == protocol::ICMP
        && strangers.tunnel_sources.may_hold4(ip.destination())
    {
        return path_error::send_on4(packet, network);
    }
    Err(Reason::NotVip.into())
}

/// What becomes of an IPv6 packet whose header lies at `network`.
#[inline(always)]
pub(crate) fn pass6(packet: &Packet, network: usize, ip: &Ipv6<'_>) -> Result<Verdict, Refusal> {
    let strangers = STRANGERS.get(0).ok_or(Reason::MapMissing)?;
    if strangers.any()
        && strangers.tunnels()
        && ip.next_header() == protocol::ICMPV6
        && strangers.tunnel_sources.may_hold6(ip.destination())
    {
        return path_error::send_on6(packet, network);
    }
    Err(Reason::NotVip.into())
}

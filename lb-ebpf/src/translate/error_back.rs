//! ICMP errors about packets of translated flows, on their way to the client, who sent those to the VIP.

use lb_common::{
    flow_table::{self, Entry, Hit, Origin, Translation},
    packet::{Icmp, Ipv4, Ipv6, protocol, quoted_packet4, quoted_packet6},
    reason::Reason,
};
use lb_ebpf::packet::{Context, Packet};

use super::{
    NatFamily,
    quote::{self, Quote},
    readdress::{ICMP, readdress4, readdress6},
    rewrite::send_by,
};
use crate::{
    family::{V4, V6},
    outcome::{Refusal, decode, encode},
    route::Route,
    settings::settings,
    verdict::Verdict,
};

/// Sends an error about a packet that went to a backend to the client; else it is the kernel's.
#[inline(always)]
pub(crate) fn error_to_client4(packet: &Packet, network: usize) -> Result<Verdict, Refusal> {
    decode(tandem_back4(packet.context(), network as u32)).map(|ifindex| Verdict::by(ifindex as u32))
}

/// Sends an error about a packet that went to a backend to the client; else it is the kernel's.
#[inline(always)]
pub(crate) fn error_to_client6(packet: &Packet, network: usize) -> Result<Verdict, Refusal> {
    decode(tandem_back6(packet.context(), network as u32)).map(|ifindex| Verdict::by(ifindex as u32))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_back4(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    encode(to_client4(&packet, network).unwrap_or(Err(Reason::NotVip.into())))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_back6(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    encode(to_client6(&packet, network).unwrap_or(Err(Reason::NotVip.into())))
}

/// The client's packets and where they come from, for the translation whose replies are these.
#[inline(always)]
fn client_of<F: NatFamily>(context: Context, reply: &F::Key) -> Option<Result<(F::Key, Route), Refusal>> {
    let sought = Translation {
        reply: *reply,
        original: *reply,
        origin: Origin::default(),
    };
    let table = F::translations();
    let Hit { entry, .. } = flow_table::lookup(&table, &sought, F::hash(reply, &settings().flow_seed))?;
    let Translation { original, origin, .. } = entry.key();
    let route = if origin.ifindex() == 0 {
        F::route_back(context, &original)
    } else {
        Some(Route {
            link: origin.link(),
            ifindex: origin.ifindex(),
        })
    };
    Some(match route {
        Some(route) => Ok((original, route)),
        None => Err(Reason::ErrorLost.into()),
    })
}

/// `None`: it is none of ours.
#[inline(always)]
fn to_client4(packet: &Packet, network: usize) -> Option<Result<u64, Refusal>> {
    let ip = Ipv4::at(packet, network).ok()?;
    let (offset, length) = ip.validate(packet).ok()?;
    if ip.protocol() != protocol::ICMP || Icmp::of_v4(packet, offset, length) != Some(Icmp::Error) {
        return None;
    }
    let quoted = quoted_packet4(packet, offset, length).ok()?;
    let (original, route) = match client_of::<V4>(packet.context(), &quoted.key.reversed())? {
        Ok(found) => found,
        Err(refusal) => return Some(Err(refusal)),
    };
    let at = Quote {
        network: offset + ICMP,
        transport: quoted.payload.offset & 0xFF,
        length: quoted.payload.length,
        protocol: quoted.payload.protocol,
    };
    let change = quote::translate4(packet, at, &original)?;
    Some(
        readdress4(
            packet,
            network,
            offset,
            (original.destination(), original.source()),
            change,
        )
        .and_then(|()| send_by(packet, route.link))
        .map(|()| route.ifindex.into()),
    )
}

/// `None`: it is none of ours.
#[inline(always)]
fn to_client6(packet: &Packet, network: usize) -> Option<Result<u64, Refusal>> {
    let ip = Ipv6::at(packet, network).ok()?;
    let payload = ip.validate(packet).ok()?;
    let (offset, length) = (payload.offset, payload.length);
    if payload.protocol != protocol::ICMPV6 || Icmp::of_v6(packet, offset, length) != Some(Icmp::Error) {
        return None;
    }
    let quoted = quoted_packet6(packet, offset, length).ok()?;
    let (original, route) = match client_of::<V6>(packet.context(), &quoted.key.reversed())? {
        Ok(found) => found,
        Err(refusal) => return Some(Err(refusal)),
    };
    let at = Quote {
        network: offset + ICMP,
        transport: quoted.payload.offset & 0x7FFF,
        length: quoted.payload.length,
        protocol: quoted.payload.protocol,
    };
    let change = quote::translate6(packet, at, &original)?;
    Some(
        readdress6(
            packet,
            network,
            offset,
            (original.destination(), original.source()),
            change,
        )
        .and_then(|()| send_by(packet, route.link))
        .map(|()| route.ifindex.into()),
    )
}

//! Errors from the way to a backend: a router could not carry a tunnel's packet, and the client is told in its own terms.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use lb_common::{
    abi::{BackendEntry, Event, Method},
    flow_table,
    packet::{Icmp, IpVersion, Ipv4, Ipv6, PathError, path_error4, path_error6, protocol},
    reason::Reason,
};
use lb_ebpf::packet::{Context, Packet};

use crate::{
    count,
    family::{Family, V4, V6},
    icmp_error::{self, ICMP, IPV4, IPV6},
    link::LinkHeader,
    maps::BACKENDS,
    outcome::{Refusal, decode, encode},
    pace,
    route::{self, Route},
    settings::settings,
    verdict::Verdict,
};

/// Sends the error on, if it is about a tunnel; else it is the kernel's. The IPv4 header lies at `network`.
#[inline(always)]
pub(crate) fn send_on4(packet: &Packet, network: usize) -> Result<Verdict, Refusal> {
    decode(tandem_path_error4(packet.context(), network as u32)).map(|ifindex| Verdict::by(ifindex as u32))
}

/// Sends the error on, if it is about a tunnel; else it is the kernel's. The IPv6 header lies at `network`.
#[inline(always)]
pub(crate) fn send_on6(packet: &Packet, network: usize) -> Result<Verdict, Refusal> {
    decode(tandem_path_error6(packet.context(), network as u32)).map(|ifindex| Verdict::by(ifindex as u32))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_path_error4(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    encode(match read4(&packet, network) {
        Some(error) => translate(&packet, network, &error).map(u64::from),
        None => Err(Reason::NotVip.into()),
    })
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_path_error6(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    encode(match read6(&packet, network) {
        Some(error) => translate(&packet, network, &error).map(u64::from),
        None => Err(Reason::NotVip.into()),
    })
}

#[inline(always)]
fn read4(packet: &Packet, network: usize) -> Option<PathError> {
    let ip = Ipv4::at(packet, network).ok()?;
    let (offset, length) = ip.validate(packet).ok()?;
    match Icmp::of_v4(packet, offset, length)? {
        Icmp::Error => path_error4(packet, ip.destination(), offset, length),
        Icmp::EchoRequest => None,
    }
}

#[inline(always)]
fn read6(packet: &Packet, network: usize) -> Option<PathError> {
    let ip = Ipv6::at(packet, network).ok()?;
    let payload = ip.validate(packet).ok()?;
    match Icmp::of_v6(packet, payload.offset, payload.length)? {
        Icmp::Error if payload.protocol == protocol::ICMPV6 => {
            path_error6(packet, ip.destination(), payload.offset, payload.length)
        }
        Icmp::Error | Icmp::EchoRequest => None,
    }
}

/// The interface by which the translated error leaves.
#[inline(always)]
fn translate(packet: &Packet, network: usize, error: &PathError) -> Result<u32, Refusal> {
    let route = match error.version {
        IpVersion::V4 => {
            let key = error.flow4(packet).ok_or(Reason::NotVip)?;
            is_ours::<V4>(&key, error)?;
            let [client, vip] = [key.words[0] as u32, (key.words[0] >> 32) as u32];
            route::find4(packet.context(), vip, client)
        }
        IpVersion::V6 => {
            let key = error.flow6(packet).ok_or(Reason::NotVip)?;
            is_ours::<V6>(&key, error)?;
            let [_, a, b, c, d] = key.words;
            route::find6(packet.context(), [c, d], [a, b])
        }
    };
    let route = route.ok_or(Reason::ErrorLost)?;
    if !pace::may_answer() {
        return Err(Reason::ErrorLost.into());
    }
    let mtu = (error.mtu as usize).saturating_sub(error.overhead).min(0xFFFF) as u16;
    match rebuild(packet, network, error, &route, mtu) {
        Some(()) => {
            count::event(Event::ErrorTranslated);
            Ok(route.ifindex)
        }
        None => Err(Reason::ErrorLost.into()),
    }
}

/// Whether the quoted packet is one that we put into the tunnel to the flow's backend: anybody can make up an error, and not
/// anybody knows a flow.
#[inline(always)]
fn is_ours<F: Family>(key: &F::Key, error: &PathError) -> Result<(), Refusal> {
    let hash = F::hash(key, &settings().flow_seed);
    let flows = F::flows();
    let hit = flow_table::lookup(&flows, key, hash).ok_or(Reason::NotVip)?;
    let backend = hit.control.backend().ok_or(Reason::NotVip)?;
    let entry = BACKENDS.get(backend).ok_or(Reason::NotVip)?;
    if entry.address6() == error.backend && is_its_tunnel(entry, error) {
        Ok(())
    } else {
        Err(Reason::NotVip.into())
    }
}

#[inline(always)]
fn is_its_tunnel(entry: &BackendEntry, error: &PathError) -> bool {
    let method = entry.tail().method();
    match error.protocol {
        protocol::UDP => method == Method::Gue as u8 && entry.port() == error.port,
        protocol::GRE => method == Method::Gre as u8,
        _ => method == Method::Ipip as u8,
    }
}

/// Puts the client's own packet, as far as it is quoted, behind a header of ours.
#[inline(always)]
fn rebuild(packet: &Packet, network: usize, error: &PathError, route: &Route, mtu: u16) -> Option<()> {
    let (least, header, ether_type) = match error.version {
        IpVersion::V4 => (IPV4 + 8, IPV4 + ICMP, 0x0800),
        IpVersion::V6 => (IPV6 + 8, IPV6 + ICMP, 0x86DD),
    };
    let quote = if error.length >= 512 {
        512
    } else if error.length >= 128 {
        128
    } else if error.length >= least {
        least
    } else {
        return None;
    };
    let link = LinkHeader::of(packet)?.with_macs(route.link);
    let context = packet.context();
    let surplus = packet.length() as i32 - (error.offset + quote) as i32;
    let removed = error.offset as i32 - (network + header) as i32;
    // SAFETY: the context is valid for the run of the program; pointers into the packet are made anew from here on.
    unsafe {
        if surplus < 0
            || removed < 0
            || bpf_xdp_adjust_tail(context, -surplus) != 0
            || bpf_xdp_adjust_head(context, removed) != 0
        {
            return None;
        }
    }
    let packet = Packet::new(context);
    link.put(&packet, network, ether_type)?;
    match (error.version, quote) {
        (IpVersion::V4, 512) => icmp_error::put4::<512>(&packet, network, mtu),
        (IpVersion::V4, 128) => icmp_error::put4::<128>(&packet, network, mtu),
        (IpVersion::V4, _) => icmp_error::put4::<{ IPV4 + 8 }>(&packet, network, mtu),
        (IpVersion::V6, 512) => icmp_error::put6::<512>(&packet, network, mtu),
        (IpVersion::V6, 128) => icmp_error::put6::<128>(&packet, network, mtu),
        (IpVersion::V6, _) => icmp_error::put6::<{ IPV6 + 8 }>(&packet, network, mtu),
    }
}

//! ICMP to a VIP: pings are answered, and errors about a backend's replies go where the flow is.

use lb_common::{
    flow_table::{self, Target},
    packet::{Icmp, Ipv4, Ipv6, quoted_flow4, quoted_flow6},
    reason::Reason,
};
use lb_ebpf::packet::{Context, Packet};

use crate::{
    echo,
    family::{Family, V4, V6},
    outcome::{Refusal, decode_target, encode_target},
    schedule,
    service::service_of,
    settings::settings,
    vip::{is_vip4, is_vip6},
};

/// Where an error goes that arrived in the packet with its IPv4 header at `network`, or why the message goes nowhere; it lies
/// at `offset` and is `length` bytes long.
#[inline(always)]
pub(crate) fn target4(
    packet: &Packet,
    network: usize,
    offset: usize,
    length: usize,
) -> Result<Target, Refusal> {
    let outcome = tandem_icmp4(packet.context(), network as u32, offset as u32, length as u32);
    decode_target(outcome)
}

/// Where an error goes that arrived in the packet with its IPv6 header at `network`.
#[inline(always)]
pub(crate) fn target6(
    packet: &Packet,
    network: usize,
    offset: usize,
    length: usize,
) -> Result<Target, Refusal> {
    let outcome = tandem_icmp6(packet.context(), network as u32, offset as u32, length as u32);
    decode_target(outcome)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_icmp4(context: Context, network: u32, offset: u32, length: u32) -> u64 {
    let at = |number: u32, most: u32| (number & most) as usize;
    encode_target(message4(
        &Packet::new(context),
        at(network, 31),
        at(offset, 127),
        at(length, 0xFFFF),
    ))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_icmp6(context: Context, network: u32, offset: u32, length: u32) -> u64 {
    let at = |number: u32, most: u32| (number & most) as usize;
    encode_target(message6(
        &Packet::new(context),
        at(network, 31),
        at(offset, 0x7FFF),
        at(length, 0xFFFF),
    ))
}

#[inline(always)]
fn message4(packet: &Packet, network: usize, offset: usize, length: usize) -> Result<Target, Refusal> {
    let vip = Ipv4::at(packet, network)?.destination();
    match Icmp::of_v4(packet, offset, length) {
        Some(Icmp::Error) => {
            let key = quoted_flow4(packet, vip, offset, length)?;
            holder::<V4>(&key)
        }
        Some(Icmp::EchoRequest) if is_vip4(vip) => Err(echo::answer4(packet, network, offset).into()),
        Some(Icmp::EchoRequest) => Err(Reason::NotVip.into()),
        None => Err(Reason::OtherProtocol.into()),
    }
}

#[inline(always)]
fn message6(packet: &Packet, network: usize, offset: usize, length: usize) -> Result<Target, Refusal> {
    let vip = Ipv6::at(packet, network)?.destination();
    match Icmp::of_v6(packet, offset, length) {
        Some(Icmp::Error) => {
            let key = quoted_flow6(packet, vip, offset, length)?;
            holder::<V6>(&key)
        }
        Some(Icmp::EchoRequest) if is_vip6(vip) => Err(echo::answer6(packet, network, offset).into()),
        Some(Icmp::EchoRequest) => Err(Reason::NotVip.into()),
        None => Err(Reason::OtherProtocol.into()),
    }
}

/// The target of the flow, or that it would get: a director that has just taken over knows few flows yet.
///
/// An error is no sign of life from the client, and anybody can make one up: it neither makes nor prolongs a flow.
#[inline(always)]
fn holder<F: Family>(key: &F::Key) -> Result<Target, Refusal> {
    let hash = F::hash(key, &settings().flow_seed);
    if let Some(hit) = flow_table::lookup(&F::flows(), key, hash) {
        return Ok(hit.control.target());
    }
    let number = service_of::<F>(key).ok_or(Reason::NoService)?;
    let hash = schedule::hash::<F>(schedule::service(number)?.policy(), key);
    Ok(Target::Backend(schedule::in_the_middle(number, hash)?))
}

//! A backend's reply, on its way back to the client: it comes from the VIP from here on.

use lb_common::{
    flow_state::FlowState,
    flow_table::{self, Control, Entry, Hit, Origin, Translation},
    packet::{FlowKey4, FlowKey6, Ipv4, Ipv6, TcpFlags, Transport},
    reason::Reason,
    tcp_state::{self, Heard, Segment},
};
use lb_ebpf::packet::{Context, Packet};

use super::{
    NatFamily,
    reply_part::{part4, part6},
    rewrite::send_by,
};
use crate::{
    clock::jiffies,
    count,
    family::{V4, V6},
    forward::{Place, Shape},
    journal, load,
    outcome::{Refusal, decode, encode},
    settings::settings,
    verdict::Verdict,
};

/// Sends the packet back to the client, if it is a reply to one; else it is the kernel's. The IPv4 header lies at `network`.
#[inline(always)]
pub(crate) fn reply4(packet: &Packet, network: usize) -> Result<Verdict, Refusal> {
    decode(tandem_reply4(packet.context(), network as u32)).map(|ifindex| Verdict::by(ifindex as u32))
}

/// Sends the packet back to the client, if it is a reply to one. The IPv6 header lies at `network`.
#[inline(always)]
pub(crate) fn reply6(packet: &Packet, network: usize) -> Result<Verdict, Refusal> {
    decode(tandem_reply6(packet.context(), network as u32)).map(|ifindex| Verdict::by(ifindex as u32))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_reply4(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    encode(match read4(&packet, network) {
        Some((key, shape, flags)) => back::<V4>(&packet, &key, &shape, flags),
        None => Err(Reason::NotVip.into()),
    })
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_reply6(context: Context, network: u32) -> u64 {
    let (packet, network) = (Packet::new(context), network as usize & 31);
    encode(match read6(&packet, network) {
        Some((key, shape, flags)) => back::<V6>(&packet, &key, &shape, flags),
        None => Err(Reason::NotVip.into()),
    })
}

#[inline(always)]
fn read4(packet: &Packet, network: usize) -> Option<(FlowKey4, Shape, TcpFlags)> {
    let ip = Ipv4::at(packet, network).ok()?;
    let (offset, length) = match ip.validate(packet) {
        Err(Reason::Fragment) => return part4(packet, network),
        checked => checked.ok()?,
    };
    let transport = Transport::parse(packet, ip.protocol(), offset, length).ok()?;
    let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, ip.protocol());
    let shape = Shape {
        network,
        ipv6: false,
        transport: offset,
        protocol: ip.protocol(),
        bytes: offset + length,
        entropy: 0,
    };
    Some((key, shape, transport.flags))
}

#[inline(always)]
fn read6(packet: &Packet, network: usize) -> Option<(FlowKey6, Shape, TcpFlags)> {
    let ip = Ipv6::at(packet, network).ok()?;
    let payload = match ip.validate(packet) {
        Err(Reason::Fragment) => return part6(packet, network),
        checked => checked.ok()?,
    };
    let transport = Transport::parse(packet, payload.protocol, payload.offset, payload.length).ok()?;
    let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, payload.protocol);
    let shape = Shape {
        network,
        ipv6: true,
        transport: payload.offset,
        protocol: payload.protocol,
        bytes: payload.offset + payload.length,
        entropy: 0,
    };
    Some((key, shape, transport.flags))
}

/// The interface.
#[inline(always)]
fn back<F: NatFamily>(packet: &Packet, key: &F::Key, shape: &Shape, flags: TcpFlags) -> Result<u64, Refusal> {
    let found = Translation {
        reply: *key,
        original: *key,
        origin: Origin::default(),
    };
    let table = F::translations();
    let Some(Hit { entry, control, .. }) =
        flow_table::lookup(&table, &found, F::hash(key, &settings().flow_seed))
    else {
        return Err(Reason::NotVip.into());
    };
    entry.touch(jiffies() as u32);
    let Translation { original, origin, .. } = entry.key();
    if !flags.is_plain() || !control.is_steady() {
        advance::<F>(&original, entry, control, flags);
    }
    let (link, ifindex) = if origin.ifindex() == 0 {
        let route = F::route_back(packet.context(), &original).ok_or(Reason::ErrorLost)?;
        (route.link, route.ifindex)
    } else {
        (origin.link(), origin.ifindex())
    };
    F::rewrite(packet, Place::of(shape), shape.transport, &F::reversed(&original))?;
    send_by(packet, link)?;
    if let Some(backend) = control.backend() {
        count::replied(backend, shape.bytes);
    }
    Ok(ifindex.into())
}

/// The flow's state after the server's segment: its own entry says it first, and the translation after it.
#[inline(always)]
fn advance<F: NatFamily>(original: &F::Key, entry: &F::Translation, control: Control, flags: TcpFlags) {
    let hash = F::hash(original, &settings().flow_seed);
    let flows = F::flows();
    let Some(flow) = flow_table::lookup(&flows, original, hash) else {
        return;
    };
    let state = flow.control.state_number();
    let segment = Segment::of(flags);
    let next = tcp_state::next_number(state, Heard::Server, segment);
    if next != state
        && flow
            .entry
            .change(flow.control, flow.control.with_state_number(next))
    {
        if let Some(backend) = control.backend() {
            load::moved_of(backend, state.into(), next.into());
            if segment == Segment::Rst {
                count::reset_by(backend, state.into());
            }
        }
        if !FlowState::is_half_open(next.into()) {
            journal::note_place::<F>(flow.place);
        }
    }
    if next != control.state_number() {
        entry.change(control, control.with_state_number(next));
    }
}

//! Where a fragment goes.

use lb_common::{
    flow_table::Target,
    packet::{FlowKey4, FlowKey6, Ipv4, Ipv6},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use super::{Part, part4, part6, remember4, remember6};
use crate::{
    family::{V4, V6},
    flow,
    forward::Shape,
    outcome::Refusal,
};

/// Where the fragment goes whose IPv4 header lies at `network`, and what is known of it.
#[inline(always)]
pub(crate) fn target4(packet: &Packet, network: usize, ip: &Ipv4<'_>) -> Result<(Target, Shape), Refusal> {
    let mut shape = later(packet, network, false);
    let target = match part4(packet, network)? {
        Part::Later(target) => target,
        Part::First(protocol, transport, offset) => {
            let key = FlowKey4::new(ip.source(), ip.destination(), transport.ports, protocol);
            let target = flow::target_of_few::<V4>(packet, &key, (protocol, offset), transport.flags)
                .map_err(unanswered)?;
            remember4(packet, network, target);
            (shape.transport, shape.protocol) = (offset, protocol);
            target
        }
    };
    Ok((target, shape))
}

/// Where the fragment goes whose IPv6 header lies at `network`, and what is known of it.
#[inline(always)]
pub(crate) fn target6(packet: &Packet, network: usize, ip: &Ipv6<'_>) -> Result<(Target, Shape), Refusal> {
    let mut shape = later(packet, network, true);
    let target = match part6(packet, network)? {
        Part::Later(target) => target,
        Part::First(protocol, transport, offset) => {
            let key = FlowKey6::new(ip.source(), ip.destination(), transport.ports, protocol);
            let target = flow::target_of_few::<V6>(packet, &key, (protocol, offset), transport.flags)
                .map_err(unanswered)?;
            remember6(packet, network, target);
            (shape.transport, shape.protocol) = (offset, protocol);
            target
        }
    };
    Ok((target, shape))
}

/// No fragment is answered with a reset: the length of its segment is not known.
#[inline(always)]
fn unanswered(refusal: Refusal) -> Refusal {
    if refusal.is(Reason::ResetSent) {
        Reason::UnknownFlow.into()
    } else {
        refusal
    }
}

/// What is known of a later fragment.
#[inline(always)]
fn later(packet: &Packet, network: usize, ipv6: bool) -> Shape {
    Shape {
        network,
        ipv6,
        transport: 0,
        protocol: 0,
        bytes: packet.linear(),
        entropy: 0,
    }
}

//! The way of nearly every packet, in one go: of a flow that is known, and that it changes nothing about. All others go the
//! pipeline's steps, where each has its reason; what passes here would pass there.

use lb_common::packet::{FlowKey4, FlowKey6, Usual, UsualFrame};
use lb_ebpf::packet::{Context, Packet};

use crate::{
    balance::deliver,
    family::{V4, V6},
    flow,
    forward::Shape,
    outcome::{Refusal, decode, encode},
    settings::settings,
    translate::NatFamily,
    verdict::Verdict,
    vip,
};

/// The packet has to go the pipeline's steps.
const UNUSUAL: u64 = 1 << 62;
/// Its flow was looked for, and is not known.
const UNKNOWN: u64 = 1;

/// What is known of a packet that has to go the pipeline's steps.
#[derive(Clone, Copy)]
pub(crate) struct Unusual {
    /// Whether its flow was looked for, and is not known.
    pub(crate) is_unknown: bool,
}

/// The packet's way, if it is as nearly all are.
#[inline(always)]
pub(crate) fn usual(context: Context) -> Result<Result<Verdict, Refusal>, Unusual> {
    let number = tandem_usual(context);
    if number & UNUSUAL != 0 {
        return Err(Unusual {
            is_unknown: number & UNKNOWN != 0,
        });
    }
    Ok(decode(number).map(|ifindex| Verdict::by(ifindex as u32)))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_usual(context: Context) -> u64 {
    let packet = Packet::new(context);
    match UsualFrame::of(&packet) {
        Some(UsualFrame::Ipv4(ip)) if vip::filter4(ip.destination()) => {
            match Usual::<FlowKey4>::of(&packet, &ip) {
                Some(usual) => go::<V4>(&packet, &usual),
                None => UNUSUAL,
            }
        }
        Some(UsualFrame::Ipv6(ip)) if vip::filter6(ip.destination()) => {
            match Usual::<FlowKey6>::of(&packet, &ip) {
                Some(usual) => go::<V6>(&packet, &usual),
                None => UNUSUAL,
            }
        }
        _ => UNUSUAL,
    }
}

/// Where its flow leads.
#[inline(always)]
fn go<F: NatFamily>(packet: &Packet, usual: &Usual<F::Key>) -> u64 {
    let hash = F::hash(&usual.key, &settings().flow_seed);
    let Some(control) = flow::known::<F>(&usual.key, hash) else {
        return UNUSUAL | UNKNOWN;
    };
    if !control.is_steady() {
        return UNUSUAL;
    }
    let shape = Shape {
        network: UsualFrame::NETWORK,
        ipv6: F::IS_V6,
        transport: usual.transport,
        protocol: usual.protocol,
        bytes: usual.bytes,
        entropy: (hash >> 32) as u32,
    };
    match deliver(packet, control.target(), &shape) {
        Ok(verdict) => verdict.ifindex().into(),
        Err(refusal) => encode(Err(refusal)),
    }
}

//! The maps. Each measurement loads the object anew and so has its own.

use aya_ebpf::{
    btf_maps::{Array, ProgramArray},
    macros::btf_map,
};

use crate::{
    histogram::BUCKETS,
    packet_source::PacketSource,
    path::{Arrivals, CHOICES, Choice, Pace},
};

/// Where the front's packets come from.
#[btf_map]
pub(crate) static SOURCE: Array<PacketSource, 1> = Array::new();
/// The program behind the front. One place and a constant index: the kernel makes a direct jump of the tail call.
#[btf_map]
pub(crate) static TARGET: ProgramArray<1> = ProgramArray::new();
/// Steps of the program of known cost.
#[btf_map]
pub(crate) static STEPS: Array<u64, 1> = Array::new();
/// When the generator's packets are due.
#[btf_map]
pub(crate) static PACE: Array<Pace, 1> = Array::new();
/// What came to the sink.
#[btf_map]
pub(crate) static ARRIVALS: Array<Arrivals, 1> = Array::new();
/// How long it was under way.
#[btf_map]
pub(crate) static DELAYS: Array<u64, BUCKETS> = Array::new();
/// Where the least balancer sends packets.
#[btf_map]
pub(crate) static CHOOSE: Array<Choice, { CHOICES as usize }> = Array::new();

//! The maps. Each measurement loads the object anew and so has its own.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, ProgramArray},
    macros::btf_map,
};

use crate::{
    choice::{CHOICES, Choice},
    histogram::BUCKETS,
    packet_source::PacketSource,
    path::{Admission, Pace},
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
/// What comes to the sink.
#[btf_map]
pub(crate) static ADMISSION: Array<Admission, 1> = Array::new();
/// Packets that came to the sink. An interface has several queues, and each its CPU.
#[btf_map]
pub(crate) static ARRIVALS: PerCpuArray<u64, 1> = PerCpuArray::new();
/// How long they were under way.
#[btf_map]
pub(crate) static DELAYS: PerCpuArray<u64, BUCKETS> = PerCpuArray::new();
/// Where the least balancer sends packets.
#[btf_map]
pub(crate) static CHOOSE: Array<Choice, { CHOICES as usize }> = Array::new();

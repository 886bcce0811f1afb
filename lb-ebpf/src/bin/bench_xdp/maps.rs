//! The maps. Each measurement loads the object anew and so has its own.

use aya_ebpf::{
    btf_maps::{Array, ProgramArray},
    macros::btf_map,
};

use crate::packet_source::PacketSource;

/// Where the front's packets come from.
#[btf_map]
pub(crate) static SOURCE: Array<PacketSource, 1> = Array::new();
/// The program behind the front. One place and a constant index: the kernel makes a direct jump of the tail call.
#[btf_map]
pub(crate) static TARGET: ProgramArray<1> = ProgramArray::new();
/// Steps of the program of known cost.
#[btf_map]
pub(crate) static STEPS: Array<u64, 1> = Array::new();

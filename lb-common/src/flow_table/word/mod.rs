//! Words that CPUs, the kernel and userspace share.
//!
//! Two implementations of the same two types: the host has atomics; the BPF target has none that its compiler can
//! translate for instruction set v3, but volatile accesses become one load or store each, and the instruction set has
//! compare-exchange and exchange (Linux 5.12), both full barriers.

#[cfg(target_arch = "bpf")]
mod bpf;
#[cfg(not(target_arch = "bpf"))]
mod host;

#[cfg(target_arch = "bpf")]
pub use bpf::{HalfWord, Word};
#[cfg(not(target_arch = "bpf"))]
pub use host::{HalfWord, Word};

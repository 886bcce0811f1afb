//! What Tandem's programs for the kernel share.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod opaque;
pub mod packet;
pub mod tunnel;

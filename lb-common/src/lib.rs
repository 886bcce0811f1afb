//! The contract between Tandem's XDP programs and its daemon.
//!
//! Everything that both sides of the kernel border must agree on lives here, once: the layout of map keys and values
//! ([`abi`]), how a frame is taken apart ([`packet`]), the connection table ([`flow_table`]), and the numbers of the
//! reasons for which a packet was not forwarded ([`reason`]). The code compiles for the BPF target and for the host;
//! what the XDP program runs is what the host's tests, the fuzzer and the daemon run.
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(any(test, not(target_arch = "bpf")))]
extern crate std;

pub mod abi;
pub mod checksum;
pub mod decap;
pub mod ecn;
pub mod flow_state;
pub mod flow_table;
pub mod hash;
pub mod packet;
pub mod reason;
pub mod scheduling;
pub mod tcp_state;
pub mod verifier;
pub mod wire;

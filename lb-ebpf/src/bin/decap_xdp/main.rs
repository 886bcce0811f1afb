//! The backend's end of a tunnel: takes packets out of IP in IP, GUE and GRE, and hands them to the kernel.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    not(target_arch = "bpf"),
    expect(dead_code, reason = "entry points exist on BPF alone")
)]

mod inner;
mod outer;
mod settings;
mod unwrap;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    btf_maps::PerCpuArray,
    macros::btf_map,
};
use lb_common::decap::{COUNTERS, Outcome};
use lb_ebpf::{opaque::opaque, packet::Packet};

/// Packets by number of the outcome.
#[btf_map]
static DECAP_COUNTERS: PerCpuArray<[u64; COUNTERS], 1> = PerCpuArray::new();

#[cfg(target_arch = "bpf")]
#[aya_ebpf::macros::xdp(frags)]
fn tandem_decap(context: aya_ebpf::programs::XdpContext) -> u32 {
    handle(&Packet::new(context.ctx))
}

#[inline(always)]
fn handle(packet: &Packet) -> u32 {
    let outcome = match unwrap::unwrap(packet) {
        Ok(()) => Outcome::Unwrapped,
        Err(outcome) => outcome,
    };
    if let Some(counters) = DECAP_COUNTERS.get_ptr_mut(0) {
        // SAFETY: this CPU's own counters; the mask keeps the index inside, for the verifier's eyes too.
        unsafe {
            let counter = counters
                .cast::<u64>()
                .add(opaque(outcome as usize) & (COUNTERS - 1));
            *counter += 1;
        }
    }
    if outcome.passes() { XDP_PASS } else { XDP_DROP }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program that can reach this.
    loop {}
}

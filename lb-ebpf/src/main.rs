//! Tandem's XDP program: the entry point, and the one place where an outcome becomes an XDP action.
//!
//! Nearly every packet takes a short way: [`usual`]. The way of the others, a file a step:
//! [`packet`] (bounds) → `lb_common::packet` (headers) → [`vip`] (a VIP at all?) → [`flow`] (an established flow?) →
//! [`service`] (who listens?) → [`schedule`] (which backend?) → [`forward`] (rewrite) → [`verdict`].
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// On the host this crate is only checked, never run.
#![cfg_attr(
    not(target_arch = "bpf"),
    expect(dead_code, reason = "entry points exist on BPF alone")
)]

mod area;
mod balance;
mod clock;
mod count;
mod echo;
mod family;
mod flow;
mod flow_tables;
mod forward;
mod fragment;
mod icmp;
mod icmp_error;
mod journal;
mod link;
mod load;
mod maps;
mod neighbour;
mod origin;
mod outcome;
mod pace;
mod path_error;
mod reset;
mod route;
mod schedule;
mod service;
mod settings;
mod stranger;
mod too_big;
mod translate;
mod usual;
mod verdict;
mod vip;
mod watch;

use lb_ebpf::packet::{Context, Packet};

#[cfg(target_arch = "bpf")]
#[aya_ebpf::macros::xdp(frags)]
fn tandem(context: aya_ebpf::programs::XdpContext) -> u32 {
    handle(context.ctx)
}

/// The same for packets that somebody follows.
#[cfg(target_arch = "bpf")]
#[aya_ebpf::macros::xdp(frags)]
fn tandem_watched(context: aya_ebpf::programs::XdpContext) -> u32 {
    watch::tandem_arrives(context.ctx);
    let (action, told) = decide(context.ctx);
    watch::tandem_leaves(context.ctx, action, told);
    action
}

/// Writes the time in jiffies over the packet's first eight bytes: the daemon runs it to read the flow table's clock.
#[cfg(target_arch = "bpf")]
#[aya_ebpf::macros::xdp]
fn tandem_clock(context: aya_ebpf::programs::XdpContext) -> u32 {
    use aya_ebpf::bindings::xdp_action;

    match Packet::new(context.ctx).bytes_mut::<8>(0) {
        Some(bytes) => {
            // SAFETY: eight bytes are there.
            unsafe { bytes.cast::<u64>().write_volatile(clock::jiffies()) };
            xdp_action::XDP_PASS
        }
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn handle(context: Context) -> u32 {
    decide(context).0
}

/// The XDP action, and what is told of it (see [`lb_common::abi::WatchRecord::told`]).
#[inline(always)]
fn decide(context: Context) -> (u32, u32) {
    let usual = usual::usual(context);
    // Not before: a tunnel's header may have moved the packet, and the verifier takes it for moved in any case.
    let packet = &Packet::new(context);
    let outcome = match usual {
        Ok(outcome) => outcome,
        Err(unusual) => balance::balance(packet, unusual),
    };
    match outcome {
        Ok(verdict) => (verdict.action(packet), verdict.ifindex()),
        Err(refusal) => {
            count::refused(refusal);
            (refusal.action(), refusal.reason() | lb_common::abi::REFUSED)
        }
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program that can reach this.
    loop {}
}

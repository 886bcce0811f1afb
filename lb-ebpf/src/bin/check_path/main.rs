//! Health checks that go the way of clients: to the VIP, in frames for one certain backend.
//!
//! The kernel of a director cannot send such a frame: the VIP may be its own, and its routes know nothing of backends. So
//! the daemon's sockets talk to the backend's address, and two classifiers stand between them and the wire:
//!
//! ```text
//!  socket ── to 10.0.0.11:80, marked ──▶ out ── to 192.0.2.10:80, frame as before ──▶ backend
//!  socket ◀── from 10.0.0.11:80 ─────── back ◀─ from 192.0.2.10:80 ─────────────────── backend
//! ```
//!
//! The daemon gives each socket a local port of its own, by which the way back is known. Where the backend has a tunnel, the
//! packet goes through it, and the answer comes back without one, as a client's would.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    not(target_arch = "bpf"),
    expect(dead_code, reason = "entry points exist on BPF alone")
)]

mod back;
mod family;
mod frame;
mod headers;
mod maps;
mod out;
mod tunnel;

#[cfg(target_arch = "bpf")]
mod entry {
    use aya_ebpf::{macros::classifier, programs::TcContext};

    use crate::{headers::Strange, out::Fate};

    /// `TC_ACT_UNSPEC`, `TCX_NEXT`: whoever comes next decides.
    const GO_ON: i32 = -1;
    /// `TC_ACT_SHOT`, `TCX_DROP`.
    const DROP: i32 = 2;

    #[classifier]
    fn check_out(context: TcContext) -> i32 {
        match crate::out::rewrite(&context) {
            // What cannot be read is none of ours.
            Ok(Fate::Goes) | Err(Strange) => GO_ON,
            Ok(Fate::Dropped) => DROP,
        }
    }

    #[classifier]
    fn check_back(context: TcContext) -> i32 {
        let _ = crate::back::rewrite(&context);
        GO_ON
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

//! What the benchmarks run beside the daemon's program.
//!
//! A repeated test run sees its own output, so a *front* runs first: it writes the headers of the next packet and
//! tail-calls the program to be measured. *Floors* are programs that do next to nothing; what a program costs is the
//! difference to one of them behind the same front. For whole paths the front is a generator, and there is a sink.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    not(target_arch = "bpf"),
    expect(dead_code, reason = "entry points exist on BPF alone")
)]

mod choice;
mod floor;
mod front;
mod histogram;
mod maps;
mod packet_source;
mod path;
mod turn;
mod wire;

#[cfg(target_arch = "bpf")]
mod entry {
    use aya_ebpf::{macros::xdp, programs::XdpContext};

    use crate::{floor, front, wire};

    // Every program has `frags`, as the daemon's has: a tail call does not cross from one kind to the other.

    /// IPv4 packets.
    #[xdp(frags)]
    fn front_v4(context: XdpContext) -> u32 {
        front::v4(&context)
    }

    /// IPv6 packets.
    #[xdp(frags)]
    fn front_v6(context: XdpContext) -> u32 {
        front::v6(&context)
    }

    /// IPv4 packets for a program that puts an IPv4 header in front of them.
    #[xdp(frags)]
    fn front_v4_encapsulated(context: XdpContext) -> u32 {
        front::v4_encapsulated::<{ front::IPV4 }>(&context)
    }

    /// IPv4 packets for a program that puts them into UDP (GUE).
    #[xdp(frags)]
    fn front_v4_gue(context: XdpContext) -> u32 {
        front::v4_encapsulated::<{ front::GUE }>(&context)
    }

    /// The least a program can do.
    #[xdp(frags)]
    fn floor_empty(_context: XdpContext) -> u32 {
        floor::empty()
    }

    /// The least that sends a packet back.
    #[xdp(frags)]
    fn floor_swap(context: XdpContext) -> u32 {
        floor::swap(&context)
    }

    /// The least that puts a packet into a tunnel.
    #[xdp(frags)]
    fn floor_ipip(context: XdpContext) -> u32 {
        floor::ipip(&context)
    }

    /// The end of a generator behind a front.
    #[xdp(frags)]
    fn send(_context: XdpContext) -> u32 {
        wire::send()
    }

    /// The same, with the time in the packet's last bytes.
    #[xdp(frags)]
    fn send_stamped(context: XdpContext) -> u32 {
        wire::send_stamped(&context)
    }

    /// The least that balances.
    #[xdp(frags)]
    fn choose(context: XdpContext) -> u32 {
        wire::choose(&context)
    }

    /// The least that balances, and a hundred instructions.
    #[xdp(frags)]
    fn choose_late(context: XdpContext) -> u32 {
        wire::choose_late(&context)
    }

    /// The least that every forwarder has to do.
    #[xdp(frags)]
    fn rewrite(context: XdpContext) -> u32 {
        wire::rewrite(&context)
    }

    /// Where a generator's packets end.
    #[xdp(frags)]
    fn sink(context: XdpContext) -> u32 {
        wire::sink(&context)
    }

    /// A program whose cost is known, relative to itself.
    #[xdp(frags)]
    fn known_cost(_context: XdpContext) -> u32 {
        floor::known_cost()
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

//! Where does the kernel send packets to this address? For the few packets whose way back nothing here remembers.

use aya_ebpf::{bindings::bpf_fib_lookup as Lookup, helpers::generated::bpf_fib_lookup};
use lb_ebpf::packet::Context;

/// The loopback device: routes are looked up as for what this machine sends itself. The daemon has it forward, which the
/// kernel asks for here, and which lets nothing else through.
const LOOPBACK: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The way to an address.
pub(crate) struct Route {
    /// The first 8 and the next 4 bytes of a frame.
    pub(crate) link: (u64, u32),
    /// Interface.
    pub(crate) ifindex: u32,
}

/// The way from one IPv4 address to another; `None` where the kernel knows none, or no MAC address for it.
#[inline(always)]
pub(crate) fn find4(context: Context, from: u32, to: u32) -> Option<Route> {
    find(context, AF_INET, [from, 0, 0, 0], [to, 0, 0, 0])
}

/// The way from one IPv6 address to another.
#[inline(always)]
pub(crate) fn find6(context: Context, from: [u64; 2], to: [u64; 2]) -> Option<Route> {
    let words = |address: [u64; 2]| {
        let [a, b] = address.map(|word| {
            if cfg!(target_endian = "big") {
                [(word >> 32) as u32, word as u32]
            } else {
                [word as u32, (word >> 32) as u32]
            }
        });
        [a[0], a[1], b[0], b[1]]
    };
    find(context, AF_INET6, words(from), words(to))
}

#[inline(always)]
fn find(context: Context, family: u8, from: [u32; 4], to: [u32; 4]) -> Option<Route> {
    // SAFETY: integers; all zero is what the kernel expects of what is not filled in.
    let mut lookup: Lookup = unsafe { core::mem::zeroed() };
    lookup.family = family;
    lookup.ifindex = LOOPBACK;
    lookup.__bindgen_anon_3.ipv6_src = from;
    lookup.__bindgen_anon_4.ipv6_dst = to;
    // SAFETY: the structure is this function's own, and its length is right.
    let outcome = unsafe { bpf_fib_lookup(context.cast(), &raw mut lookup, size_of::<Lookup>() as i32, 0) };
    if outcome != 0 {
        return None;
    }
    let [d0, d1, d2, d3, d4, d5] = lookup.dmac;
    let [s0, s1, s2, s3, s4, s5] = lookup.smac;
    Some(Route {
        link: (
            u64::from_ne_bytes([d0, d1, d2, d3, d4, d5, s0, s1]),
            u32::from_ne_bytes([s2, s3, s4, s5]),
        ),
        ifindex: lookup.ifindex,
    })
}

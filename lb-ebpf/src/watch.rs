//! Telling of packets, for an operator who follows them. No step of the program knows of it: there is a second entry point, which is
//! on the interfaces while somebody follows.

use aya_ebpf::helpers::{
    bpf_get_prandom_u32,
    generated::{bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_xdp_load_bytes},
};
use lb_common::{
    abi::{ARRIVES, LEAVES, WATCHED_BYTES, WatchFilter, WatchRecord},
    packet::{EtherType, Ethernet},
};
use lb_ebpf::{
    opaque::opaque,
    packet::{Context, Packet},
};

use crate::maps::{WATCH, WATCHED};

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
static WATCH_FILTER: WatchFilter = WatchFilter {
    source: [0; 4],
    source_mask: [0; 4],
    destination: [0; 4],
    destination_mask: [0; 4],
    family: 0,
    protocol: 0,
    source_port: 0,
    destination_port: 0,
    sample_mask: 0,
    moments: 0,
    bytes: 0,
    reserved: 0,
};

/// Which packet is under way on this CPU.
#[repr(C)]
pub(crate) struct Watched {
    /// Packets so far.
    number: u64,
    /// Whether this one is told of.
    chosen: u64,
    /// Records that the ring had no room for.
    lost: u64,
}

/// The filter, hidden from the optimiser: it must not take the zeroes above for the truth.
#[inline(always)]
fn filter() -> &'static WatchFilter {
    let filter = opaque((&raw const WATCH_FILTER).addr()) as *const WatchFilter;
    // SAFETY: still the address of the static.
    unsafe { &*filter }
}

/// A packet comes in.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_arrives(context: Context) -> u32 {
    let Some(watched) = WATCHED.get_ptr_mut(0) else {
        return 0;
    };
    let chosen = matches(context);
    // SAFETY: this CPU's own, and nothing else refers to it meanwhile.
    unsafe {
        (*watched).number += 1;
        (*watched).chosen = u64::from(chosen);
    }
    if chosen && filter().moments & ARRIVES != 0 {
        tell(context, ARRIVES, 0, 0);
    }
    u32::from(chosen)
}

/// It leaves, with this XDP action; `told` says why, or by which interface.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_leaves(context: Context, action: u32, told: u32) -> u32 {
    let chosen = WATCHED.get_ptr_mut(0).is_some_and(|watched| {
        // SAFETY: this CPU's own.
        unsafe { (*watched).chosen != 0 }
    });
    if chosen && filter().moments & LEAVES != 0 {
        tell(context, LEAVES, action, told);
    }
    u32::from(chosen)
}

/// The part of a header that is compared.
#[repr(C)]
struct Header {
    words: [u32; 10],
}

#[inline(always)]
fn matches(context: Context) -> bool {
    let filter = filter();
    // SAFETY: takes nothing.
    if unsafe { bpf_get_prandom_u32() } & filter.sample_mask != 0 {
        return false;
    }
    let Ok(ethernet) = Ethernet::parse(&Packet::new(context)) else {
        return filter.family == 0 && filter.protocol == 0;
    };
    let (family, length) = match ethernet.ether_type {
        EtherType::Ipv4 => (4, 20),
        EtherType::Ipv6 => (6, 40),
        // Who asks for nothing special sees it.
        EtherType::Arp => return filter.family == 0 && filter.protocol == 0,
    };
    let mut header = Header { words: [0; 10] };
    let into = (&raw mut header.words).cast();
    // SAFETY: the context is valid for the run of the program, and the header has room for either length.
    if unsafe { bpf_xdp_load_bytes(context, ethernet.end as u32, into, length) } != 0 {
        return false;
    }
    let words = &header.words;
    let (source, destination, protocol, transport) = if family == 4 {
        let header_length = (u32::from_be(words[0]) >> 24 & 0xF) * 4;
        let protocol = u32::from_be(words[2]) >> 16 & 0xFF;
        ([words[3], 0, 0, 0], [words[4], 0, 0, 0], protocol, header_length)
    } else {
        let protocol = u32::from_be(words[1]) >> 8 & 0xFF;
        (
            [words[2], words[3], words[4], words[5]],
            [words[6], words[7], words[8], words[9]],
            protocol,
            40,
        )
    };
    if filter.family != 0 && filter.family != family || filter.protocol != 0 && filter.protocol != protocol {
        return false;
    }
    for word in 0..4 {
        let differs = source[word] & filter.source_mask[word] ^ filter.source[word]
            | destination[word] & filter.destination_mask[word] ^ filter.destination[word];
        if differs != 0 {
            return false;
        }
    }
    if filter.source_port | filter.destination_port == 0 {
        return true;
    }
    let mut ports = 0u32;
    let (offset, into) = (ethernet.end as u32 + transport, (&raw mut ports).cast());
    // SAFETY: the context is valid for the run of the program, and the ports have four bytes.
    if unsafe { bpf_xdp_load_bytes(context, offset, into, 4) } != 0 {
        return false;
    }
    let ports = u32::from_be(ports);
    (filter.source_port == 0 || ports >> 16 == filter.source_port)
        && (filter.destination_port == 0 || ports & 0xFFFF == filter.destination_port)
}

/// Puts the packet into the ring, if there is room.
#[inline(always)]
fn tell(context: Context, moment: u32, action: u32, told: u32) {
    let Some(watched) = WATCHED.get_ptr_mut(0) else {
        return;
    };
    let Some(mut entry) = WATCH.reserve(0) else {
        // SAFETY: this CPU's own.
        unsafe { (*watched).lost += 1 };
        return;
    };
    // SAFETY: this CPU's own.
    let (number, lost) = unsafe { ((*watched).number, (*watched).lost) };
    let record: *mut WatchRecord = entry.as_mut_ptr();
    let packet = Packet::new(context);
    let length = packet.length() as u32;
    let captured = length.min(filter().bytes).clamp(1, WATCHED_BYTES as u32);
    // SAFETY: the entry is as long as the structure, and what is loaded is as long as its bytes at most.
    let copied = unsafe {
        (&raw mut (*record).time).write(bpf_ktime_get_boot_ns());
        (&raw mut (*record).number).write(number << 16 | u64::from(bpf_get_smp_processor_id() & 0xFFFF));
        (&raw mut (*record).moment).write(moment);
        (&raw mut (*record).ifindex).write((*context).ingress_ifindex);
        (&raw mut (*record).action).write(action);
        (&raw mut (*record).told).write(told);
        (&raw mut (*record).length).write(length);
        (&raw mut (*record).captured).write(captured);
        (&raw mut (*record).lost).write(lost);
        packet.copy_front(&raw mut (*record).bytes, captured)
    };
    if copied {
        entry.submit(0);
    } else {
        entry.discard(0);
    }
}

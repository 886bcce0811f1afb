//! Who listens in an area: on a whole network, or a range of ports?

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use lb_common::{
    abi::{Destination, MOST_AREAS, NO_SERVICE},
    verifier::{blur, forget},
};

use crate::maps::{AREAS, RUNTIME};

/// Number of the service that listens there, if any does in an area.
#[inline(always)]
pub(crate) fn find(destination: &Destination) -> Option<u32> {
    if RUNTIME.get(0)?.areas.load() == 0 {
        return None;
    }
    match tandem_area(destination) {
        NO_SERVICE => None,
        service => Some(service),
    }
}

/// Whether an address may be a VIP although the filter does not know it: it is in an area of more than one address.
#[inline(always)]
pub(crate) fn is_wide(destination: &Destination) -> bool {
    let wide = RUNTIME.get(0).is_some_and(|runtime| runtime.wide.load() != 0);
    wide && find(destination).is_some()
}

/// A walk through the list.
#[repr(C)]
struct Walk {
    destination: Destination,
    /// Number of the first entry.
    start: u32,
    found: u32,
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_area(destination: *const Destination) -> u32 {
    // SAFETY: the verifier checks that every caller hands over a whole destination, or null.
    let (Some(destination), Some(runtime)) = (unsafe { destination.as_ref() }, RUNTIME.get(0)) else {
        return NO_SERVICE;
    };
    let generation = runtime.generation.load() as u32 & 1;
    // Two halves of the word, a number of areas in each.
    let count = (runtime.areas.load() >> (generation * 32)) as u32 as usize;
    // Where the kernel inlines `bpf_loop`, it looks at all 64 bits of the number; the compiler clears no upper half.
    let count = forget::<{ 2 * MOST_AREAS as u64 - 1 }>(count, destination.address[0] as u32) as u32;
    let mut walk = Walk {
        destination: *destination,
        start: generation * MOST_AREAS,
        found: blur(NO_SERVICE.into(), destination.address[0]) as u32,
    };
    let function = step as extern "C" fn(u64, *mut Walk) -> u64;
    // SAFETY: the kernel calls `step` with a number and the pointer, and for no longer than this call takes.
    unsafe {
        bpf_loop(
            count.min(MOST_AREAS),
            function as *mut c_void,
            (&raw mut walk).cast(),
            0,
        );
    }
    walk.found
}

/// Looks at one area: 1 ends the walk.
#[inline(never)]
extern "C" fn step(round: u64, walk: *mut Walk) -> u64 {
    // SAFETY: it is what `tandem_area` handed to the kernel, and nobody else refers to it.
    let walk = unsafe { &mut *walk };
    let entry = AREAS.get(walk.start + round as u32);
    match entry.and_then(|entry| entry.service_at(&walk.destination)) {
        Some(service) => {
            walk.found = service;
            1
        }
        None => 0,
    }
}

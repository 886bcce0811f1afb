//! When a generator's packet is sent: at its time where there is a rate to keep, else as soon as there is room.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_loop, bpf_map_lookup_percpu_elem};

use crate::{
    maps::{ARRIVALS, PACE},
    path::{FRACTION, Pace},
};

/// Looks at the clock while a packet waits for its turn: most of them, which is a third of a second.
const LOOKS: u32 = 1 << 23;

/// A packet that is later than this, 50 microseconds, is not made up for.
const LATEST: u64 = 50_000 << FRACTION;

/// Packets between two looks at what has come to the sink.
const STRIDE: u64 = 16;

/// Rounds that a packet waits for room at most, which is a millisecond or two: then what is missing is taken for lost.
const ROUNDS: u32 = 1 << 19;

/// Rounds between two looks: to read what another CPU writes all the time disturbs that one.
const PAUSE: u64 = 64;

/// Waits for the packet's turn.
#[inline(always)]
pub(crate) fn wait_until_due() {
    let Some(pace) = PACE.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: one thread runs the generator, and nobody else touches the element meanwhile.
    let pace = unsafe { &mut *pace };
    if pace.interval == 0 {
        wait_for_room(pace);
        return;
    }
    // SAFETY: the helper takes nothing.
    let now = unsafe { bpf_ktime_get_ns() } << FRACTION;
    pace.due += pace.interval;
    if now > pace.due + LATEST {
        // What was not sent while the kernel began, or did something else, would be a burst that no wire brings.
        pace.due = now;
    }
    let mut due = pace.due >> FRACTION;
    let function: extern "C" fn(u64, *mut u64) -> u64 = look;
    // SAFETY: the function takes what it is given, which lives until the loop ends.
    unsafe { bpf_loop(LOOKS, function as *mut c_void, (&raw mut due).cast(), 0) };
}

/// What a packet waits for that is sent as soon as there is room.
#[repr(C)]
struct Room {
    /// So many must have come.
    awaited: u64,
    /// So many have.
    arrived: u64,
    sink_cpu: u32,
    reserved: u32,
}

/// Waits until no more packets than may be are under way, if there is such a number. What is sent beyond what the way takes would
/// only be dropped at its beginning, by a CPU that then stands in the way of the other: both give back frames under one lock.
#[inline(always)]
fn wait_for_room(pace: &mut Pace) {
    pace.sent += 1;
    if pace.window == 0 || !pace.sent.is_multiple_of(STRIDE) {
        return;
    }
    let mut room = Room {
        awaited: pace.sent.wrapping_sub(pace.lost).wrapping_sub(pace.window.into()),
        arrived: 0,
        sink_cpu: pace.sink_cpu,
        reserved: 0,
    };
    let function: extern "C" fn(u64, *mut Room) -> u64 = look_for_room;
    // SAFETY: the function takes what it is given, which lives until the loop ends.
    let rounds = unsafe { bpf_loop(ROUNDS, function as *mut c_void, (&raw mut room).cast(), 0) };
    if rounds >= ROUNDS.into() {
        pace.lost = pace.sent.wrapping_sub(room.arrived);
    }
}

/// Ends the loop when there is room.
#[inline(never)]
extern "C" fn look_for_room(round: u64, room: *mut Room) -> u64 {
    if !round.is_multiple_of(PAUSE) {
        return 0;
    }
    let first = 0u32;
    // SAFETY: the caller's structure, which lives as long as the loop, and an element of the map, if there is such a CPU.
    unsafe {
        let map = (&raw const ARRIVALS).cast_mut().cast();
        let arrived = bpf_map_lookup_percpu_elem(map, (&raw const first).cast(), (*room).sink_cpu);
        if arrived.is_null() {
            return 1;
        }
        (*room).arrived = arrived.cast::<u64>().read_volatile();
        // Either may have gone round.
        u64::from((*room).arrived.wrapping_sub((*room).awaited) < 1 << 63)
    }
}

/// Ends the loop when it is time.
#[inline(never)]
extern "C" fn look(_round: u64, due: *mut u64) -> u64 {
    // SAFETY: the caller's number, which lives as long as the loop.
    u64::from(unsafe { bpf_ktime_get_ns() >= *due })
}

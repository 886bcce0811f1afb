//! Both ends of a path that is measured: the last step of a generator, and where its packets end.

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX},
    helpers::generated::{
        bpf_ktime_get_ns, bpf_redirect, bpf_xdp_get_buff_len, bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
    programs::XdpContext,
};

use crate::{
    choice::{CHOICES, Choice},
    histogram::bucket,
    maps::{ADMISSION, ARRIVALS, CHOOSE, DELAYS},
    packet_source::ETHERNET,
    path::{MARK, STAMP},
    turn::wait_until_due,
};

/// EtherType of IPv4, as it lies in memory.
const IPV4: u16 = u16::from_be(0x0800);

/// Sends the packet as it is, when it is due.
#[inline(always)]
pub(crate) fn send() -> u32 {
    wait_until_due();
    XDP_TX
}

/// Writes the time into the packet and sends it, when it is due.
#[inline(always)]
pub(crate) fn send_stamped(context: &XdpContext) -> u32 {
    wait_until_due();
    let context = context.as_ptr().cast();
    // SAFETY: the context is valid for the run of the program, and the stamp for its length.
    let failed = unsafe {
        let mut now = bpf_ktime_get_ns();
        let place = bpf_xdp_get_buff_len(context) as u32;
        bpf_xdp_store_bytes(context, place.wrapping_sub(STAMP), (&raw mut now).cast(), STAMP)
    };
    if failed == 0 { XDP_TX } else { XDP_ABORTED }
}

/// The least that balances: a datagram goes where a hash of its source says, and nobody remembers it. What it does waits for
/// the packet's bytes, as all balancing does.
#[inline(always)]
pub(crate) fn choose(context: &XdpContext) -> u32 {
    by_a_hash(context, |source, ports| source ^ ports)
}

/// The same with a hundred instructions more, in four chains side by side, as a compiler would lay out real work. That they
/// compute nothing of use is not seen by the machine.
#[inline(always)]
pub(crate) fn choose_late(context: &XdpContext) -> u32 {
    /// Times four lanes times two instructions; three more join the lanes, and one makes the fourth.
    const ROUNDS: usize = 12;
    by_a_hash(context, |source, ports| {
        let mut lanes = [source, ports, source ^ ports, !source];
        for _ in 0..ROUNDS {
            for lane in &mut lanes {
                *lane = (*lane ^ 0x5A5A_5A5A).wrapping_add(0x1234_5678);
            }
        }
        let [a, b, c, d] = lanes;
        a ^ b ^ c ^ d
    })
}

#[inline(always)]
fn by_a_hash(context: &XdpContext, mix: impl Fn(u32, u32) -> u32) -> u32 {
    /// Up to the ports.
    const HEADERS: usize = ETHERNET + 20 + 4;
    let frame = context.data();
    if frame + HEADERS > context.data_end() {
        return XDP_PASS;
    }
    let frame = frame as *mut u8;
    // SAFETY: as many bytes are there.
    let (kind, source, ports) = unsafe {
        (
            frame.add(12).cast::<u16>().read(),
            frame.add(26).cast::<u32>().read(),
            frame.add(34).cast::<u32>().read(),
        )
    };
    if kind != IPV4 {
        return XDP_PASS;
    }
    let hash = mix(source, ports).wrapping_mul(0x9E37_79B1) >> (32 - CHOICES.ilog2());
    let Some(choice) = CHOOSE.get(hash) else {
        return XDP_ABORTED;
    };
    forward(frame, choice)
}

/// The least that every forwarder has to do: other MAC addresses, those of the first choice. Nothing of the packet is read.
#[inline(always)]
pub(crate) fn rewrite(context: &XdpContext) -> u32 {
    let frame = context.data();
    if frame + ETHERNET > context.data_end() {
        return XDP_PASS;
    }
    let Some(choice) = CHOOSE.get(0) else {
        return XDP_ABORTED;
    };
    forward(frame as *mut u8, choice)
}

/// Writes both MAC addresses, and sends the frame out of the choice's interface. As many bytes must be there.
#[inline(always)]
fn forward(frame: *mut u8, choice: &Choice) -> u32 {
    // SAFETY: the caller's promise, and the helper takes any number; every machine with native XDP writes such words in one go,
    // aligned or not.
    unsafe {
        for (n, word) in choice.macs.iter().enumerate() {
            // As wide as the word, as the packet path does it: the compiler would write bytes.
            frame.add(4 * n).cast::<u32>().write_volatile(*word);
        }
        bpf_redirect(choice.interface, 0) as u32
    }
}

/// Counts the packets that it is told of and ends them; all else is the kernel's, which has neighbours to answer.
#[inline(always)]
pub(crate) fn sink(context: &XdpContext) -> u32 {
    let frame = context.data();
    if frame + ETHERNET > context.data_end() {
        return XDP_PASS;
    }
    let Some(admission) = ADMISSION.get(0) else {
        return XDP_ABORTED;
    };
    if admission.mark == 0 {
        // SAFETY: 14 bytes are there.
        let ether_type = unsafe { ((frame + 12) as *const u16).read() };
        if u32::from(ether_type) != admission.ether_type {
            return XDP_PASS;
        }
    } else if from_the_end(context, STAMP + MARK) != Some(admission.mark) {
        return XDP_PASS;
    }
    if let Some(packets) = ARRIVALS.get_ptr_mut(0) {
        // SAFETY: a CPU polls one queue at a time, and has an element of its own.
        unsafe { *packets += 1 };
    }
    if admission.are_stamped != 0 {
        note_delay(context);
    }
    XDP_DROP
}

/// The 8 bytes that begin so far before the packet's end.
#[inline(always)]
fn from_the_end(context: &XdpContext, distance: u32) -> Option<u64> {
    let context = context.as_ptr().cast();
    let mut word = 0_u64;
    // SAFETY: the context is valid for the run of the program, and the word for its length.
    let failed = unsafe {
        let place = (bpf_xdp_get_buff_len(context) as u32).wrapping_sub(distance);
        bpf_xdp_load_bytes(context, place, (&raw mut word).cast(), size_of::<u64>() as u32)
    };
    (failed == 0).then_some(word)
}

#[inline(always)]
fn note_delay(context: &XdpContext) {
    let Some(sent) = from_the_end(context, STAMP) else {
        return;
    };
    // SAFETY: the helper takes nothing.
    let now = unsafe { bpf_ktime_get_ns() };
    let delay = now.wrapping_sub(sent).min(u32::MAX.into()) as u32;
    if let Some(count) = DELAYS.get_ptr_mut(bucket(delay)) {
        // SAFETY: as above.
        unsafe { *count += 1 };
    }
}

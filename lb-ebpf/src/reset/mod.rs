//! A segment of a connection that is no more is answered with a reset, as a host answers that knows nothing of it
//! (RFC 9293 section 3.10.7.1): so the client hears at once that it must connect anew.

mod segment;

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len};
use lb_common::{checksum::fold, packet::protocol, reason::Reason};

use self::segment::{Reset, TCP_HEADER};
use lb_ebpf::packet::{Context, Packet};

use crate::{
    echo::{TTL, swap, turn_round},
    outcome::Refusal,
};

/// Sends the reset, where that is what the packet was refused for; its headers are at `network` and `offset`, and `length`
/// bytes follow the network header.
#[inline(always)]
pub(crate) fn answer4(
    packet: &Packet,
    refusal: Refusal,
    network: usize,
    offset: usize,
    length: usize,
) -> Refusal {
    if refusal.reason() != Reason::ResetSent.number() {
        return refusal;
    }
    Refusal::from_number(tandem_reset4(
        packet.context(),
        network as u32,
        offset as u32,
        length as u32,
    ))
}

/// The same for IPv6.
#[inline(always)]
pub(crate) fn answer6(
    packet: &Packet,
    refusal: Refusal,
    network: usize,
    offset: usize,
    length: usize,
) -> Refusal {
    if refusal.reason() != Reason::ResetSent.number() {
        return refusal;
    }
    Refusal::from_number(tandem_reset6(
        packet.context(),
        network as u32,
        offset as u32,
        length as u32,
    ))
}

/// Makes the client's segment, whose header is at `offset`, a reset for the backend: it has the number that the backend
/// waits for (RFC 5961 section 3.2). Whatever else is in it stays, options and data, which nobody reads any more.
#[inline(always)]
pub(crate) fn sever(packet: &Packet, offset: usize) -> Result<(), Refusal> {
    const RST: u16 = 0x04;
    const ACK: u16 = 0x10;
    const ALL: u16 = 0x3F;
    let tcp = packet.bytes_mut::<TCP_HEADER>(offset).ok_or(Reason::Truncated)?;
    // SAFETY: the bytes are there; fields are read and written at their own width.
    unsafe {
        let word = tcp.add(12).cast::<u16>();
        let before = word.read_volatile();
        let after = (u16::from_be(before) & (!ALL | ACK) | RST).to_be();
        word.write_volatile(after);
        // RFC 1624.
        let checksum = tcp.add(16).cast::<u16>();
        let sum = u64::from(!checksum.read_volatile()) + u64::from(!before) + u64::from(after);
        checksum.write_volatile(!fold(sum));
    }
    Ok(())
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_reset4(context: Context, network: u32, offset: u32, length: u32) -> u32 {
    let packet = Packet::new(context);
    let (network, offset) = ((network & 31) as usize, (offset & 127) as usize);
    Refusal::from(turn4(&packet, network, offset, length)).number()
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_reset6(context: Context, network: u32, offset: u32, length: u32) -> u32 {
    let packet = Packet::new(context);
    let (network, offset) = ((network & 31) as usize, (offset & 0x7FFF) as usize);
    Refusal::from(turn6(&packet, network, offset, length)).number()
}

/// Turns the segment into the answer. Options and extension headers stay away, so it is no longer than what came.
#[inline(always)]
fn turn4(packet: &Packet, network: usize, offset: usize, length: u32) -> Reason {
    const HEADER: usize = 20;
    let Some(reset) = Reset::to(packet, offset, length) else {
        return Reason::Truncated;
    };
    let (Some(frame), Some(ip), Some(tcp)) = (
        packet.bytes_mut::<14>(0),
        packet.bytes_mut::<HEADER>(network),
        packet.bytes_mut::<TCP_HEADER>(network + HEADER),
    ) else {
        return Reason::Truncated;
    };
    // SAFETY: the bytes are there; fields are read and written at their own width.
    unsafe {
        turn_round(frame);
        swap::<u32>(ip.add(12), ip.add(16));
        // Version and length; total length; no identification; don't fragment; TTL and protocol; checksum.
        let total = (HEADER + TCP_HEADER) as u16;
        let words = [
            0x4500,
            total,
            0,
            0x4000,
            (TTL as u16) << 8 | protocol::TCP as u16,
            0,
        ];
        let mut sum = 0;
        for (n, word) in words.into_iter().enumerate() {
            ip.cast::<u16>().add(n).write_volatile(word.to_be());
            sum += u64::from(word.to_be());
        }
        let addresses = u64::from(ip.add(12).cast::<u32>().read_volatile())
            + u64::from(ip.add(16).cast::<u32>().read_volatile());
        ip.add(10).cast::<u16>().write_volatile(!fold(sum + addresses));
        reset.write(tcp, addresses);
    }
    cut(packet, network + HEADER + TCP_HEADER)
}

#[inline(always)]
fn turn6(packet: &Packet, network: usize, offset: usize, length: u32) -> Reason {
    const HEADER: usize = 40;
    let Some(reset) = Reset::to(packet, offset, length) else {
        return Reason::Truncated;
    };
    let (Some(frame), Some(ip), Some(tcp)) = (
        packet.bytes_mut::<14>(0),
        packet.bytes_mut::<HEADER>(network),
        packet.bytes_mut::<TCP_HEADER>(network + HEADER),
    ) else {
        return Reason::Truncated;
    };
    // SAFETY: the bytes are there; fields are read and written at their own width.
    unsafe {
        turn_round(frame);
        swap::<u64>(ip.add(8), ip.add(24));
        swap::<u64>(ip.add(16), ip.add(32));
        // Version; no flow label; length of the payload; next header and hop limit.
        let words = [
            0x6000,
            0,
            TCP_HEADER as u16,
            (protocol::TCP as u16) << 8 | TTL as u16,
        ];
        for (n, word) in words.into_iter().enumerate() {
            ip.cast::<u16>().add(n).write_volatile(word.to_be());
        }
        let mut addresses = 0;
        for n in 0..8 {
            addresses += u64::from(ip.add(8 + 4 * n).cast::<u32>().read_volatile());
        }
        reset.write(tcp, addresses);
    }
    cut(packet, network + HEADER + TCP_HEADER)
}

/// Cuts off what is behind the first `length` bytes of the frame.
#[inline(always)]
fn cut(packet: &Packet, length: usize) -> Reason {
    // SAFETY: the context is valid for the run of the program; nobody looks at the frame's memory behind this.
    let failed = unsafe {
        let now = bpf_xdp_get_buff_len(packet.context()) as i32;
        bpf_xdp_adjust_tail(packet.context(), length as i32 - now) != 0
    };
    if failed {
        Reason::Truncated
    } else {
        Reason::ResetSent
    }
}

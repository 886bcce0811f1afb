//! Into the backend's tunnel, by the code that puts packets of clients there.

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6, BPF_F_ADJ_ROOM_ENCAP_L4_GRE,
        BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
    },
    programs::TcContext,
};
use lb_common::{
    abi::{BackendEntry, Method},
    packet::{inner_sum4, inner_sum6},
};
use lb_ebpf::tunnel::{IPV4, IPV6, LONGEST4, LONGEST6, Outer};

use crate::{
    frame::Bytes,
    headers::{ETHERNET, End, Header, Strange},
    maps::TUNNELS,
};

/// Both headers of the packet inside, whatever they are: what is looked at, and written to, where it lies.
const HEADERS: u32 = (ETHERNET + 60) as u32;

/// Puts the packet, which begins with this header, into the tunnel of this number, if there is one.
#[inline(always)]
pub(crate) fn wrap(packet: &TcContext, header: &Header, number: u32) -> Result<(), Strange> {
    match check_wrap(
        packet.skb.skb,
        header.is_v4.into(),
        header.protocol.into(),
        number,
    ) {
        0 => Ok(()),
        _ => Err(Strange),
    }
}

/// A function that the verifier checks by itself.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn check_wrap(context: *mut __sk_buff, is_v4: u32, protocol: u32, number: u32) -> u64 {
    let packet = TcContext::new(context);
    let header = Header {
        at: ETHERNET,
        is_v4: is_v4 != 0,
        protocol: protocol as u8,
    };
    match TUNNELS.get(number) {
        Some(entry) if entry.in_use() => put_headers(&packet, &header, entry).is_err().into(),
        Some(_) => 0,
        None => 1,
    }
}

#[inline(always)]
fn put_headers(packet: &TcContext, header: &Header, entry: &BackendEntry) -> Result<(), Strange> {
    let tail = entry.tail();
    if !tail.is_ready() {
        return Err(Strange);
    }
    let outer = outer(packet, header, tail.checksum())?;
    let method = tail.method();
    let between = outer.between(method);
    let (added, network) = if tail.is_ipv6() {
        (IPV6 + between, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6)
    } else {
        (IPV4 + between, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4)
    };
    let transport = if method == Method::Gue as u8 {
        BPF_F_ADJ_ROOM_ENCAP_L4_UDP
    } else if method == Method::Gre as u8 {
        BPF_F_ADJ_ROOM_ENCAP_L4_GRE
    } else {
        0
    };
    // The socket's segments are short enough for what comes in front of them.
    let flags = network | transport | BPF_F_ADJ_ROOM_FIXED_GSO;
    packet.adjust_room(added as i32, BPF_ADJ_ROOM_MAC, flags.into())?;
    packet.pull_data(HEADERS.min(packet.len()))?;
    let bytes = Bytes::of(packet);
    // SAFETY: so many bytes are there.
    unsafe {
        if tail.is_ipv6() {
            let header = bytes.at::<LONGEST6>(ETHERNET).ok_or(Strange)?;
            outer.put6(header, entry, method, between);
        } else {
            let header = bytes.at::<LONGEST4>(ETHERNET).ok_or(Strange)?;
            outer.put4(header, entry, method, between);
        }
    }
    let ether_type: u16 = if tail.is_ipv6() { 0x86DD } else { 0x0800 };
    packet.store(0, &entry.head(), 0)?;
    packet.store(8, &tail.mac(), 0)?;
    packet.store(12, &ether_type.to_be(), 0)?;
    Ok(())
}

/// What the outer headers say of the packet.
#[inline(always)]
fn outer(packet: &TcContext, header: &Header, wants_sum: bool) -> Result<Outer, Strange> {
    let entropy = header.place(packet, End::Source)?;
    let (length, class) = if header.is_v4 {
        let [class, high, low] = packet.load(ETHERNET + 1)?;
        (u16::from_be_bytes([high, low]), class)
    } else {
        let [first, second]: [u8; 2] = packet.load(ETHERNET)?;
        let payload = u16::from_be(packet.load(ETHERNET + 4)?);
        (payload.wrapping_add(IPV6 as u16), first << 4 | second >> 4)
    };
    let sum = if wants_sum {
        check_sum(packet.skb.skb, header.is_v4.into(), length.into())
    } else {
        NO_SUM
    };
    Ok(Outer {
        length,
        ipv6_inside: !header.is_v4,
        class,
        sum: (sum < NO_SUM).then_some(sum as u16),
        entropy,
    })
}

/// Says that there is no sum.
const NO_SUM: u64 = 1 << 16;

/// The sum over the packet of this length.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn check_sum(context: *mut __sk_buff, is_v4: u32, length: u32) -> u64 {
    let packet = TcContext::new(context);
    if packet.pull_data(HEADERS.min(packet.len())).is_err() {
        return NO_SUM;
    }
    let (bytes, length) = (Bytes::of(&packet), length as usize & 0xFFFF);
    let sum = if is_v4 != 0 {
        inner_sum4(&bytes, ETHERNET, ETHERNET + IPV4, length.wrapping_sub(IPV4))
    } else {
        inner_sum6(&bytes, ETHERNET, length.wrapping_sub(IPV6))
    };
    sum.map_or(NO_SUM, u64::from)
}

//! Packets between a socket of one family and a VIP of the other, as it is where a tunnel joins the two.

use aya_ebpf::{bindings::BPF_F_RECOMPUTE_CSUM, programs::TcContext};
use lb_common::{abi::CheckAddress, checksum::fold};

use crate::headers::{ETHERNET, End, Header, Strange};

const RECOMPUTE: u64 = BPF_F_RECOMPUTE_CSUM as u64;
const HOPS: u8 = 64;

/// Gives the packet a header of the other family, with these addresses.
#[inline(always)]
pub(crate) fn change(
    packet: &TcContext,
    header: &Header,
    source: &CheckAddress,
    destination: &CheckAddress,
) -> Result<Header, Strange> {
    header.mend(packet, &header.address(packet, End::Source)?, source)?;
    header.mend(packet, &header.address(packet, End::Destination)?, destination)?;
    let protocol = header.protocol;
    let ether_type: u16 = if header.is_v4 { 0x86DD } else { 0x0800 };
    if header.is_v4 {
        let length = u16::from_be(packet.load(ETHERNET + 2)?).wrapping_sub(20);
        packet.change_proto(ether_type.to_be(), 0)?;
        let first = [
            (6_u32 << 28).to_be(),
            (u32::from(length) << 16 | u32::from(protocol) << 8 | u32::from(HOPS)).to_be(),
        ];
        packet.store(ETHERNET, &first, RECOMPUTE)?;
        packet.store(ETHERNET + 8, source, RECOMPUTE)?;
        packet.store(ETHERNET + 24, destination, RECOMPUTE)?;
    } else {
        let length = u16::from_be(packet.load(ETHERNET + 4)?).wrapping_add(20);
        packet.change_proto(ether_type.to_be(), 0)?;
        // It forbids fragmentation.
        let mut words = [
            (0x4500_0000 | u32::from(length)).to_be(),
            0x0000_4000_u32.to_be(),
            (u32::from(HOPS) << 24 | u32::from(protocol) << 16).to_be(),
            source[3],
            destination[3],
        ];
        let sum = words.iter().map(|word| u64::from(*word)).sum();
        let [high, low] = (!fold(sum)).to_ne_bytes();
        words[2] = u32::from_ne_bytes([HOPS, protocol, high, low]);
        packet.store(ETHERNET, &words, RECOMPUTE)?;
    }
    packet.store(12, &ether_type.to_be(), 0)?;
    Ok(Header {
        at: ETHERNET,
        is_v4: !header.is_v4,
        protocol,
    })
}

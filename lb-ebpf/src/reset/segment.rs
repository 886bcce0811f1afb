//! The TCP header of a reset.

use lb_common::{
    checksum::fold,
    packet::{TcpFlags, protocol},
};

use lb_ebpf::packet::Packet;

/// Its length, in bytes.
pub(super) const TCP_HEADER: usize = 20;

/// What a reset says.
pub(super) struct Reset {
    /// Both ports, exchanged, as they lie in a header.
    ports: u32,
    /// In network order, like the next.
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
}

impl Reset {
    /// What answers the segment at `offset`, whose header and data are `length` bytes.
    #[inline(always)]
    pub(super) fn to(packet: &Packet, offset: usize, length: u32) -> Option<Self> {
        const RST: u8 = 0x04;
        const RST_ACK: u8 = 0x14;
        let header = packet.window_apart::<TCP_HEADER>(offset)?;
        let flags = TcpFlags::new(header.byte::<13>());
        let ports = header.raw32::<0>().rotate_left(16);
        Some(if flags.ack() {
            Self {
                ports,
                sequence: header.raw32::<8>(),
                acknowledgement: 0,
                flags: RST,
            }
        } else {
            let data = length.wrapping_sub(u32::from(header.byte::<12>() >> 4) * 4);
            let marks = u32::from(flags.syn()) + u32::from(flags.fin());
            let next = u32::from_be(header.raw32::<4>())
                .wrapping_add(data)
                .wrapping_add(marks);
            Self {
                ports,
                sequence: 0,
                acknowledgement: next.to_be(),
                flags: RST_ACK,
            }
        })
    }

    /// Writes the header, whose pseudo header has addresses of this sum.
    ///
    /// # Safety
    /// Twenty bytes at `tcp` must be writable.
    #[inline(always)]
    pub(super) unsafe fn write(&self, tcp: *mut u8, addresses: u64) {
        let words = [
            self.ports,
            self.sequence,
            self.acknowledgement,
            u32::from_ne_bytes([(TCP_HEADER as u8 / 4) << 4, self.flags, 0, 0]),
            0,
        ];
        let mut sum =
            addresses + u64::from((protocol::TCP as u16).to_be()) + u64::from((TCP_HEADER as u16).to_be());
        // SAFETY: as the caller promised.
        unsafe {
            for (n, word) in words.into_iter().enumerate() {
                tcp.cast::<u32>().add(n).write_volatile(word);
                sum += u64::from(word);
            }
            tcp.add(16).cast::<u16>().write_volatile(!fold(sum));
        }
    }
}

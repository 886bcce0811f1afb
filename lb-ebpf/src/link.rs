//! Link headers that move to another place in the frame.

use lb_ebpf::packet::Packet;

/// Addresses, tags and type of a link header with two tags: what is sure to be there of every packet, with what follows.
const LONGEST: usize = 22;

/// A link header without its type.
pub(crate) struct LinkHeader {
    /// Destination and source MAC, as three words.
    macs: [u32; 3],
    /// Room for two tags; what is there instead means nothing.
    tags: [u32; 2],
}

impl LinkHeader {
    /// That of the frame.
    #[inline(always)]
    pub(crate) fn of(packet: &Packet) -> Option<Self> {
        let at = packet.bytes_mut::<LONGEST>(0)?.cast::<u32>();
        // SAFETY: 22 bytes are there.
        let word = |n| unsafe { at.add(n).read_volatile() };
        Some(Self {
            macs: [word(0), word(1), word(2)],
            tags: [word(3), word(4)],
        })
    }

    /// With other MAC addresses: the first 8 and the next 4 bytes of the frame.
    #[inline(always)]
    pub(crate) fn with_macs(self, (head, tail): (u64, u32)) -> Self {
        let (first, second) = if cfg!(target_endian = "big") {
            ((head >> 32) as u32, head as u32)
        } else {
            (head as u32, (head >> 32) as u32)
        };
        Self {
            macs: [first, second, tail],
            ..self
        }
    }

    /// Back to where it comes from.
    #[inline(always)]
    pub(crate) fn turned_round(self) -> Self {
        let [a, b, c] = self.macs;
        // Each MAC address is three halves of words.
        let halves = |word: u32| {
            if cfg!(target_endian = "big") {
                ((word >> 16) as u16, word as u16)
            } else {
                (word as u16, (word >> 16) as u16)
            }
        };
        let word = |first: u16, second: u16| {
            if cfg!(target_endian = "big") {
                (first as u32) << 16 | second as u32
            } else {
                first as u32 | (second as u32) << 16
            }
        };
        let ((d0, d1), (d2, s0), (s1, s2)) = (halves(a), halves(b), halves(c));
        Self {
            macs: [word(s0, s1), word(s2, d0), word(d1, d2)],
            ..self
        }
    }

    /// Writes it to the front of the frame, with this type, so that it ends at `network`. What follows is to be written after
    /// it: where there are fewer than two tags, the first bytes of it are overwritten.
    #[inline(always)]
    pub(crate) fn put(&self, packet: &Packet, network: usize, ether_type: u16) -> Option<()> {
        let at = packet.bytes_mut::<LONGEST>(0)?.cast::<u32>();
        let kind = packet.bytes_mut::<2>(network.wrapping_sub(2) & 31)?;
        // SAFETY: the bytes are there.
        unsafe {
            for n in 0..3 {
                at.add(n).write_volatile(self.macs[n]);
            }
            for n in 0..2 {
                at.add(3 + n).write_volatile(self.tags[n]);
            }
            kind.cast::<u16>().write_volatile(ether_type.to_be());
        }
        Some(())
    }
}

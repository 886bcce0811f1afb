//! Which packet comes next: the layout that the front and the benchmark share.
//!
//! The headers of a packet, from the network header on, are cut into *pieces*: the words in which the front writes them.
//! A piece holds each field that a program may load at once, since a load that spans two recent stores stalls the CPU,
//! and a packet that comes from a network card never has that.

/// Bytes of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Pieces of a packet's headers.
pub(crate) const PIECES: usize = 7;
/// Offset from the network header of each piece of an IPv4 packet with TCP or UDP; the next piece's is where it ends.
/// All are 8 bytes long but the second, with 4, so that both addresses lie in the third.
pub(crate) const CUTS_V4: [usize; PIECES + 1] = [0, 8, 12, 20, 28, 28, 28, 28];
/// The same for IPv6.
pub(crate) const CUTS_V6: [usize; PIECES + 1] = [0, 8, 16, 24, 32, 40, 48, 48];

/// State of a front: the one element of its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct PacketSource {
    /// State of a linear congruential generator modulo 2^64; its upper half is scaled to the number of flows.
    pub(crate) position: u64,
    /// Its multiplier.
    pub(crate) multiplier: u64,
    /// Its increment.
    pub(crate) increment: u64,
    /// Flows to choose from; at most 2^32, of which the first 2^31 differ.
    pub(crate) flows: u64,
    /// Bits of the flow's number that choose the destination port.
    pub(crate) services: u64,
    /// Destination MAC and the first two bytes of the source MAC.
    pub(crate) link_head: u64,
    /// The rest of the source MAC (bytes 0..4) and the EtherType (bytes 4..6), as they lie in memory.
    pub(crate) link_tail: u64,
    /// Headers of flow 0, in pieces; one that is shorter than 8 bytes lies in the first bytes of its word.
    pub(crate) pieces: [u64; PIECES],
}

/// Moves a 16-bit field to byte `at` of a word, as it lies in memory.
#[inline(always)]
const fn field(value: u16, at: u32) -> u64 {
    let shift = if cfg!(target_endian = "big") {
        48 - 8 * at
    } else {
        8 * at
    };
    (value as u64) << shift
}

impl PacketSource {
    /// Draws the number of the next packet's flow.
    #[inline(always)]
    pub(crate) fn draw(&mut self) -> u32 {
        self.position = self
            .position
            .wrapping_mul(self.multiplier)
            .wrapping_add(self.increment);
        (((self.position >> 32) * self.flows) >> 32) as u32
    }

    /// What tells this flow from flow 0: bits of the address, and of the ports, both of which are flipped.
    #[inline(always)]
    const fn difference(&self, flow: u32) -> (u16, u16, u16) {
        (
            (flow >> 15) as u16,
            flow as u16 & 0x7FFF,
            flow as u16 & self.services as u16,
        )
    }

    /// The headers of an IPv4 flow. The lower half of flow 0's address is zero and its identification all ones: so the
    /// complement of the address in the identification keeps the header's checksum right.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn headers_v4(&self, flow: u32) -> [u64; PIECES] {
        let (address, source, destination) = self.difference(flow);
        let mut pieces = self.pieces;
        pieces[0] ^= field(address, 4);
        pieces[2] ^= field(address, 2);
        pieces[3] ^= field(source, 0) | field(destination, 2);
        pieces
    }

    /// The headers of an IPv6 flow.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn headers_v6(&self, flow: u32) -> [u64; PIECES] {
        let (address, source, destination) = self.difference(flow);
        let mut pieces = self.pieces;
        pieces[2] ^= field(address, 6);
        pieces[5] ^= field(source, 0) | field(destination, 2);
        pieces
    }
}

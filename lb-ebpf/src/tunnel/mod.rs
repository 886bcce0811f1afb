//! The headers in front of a packet in a tunnel: of packets of clients, and of health checks.

mod between;

use lb_common::{abi::BackendEntry, checksum::fold};

use self::between::{between, protocol_of, put_between};

/// TTL and hop limit of outer headers (RFC 1700's default, as Linux has it).
const TTL: u8 = 64;
/// Outer network headers.
pub const IPV4: usize = 20;
/// The same.
pub const IPV6: usize = 40;
/// Longest headers in front of the packet.
pub const LONGEST4: usize = IPV4 + 12;
/// The same where the outer one is an IPv6 header.
pub const LONGEST6: usize = IPV6 + 12;

/// What goes into the headers.
pub struct Outer {
    /// Length of the packet inside, in bytes.
    pub length: u16,
    /// Whether that is an IPv6 packet.
    pub ipv6_inside: bool,
    /// DSCP and ECN.
    pub class: u8,
    /// Sum over the packet inside, where there is to be a checksum over it.
    pub sum: Option<u16>,
    /// The same for all packets of a flow.
    pub entropy: u32,
}

impl Outer {
    /// Bytes between the outer network header and the packet.
    #[inline(always)]
    #[must_use]
    pub fn between(&self, method: u8) -> usize {
        between(method, self.sum)
    }

    /// Writes an IPv4 header, and what the method has behind it, `between` bytes. It always forbids fragmentation (and so needs no
    /// identification, RFC 6864): the backend's end of the tunnel does not put fragments together.
    ///
    /// # Safety
    /// [`LONGEST4`] bytes at `header` must be writable.
    #[inline(always)]
    pub unsafe fn put4(&self, header: *mut u8, entry: &BackendEntry, method: u8, between: usize) {
        let total = self.length + 20 + between as u16;
        let words = [
            u32::from_be(0x4500_0000 | u32::from(self.class) << 16 | u32::from(total)),
            u32::from_be(0x0000_4000),
            u32::from_be(u32::from(TTL) << 24 | u32::from(protocol_of(method, self.ipv6_inside)) << 16),
            entry.source4(),
            entry.address4(),
        ];
        let addresses = u64::from(words[3]) + u64::from(words[4]);
        let sum = u64::from(words[0]) + u64::from(words[1]) + u64::from(words[2]) + addresses;
        // SAFETY: the caller sees to it, and the checksum is the upper half of its third word.
        unsafe {
            let at = header.cast::<u32>();
            for (n, word) in words.into_iter().enumerate() {
                at.add(n).write_volatile(word);
            }
            header.add(10).cast::<u16>().write_volatile(!fold(sum));
            put_between(header.add(20), self, entry, method, addresses);
        }
    }

    /// Writes an IPv6 header, with a flow label that tells flows apart (RFC 6438), and what the method has behind it,
    /// `between` bytes.
    ///
    /// # Safety
    /// [`LONGEST6`] bytes at `header` must be writable.
    #[inline(always)]
    pub unsafe fn put6(&self, header: *mut u8, entry: &BackendEntry, method: u8, between: usize) {
        let (source, destination) = (entry.source6(), entry.address6());
        let first = 6 << 28 | u32::from(self.class) << 20 | self.entropy & 0xF_FFFF;
        let payload = self.length + between as u16;
        let kind = protocol_of(method, self.ipv6_inside);
        let second = u32::from(payload) << 16 | u32::from(kind) << 8 | u32::from(TTL);
        let halves = |word: u64| (word & 0xFFFF_FFFF) + (word >> 32);
        let addresses =
            halves(source[0]) + halves(source[1]) + halves(destination[0]) + halves(destination[1]);
        // SAFETY: the caller sees to it.
        unsafe {
            header.cast::<u32>().write_volatile(first.to_be());
            header.add(4).cast::<u32>().write_volatile(second.to_be());
            header.add(8).cast::<u64>().write_volatile(source[0]);
            header.add(16).cast::<u64>().write_volatile(source[1]);
            header.add(24).cast::<u64>().write_volatile(destination[0]);
            header.add(32).cast::<u64>().write_volatile(destination[1]);
            put_between(header.add(40), self, entry, method, addresses);
        }
    }
}

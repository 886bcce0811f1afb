//! Backends as the packet path needs them.

use core::net::{IpAddr, Ipv6Addr};

use crate::flow_table::{HalfWord, Word};

/// A MAC address.
pub type Mac = [u8; 6];

/// A backend of a service: one cache line.
///
/// The tail word holds the status: it is written last and read first, so that a packet never leaves by the new
/// interface with the old address.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct BackendEntry {
    /// Destination MAC and the first two bytes of the source MAC, as they lie in a frame.
    head: Word,
    /// The last four bytes of the source MAC (lower half), status (bits 32..40).
    tail: Word,
    /// Interface by which the backend is reached.
    ifindex: HalfWord,
    /// Number of the service.
    service: HalfWord,
    /// Address; IPv4 as IPv4-mapped IPv6. All zero in an entry that is not in use.
    address: [Word; 2],
    reserved: [Word; 3],
}

const _: () = assert!(size_of::<BackendEntry>() == 64);

const READY: u64 = 1 << 32;

/// How to reach a backend on its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its MAC address.
    pub destination: Mac,
    /// The MAC address of the interface by which it is reached.
    pub source: Mac,
    /// That interface.
    pub ifindex: u32,
}

impl BackendEntry {
    /// The words that begin a frame to this backend (8 and 4 bytes) and the interface; `None` while it is unresolved.
    #[inline(always)]
    #[must_use]
    pub fn link_words(&self) -> Option<(u64, u32, u32)> {
        let tail = self.tail.load();
        if tail & READY == 0 {
            return None;
        }
        Some((self.head.load(), tail as u32, self.ifindex.load()))
    }

    /// Whether the entry speaks of a backend.
    #[inline(always)]
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.address[0].load() | self.address[1].load() != 0
    }

    /// Number of the service.
    #[inline(always)]
    #[must_use]
    pub fn service(&self) -> u32 {
        self.service.load()
    }

    /// How the backend is reached; `None` while it is unresolved.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        let (head, tail, ifindex) = self.link_words()?;
        let (head, tail) = (head.to_ne_bytes(), tail.to_ne_bytes());
        let [d0, d1, d2, d3, d4, d5, s0, s1] = head;
        let [s2, s3, s4, s5] = tail;
        Some(Link {
            destination: [d0, d1, d2, d3, d4, d5],
            source: [s0, s1, s2, s3, s4, s5],
            ifindex,
        })
    }

    /// The backend's address; `None` in an entry that is not in use.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let [a, b] = [
            self.address[0].load().to_ne_bytes(),
            self.address[1].load().to_ne_bytes(),
        ];
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&a);
        bytes[8..].copy_from_slice(&b);
        let address = Ipv6Addr::from(bytes);
        if address.is_unspecified() {
            None
        } else {
            Some(address.to_canonical())
        }
    }
}

/// Writing; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl BackendEntry {
    /// Makes the entry speak of this backend, unresolved.
    pub fn assign(&self, address: IpAddr, service: u32) {
        self.tail.publish(0);
        let bytes = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let (a, b) = bytes.split_at(8);
        for (word, half) in self.address.iter().zip([a, b]) {
            let mut value = [0; 8];
            value.copy_from_slice(half);
            word.publish(u64::from_ne_bytes(value));
        }
        self.service.store(service);
    }

    /// Sets how the backend is reached, or that nobody knows.
    pub fn set_link(&self, link: Option<&Link>) {
        let Some(link) = link else {
            self.tail.publish(self.tail.load() & !READY);
            return;
        };
        let [d0, d1, d2, d3, d4, d5] = link.destination;
        let [s0, s1, s2, s3, s4, s5] = link.source;
        let head = u64::from_ne_bytes([d0, d1, d2, d3, d4, d5, s0, s1]);
        let tail = u64::from(u32::from_ne_bytes([s2, s3, s4, s5])) | READY;
        if self.ifindex.load() != link.ifindex || self.tail.load() as u32 != tail as u32 {
            // More than one word changes: nobody may use the entry in between.
            self.tail.publish(self.tail.load() & !READY);
        }
        self.head.publish(head);
        self.ifindex.store(link.ifindex);
        self.tail.publish(tail);
    }

    /// Makes the entry free.
    pub fn clear(&self) {
        self.tail.publish(0);
        for word in &self.address {
            word.publish(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link {
        destination: [1, 2, 3, 4, 5, 6],
        source: [7, 8, 9, 10, 11, 12],
        ifindex: 3,
    };

    #[test]
    fn what_is_written_is_read() {
        let entry = BackendEntry::default();
        assert_eq!((entry.address(), entry.link()), (None, None));
        for address in ["10.0.0.11", "2001:db8::11"] {
            let address: IpAddr = address.parse().unwrap();
            entry.assign(address, 7);
            assert_eq!(
                (entry.address(), entry.service(), entry.link()),
                (Some(address), 7, None)
            );
            entry.set_link(Some(&LINK));
            assert_eq!(entry.link(), Some(LINK));
            entry.set_link(None);
            assert_eq!(entry.link(), None);
        }
        entry.clear();
        assert_eq!(entry.address(), None);
    }

    #[test]
    fn the_words_are_the_first_twelve_bytes_of_a_frame() {
        let entry = BackendEntry::default();
        entry.set_link(Some(&LINK));
        let (head, tail, ifindex) = entry.link_words().unwrap();
        assert_eq!(head.to_ne_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(tail.to_ne_bytes(), [9, 10, 11, 12]);
        assert_eq!(ifindex, 3);
    }
}

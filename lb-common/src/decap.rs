//! The backend's end of a tunnel: what the program there counts and is told.

use core::net::IpAddr;

macro_rules! outcomes {
    ($($name:ident = $number:literal, $fate:ident, $slug:literal, $sentence:literal;)+) => {
        /// What became of a packet. The numbers index the counters and are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Outcome {
            $(#[doc = $sentence] $name = $number,)+
        }

        impl Outcome {
            /// Every outcome, in the order of its number.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$name),+];

            /// Whether the kernel gets the packet.
            #[inline(always)]
            #[must_use]
            pub const fn passes(self) -> bool {
                match self {
                    $(Self::$name => Fate::$fate.passes(),)+
                }
            }

            /// Short name for scripts.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $sentence,)+
                }
            }
        }
    };
}

enum Fate {
    Pass,
    Drop,
}

impl Fate {
    const fn passes(&self) -> bool {
        matches!(self, Self::Pass)
    }
}

outcomes! {
    NoTunnel = 0, Pass, "no_tunnel", "No packet of a tunnel to this machine: passed on as it was.";
    Unwrapped = 1, Pass, "unwrapped", "Taken out of its tunnel and handed to the kernel.";
    Fragment = 2, Pass, "fragment", "A fragment of a tunnel's packet: passed on as it was.";
    ForeignSource = 3, Drop, "foreign_source", "From an address that may not tunnel to this machine.";
    Malformed = 4, Drop, "malformed", "Headers that are nonsense, or ask for what is not understood.";
    Nested = 5, Drop, "nested", "A tunnel's packet inside a tunnel's packet.";
    BadChecksum = 6, Drop, "bad_checksum", "The tunnel's checksum is wrong.";
    Congested = 7, Drop, "congested", "It met congestion, and its sender would not understand the mark (RFC 6040).";
}

/// Room for counters.
pub const COUNTERS: usize = 16;

const _: () = assert!(Outcome::ALL.len() <= COUNTERS);

/// Addresses, and sources, that there is room for.
pub const MOST_ADDRESSES: usize = 16;

/// Read-only data of the program, set before it is loaded. Addresses are as they lie in an IPv6 packet, IPv4 ones as
/// IPv4-mapped addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Addresses of this machine to which tunnels lead; zero where there is none.
    pub addresses: [[u64; 2]; MOST_ADDRESSES],
    /// Where tunnels may come from.
    pub sources: [[u64; 2]; MOST_ADDRESSES],
    /// The bits of the source that count.
    pub masks: [[u64; 2]; MOST_ADDRESSES],
    /// How many sources there are; 0: tunnels may come from anywhere.
    pub source_count: u32,
    /// Port on which GUE is listened for.
    pub gue_port: u32,
}

const _: () = assert!(size_of::<Settings>() == 3 * 16 * MOST_ADDRESSES + 8);

impl Settings {
    /// Nothing is unwrapped.
    pub const NONE: Self = Self {
        addresses: [[0; 2]; MOST_ADDRESSES],
        sources: [[0; 2]; MOST_ADDRESSES],
        masks: [[0; 2]; MOST_ADDRESSES],
        source_count: 0,
        gue_port: 0,
    };

    /// The bytes, as the loader wants them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `repr(C)` of integers without padding (the size is the sum of the fields), alive as long as `self`.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }

    /// Whether tunnels lead to this address.
    #[inline(always)]
    #[must_use]
    pub fn leads_to(&self, address: [u64; 2]) -> bool {
        for own in &self.addresses {
            if *own == address {
                return true;
            }
        }
        false
    }

    /// Whether tunnels may come from this address.
    #[inline(always)]
    #[must_use]
    pub fn may_come_from(&self, address: [u64; 2]) -> bool {
        if self.source_count == 0 {
            return true;
        }
        for n in 0..MOST_ADDRESSES {
            if n >= self.source_count as usize {
                break;
            }
            let (source, mask) = (self.sources[n], self.masks[n]);
            if (address[0] ^ source[0]) & mask[0] == 0 && (address[1] ^ source[1]) & mask[1] == 0 {
                return true;
            }
        }
        false
    }
}

/// An IPv4 address as it lies in a packet, as the program compares addresses.
#[inline(always)]
#[must_use]
pub const fn mapped(address: u32) -> [u64; 2] {
    let address = address.to_ne_bytes();
    let [a, b, c, d] = address;
    [0, u64::from_ne_bytes([0, 0, 0xFF, 0xFF, a, b, c, d])]
}

/// An address as the program compares addresses.
#[must_use]
pub fn words(address: IpAddr) -> [u64; 2] {
    crate::packet::address_words(match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    })
}

/// The bits of an address that a prefix of this length covers.
#[must_use]
pub fn mask(address: IpAddr, length: u8) -> [u64; 2] {
    let length = match address {
        IpAddr::V4(_) => u32::from(length.min(32)) + 96,
        IpAddr::V6(_) => u32::from(length.min(128)),
    };
    let bits = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    crate::packet::address_words(bits.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_dense_and_names_differ() {
        for (number, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, number);
        }
        let slugs: std::collections::BTreeSet<_> = Outcome::ALL.map(Outcome::slug).into();
        assert_eq!(slugs.len(), Outcome::ALL.len());
    }

    #[test]
    fn an_address_is_the_same_from_a_packet_and_from_text() {
        let raw = u32::from_ne_bytes([10, 0, 0, 11]);
        assert_eq!(mapped(raw), words(ip("10.0.0.11")));
    }

    #[test]
    fn prefixes_cover_what_they_should() {
        let mut settings = Settings::NONE;
        settings.addresses[1] = words(ip("10.0.0.11"));
        assert!(settings.leads_to(words(ip("10.0.0.11"))));
        assert!(!settings.leads_to(words(ip("10.0.0.12"))));
        assert!(settings.may_come_from(words(ip("203.0.113.1"))), "from anywhere");
        for (n, (prefix, length)) in [("192.0.2.0", 24), ("2001:db8::", 32), ("198.51.100.7", 32)]
            .into_iter()
            .enumerate()
        {
            settings.sources[n] = words(ip(prefix));
            settings.masks[n] = mask(ip(prefix), length);
        }
        settings.source_count = 3;
        for (address, may) in [
            ("192.0.2.2", true),
            ("192.0.3.2", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.0.2.9", true),
        ] {
            assert_eq!(settings.may_come_from(words(ip(address))), may, "{address}");
        }
        assert_eq!(
            mask(ip("0.0.0.0"), 0),
            words(ip("ffff:ffff:ffff:ffff:ffff:ffff::"))
        );
        assert_eq!(mask(ip("::"), 0), [0, 0]);
        assert_eq!(mask(ip("::"), 128), [u64::MAX; 2]);
    }
}

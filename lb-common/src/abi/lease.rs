//! Who may say where a VIP is: leases of the VIPs' groups, and what others were heard to claim.

use crate::flow_table::Word;

/// Groups of VIPs there may be.
pub const LEASES: usize = 256;
/// In the frontend table, in place of a group's number: the VIP is in no group, and always answered for.
pub const NO_LEASE: u32 = u32::MAX;

/// Until when questions for the VIPs of each group may be answered, in nanoseconds since boot (`CLOCK_BOOTTIME`). The
/// HA thread prolongs a lease as long as it lives and holds the VIPs; that a lease ends needs nobody.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LeaseTable {
    until: [Word; LEASES],
}

const _: () = assert!(size_of::<LeaseTable>() == 8 * LEASES);

impl Default for LeaseTable {
    fn default() -> Self {
        Self {
            until: [const { Word::new(0) }; LEASES],
        }
    }
}

impl LeaseTable {
    /// Whether questions for a VIP of this group (its number, or [`NO_LEASE`]) may be answered at `now`.
    #[inline(always)]
    #[must_use]
    pub fn holds(&self, group: u32, now: u64) -> bool {
        group == NO_LEASE || now < self.until[group as usize & (LEASES - 1)].load()
    }

    /// Prolongs the lease of a group, or ends it (0); the daemon alone.
    #[cfg(not(target_arch = "bpf"))]
    pub fn set(&self, group: u8, until: u64) {
        self.until[group as usize].publish(until);
    }
}

/// Claims that are remembered.
pub const CLAIMS: usize = 64;

/// Somebody else said that a VIP is at a MAC address of its own, while the VIP was held here: the last one for each hash
/// of a VIP.
///
/// ```text
/// version 8: odd while it is written │ address 16, network order │ MAC 6, family 1, unused 1 │ nanoseconds since boot 8
/// ```
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ClaimSlot {
    version: Word,
    address: [Word; 2],
    sender: Word,
    at: Word,
    reserved: [Word; 3],
}

const _: () = assert!(size_of::<ClaimSlot>() == 64);

/// A claim, as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The VIP in network order; of an IPv4 address, the lower half of the first word.
    pub address: [u64; 2],
    /// The sender's MAC address (bits 0..48, as it lies in a frame) and the family (48..56): 4 or 6.
    pub sender: u64,
    /// When, in nanoseconds since boot.
    pub at: u64,
}

impl ClaimSlot {
    const fn new() -> Self {
        Self {
            version: Word::new(0),
            address: [const { Word::new(0) }; 2],
            sender: Word::new(0),
            at: Word::new(0),
            reserved: [const { Word::new(0) }; 3],
        }
    }

    /// Writes a claim, unless another CPU is writing one at this moment, which will do as well.
    #[inline(always)]
    pub fn write(&self, claim: &Claim) {
        let version = self.version.load();
        if version & 1 != 0 || !self.version.compare_exchange(version, version + 1) {
            return;
        }
        self.address[0].store(claim.address[0]);
        self.address[1].store(claim.address[1]);
        self.sender.store(claim.sender);
        self.at.store(claim.at);
        self.version.exchange(version + 2);
    }

    /// The claim and its version; `None` if there was none since `seen`, or while one is being written.
    #[must_use]
    pub fn read(&self, seen: u64) -> Option<(u64, Claim)> {
        let version = self.version.load();
        if version & 1 != 0 || version == seen {
            return None;
        }
        let claim = Claim {
            address: [self.address[0].load(), self.address[1].load()],
            sender: self.sender.load(),
            at: self.at.load(),
        };
        (self.version.load() == version).then_some((version, claim))
    }
}

/// [`CLAIMS`] slots; a VIP's is that of its hash.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ClaimTable {
    slots: [ClaimSlot; CLAIMS],
}

impl Default for ClaimTable {
    fn default() -> Self {
        Self {
            slots: [const { ClaimSlot::new() }; CLAIMS],
        }
    }
}

impl ClaimTable {
    /// The slot of a VIP.
    #[inline(always)]
    #[must_use]
    pub fn of(&self, address: [u64; 2]) -> &ClaimSlot {
        let hash = (address[0] ^ address[1].rotate_left(25)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        &self.slots[hash as usize & (CLAIMS - 1)]
    }

    /// All slots.
    pub fn iter(&self) -> impl Iterator<Item = &ClaimSlot> {
        self.slots.iter()
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Claim {
    /// The VIP.
    #[must_use]
    pub fn vip(&self) -> core::net::IpAddr {
        if self.sender >> 48 & 0xFF == 4 {
            let mut octets = [0; 4];
            octets.copy_from_slice(&self.address[0].to_ne_bytes()[..4]);
            return core::net::Ipv4Addr::from(octets).into();
        }
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.address[0].to_ne_bytes());
        octets[8..].copy_from_slice(&self.address[1].to_ne_bytes());
        core::net::Ipv6Addr::from(octets).into()
    }

    /// Who claims it.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        mac.copy_from_slice(&self.sender.to_ne_bytes()[..6]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    #[test]
    fn a_lease_ends_by_itself_and_what_has_none_is_always_answered_for() {
        let leases = LeaseTable::default();
        assert!(!leases.holds(0, 0) && leases.holds(NO_LEASE, u64::MAX));
        leases.set(7, 100);
        assert!(leases.holds(7, 99) && !leases.holds(7, 100) && !leases.holds(8, 0));
        leases.set(7, 0);
        assert!(!leases.holds(7, 0));
        // A number that the daemon never gives stays inside.
        leases.set(255, 5);
        assert!(leases.holds(255, 4) && leases.holds(511, 4));
    }

    #[test]
    fn the_last_claim_is_read_once() {
        let claims = ClaimTable::default();
        let mac = u64::from_ne_bytes([2, 0, 0, 0, 0, 9, 0, 0]);
        let four = Claim {
            address: [u64::from(u32::from_ne_bytes([192, 0, 2, 10])), 0],
            sender: mac | 4 << 48,
            at: 1,
        };
        let slot = claims.of(four.address);
        assert_eq!(slot.read(0), None);
        slot.write(&four);
        let (version, read) = slot.read(0).unwrap();
        assert_eq!((read, slot.read(version)), (four, None));
        assert_eq!(read.vip(), IpAddr::from([192, 0, 2, 10]));
        assert_eq!(read.mac(), [2, 0, 0, 0, 0, 9]);
        slot.write(&Claim { at: 2, ..four });
        assert_eq!(slot.read(version).unwrap().1.at, 2);
        assert_eq!(claims.iter().filter(|slot| slot.read(0).is_some()).count(), 1);

        let six = Claim {
            address: crate::packet::address_words("2001:db8::10".parse().unwrap()),
            sender: mac | 6 << 48,
            at: 3,
        };
        assert_eq!(six.vip(), "2001:db8::10".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_claim_under_way_is_neither_read_nor_overwritten() {
        let slot = ClaimSlot::new();
        let claim = Claim {
            address: [1, 0],
            sender: 4 << 48,
            at: 1,
        };
        assert!(slot.version.compare_exchange(0, 1));
        slot.write(&claim);
        assert_eq!(slot.read(0), None);
        assert_eq!(slot.at.load(), 0);
    }
}

//! Services as the packet path needs them.

use super::{FloodLimits, Rate, Schedule};
use crate::flow_table::Word;

/// Which fields of a flow the hash of a schedule is over. Those that are not are taken for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HashFields {
    /// The fields that are left out, as bits; so 0 is all of them.
    ignored: u8,
}

impl HashFields {
    const SOURCE: u8 = 1;
    const SOURCE_PORT: u8 = 2;
    const DESTINATION: u8 = 4;
    const DESTINATION_PORT: u8 = 8;

    /// These fields.
    #[must_use]
    pub const fn new(source: bool, source_port: bool, destination: bool, destination_port: bool) -> Self {
        let mut ignored = 0;
        if !source {
            ignored |= Self::SOURCE;
        }
        if !source_port {
            ignored |= Self::SOURCE_PORT;
        }
        if !destination {
            ignored |= Self::DESTINATION;
        }
        if !destination_port {
            ignored |= Self::DESTINATION_PORT;
        }
        Self { ignored }
    }

    /// Whether nothing is left out.
    #[inline(always)]
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.ignored == 0
    }

    /// Whether the client's address counts.
    #[inline(always)]
    #[must_use]
    pub const fn source(self) -> bool {
        self.ignored & Self::SOURCE == 0
    }

    /// Whether the VIP counts.
    #[inline(always)]
    #[must_use]
    pub const fn destination(self) -> bool {
        self.ignored & Self::DESTINATION == 0
    }

    /// What of ports and protocol counts, as a mask for the word in which flow keys have them. Protocol and service port go
    /// together.
    #[inline(always)]
    #[must_use]
    pub const fn tail_mask(self) -> u64 {
        let source_port = if self.ignored & Self::SOURCE_PORT == 0 {
            0xFFFF
        } else {
            0
        };
        let rest = if self.ignored & Self::DESTINATION_PORT == 0 {
            !0xFFFF
        } else {
            0
        };
        source_port | rest
    }
}

/// What a service wants beside its schedule, yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyFlags(u32);

impl PolicyFlags {
    /// Some of its backends have thresholds, and so may be full.
    pub const THRESHOLDS: Self = Self(1);
    /// Where a hash chooses one that is full, the next in the table will do.
    pub const FALLBACK: Self = Self(2);
    /// Each datagram is scheduled by itself, and leaves no flow.
    pub const ONE_PACKET: Self = Self(4);
    /// A client keeps its backend for flows to come: see [`Persistence`].
    pub const PERSISTENT: Self = Self(8);
    /// New flows are counted: see [`FloodLimits`].
    pub const LIMITED: Self = Self(16);
    /// Other directors are not told of its flows.
    pub const UNTOLD: Self = Self(32);
    /// Other directors are told of its flows at the first packet, half-open ones too.
    pub const TOLD_EARLY: Self = Self(64);

    /// From [`Self::bits`].
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// All of them in one number.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// These, and the other's.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has all that the other has.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether other directors are told of a flow that is half-open, or is not.
    #[inline(always)]
    #[must_use]
    pub const fn tell(self, half_open: bool) -> bool {
        !self.has(Self::UNTOLD) && (!half_open || self.has(Self::TOLD_EARLY))
    }
}

/// What becomes of a TCP segment in the middle of a connection that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Unknown {
    /// It goes where the schedule's hash says, and the connection is known from then on.
    #[default]
    Schedule = 0,
    /// It is answered with a reset.
    Reset = 1,
    /// It is dropped.
    Drop = 2,
}

impl Unknown {
    /// From the number; one that is unknown schedules.
    #[inline(always)]
    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Reset,
            2 => Self::Drop,
            _ => Self::Schedule,
        }
    }
}

/// Who keeps a backend for flows to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Keeper {
    /// Each client.
    #[default]
    Client = 0,
    /// Each destination, until the backend has too much to do: `lblc`.
    Destination = 1,
    /// Each destination, as many backends as it takes, up to [`MOST_REPLICAS`]: `lblcr`.
    Destinations = 2,
}

/// Backends that serve one destination, at most.
pub const MOST_REPLICAS: u32 = 4;

impl Keeper {
    /// From the number; one that is unknown is a client.
    #[inline(always)]
    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Destination,
            2 => Self::Destinations,
            _ => Self::Client,
        }
    }

    /// How many backends it can have.
    #[inline(always)]
    #[must_use]
    pub const fn most(self) -> u32 {
        match self {
            Self::Client | Self::Destination => 1,
            Self::Destinations => MOST_REPLICAS,
        }
    }
}

/// Which clients are one, for a service whose clients keep their backends, and the service's name in their templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Persistence {
    /// Whose the templates are.
    pub keeper: Keeper,
    /// The service, by a number that is the same on every director.
    pub service: u32,
    /// IPv4 clients that are alike in so many bits are one; at most 32.
    pub prefix_v4: u8,
    /// IPv6 clients that are alike in so many bits are one; at most 128.
    pub prefix_v6: u8,
}

impl Persistence {
    /// From the word: service (bits 0..32), length of the IPv4 prefix (32..40), of the IPv6 prefix (40..48), [`Keeper`] (48..56).
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            keeper: Keeper::from_number((word >> 48) as u8),
            service: word as u32,
            prefix_v4: (word >> 32) as u8,
            prefix_v6: (word >> 40) as u8,
        }
    }

    /// The word.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.service as u64
            | (self.prefix_v4 as u64) << 32
            | (self.prefix_v6 as u64) << 40
            | (self.keeper as u64) << 48
    }

    /// What counts of an IPv4 address, as it lies in a packet.
    #[inline(always)]
    #[must_use]
    pub const fn mask_v4(self) -> u32 {
        ((upper_bits(self.prefix_v4 as u32) >> 32) as u32).to_be()
    }

    /// What counts of the two words of an IPv6 address, as they lie in a packet.
    #[inline(always)]
    #[must_use]
    pub const fn mask_v6(self) -> [u64; 2] {
        let length = self.prefix_v6 as u32;
        let second = length.saturating_sub(64);
        [upper_bits(length).to_be(), upper_bits(second).to_be()]
    }
}

/// The `length` most significant bits; 64 of them at most.
#[inline(always)]
const fn upper_bits(length: u32) -> u64 {
    if length == 0 {
        0
    } else if length >= 64 {
        u64::MAX
    } else {
        u64::MAX << (64 - length)
    }
}

/// What a service wants beside its schedule.
///
/// The word: timeout class (bits 0..8), length of QUIC's server IDs (8..16), [`Unknown`] (16..20), reserved (20..24), [`HashFields`] (24..32),
/// [`PolicyFlags`] (32..64). What is not mentioned in [`Policy`] is 0 so far, and 0 is how things are without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Timeout class of its flows, below [`TIMEOUT_CLASSES`](super::TIMEOUT_CLASSES).
    pub timeout_class: u8,
    /// Bytes of the server ID in the connection IDs of a service that balances QUIC by them; 0: it does not.
    pub server_id: u8,
    /// What becomes of a segment in the middle of a connection that is not known.
    pub unknown: Unknown,
    /// What the hash of a flow is over, where that chooses.
    pub hash: HashFields,
    /// What else.
    pub flags: PolicyFlags,
}

impl Policy {
    /// From the word.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            timeout_class: word as u8,
            server_id: (word >> 8) as u8,
            unknown: Unknown::from_number((word >> 16) as u8 & 15),
            hash: HashFields {
                ignored: (word >> 24) as u8,
            },
            flags: PolicyFlags((word >> 32) as u32),
        }
    }

    /// The word.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.timeout_class as u64
            | (self.server_id as u64) << 8
            | (self.unknown as u64) << 16
            | (self.hash.ignored as u64) << 24
            | (self.flags.0 as u64) << 32
    }
}

/// A service: one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ServiceEntry {
    /// See [`Schedule`].
    schedule: Word,
    policy: Word,
    /// The list of its backup backends, likewise.
    backups: Word,
    /// See [`Persistence`].
    persistence: Word,
    /// See [`FloodLimits`].
    flood: Word,
    /// SYNs of this second.
    syns: Rate,
    reserved: Word,
    /// How many flows were given out one after the other.
    turn: Word,
}

const _: () = assert!(size_of::<ServiceEntry>() == 64);

impl ServiceEntry {
    /// The table in force.
    #[inline(always)]
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule::from_word(self.schedule.load())
    }

    /// The list of backups, for when all of the others are full.
    #[inline(always)]
    #[must_use]
    pub fn backups(&self) -> Schedule {
        Schedule::from_word(self.backups.load())
    }

    /// What the service wants beside its schedule.
    #[inline(always)]
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::from_word(self.policy.load())
    }

    /// Which clients are one, and the service's name in their templates.
    #[inline(always)]
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        Persistence::from_word(self.persistence.load())
    }

    /// How many new flows there may be in a second.
    #[inline(always)]
    #[must_use]
    pub fn flood(&self) -> FloodLimits {
        FloodLimits::from_word(self.flood.load())
    }

    /// How many SYNs there were in this second.
    #[inline(always)]
    #[must_use]
    pub fn syns(&self) -> &Rate {
        &self.syns
    }

    /// The number of the next turn; nobody else gets the same.
    #[inline(always)]
    #[must_use]
    pub fn take_turn(&self) -> u64 {
        self.turn.fetch_add(1)
    }
}

/// Writing; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl ServiceEntry {
    /// Puts a table in force: one store, after its slots have been written.
    pub fn set_schedule(&self, schedule: Schedule) {
        self.schedule.publish(schedule.to_word());
    }

    /// Puts a list of backups in force, likewise.
    pub fn set_backups(&self, backups: Schedule) {
        self.backups.publish(backups.to_word());
    }

    /// Says which clients are one; before a policy asks for it.
    pub fn set_persistence(&self, persistence: Persistence) {
        self.persistence.publish(persistence.to_word());
    }

    /// Says how many new flows there may be; before a policy asks for it.
    pub fn set_flood(&self, limits: FloodLimits) {
        self.flood.publish(limits.to_word());
    }

    /// Puts a policy in force, with one store.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.publish(policy.to_word());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{abi::MOST_SCHEDULE_SLOTS, scheduling::Choice};

    #[test]
    fn what_is_written_is_read() {
        let entry = ServiceEntry::default();
        assert_eq!(
            (entry.schedule(), entry.backups(), entry.policy()),
            (Schedule::default(), Schedule::default(), Policy::default())
        );
        let schedule = Schedule {
            base: u32::MAX - 15,
            length: MOST_SCHEDULE_SLOTS,
            choice: Choice::NeverQueue,
        };
        let backups = Schedule {
            base: 16,
            length: 1,
            choice: Choice::First,
        };
        let policy = Policy {
            timeout_class: 31,
            server_id: 3,
            unknown: Unknown::Drop,
            hash: HashFields::new(true, false, true, false),
            flags: PolicyFlags::THRESHOLDS.with(PolicyFlags::FALLBACK),
        };
        let persistence = Persistence {
            keeper: Keeper::Destinations,
            service: u32::MAX - 1,
            prefix_v4: 32,
            prefix_v6: 128,
        };
        entry.set_schedule(schedule);
        entry.set_backups(backups);
        entry.set_policy(policy);
        entry.set_persistence(persistence);
        assert_eq!(
            (entry.schedule(), entry.backups(), entry.policy()),
            (schedule, backups, policy)
        );
        assert_eq!(entry.persistence(), persistence);
    }

    #[test]
    fn a_service_that_asks_for_nothing_goes_by_the_hash_of_all_fields() {
        assert_eq!(Schedule::from_word(0).choice, Choice::Hash);
        let policy = Policy::from_word(0);
        assert!(policy.hash.is_all() && !policy.flags.has(PolicyFlags::THRESHOLDS));
    }

    #[test]
    fn others_are_told_of_what_is_established_unless_a_service_wants_otherwise() {
        let tells = |flags: PolicyFlags| [flags.tell(true), flags.tell(false)];
        assert_eq!(tells(PolicyFlags::PERSISTENT), [false, true]);
        assert_eq!(tells(PolicyFlags::TOLD_EARLY), [true, true]);
        assert_eq!(tells(PolicyFlags::UNTOLD), [false, false]);
    }

    #[test]
    fn prefixes_are_masks() {
        use core::net::{Ipv4Addr, Ipv6Addr};
        for (length, v4, v6) in [
            (0, "0.0.0.0", "::"),
            (8, "255.0.0.0", "ff00::"),
            (23, "255.255.254.0", "ffff:fe00::"),
            (32, "255.255.255.255", "ffff:ffff::"),
            (64, "255.255.255.255", "ffff:ffff:ffff:ffff::"),
            (65, "255.255.255.255", "ffff:ffff:ffff:ffff:8000::"),
            (128, "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let persistence = Persistence {
                keeper: Keeper::Client,
                service: 1,
                prefix_v4: length.min(32),
                prefix_v6: length,
            };
            let v4: Ipv4Addr = v4.parse().unwrap();
            let v6: Ipv6Addr = v6.parse().unwrap();
            assert_eq!(persistence.mask_v4().to_ne_bytes(), v4.octets(), "{length}");
            assert_eq!(
                persistence.mask_v6(),
                crate::packet::address_words(v6),
                "{length}"
            );
        }
    }

    #[test]
    fn turns_are_given_out_once() {
        let entry = ServiceEntry::default();
        assert_eq!([entry.take_turn(), entry.take_turn()], [0, 1]);
        assert_eq!(entry.schedule(), Schedule::default());
    }

    #[test]
    fn fields_of_a_hash_are_masks_over_the_key() {
        let all = HashFields::new(true, true, true, true);
        assert!(all.is_all() && all.tail_mask() == u64::MAX);
        let source = HashFields::new(true, false, false, false);
        assert!(source.source() && !source.destination() && source.tail_mask() == 0);
        let no_service = HashFields::new(true, true, false, false);
        assert_eq!(no_service.tail_mask(), 0xFFFF);
        let no_client_port = HashFields::new(true, false, true, true);
        assert_eq!(no_client_port.tail_mask(), !0xFFFF);
    }
}

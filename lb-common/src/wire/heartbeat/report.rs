//! What a director tells of itself.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Malformed,
    list::{Item, List},
    text::Text,
};
use crate::wire::seal::NodeId;

/// Most other directors that one hears of.
pub const MAX_PEERS: usize = 15;
/// Most groups of instances: a director's report fits into a heartbeat to seven others.
pub const MAX_GROUPS: usize = 39;
/// Most addresses from which a director advertises.
pub const MAX_ADDRESSES: usize = 8;
/// Longest name of a director.
pub const MAX_NAME: usize = 63;
/// Longest version of a program.
pub const MAX_VERSION: usize = 15;

/// A director, as it is or lately was.
///
/// ```text
/// length (2) of what follows
/// node (8) | epoch (8) | number (8) | valid (2) | flags (1)
/// name | version: length (1), text
/// digest of the configuration (8)
/// sync: position (8), digest (8), completeness (2)
/// addresses: number (1); family (1), address (16) each
/// hears: number (1); node (8) each
/// groups: number (1); group (8), flags (1), priority (1), health (1), successor (8) each
/// whatever later versions add
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Who.
    pub node: NodeId,
    /// Its life: rises with each start.
    pub epoch: u64,
    /// Rises with each report of that life.
    pub number: u64,
    /// For how long the director is to be counted among the living on the strength of this report, in milliseconds.
    /// Whoever passes it on says what is left of that.
    pub valid: u16,
    /// Whether it is in maintenance: it neither keeps nor takes VIPs.
    pub maintenance: bool,
    /// Whether its daemon ends.
    pub leaving: bool,
    /// Its name.
    pub name: Text<MAX_NAME>,
    /// Version of its daemon.
    pub version: Text<MAX_VERSION>,
    /// Digest of what directors of a cluster must have in common.
    pub config: u64,
    /// How far its connections are those of the others.
    pub sync: Sync,
    /// Where its advertisements come from.
    pub addresses: List<Address, MAX_ADDRESSES>,
    /// Whom it hears, be it by way of others.
    pub hears: List<NodeId, MAX_PEERS>,
    /// What it is in each group of instances.
    pub groups: List<Group, MAX_GROUPS>,
}

/// How far a director's connections are those of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sync {
    /// Position in what it received and sent.
    pub position: u64,
    /// Digest of its connections.
    pub digest: u64,
    /// How complete they are, in hundredths of a percent: 0..=10000.
    pub completeness: u16,
}

/// An address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub IpAddr);

impl Default for Address {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// A director's part in a group of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group {
    /// Which group: derived from its name.
    pub group: u64,
    /// What it is.
    pub role: Role,
    /// Whether it may hold the VIPs.
    pub fit: bool,
    /// Whether clients reach it.
    pub link: bool,
    /// Whether it asks a lesser Active for the VIPs.
    pub claims: bool,
    /// Whether it asks whoever is Active for them, as its operator ordered.
    pub takes: bool,
    /// Its priority, 1..=255.
    pub priority: u8,
    /// How many of the group's backends it reaches, in percent.
    pub health: u8,
    /// Whom it leaves the VIPs to, while it is Active and for a while after; [`NOBODY`] otherwise.
    pub successor: NodeId,
}

/// In place of a director.
pub const NOBODY: NodeId = NodeId(0);

/// What a director is in a group of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Role {
    /// It takes no part.
    #[default]
    Out = 0,
    /// It listens.
    Backup = 1,
    /// It holds the VIPs.
    Active = 2,
}

const FIXED: usize = 27;
const MAINTENANCE: u8 = 1;
const LEAVING: u8 = 2;
const SYNC: usize = 26;

impl Report {
    /// Length on the wire, in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        2 + FIXED
            + self.name.length()
            + self.version.length()
            + SYNC
            + self.addresses.length()
            + self.hears.length()
            + self.groups.length()
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (&length, rest) = bytes.split_first_chunk::<2>().ok_or(Malformed)?;
        let length = usize::from(u16::from_be_bytes(length));
        let (own, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        let (fixed, own) = own.split_first_chunk::<FIXED>().ok_or(Malformed)?;
        let (name, own) = Text::parse(own)?;
        let (version, own) = Text::parse(own)?;
        let (sync, own) = own.split_first_chunk::<SYNC>().ok_or(Malformed)?;
        let (addresses, own) = List::parse(own)?;
        let (hears, own) = List::parse(own)?;
        let (groups, _) = List::parse(own)?;
        let flags = fixed[26];
        let report = Self {
            node: NodeId(u64_at(fixed, 0)),
            epoch: u64_at(fixed, 8),
            number: u64_at(fixed, 16),
            valid: u16_at(fixed, 24),
            maintenance: flags & MAINTENANCE != 0,
            leaving: flags & LEAVING != 0,
            name,
            version,
            config: u64_at(sync, 0),
            sync: Sync {
                position: u64_at(sync, 8),
                digest: u64_at(sync, 16),
                completeness: u16_at(sync, 24),
            },
            addresses,
            hears,
            groups,
        };
        Ok((report, rest))
    }

    /// Writes the report to the start of `buffer`, and returns what follows it; `None` where it does not fit.
    pub(super) fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (own, rest) = buffer.split_at_mut_checked(self.length())?;
        let (length, own) = own.split_first_chunk_mut::<2>()?;
        *length = ((self.length() - 2) as u16).to_be_bytes();
        let (fixed, own) = own.split_first_chunk_mut::<FIXED>()?;
        fixed[..8].copy_from_slice(&self.node.0.to_be_bytes());
        fixed[8..16].copy_from_slice(&self.epoch.to_be_bytes());
        fixed[16..24].copy_from_slice(&self.number.to_be_bytes());
        fixed[24..26].copy_from_slice(&self.valid.to_be_bytes());
        fixed[26] = flag(self.maintenance, MAINTENANCE) | flag(self.leaving, LEAVING);
        let own = self.version.emit(self.name.emit(own)?)?;
        let (sync, own) = own.split_first_chunk_mut::<SYNC>()?;
        sync[..8].copy_from_slice(&self.config.to_be_bytes());
        sync[8..16].copy_from_slice(&self.sync.position.to_be_bytes());
        sync[16..24].copy_from_slice(&self.sync.digest.to_be_bytes());
        sync[24..].copy_from_slice(&self.sync.completeness.to_be_bytes());
        self.groups.emit(self.hears.emit(self.addresses.emit(own)?)?)?;
        Some(rest)
    }
}

impl Item for Address {
    const LENGTH: usize = 17;

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let address: [u8; 16] = bytes[1..].try_into().map_err(|_| Malformed)?;
        match bytes[0] {
            4 => Ok(Self(
                Ipv4Addr::new(address[0], address[1], address[2], address[3]).into(),
            )),
            6 => Ok(Self(Ipv6Addr::from(address).into())),
            _ => Err(Malformed),
        }
    }

    fn write(&self, bytes: &mut [u8]) {
        match self.0 {
            IpAddr::V4(address) => {
                bytes[0] = 4;
                bytes[1..5].copy_from_slice(&address.octets());
                bytes[5..].fill(0);
            }
            IpAddr::V6(address) => {
                bytes[0] = 6;
                bytes[1..].copy_from_slice(&address.octets());
            }
        }
    }
}

impl Item for NodeId {
    const LENGTH: usize = 8;

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(Self(u64_at(bytes, 0)))
    }

    fn write(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0.to_be_bytes());
    }
}

const ROLE: u8 = 3;
const FIT: u8 = 4;
const LINK: u8 = 8;
const CLAIMS: u8 = 16;
const TAKES: u8 = 32;

impl Item for Group {
    const LENGTH: usize = 19;

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let flags = bytes[8];
        let role = match flags & ROLE {
            0 => Role::Out,
            1 => Role::Backup,
            2 => Role::Active,
            _ => return Err(Malformed),
        };
        Ok(Self {
            group: u64_at(bytes, 0),
            role,
            fit: flags & FIT != 0,
            link: flags & LINK != 0,
            claims: flags & CLAIMS != 0,
            takes: flags & TAKES != 0,
            priority: bytes[9],
            health: bytes[10],
            successor: NodeId(u64_at(bytes, 11)),
        })
    }

    fn write(&self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.group.to_be_bytes());
        bytes[8] = self.role as u8
            | flag(self.fit, FIT)
            | flag(self.link, LINK)
            | flag(self.claims, CLAIMS)
            | flag(self.takes, TAKES);
        bytes[9] = self.priority;
        bytes[10] = self.health;
        bytes[11..].copy_from_slice(&self.successor.0.to_be_bytes());
    }
}

fn flag(is: bool, bit: u8) -> u8 {
    if is { bit } else { 0 }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut word = [0; 2];
    word.copy_from_slice(&bytes[at..at + 2]);
    u16::from_be_bytes(word)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(word)
}

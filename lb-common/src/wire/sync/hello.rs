//! Who a director is, what it can, how far it is, and what it has of the others.
//!
//! ```text
//! oldest version (1) | newest version (1) | phase (1) | flags (1) | leaf bits (1) | 0 (1) | joined, permille (2)
//! next (8) | oldest (8) | flows (8) | store (8) | services (8) | config (8)
//! sections: type (1) | length (2) | content
//! ```
//! Sections of an unknown type are skipped: later versions add what they like.

use std::{string::String, vec::Vec};

use super::{Reader, Refusal};
use crate::wire::seal::{Greeting, NodeId};

/// Most directors that a hello acknowledges.
pub const MAX_PEERS: usize = 15;
/// Longest name of a director, in bytes.
pub const MAX_NAME: usize = 63;

const ANSWER_WANTED: u8 = 1;
const NAME: u8 = 1;
const GREETING: u8 = 2;
const ACKS: u8 = 3;
const ACK: usize = 28;

/// How far a director is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// It looks for others.
    Starting = 0,
    /// It fetches what the others have and it has not.
    Joining = 1,
    /// It has what the others have, but for what is under way.
    InSync = 2,
}

impl Phase {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Starting),
            1 => Some(Self::Joining),
            2 => Some(Self::InSync),
            _ => None,
        }
    }

    /// Name for people and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Joining => "joining",
            Self::InSync => "in_sync",
        }
    }
}

/// What a director has of another's updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The other.
    pub peer: NodeId,
    /// Salt of the other's session.
    pub salt: u64,
    /// All updates before this one arrived, or are lost for good.
    pub position: u64,
    /// Updates that are lost for good; what they said is found by digests.
    pub lost: u32,
}

/// A hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version of the protocol that the sender understands.
    pub oldest_version: u8,
    /// Newest version of the protocol that the sender understands.
    pub newest_version: u8,
    /// How far it is.
    pub phase: Phase,
    /// Whether it wants to be answered with a hello at once.
    pub answer_wanted: bool,
    /// Its connections are divided into 2 to this power leaves.
    pub leaf_bits: u8,
    /// How much it has of what it has to fetch, in thousandths.
    pub joined: u16,
    /// Number of its next update.
    pub next: u64,
    /// Number of the oldest update that it can repeat.
    pub oldest: u64,
    /// Connections in its tables.
    pub flows: u64,
    /// Digest of its store.
    pub store: u64,
    /// Digest of the services that it knows.
    pub services: u64,
    /// Digest of its configuration.
    pub config: u64,
    /// Its name.
    pub name: String,
    /// Its challenge, and those of others that it heard.
    pub greeting: Greeting,
    /// What it has of others' updates.
    pub acks: Vec<Ack>,
}

impl Hello {
    /// Reads the body of a hello, of whatever version.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn parse(mut reader: Reader<'_>) -> Result<Self, Refusal> {
        let [oldest_version, newest_version, phase, flags, leaf_bits, _] = reader.array()?;
        let joined = reader.u16()?;
        let mut hello = Self {
            oldest_version,
            newest_version,
            phase: Phase::from_number(phase).ok_or(Refusal::BadValue)?,
            answer_wanted: flags & ANSWER_WANTED != 0,
            leaf_bits,
            joined,
            next: reader.u64()?,
            oldest: reader.u64()?,
            flows: reader.u64()?,
            store: reader.u64()?,
            services: reader.u64()?,
            config: reader.u64()?,
            name: String::new(),
            greeting: Greeting::new(0),
            acks: Vec::new(),
        };
        let mut greeted = false;
        while !reader.rest().is_empty() {
            let kind = reader.u8()?;
            let length = usize::from(reader.u16()?);
            let mut section = Reader::new(reader.bytes(length)?);
            match kind {
                NAME if length <= MAX_NAME => {
                    let name = core::str::from_utf8(section.rest()).map_err(|_| Refusal::BadValue)?;
                    hello.name = name.into();
                }
                GREETING => {
                    let (greeting, _) = Greeting::parse(section.rest()).map_err(|_| Refusal::BadValue)?;
                    hello.greeting = greeting;
                    greeted = true;
                }
                ACKS if length <= MAX_PEERS * ACK => {
                    hello.acks.clear();
                    while !section.rest().is_empty() {
                        hello.acks.push(Ack {
                            peer: NodeId(section.u64()?),
                            salt: section.u64()?,
                            position: section.u64()?,
                            lost: section.u32()?,
                        });
                    }
                }
                NAME | ACKS => return Err(Refusal::BadValue),
                _ => {}
            }
        }
        // Without it, nothing else could ever be believed.
        if greeted {
            Ok(hello)
        } else {
            Err(Refusal::Truncated)
        }
    }

    /// Writes the body behind what is in `to`. What exceeds [`MAX_NAME`] and [`MAX_PEERS`] is left out.
    pub(super) fn emit(&self, to: &mut Vec<u8>) {
        let flags = if self.answer_wanted { ANSWER_WANTED } else { 0 };
        to.extend_from_slice(&[
            self.oldest_version,
            self.newest_version,
            self.phase as u8,
            flags,
            self.leaf_bits,
            0,
        ]);
        to.extend_from_slice(&self.joined.to_be_bytes());
        for number in [
            self.next,
            self.oldest,
            self.flows,
            self.store,
            self.services,
            self.config,
        ] {
            to.extend_from_slice(&number.to_be_bytes());
        }
        let name = &self.name.as_bytes()[..self.name.floor_char_boundary(MAX_NAME)];
        section(to, NAME, name.len());
        to.extend_from_slice(name);

        let length = self.greeting.length();
        section(to, GREETING, length);
        let start = to.len();
        to.resize(start + length, 0);
        let written = self.greeting.emit(&mut to[start..]);
        debug_assert!(written.is_some_and(|rest| rest.is_empty()));

        let acks = &self.acks[..self.acks.len().min(MAX_PEERS)];
        section(to, ACKS, acks.len() * ACK);
        for ack in acks {
            for number in [ack.peer.0, ack.salt, ack.position] {
                to.extend_from_slice(&number.to_be_bytes());
            }
            to.extend_from_slice(&ack.lost.to_be_bytes());
        }
    }
}

fn section(to: &mut Vec<u8>, kind: u8, length: usize) {
    to.push(kind);
    to.extend_from_slice(&(length as u16).to_be_bytes());
}

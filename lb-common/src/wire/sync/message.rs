//! The kinds of messages.

use std::vec::Vec;

use super::{Block, Hello, OLDEST_VERSION, Reader, Refusal, StoreItem, VERSION, store::store};
use crate::wire::seal::NodeId;

/// Most intervals, runs or indexes in one message.
pub const MAX_INTERVALS: usize = 256;

/// The kinds; their numbers are the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = 1,
    Updates = 2,
    Nack = 3,
    Survey = 4,
    Digests = 5,
    WantedDigests = 6,
    WantedLeaves = 7,
    Contents = 8,
    Store = 9,
    Services = 10,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Hello,
        Self::Updates,
        Self::Nack,
        Self::Survey,
        Self::Digests,
        Self::WantedDigests,
        Self::WantedLeaves,
        Self::Contents,
        Self::Store,
        Self::Services,
    ];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The cluster's time when it was written, in milliseconds.
    pub clock: u64,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "hellos are few, and no body is kept")]
pub enum Body<'a> {
    /// How the sender is, and what it has.
    Hello(Hello),
    /// Connections that changed.
    Updates {
        /// Number of the message among the sender's updates; the first is 1.
        number: u64,
        /// The connections.
        block: Block<'a>,
    },
    /// Updates that did not arrive.
    Nack(Nack),
    /// All who hear it are to take this survey.
    Survey(SurveyId),
    /// What a survey found.
    Digests(Digests<'a>),
    /// The receiver is to send the digests of the leaves below these branches.
    WantedDigests {
        /// Of this survey.
        survey: SurveyId,
        /// The branches.
        branches: Vec<u16>,
    },
    /// The receiver is to send what it has in these leaves.
    WantedLeaves(Vec<Leaves>),
    /// What the sender has in some leaves.
    Contents {
        /// In which.
        part: LeafPart,
        /// The connections.
        block: Block<'a>,
    },
    /// Orders and verdicts.
    Store(Vec<StoreItem<'a>>),
    /// The services that the sender knows: eight bytes each, sorted.
    Services(&'a [[u8; 8]]),
}

/// A survey, by the moment up to which it takes note of changes, in the cluster's milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SurveyId(pub u64);

/// Updates that did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Whose.
    pub sender: NodeId,
    /// Salt of the session that they belong to.
    pub salt: u64,
    /// Which.
    pub missing: Vec<MissingRun>,
}

/// Updates one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingRun {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u16,
}

/// A digest, and of how many connections it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Sum of the connections' hashes, modulo 2^64.
    pub sum: u64,
    /// How many connections.
    pub count: u32,
}

/// Digests one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Digests<'a> {
    /// The survey that found them.
    pub survey: SurveyId,
    /// Digest of the services whose connections they are of.
    pub scope: u64,
    /// Whether they are of leaves; else of branches.
    pub of_leaves: bool,
    /// Index of the first.
    pub first: u16,
    items: &'a [[u8; DIGEST]],
}

pub(super) const DIGEST: usize = 12;

impl<'a> Digests<'a> {
    /// The digests, in the order of their indexes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Digest> + use<'a> {
        self.items.iter().map(|item| {
            let [sum @ .., c0, c1, c2, c3] = *item;
            Digest {
                sum: u64::from_be_bytes(sum),
                count: u32::from_be_bytes([c0, c1, c2, c3]),
            }
        })
    }
}

/// Leaves one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// The first.
    pub first: u16,
    /// How many.
    pub count: u16,
}

/// Which leaves a message has the content of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafPart {
    /// The leaves.
    pub leaves: Leaves,
    /// A single leaf may need several messages; this is the one with this number.
    pub part: u16,
    /// Whether it is the last one.
    pub last: bool,
}

impl<'a> Message<'a> {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Refusal> {
        let mut reader = Reader::new(payload);
        let [kind, version, _, _] = reader.array()?;
        let clock = reader.u64()?;
        let kind = Kind::from_number(kind);
        // A hello says which versions its sender speaks, so it is read whatever its version.
        if kind != Some(Kind::Hello) && !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(Refusal::OtherVersion);
        }
        let body = match kind.ok_or(Refusal::UnknownKind)? {
            Kind::Hello => Body::Hello(Hello::parse(reader)?),
            Kind::Updates => Body::Updates {
                number: reader.u64()?,
                block: Block::parse(reader)?,
            },
            Kind::Nack => Body::Nack(Nack {
                sender: NodeId(reader.u64()?),
                salt: reader.u64()?,
                missing: list(reader, |reader| {
                    Ok(MissingRun {
                        first: reader.u64()?,
                        count: reader.u16()?,
                    })
                })?,
            }),
            Kind::Survey => {
                let survey = SurveyId(reader.u64()?);
                reader.end()?;
                Body::Survey(survey)
            }
            Kind::Digests => Body::Digests(parse_digests(reader)?),
            Kind::WantedDigests => Body::WantedDigests {
                survey: SurveyId(reader.u64()?),
                branches: list(reader, Reader::u16)?,
            },
            Kind::WantedLeaves => Body::WantedLeaves(list(reader, leaves)?),
            Kind::Contents => {
                let leaves = leaves(&mut reader)?;
                let part = reader.u16()?;
                let last = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Refusal::BadValue),
                };
                if leaves.count != 1 && !(part == 0 && last) {
                    return Err(Refusal::BadValue);
                }
                Body::Contents {
                    part: LeafPart { leaves, part, last },
                    block: Block::parse(reader)?,
                }
            }
            Kind::Store => Body::Store(store(reader)?),
            Kind::Services => match reader.rest().as_chunks() {
                (services, []) => Body::Services(services),
                _ => return Err(Refusal::Truncated),
            },
        };
        Ok(Self { clock, body })
    }
}

/// Leaves that there can be: at most 2^16 of them.
fn leaves(reader: &mut Reader<'_>) -> Result<Leaves, Refusal> {
    let (first, count) = (reader.u16()?, reader.u16()?);
    if count == 0 || u32::from(first) + u32::from(count) > 1 << 16 {
        return Err(Refusal::BadValue);
    }
    Ok(Leaves { first, count })
}

/// At most [`MAX_INTERVALS`] things, to the end.
fn list<'a, T>(
    mut reader: Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, Refusal>,
) -> Result<Vec<T>, Refusal> {
    let count = usize::from(reader.u16()?);
    if count > MAX_INTERVALS {
        return Err(Refusal::BadValue);
    }
    let items = (0..count).map(|_| item(&mut reader)).collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(items)
}

fn parse_digests(mut reader: Reader<'_>) -> Result<Digests<'_>, Refusal> {
    let (survey, scope) = (SurveyId(reader.u64()?), reader.u64()?);
    let of_leaves = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Refusal::BadValue),
    };
    let first = reader.u16()?;
    let (items, []) = reader.rest().as_chunks() else {
        return Err(Refusal::Truncated);
    };
    if usize::from(first) + items.len() > 1 << 16 {
        return Err(Refusal::BadValue);
    }
    Ok(Digests {
        survey,
        scope,
        of_leaves,
        first,
        items,
    })
}

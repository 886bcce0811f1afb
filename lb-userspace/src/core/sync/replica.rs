//! What a director has of the cluster's connections, as the protocol needs it.

use lb_common::{
    packet::FlowKey,
    wire::sync::{Block, BlockBuilder, Digest, Full, ServiceId, SurveyId},
};

/// Where a connection stands in a replica; means nothing outside of it, and may have become another's meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// How a block of connections came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As updates: what they say is news.
    Update,
    /// As the content of leaves: most of it may be known, and none of it is worth another connection's place.
    Repair,
}

/// When a message was written, and when it is read, in the cluster's milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the sender's clock.
    pub sent: u64,
    /// By the receiver's; not before `sent`.
    pub now: u64,
}

/// A connection that differed, as a comparison has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mended {
    /// Which.
    pub flow: FlowKey,
    /// Whether it was known here, with another state or backend; else only another director knew it.
    pub was_known: bool,
}

/// What became of the connections of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// They were not known.
    pub new: u64,
    /// They had another target or state.
    pub changed: u64,
    /// They were known as they are; perhaps they had been silent for longer.
    pub known: u64,
    /// A later word on them is known.
    pub overruled: u64,
    /// They were known, and are gone.
    pub removed: u64,
    /// Nobody here serves their service, or its connections are not to be known.
    pub unknown_service: u64,
    /// They wait until their backend has a number.
    pub waiting: u64,
    /// There is no room for them.
    pub no_room: u64,
    /// They have expired, or are half-open and of a service for which these do not count.
    pub expired: u64,
}

impl Applied {
    /// How many made a difference.
    #[must_use]
    pub fn differed(&self) -> u64 {
        self.new + self.changed + self.removed
    }
}

impl std::ops::AddAssign for Applied {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.changed += other.changed;
        self.known += other.known;
        self.overruled += other.overruled;
        self.removed += other.removed;
        self.unknown_service += other.unknown_service;
        self.waiting += other.waiting;
        self.no_room += other.no_room;
        self.expired += other.expired;
    }
}

/// The connections of one director.
///
/// They are divided into leaves by a hash that is the same on all directors; a survey walks over all of them, and finds
/// the digest of each leaf and the places in it. Moments are in the cluster's milliseconds.
pub trait Replica {
    /// Takes in what another director says.
    fn apply(&mut self, block: &Block<'_>, source: Source, moment: Moment) -> Applied;

    /// Moves what the others do not know into `block`; whether it is full now, and there may be more.
    fn collect(&mut self, block: &mut BlockBuilder, now: u64) -> bool;

    /// Begins a survey of what did not change in the last second before it, of these services only.
    fn begin_survey(&mut self, survey: SurveyId, services: &[ServiceId]);

    /// Walks on for a moment; whether the survey is complete. What it meets that the others do not know is collected.
    fn walk(&mut self, now: u64) -> bool;

    /// Lists what is mended from now on: so much of each address family, at most. Before, nothing is listed.
    fn list_mended(&mut self, most: usize);

    /// What is listed.
    fn mended(&self) -> Vec<Mended>;

    /// Digests of the leaves at the last complete survey.
    fn digests(&self) -> &[Digest];

    /// The places that the last complete survey found in a leaf.
    fn leaf(&self, leaf: u16, places: &mut Vec<Place>);

    /// Adds the connection at `place` to `block`, if there still is one that others should know.
    ///
    /// # Errors
    /// [`Full`].
    fn push(&mut self, place: Place, block: &mut BlockBuilder, now: u64) -> Result<(), Full>;

    /// The cluster's clock made a leap: moments of before cannot be compared with those of now.
    fn forget_moments(&mut self, now: u64);

    /// Services that are served here, in ascending order.
    fn services(&self) -> &[ServiceId];

    /// How many connections there are that the others are to know, roughly.
    fn flows(&self) -> u64;

    /// How many there are besides, of services whose connections nobody is told of.
    fn untold(&self) -> u64;
}

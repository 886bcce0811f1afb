//! Writers of messages: each appends one to `to`.

use std::vec::Vec;

use super::{
    BlockBuilder, Digest, HEAD, Hello, LeafPart, Leaves, Nack, OLDEST_VERSION, StoreItem, SurveyId,
    message::{DIGEST, Kind},
    store::emit as store_items,
};

/// What every version has in common is said in the oldest.
fn head(kind: Kind, clock: u64, to: &mut Vec<u8>) {
    head_of(OLDEST_VERSION, kind, clock, to);
}

fn head_of(version: u8, kind: Kind, clock: u64, to: &mut Vec<u8>) {
    let start = to.len();
    to.extend_from_slice(&[kind as u8, version, 0, 0]);
    to.extend_from_slice(&clock.to_be_bytes());
    debug_assert_eq!(to.len(), start + HEAD);
}

/// A hello.
pub fn hello(hello: &Hello, clock: u64, to: &mut Vec<u8>) {
    head(Kind::Hello, clock, to);
    hello.emit(to);
}

/// Updates.
pub fn updates(number: u64, block: &BlockBuilder, clock: u64, to: &mut Vec<u8>) {
    head_of(block.version(), Kind::Updates, clock, to);
    to.extend_from_slice(&number.to_be_bytes());
    block.emit(to);
}

/// What an updates message has beyond its block, in bytes.
pub const UPDATES_OVERHEAD: usize = HEAD + 8;

/// Which updates are missing.
pub fn nack(nack: &Nack, clock: u64, to: &mut Vec<u8>) {
    head(Kind::Nack, clock, to);
    to.extend_from_slice(&nack.sender.0.to_be_bytes());
    to.extend_from_slice(&nack.salt.to_be_bytes());
    to.extend_from_slice(&(nack.missing.len() as u16).to_be_bytes());
    for run in &nack.missing {
        to.extend_from_slice(&run.first.to_be_bytes());
        to.extend_from_slice(&run.count.to_be_bytes());
    }
}

/// A call to take a survey.
pub fn survey(survey: SurveyId, clock: u64, to: &mut Vec<u8>) {
    head(Kind::Survey, clock, to);
    to.extend_from_slice(&survey.0.to_be_bytes());
}

/// What a digests message has beyond its digests, in bytes.
pub const DIGESTS_OVERHEAD: usize = HEAD + 19;
/// Length of a digest, in bytes.
pub const DIGEST_LENGTH: usize = DIGEST;

/// What digests are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestRange {
    /// The survey that found them.
    pub survey: SurveyId,
    /// Digest of the services whose connections they are of.
    pub scope: u64,
    /// Whether they are of leaves; else of branches.
    pub of_leaves: bool,
    /// Index of the first.
    pub first: u16,
}

/// Digests.
pub fn digests(range: DigestRange, items: impl Iterator<Item = Digest>, clock: u64, to: &mut Vec<u8>) {
    head(Kind::Digests, clock, to);
    to.extend_from_slice(&range.survey.0.to_be_bytes());
    to.extend_from_slice(&range.scope.to_be_bytes());
    to.push(range.of_leaves.into());
    to.extend_from_slice(&range.first.to_be_bytes());
    for digest in items {
        to.extend_from_slice(&digest.sum.to_be_bytes());
        to.extend_from_slice(&digest.count.to_be_bytes());
    }
}

/// A question for the digests below some branches.
pub fn wanted_digests(survey: SurveyId, branches: &[u16], clock: u64, to: &mut Vec<u8>) {
    head(Kind::WantedDigests, clock, to);
    to.extend_from_slice(&survey.0.to_be_bytes());
    to.extend_from_slice(&(branches.len() as u16).to_be_bytes());
    for branch in branches {
        to.extend_from_slice(&branch.to_be_bytes());
    }
}

/// A question for the content of some leaves.
pub fn wanted_leaves(wanted: &[Leaves], clock: u64, to: &mut Vec<u8>) {
    head(Kind::WantedLeaves, clock, to);
    to.extend_from_slice(&(wanted.len() as u16).to_be_bytes());
    for leaves in wanted {
        emit_leaves(*leaves, to);
    }
}

fn emit_leaves(leaves: Leaves, to: &mut Vec<u8>) {
    to.extend_from_slice(&leaves.first.to_be_bytes());
    to.extend_from_slice(&leaves.count.to_be_bytes());
}

/// What a contents message has beyond its block, in bytes.
pub const CONTENTS_OVERHEAD: usize = HEAD + 7;

/// The content of some leaves.
pub fn contents(part: LeafPart, block: &BlockBuilder, clock: u64, to: &mut Vec<u8>) {
    head_of(block.version(), Kind::Contents, clock, to);
    emit_leaves(part.leaves, to);
    to.extend_from_slice(&part.part.to_be_bytes());
    to.push(part.last.into());
    block.emit(to);
}

/// Orders and verdicts.
pub fn store<'a>(items: impl ExactSizeIterator<Item = StoreItem<'a>>, clock: u64, to: &mut Vec<u8>) {
    head(Kind::Store, clock, to);
    store_items(items, to);
}

/// What a store message has beyond its items, in bytes.
pub const STORE_OVERHEAD: usize = HEAD + 2;

/// The services that the sender knows, sorted.
pub fn services(services: impl Iterator<Item = u64>, clock: u64, to: &mut Vec<u8>) {
    head(Kind::Services, clock, to);
    for service in services {
        to.extend_from_slice(&service.to_be_bytes());
    }
}

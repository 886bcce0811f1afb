//! Heartbeats: what directors of a cluster tell each other of themselves, over any number of paths, besides VRRP.
//!
//! They travel sealed ([`seal`](super::seal), channel 1). All numbers are in network order.
//!
//! ```text
//! version (1) | reserved (1) | interval (2), milliseconds
//! sequence (4) | sent (4), microseconds
//! greeting: challenge (8), number (1), echoes (16 each)
//! returns: number (1); peer (8), sent (4), held (4) each
//! reports: number (1); reports
//! ```
//!
//! The interval, the sequence and the times belong to the path that the heartbeat goes over; the rest is the same on all. A
//! *return* sends the sender's clock back to it, so that it learns the way's length. The first report is the sender's own;
//! others are those of third directors that it hears, so that two who hear a third one know of each other.

mod list;
mod report;
#[cfg(test)]
mod tests;
mod text;

use self::report::{u16_at, u32_at, u64_at};
pub use self::{
    list::{Item, List},
    report::{
        Address, Group, MAX_ADDRESSES, MAX_GROUPS, MAX_NAME, MAX_PEERS, MAX_VERSION, NOBODY, Report, Role,
        Sync,
    },
    text::Text,
};
use super::seal::{Greeting, NodeId};

/// Most bytes of a heartbeat: sealed, it fits into an IPv6 packet of 1500 bytes.
pub const MAX_LENGTH: usize = 1380;
/// Most reports of a heartbeat: one's own, and those of the others.
pub const MAX_REPORTS: usize = MAX_PEERS + 1;

const VERSION: u8 = 1;
const HEADER: usize = 12;

/// The bytes are no heartbeat of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What belongs to the path that a heartbeat goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Until the next one on this path, in milliseconds.
    pub interval: u16,
    /// Counts the heartbeats on this path.
    pub sequence: u32,
    /// When it was sent, by the sender's clock in microseconds; wraps.
    pub sent: u32,
}

/// A peer's clock, sent back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Return {
    /// Whose.
    pub peer: NodeId,
    /// What its last heartbeat on this path had as [`Beat::sent`].
    pub sent: u32,
    /// How long ago it arrived, in microseconds.
    pub held: u32,
}

impl Item for Return {
    const LENGTH: usize = 16;

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        Ok(Self {
            peer: NodeId(u64_at(bytes, 0)),
            sent: u32_at(bytes, 8),
            held: u32_at(bytes, 12),
        })
    }

    fn write(&self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.peer.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.sent.to_be_bytes());
        bytes[12..].copy_from_slice(&self.held.to_be_bytes());
    }
}

/// A heartbeat; its reports lie where they were read.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat<'a> {
    /// Of the path.
    pub beat: Beat,
    /// To prove that the sender is no recording.
    pub greeting: Greeting,
    /// Of the path.
    pub returns: List<Return, MAX_PEERS>,
    reports: &'a [u8],
    count: usize,
}

impl<'a> Heartbeat<'a> {
    /// The heartbeat in `payload`. Its reports are looked at when they are [asked for](Self::reports).
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = payload.split_first_chunk::<HEADER>().ok_or(Malformed)?;
        if header[0] != VERSION {
            return Err(Malformed);
        }
        let (greeting, rest) = Greeting::parse(rest).map_err(|_| Malformed)?;
        let (returns, rest) = List::parse(rest)?;
        let (&count, reports) = rest.split_first().ok_or(Malformed)?;
        Ok(Self {
            beat: Beat {
                interval: u16_at(header, 2),
                sequence: u32_at(header, 4),
                sent: u32_at(header, 8),
            },
            greeting,
            returns,
            reports,
            count: usize::from(count),
        })
    }

    /// The reports, of which the first is the sender's own; the first that is malformed is the last.
    pub fn reports(&self) -> impl Iterator<Item = Result<Report, Malformed>> + use<'a> {
        let mut rest = Some(self.reports);
        (0..self.count.min(MAX_REPORTS)).map_while(move |_| {
            let bytes = rest.take()?;
            Some(Report::parse(bytes).map(|(report, after)| {
                rest = Some(after);
                report
            }))
        })
    }
}

/// Writes a heartbeat to the start of `buffer`, and returns its length; `None` where not even the first report has room.
///
/// The first report has precedence over the echoes and the returns, and those have over the other reports: what has no
/// room is left out.
#[must_use]
pub fn emit<'r>(
    beat: Beat,
    greeting: &Greeting,
    returns: &[Return],
    reports: impl IntoIterator<Item = &'r Report>,
    buffer: &mut [u8],
) -> Option<usize> {
    let mut reports = reports.into_iter().take(MAX_REPORTS).peekable();
    let length = buffer.len();
    let room = length.checked_sub(HEADER + 2 + reports.peek()?.length())?;
    let bare = Greeting::new(greeting.challenge);
    let greeting = if greeting.length() <= room {
        greeting
    } else {
        &bare
    };
    let room = room.checked_sub(greeting.length())?;
    let returns: List<Return, MAX_PEERS> = returns.iter().take(room / Return::LENGTH).copied().collect();

    let (header, rest) = buffer.split_first_chunk_mut::<HEADER>()?;
    *header = [0; HEADER];
    header[0] = VERSION;
    header[2..4].copy_from_slice(&beat.interval.to_be_bytes());
    header[4..8].copy_from_slice(&beat.sequence.to_be_bytes());
    header[8..].copy_from_slice(&beat.sent.to_be_bytes());
    let rest = returns.emit(greeting.emit(rest)?)?;
    let (count, mut rest) = rest.split_first_mut()?;
    *count = 0;
    for report in reports {
        if report.length() > rest.len() {
            break;
        }
        rest = report.emit(rest)?;
        *count += 1;
    }
    Some(length - rest.len())
}

//! One heartbeat path, as this director sees it.

use std::{collections::BTreeMap, time::Duration};

use lb_common::wire::{
    heartbeat::{Beat, Heartbeat, Return},
    seal::NodeId,
};

use crate::core::model;

/// Of a director's heartbeats on a path so many may be missed, in halves of them: three and a half intervals.
const HOLD_HALVES: u32 = 7;
/// Most directors that are remembered on a path.
const MOST_HEARD: usize = lb_common::wire::heartbeat::MAX_PEERS;

/// After this silence a director that sends at this interval is no longer heard.
pub(in crate::core::ha) fn hold(interval: Duration) -> Duration {
    interval * HOLD_HALVES / 2
}

/// A path.
#[derive(Debug, Clone)]
pub struct Path {
    pub(super) settings: model::Heartbeat,
    /// Since when it can carry heartbeats; `None` while it cannot.
    pub(super) up_since: Option<Duration>,
    pub(super) send_at: Duration,
    pub(super) sent_at: Option<Duration>,
    sequence: u32,
    heard: BTreeMap<NodeId, Heard>,
}

/// What is known of a director on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When its last heartbeat came.
    pub at: Duration,
    /// Until when it counts as heard.
    pub until: Duration,
    /// Heartbeats received.
    pub received: u64,
    /// Heartbeats that were sent before the last one that came, and did not come.
    pub lost: u64,
    /// How long a heartbeat takes to it and back, by the last answer.
    pub round_trip: Option<Duration>,
    /// Whether somebody was told that it is silent here.
    pub(super) told_silent: bool,
    sequence: u32,
    sent: u32,
}

impl Heard {
    /// When its silence here is worth a word: the last heartbeats of one who dies do not come at the same time everywhere.
    pub(super) fn missed_at(&self) -> Duration {
        self.until + self.until.saturating_sub(self.at)
    }
}

impl Path {
    pub(super) fn new(settings: model::Heartbeat, now: Duration) -> Self {
        Self {
            settings,
            up_since: None,
            send_at: now,
            sent_at: None,
            sequence: 0,
            heard: BTreeMap::new(),
        }
    }

    /// What the configuration says of it.
    #[must_use]
    pub fn settings(&self) -> &model::Heartbeat {
        &self.settings
    }

    /// Whether it can carry heartbeats.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up_since.is_some()
    }

    /// What is known of a director here.
    #[must_use]
    pub fn heard(&self, peer: NodeId) -> Option<&Heard> {
        self.heard.get(&peer)
    }

    pub(super) fn heard_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Heard)> {
        self.heard.iter_mut().map(|(peer, heard)| (*peer, heard))
    }

    /// Whether a director is heard here.
    #[must_use]
    pub fn hears(&self, peer: NodeId, now: Duration) -> bool {
        self.heard.get(&peer).is_some_and(|heard| now < heard.until)
    }

    pub(super) fn forget(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.heard.retain(|peer, _| keep(*peer));
    }

    /// Takes note of a heartbeat; `own` is who this director is.
    pub(super) fn receive(&mut self, peer: NodeId, heartbeat: &Heartbeat<'_>, own: NodeId, now: Duration) {
        if self.heard.len() >= MOST_HEARD && !self.heard.contains_key(&peer) {
            return;
        }
        let beat = heartbeat.beat;
        let until = now + hold(Duration::from_millis(beat.interval.into()));
        let answer = heartbeat.returns.as_slice().iter().find(|back| back.peer == own);
        let round_trip = answer.and_then(|back| {
            let away = micros(now).wrapping_sub(back.sent).checked_sub(back.held)?;
            Some(Duration::from_micros(away.into()))
        });
        let heard = self.heard.entry(peer).or_insert(Heard {
            at: now,
            until,
            received: 0,
            lost: 0,
            round_trip: None,
            told_silent: false,
            sequence: beat.sequence.wrapping_sub(1),
            sent: 0,
        });
        let ahead = beat.sequence.wrapping_sub(heard.sequence);
        heard.received += 1;
        // One that was overtaken is not lost after all; one that begins anew begins anew.
        if ahead == 0 || ahead > u32::MAX / 2 {
            let late = heard.sequence.wrapping_sub(beat.sequence) < 1024;
            heard.lost = heard.lost.saturating_sub(u64::from(late));
            if late {
                return;
            }
        } else {
            heard.lost += u64::from(ahead - 1).min(1024);
        }
        (heard.at, heard.until) = (now, until);
        (heard.sequence, heard.sent) = (beat.sequence, beat.sent);
        heard.round_trip = round_trip.or(heard.round_trip);
    }

    /// What the next heartbeat says of the path itself.
    pub(super) fn beat(&mut self, now: Duration) -> Beat {
        self.sequence = self.sequence.wrapping_add(1);
        self.sent_at = Some(now);
        self.send_at = now + self.settings.interval;
        Beat {
            interval: u16::try_from(self.settings.interval.as_millis()).unwrap_or(u16::MAX),
            sequence: self.sequence,
            sent: micros(now),
        }
    }

    /// The others' clocks, sent back to them.
    pub(super) fn returns(&self, now: Duration) -> Vec<Return> {
        let heard = self.heard.iter().filter(|(_, heard)| now < heard.until);
        let returns = heard.map(|(peer, heard)| Return {
            peer: *peer,
            sent: heard.sent,
            held: micros(now.saturating_sub(heard.at)),
        });
        returns.collect()
    }
}

fn micros(time: Duration) -> u32 {
    time.as_micros() as u32
}

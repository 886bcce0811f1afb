//! What is known of another director.

use std::time::Duration;

use lb_common::wire::{
    heartbeat::{Group, Report, Role},
    seal::NodeId,
};

/// Another director of the cluster.
#[derive(Debug, Clone)]
pub struct Peer {
    pub(super) report: Report,
    /// Whether what it says was said now, by itself or by one who knows: it is good for orders.
    pub(super) proven: bool,
    pub(super) alive_until: Duration,
    /// Since when it is heard without a break.
    pub(super) alive_since: Duration,
    /// Whether somebody was told that it is there.
    pub(super) told_alive: bool,
    /// Whether somebody was told that its configuration differs.
    pub(super) told_differs: bool,
}

impl Peer {
    pub(super) fn new(report: Report, proven: bool, alive_until: Duration, now: Duration) -> Self {
        Self {
            report,
            proven,
            alive_until,
            alive_since: now,
            told_alive: false,
            told_differs: false,
        }
    }

    /// Takes note of what it says, or somebody says of it. Only its own word, and news of it, prolong its life: the word
    /// of others about what is known would keep the dead alive.
    pub(super) fn learn(
        &mut self,
        report: &Report,
        proven: bool,
        is_own: bool,
        until: Duration,
        now: Duration,
    ) {
        let (known, new) = (
            (self.report.epoch, self.report.number),
            (report.epoch, report.number),
        );
        // Nothing that might be a recording takes the place of what is sure.
        if self.proven && !proven && self.is_alive(now) {
            return;
        }
        let upgraded = proven && !self.proven;
        if new < known && !upgraded || new == known && !is_own && !upgraded {
            return;
        }
        if !self.is_alive(now) {
            self.alive_since = now;
        }
        let is_later = new > known || upgraded;
        self.alive_until = if is_later {
            until
        } else {
            self.alive_until.max(until)
        };
        self.report = *report;
        self.proven = proven;
    }

    /// What it said last.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether it is heard, be it by way of others.
    #[must_use]
    pub fn is_alive(&self, now: Duration) -> bool {
        now < self.alive_until
    }

    /// Since when it is heard without a break.
    #[must_use]
    pub fn alive_since(&self) -> Duration {
        self.alive_since
    }

    /// Whether its word is good for orders.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Its part in a group.
    #[must_use]
    pub fn group(&self, group: u64) -> Option<&Group> {
        let groups = self.report.groups.as_slice();
        groups.iter().find(|part| part.group == group)
    }

    pub(in crate::core::ha) fn is_active(&self, group: u64) -> bool {
        self.group(group).is_some_and(|part| part.role == Role::Active)
    }

    pub(in crate::core::ha) fn node(&self) -> NodeId {
        self.report.node
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        self.report.name.as_str()
    }
}

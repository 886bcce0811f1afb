//! How health checks get to VIPs.

use std::collections::BTreeSet;

use tracing::info;

use super::director::Director;
use crate::{
    core::event,
    datapath::CheckPath,
    probe::{Marks, Watches},
};

/// The way of checks to VIPs, and what came of it.
#[derive(Default)]
pub(super) struct CheckWay {
    path: CheckPath,
    pub(super) marks: Marks,
    /// Why there is none, as it was told.
    astray: Option<String>,
}

impl CheckWay {
    /// Leads the checks of these watches to their VIPs; whether their marks are others now.
    pub(super) fn lead(&mut self, watches: &Watches, director: &Director) -> bool {
        let vips = watches.values().filter_map(|watch| watch.target.vip).collect();
        let configured = director.config.director.interfaces.iter().map(String::as_str);
        let interfaces: BTreeSet<String> = configured
            .chain(director.links.interfaces())
            .map(str::to_owned)
            .collect();
        let (marks, astray) = match self.path.serve(&vips, &interfaces) {
            Ok(marks) => (marks.clone(), None),
            Err(error) => (Marks::new(), Some(error.to_string())),
        };
        if astray != self.astray {
            match &astray {
                Some(reason) => director.events.tell(event::Director::ChecksAstray {
                    reason: reason.clone(),
                }),
                None => info!("health checks go to VIPs again"),
            }
        }
        self.astray = astray;
        let changed = marks != self.marks;
        self.marks = marks;
        changed
    }
}

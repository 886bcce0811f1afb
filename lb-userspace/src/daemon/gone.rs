//! Connections of backends that left the configuration.

use std::{collections::BTreeMap, sync::Arc};

use tokio::task::spawn_blocking;
use tracing::info;

use super::director::Director;
use crate::{
    core::model::OnGone,
    datapath::{Ending, end},
};

impl Director {
    /// Ends those that their services do not want to go on. Packets under way may enter more, which the next census finds.
    pub(super) fn end_gone(&self) {
        let gone = self.planner.gone().filter_map(|(backend, policy)| {
            let ending = match policy {
                OnGone::Keep => return None,
                OnGone::Reset => Ending::Reset,
                OnGone::Reschedule => Ending::Forget,
            };
            Some((backend, ending))
        });
        let gone: BTreeMap<u32, Ending> = gone.collect();
        if gone.is_empty() {
            return;
        }
        if let Some(sync) = &self.sync {
            gone.keys().for_each(|number| sync.release(*number));
        }
        let flows_v4 = Arc::clone(&self.kernel.tables.flows_v4);
        let flows_v6 = Arc::clone(&self.kernel.tables.flows_v6);
        let translations_v4 = Arc::clone(&self.kernel.tables.translations_v4);
        let translations_v6 = Arc::clone(&self.kernel.tables.translations_v6);
        let loads = Arc::clone(&self.kernel.tables.loads);
        let resets = gone.iter().filter(|(_, ending)| **ending == Ending::Reset);
        let questions = self.questions(resets.map(|(backend, _)| *backend).collect());
        spawn_blocking(move || {
            let flows = end(&flows_v4, &translations_v4, &loads, &gone)
                + end(&flows_v6, &translations_v6, &loads, &gone);
            if flows > 0 {
                info!(
                    flows,
                    "ended connections of backends that are no longer configured"
                );
                questions();
            }
        });
    }
}

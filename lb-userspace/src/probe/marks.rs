//! What makes the packets of a probe go the way of clients.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::thread::Wanted;
use crate::core::health::Route;

/// Marks of sockets by the way that they are to go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Those of ways that are known. Who is to go another waits until it is.
    pub of: BTreeMap<Route, u32>,
    /// Nothing leads anywhere: probes go to the backends' own addresses.
    pub astray: bool,
}

impl Marks {
    /// The mark for this way, if it takes one; `None` if it is not known yet.
    fn find(&self, route: &Route) -> Option<Option<u32>> {
        match self.of.get(route) {
            Some(mark) => Some(Some(*mark)),
            None => self.astray.then_some(None),
        }
    }
}

/// The mark for this way, if it takes one, as soon as that is known.
pub(super) async fn await_mark(
    wanted: &mut watch::Receiver<Arc<Wanted>>,
    route: Option<Route>,
) -> Option<u32> {
    let route = route?;
    let known = |wanted: &Arc<Wanted>| wanted.marks.find(&route).is_some();
    // Who wants probes may be gone: then nobody hears of this one either.
    let wanted = wanted.wait_for(known).await.ok()?;
    wanted.marks.find(&route).flatten()
}

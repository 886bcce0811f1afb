//! Where a flow goes, as far as other directors are to know.

use std::ops::Deref;

use lb_common::{
    flow_table::{Bucket, Control, Entry, Target, translation_at},
    wire::sync::Rewrite,
};

use super::half::{Half, SyncKey};

/// The backend, and what becomes of packets on their way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// Number of the backend.
    pub(super) number: u32,
    pub(super) rewrite: Rewrite,
    /// Port of the pool's address, in network order; 0 where there is none.
    pub(super) pool_port: u16,
}

impl<E, M, N> Half<E, M, N>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
    N: Deref<Target = [Bucket<<E::Key as SyncKey>::Translation>]>,
{
    /// Where the flow of this name and control word goes; `None` if its translation is gone.
    pub(super) fn route(&self, key: &E::Key, control: Control) -> Option<Route> {
        match control.target() {
            Target::Backend(number) => Some(Route {
                number,
                rewrite: Rewrite::Nothing,
                pool_port: 0,
            }),
            Target::Translation(place) => {
                let hit = translation_at(&*self.translations, place, key)?;
                let reply = hit.entry.key().reply;
                if !hit.entry.state().same_life(hit.control) {
                    return None;
                }
                let (rewrite, pool_port) = key.rewrite(&reply);
                Some(Route {
                    number: hit.control.backend()?,
                    rewrite,
                    pool_port,
                })
            }
        }
    }
}

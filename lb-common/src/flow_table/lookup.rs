//! Finding a flow.

use super::{Bucket, Control, Entry, Table, WAYS, first_place, second_place};

/// A live entry and what its control word said when the key was compared.
#[derive(Debug)]
pub struct Hit<'a, E> {
    /// Where the flow lives.
    pub entry: &'a E,
    /// Its backend, state and version.
    pub control: Control,
    /// Where that is: bucket × [`WAYS`] + way.
    pub place: u32,
}

/// Finds the flow `key`, whose hash is `hash`.
#[inline(always)]
pub fn lookup<'a, T: Table + ?Sized>(
    table: &'a T,
    key: &<T::Entry as Entry>::Key,
    hash: u64,
) -> Option<Hit<'a, T::Entry>> {
    let first = first_place(hash, table.mask());
    match find(table.bucket(first)?, first, key) {
        Some(hit) => Some(hit),
        // Where that is, is asked now: nearly all flows are in their first bucket.
        None => {
            let second = second_place(hash, table.mask(), first);
            find(table.bucket(second)?, second, key)
        }
    }
}

#[inline(always)]
fn find<'a, E: Entry>(bucket: &'a Bucket<E>, number: u32, key: &E::Key) -> Option<Hit<'a, E>> {
    for (way, entry) in bucket.entries.iter().enumerate() {
        let before = entry.state();
        if !entry.holds(key) {
            continue;
        }
        let control = entry.state();
        if control.is_live() && control.same_life(before) {
            return Some(Hit {
                entry,
                control,
                place: number * WAYS as u32 + way as u32,
            });
        }
    }
    None
}

//! Which backends QUIC's connection IDs name, as the packet path looks it up.

use std::collections::BTreeMap;

use lb_common::abi::{IDS_PER_LINE, ServerId, ServerIdLine};

/// An ID, both of whose lines are full of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no room for the server ID {:#x}: too many others fall on its places; choose another for its backend", .0.id)]
pub struct NoRoom(pub ServerId);

/// Makes the table one of these IDs and no others. A packet that comes meanwhile finds nearly all that stay; one that does
/// not is scheduled.
///
/// # Errors
/// The first ID that there is no room for; nothing has changed then.
pub(super) fn set_server_ids(table: &[ServerIdLine], ids: &BTreeMap<ServerId, u32>) -> Result<(), NoRoom> {
    let mut lines: Vec<Vec<(ServerId, u32)>> = vec![Vec::new(); table.len()];
    for (&id, &backend) in ids {
        let (first, second) = id.lines();
        let (first, second) = (first as usize, second as usize);
        let line = if lines[first].len() <= lines[second].len() {
            first
        } else {
            second
        };
        if lines[line].len() == IDS_PER_LINE {
            return Err(NoRoom(id));
        }
        lines[line].push((id, backend));
    }
    for (line, ids) in table.iter().zip(&lines) {
        line.set(ids);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lb_common::abi::SERVER_ID_LINES;

    use super::*;

    /// As many as there can be backends, numbered as operators number them.
    #[test]
    fn all_backends_find_room_and_are_found() {
        let table: Vec<ServerIdLine> = (0..SERVER_ID_LINES).map(|_| ServerIdLine::default()).collect();
        let find = |id: ServerId| {
            let (first, second) = id.lines();
            let line = |number: u32| table[number as usize].find(id);
            line(first).or_else(|| line(second))
        };
        for (services, each) in [(1, 16_384), (512, 32), (16_384, 1)] {
            let id = |service, id| ServerId { service, id };
            let all = (0..services).flat_map(|service| (0..each).map(move |n| id(service, n)));
            let ids: BTreeMap<_, _> = all.zip(0..).collect();
            assert_eq!(set_server_ids(&table, &ids), Ok(()), "{services} services");
            assert!(ids.iter().all(|(&id, &backend)| find(id) == Some(backend)));
            assert_eq!(find(id(0, each)), None);
        }
        assert_eq!(set_server_ids(&table, &BTreeMap::new()), Ok(()));
        assert_eq!(find(ServerId { service: 0, id: 0 }), None);
    }
}

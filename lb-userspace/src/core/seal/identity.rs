//! Names on the wire, and the order of a director's lives.

use lb_common::wire::seal::{ClusterId, NodeId};
use ring::digest::{SHA256, digest};

/// Epochs beyond this are taken for a damaged file: there are as many left above for all restarts to come.
const LAST_SANE_EPOCH: u64 = 1 << 62;

/// What stands for a director on the wire.
#[must_use]
pub fn node_id(cluster: &str, director: &str) -> NodeId {
    NodeId(u64::from_be_bytes(name_prefix(&[cluster, director].join("\0"))))
}

/// What stands for a cluster on the wire.
#[must_use]
pub fn cluster_id(cluster: &str) -> ClusterId {
    ClusterId(u32::from_be_bytes(name_prefix(cluster)))
}

/// The first bytes of a name's SHA-256.
#[must_use]
pub fn name_prefix<const N: usize>(name: &str) -> [u8; N] {
    let digest = digest(&SHA256, name.as_bytes());
    let mut prefix = [0; N];
    prefix.copy_from_slice(&digest.as_ref()[..N]);
    prefix
}

/// The epoch of a life that begins now.
///
/// It is above `stored`, that of the life before, and at least the wall clock's milliseconds since 1970. So it rises as
/// long as either the disk keeps the file or the clock does not go back; where both fail, the others see an old
/// epoch, and believe the director once it has answered a challenge.
#[must_use]
pub fn next_epoch(stored: Option<u64>, wall_clock_ms: u64) -> u64 {
    let after = stored
        .filter(|epoch| *epoch < LAST_SANE_EPOCH)
        .map_or(1, |epoch| epoch + 1);
    after.max(wall_clock_ms.min(LAST_SANE_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_ne!(node_id("a", "b"), node_id("a", "c"));
        assert_ne!(node_id("a", "b"), node_id("c", "b"));
        assert_ne!(node_id("ab", "c"), node_id("a", "bc"), "where one ends matters");
        assert_ne!(cluster_id("a"), cluster_id("b"));
    }

    /// Computed with `printf 'edge\0lb1' | sha256sum` and `printf edge | sha256sum`.
    #[test]
    fn names_on_the_wire_are_what_others_compute() {
        assert_eq!(node_id("edge", "lb1"), NodeId(0x2f9a_2d74_fe62_54fd));
        assert_eq!(cluster_id("edge"), ClusterId(0xa1cb_100f));
    }

    #[test]
    fn an_epoch_rises_with_the_file_or_with_the_clock() {
        assert_eq!(next_epoch(None, 1_000), 1_000);
        assert_eq!(next_epoch(Some(1_000), 500), 1_001, "the clock went back");
        assert_eq!(next_epoch(Some(1_000), 5_000), 5_000);
        assert_eq!(next_epoch(None, 0), 1, "no file and no clock");
        assert_eq!(next_epoch(Some(u64::MAX), 7), 7, "a damaged file");
        assert!(next_epoch(Some(LAST_SANE_EPOCH - 1), u64::MAX) < u64::MAX / 2);
    }
}

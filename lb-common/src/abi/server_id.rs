//! Which backend a QUIC connection ID names (draft-ietf-quic-load-balancers, the plaintext encoding).

use crate::flow_table::Word;

/// Server IDs in a line.
pub const IDS_PER_LINE: usize = 8;

/// Lines of the table, a power of two: twice as many places as there are backends in a large configuration.
pub const SERVER_ID_LINES: u32 = 4096;

/// Longest server ID, in bytes.
pub const LONGEST_SERVER_ID: u8 = 3;

/// A server ID of a service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId {
    /// Number of the service, below 2^14.
    pub service: u32,
    /// The ID, below 2^24.
    pub id: u32,
}

/// One line of the table: taken (bit 63), service (40..54), ID (16..40) and number of the backend (0..16) in each word.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ServerIdLine {
    words: [Word; IDS_PER_LINE],
}

const _: () = assert!(size_of::<ServerIdLine>() == 64);

const TAKEN: u64 = 1 << 63;

impl ServerId {
    #[inline(always)]
    const fn word(self) -> u64 {
        TAKEN | ((self.service & 0x3FFF) as u64) << 40 | ((self.id & 0xFF_FFFF) as u64) << 16
    }

    /// The two lines in which it may stand.
    #[inline(always)]
    #[must_use]
    pub const fn lines(self) -> (u32, u32) {
        // Operators number servers one after the other: the multiplication (by the golden ratio) spreads them.
        let hash = self.word().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mask = SERVER_ID_LINES - 1;
        ((hash >> 48) as u32 & mask, (hash >> 32) as u32 & mask)
    }
}

impl ServerIdLine {
    /// Number of the backend that has the ID, if it stands in this line.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, id: ServerId) -> Option<u32> {
        let sought = id.word();
        for word in &self.words {
            let word = word.load();
            if word & !0xFFFF == sought {
                return Some(word as u32 & 0xFFFF);
            }
        }
        None
    }

    /// Makes these what stands in it, of which as many count as there is room for; by the daemon alone.
    #[cfg(not(target_arch = "bpf"))]
    pub fn set(&self, ids: &[(ServerId, u32)]) {
        let mut ids = ids
            .iter()
            .map(|&(id, backend)| id.word() | u64::from(backend & 0xFFFF));
        for word in &self.words {
            word.publish(ids.next().unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_found() {
        let line = ServerIdLine::default();
        let id = |service, id| ServerId { service, id };
        assert_eq!(line.find(id(0, 0)), None);
        line.set(&[(id(0, 0), 0), (id(16_383, 0xFF_FFFF), 65_535), (id(1, 2), 3)]);
        assert_eq!(line.find(id(0, 0)), Some(0));
        assert_eq!(line.find(id(16_383, 0xFF_FFFF)), Some(65_535));
        assert_eq!(line.find(id(1, 2)), Some(3));
        assert_eq!(line.find(id(2, 1)), None);
        line.set(&[(id(1, 2), 4)]);
        assert_eq!((line.find(id(1, 2)), line.find(id(0, 0))), (Some(4), None));
    }
}

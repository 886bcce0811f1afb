//! The envelope of all that directors of a cluster say to each other, but for VRRP.
//!
//! ```text
//!  0               1               2               3
//! +---------------+---------------+---------------+---------------+
//! |      'T'      |      'd'      |  version = 1  |    channel    |
//! +---------------+---------------+---------------+---------------+
//! |                            cluster                            |
//! +---------------------------------------------------------------+
//! |                            sender (8)                         |
//! +---------------------------------------------------------------+
//! |                            epoch (8)                          |
//! +---------------------------------------------------------------+
//! |                            salt (8)                           |
//! +---------------+-----------------------------------------------+
//! |    key id     |            counter (7)                        |
//! +---------------+-----------------------------------------------+
//! |                            payload                            |
//! +---------------------------------------------------------------+
//! |                            tag (16), unless the key id is 0   |
//! +---------------------------------------------------------------+
//! ```
//!
//! All numbers are in network order. With a key id other than 0 the payload is encrypted, and tag and header are
//! authenticated with it, by AES-256-GCM: the nonce is the counter (12 bytes, in network order), the additional data is
//! the header. docs/sync-protocol.md says how the key of a session is derived.

mod greeting;
mod refusal;
#[cfg(test)]
mod tests;

use core::{
    fmt::{self, Display, Formatter},
    num::NonZeroU8,
};

pub use greeting::{Echo, Greeting, MAX_ECHOES, Malformed};
pub use refusal::Refusal;

/// Length of the header, in bytes.
pub const HEADER: usize = 40;
/// Length of the tag behind a sealed payload, in bytes.
pub const TAG: usize = 16;
/// What a sealed datagram is longer than its payload, in bytes.
pub const OVERHEAD: usize = HEADER + TAG;
/// The largest counter.
pub const MAX_COUNTER: u64 = (1 << 56) - 1;

const MAGIC: [u8; 2] = *b"Td";
const VERSION: u8 = 1;

/// What a datagram is about. Each channel has its own keys, sessions and counters: what was said on one cannot be
/// repeated on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Who lives, and who is Active.
    Heartbeat = 1,
    /// Connections and orders.
    Sync = 2,
}

impl Channel {
    /// Every channel, in the order of its number.
    pub const ALL: [Self; 2] = [Self::Heartbeat, Self::Sync];

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Heartbeat),
            2 => Some(Self::Sync),
            _ => None,
        }
    }
}

/// A director, as the wire names it: derived from its name and its cluster's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u64);

impl Display for NodeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A cluster, as the wire names it: derived from its name. It keeps clusters on one network apart; the keys keep out
/// who does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u32);

/// One life of a director on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session {
    /// Rises with each start of the daemon, as far as it can know.
    pub epoch: u64,
    /// Random: keys never repeat, even if an epoch does.
    pub salt: u64,
}

/// Which of the cluster's keys seals a datagram; never 0, which stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub NonZeroU8);

impl Display for KeyId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// What it is about.
    pub channel: Channel,
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// Who sent it.
    pub sender: NodeId,
    /// In which of its lives.
    pub session: Session,
    /// With what key it is sealed; `None` where it is not.
    pub key: Option<KeyId>,
    /// Rises with each datagram of the session; never 0, at most [`MAX_COUNTER`].
    pub counter: u64,
}

impl Header {
    /// The header of a datagram, which also is the additional data of its seal. Nothing is authenticated yet.
    ///
    /// # Errors
    /// What does not look like an envelope of this version.
    pub fn parse(datagram: &[u8]) -> Result<Self, Refusal> {
        let header: &[u8; HEADER] = datagram.first_chunk().ok_or(Refusal::Truncated)?;
        if header[..2] != MAGIC {
            return Err(Refusal::NotTandem);
        }
        if header[2] != VERSION {
            return Err(Refusal::UnknownVersion);
        }
        let channel = Channel::from_number(header[3]).ok_or(Refusal::OtherChannel)?;
        let [_, words @ ..] = header.as_chunks::<8>().0 else {
            return Err(Refusal::Truncated);
        };
        let word = |index: usize| u64::from_be_bytes(words[index]);
        let key = NonZeroU8::new((word(3) >> 56) as u8).map(KeyId);
        let counter = word(3) & MAX_COUNTER;
        if key.is_some() && datagram.len() < OVERHEAD {
            return Err(Refusal::Truncated);
        }
        if counter == 0 {
            return Err(Refusal::CounterZero);
        }
        let [_, _, _, _, c0, c1, c2, c3, ..] = *header;
        Ok(Self {
            channel,
            cluster: ClusterId(u32::from_be_bytes([c0, c1, c2, c3])),
            sender: NodeId(word(0)),
            session: Session {
                epoch: word(1),
                salt: word(2),
            },
            key,
            counter,
        })
    }

    /// The header as it lies in a datagram.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&MAGIC);
        header[2] = VERSION;
        header[3] = self.channel as u8;
        header[4..8].copy_from_slice(&self.cluster.0.to_be_bytes());
        let key = self.key.map_or(0, |key| u64::from(key.0.get()));
        let words = [
            self.sender.0,
            self.session.epoch,
            self.session.salt,
            key << 56 | self.counter & MAX_COUNTER,
        ];
        for (to, word) in header[8..].as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_be_bytes();
        }
        header
    }
}

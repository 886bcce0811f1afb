//! How directors show each other that they are no recording.

use super::NodeId;

/// Most echoes of one greeting: two for each of fifteen other directors.
pub const MAX_ECHOES: usize = 30;

/// A challenge of another director's, sent back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// Whose challenge it is.
    pub peer: NodeId,
    /// The challenge.
    pub challenge: u64,
}

/// A director's own challenge, and the echoes of the others' challenges. It is part of what heartbeats and the sync
/// protocol's messages carry; sealed, so that only a director of the cluster can answer a challenge.
///
/// ```text
/// challenge (8) | number of echoes (1) | echoes: peer (8), challenge (8)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// To be echoed by others.
    pub challenge: u64,
    echoes: [Echo; MAX_ECHOES],
    count: usize,
}

/// The greeting's bytes are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

const HEAD: usize = 9;
const ECHO: usize = 16;

impl Greeting {
    /// A greeting without echoes.
    #[must_use]
    pub const fn new(challenge: u64) -> Self {
        Self {
            challenge,
            echoes: [Echo {
                peer: NodeId(0),
                challenge: 0,
            }; MAX_ECHOES],
            count: 0,
        }
    }

    /// Adds an echo; `false`, and nothing changed, if there is no room for it.
    pub fn push(&mut self, peer: NodeId, challenge: u64) -> bool {
        let room = self.echoes.get_mut(self.count);
        let pushed = room.is_some();
        if let Some(room) = room {
            *room = Echo { peer, challenge };
            self.count += 1;
        }
        pushed
    }

    /// The echoes.
    #[must_use]
    pub fn echoes(&self) -> &[Echo] {
        &self.echoes[..self.count]
    }

    /// Whether `challenge` of `peer` is among the echoes.
    #[must_use]
    pub fn answers(&self, peer: NodeId, challenge: u64) -> bool {
        self.echoes().contains(&Echo { peer, challenge })
    }

    /// The greeting at the start of `bytes`, and what follows it.
    ///
    /// # Errors
    /// [`Malformed`]: there are fewer bytes than it says, or more echoes than [`MAX_ECHOES`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or(Malformed)?;
        let [challenge @ .., count] = *head;
        let count = usize::from(count);
        if count > MAX_ECHOES {
            return Err(Malformed);
        }
        let (echoes, rest) = rest.split_at_checked(count * ECHO).ok_or(Malformed)?;
        let mut greeting = Self::new(u64::from_be_bytes(challenge));
        for [peer, challenge] in echoes.as_chunks::<8>().0.as_chunks::<2>().0 {
            greeting.push(NodeId(u64::from_be_bytes(*peer)), u64::from_be_bytes(*challenge));
        }
        Ok((greeting, rest))
    }

    /// Length on the wire, in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        HEAD + self.count * ECHO
    }

    /// Writes the greeting to the start of `buffer`, and returns what follows it; `None` where it does not fit.
    pub fn emit<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let (own, rest) = buffer.split_at_mut_checked(self.length())?;
        own[..8].copy_from_slice(&self.challenge.to_be_bytes());
        own[8] = self.count as u8;
        let places = own[HEAD..].as_chunks_mut::<8>().0.as_chunks_mut::<2>().0;
        for ([peer, challenge], echo) in places.iter_mut().zip(self.echoes()) {
            *peer = echo.peer.0.to_be_bytes();
            *challenge = echo.challenge.to_be_bytes();
        }
        Some(rest)
    }
}

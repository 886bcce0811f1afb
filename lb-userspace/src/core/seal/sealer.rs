//! From payloads to datagrams.

use std::sync::Arc;

use lb_common::wire::seal::{Channel, HEADER, Header, KeyId, MAX_COUNTER, Session};
use ring::aead::{Aad, LessSafeKey, Nonce};

use super::Keyring;

/// Seals what one director says on one channel in one of its lives.
#[derive(Debug)]
pub struct Sealer {
    keyring: Arc<Keyring>,
    channel: Channel,
    session: Session,
    counter: u64,
    key: Option<(KeyId, LessSafeKey)>,
}

impl Sealer {
    /// `session` must be new: its salt is random, its epoch [`next_epoch`](super::next_epoch).
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, channel: Channel, session: Session) -> Self {
        let mut sealer = Self {
            keyring: Arc::clone(&keyring),
            channel,
            session,
            counter: 0,
            key: None,
        };
        sealer.set_keyring(keyring);
        sealer
    }

    /// Seals with the first key of this keyring from now on; counters go on.
    pub fn set_keyring(&mut self, keyring: Arc<Keyring>) {
        let sealing = keyring.sealing().map(|key| {
            let derived = key.of_session(keyring.cluster(), self.channel, keyring.own(), self.session);
            (key.id(), derived)
        });
        self.key = sealing;
        self.keyring = keyring;
    }

    /// This life, as the wire names it.
    #[must_use]
    pub fn session(&self) -> Session {
        self.session
    }

    /// Makes a datagram of `datagram`, whose first [`HEADER`] bytes are room for the header, and whose rest is the
    /// payload.
    ///
    /// # Panics
    /// If `datagram` has no room for the header, or after 2^56 datagrams.
    pub fn seal(&mut self, datagram: &mut Vec<u8>) {
        assert!(self.counter < MAX_COUNTER, "a nonce would be used twice");
        self.counter += 1;
        let header = Header {
            channel: self.channel,
            cluster: self.keyring.cluster_id(),
            sender: self.keyring.own(),
            session: self.session,
            key: self.key.as_ref().map(|(id, _)| *id),
            counter: self.counter,
        };
        let header = header.emit();
        let (room, payload) = datagram.split_at_mut(HEADER);
        room.copy_from_slice(&header);
        if let Some((_, key)) = &self.key {
            let tag = key
                .seal_in_place_separate_tag(nonce(self.counter), Aad::from(header), payload)
                .expect("a datagram is far below the 64 GiB that one nonce may seal");
            datagram.extend_from_slice(tag.as_ref());
        }
    }
}

/// The nonce of a datagram: its counter, which no other datagram of its session has.
pub(super) fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

//! From datagrams to payloads, and to who sent them.

use std::{sync::Arc, time::Duration};

use lb_common::wire::seal::{Channel, Greeting, HEADER, Header, KeyId, NodeId, Refusal, Session, TAG};
use ring::{
    aead::{Aad, LessSafeKey},
    hmac,
};

use super::{
    Keyring, Standing,
    peer::{Association, Peer},
    sealer::nonce,
    window::Verdict,
};

/// Most senders that are remembered, sealed and others apart. A cluster has at most eight directors.
pub const MAX_PEERS: usize = 15;

/// A sender that was silent for this long gives its place to another, if there is no free one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Opens what the others say on one channel.
#[derive(Debug)]
pub struct Opener {
    keyring: Arc<Keyring>,
    channel: Channel,
    own: Session,
    challenges: Challenges,
    peers: Vec<Peer>,
    counters: Counters,
}

/// Counts since the opener was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams that were opened.
    pub opened: u64,
    /// Of these, those of a session that had not proven yet that it is no recording.
    pub unproven: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// How many were refused for this reason.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }
}

/// Who sent a datagram, and how far it is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub sender: NodeId,
    /// In which of its lives.
    pub session: Session,
    /// Its place in that life.
    pub counter: u64,
    /// Whether it was sealed.
    pub sealed: bool,
    /// How far it is to be believed.
    pub standing: Standing,
}

/// A datagram that was opened.
#[derive(Debug)]
pub struct Opened<'a> {
    /// Who sent it.
    pub origin: Origin,
    /// What it says.
    pub payload: &'a mut [u8],
}

/// Challenges, each used for one proof: nobody outside can foresee one, and none is kept.
#[derive(Debug)]
struct Challenges {
    key: hmac::Key,
    index: u64,
}

impl Challenges {
    fn present(&self) -> u64 {
        let tag = hmac::sign(&self.key, &self.index.to_be_bytes());
        let mut challenge = [0; 8];
        challenge.copy_from_slice(&tag.as_ref()[..8]);
        u64::from_be_bytes(challenge)
    }
}

impl Opener {
    /// An opener for the director whose own session on this channel is `own`. `secret` is random; challenges are made of
    /// it.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, channel: Channel, own: Session, secret: &[u8; 32]) -> Self {
        Self {
            keyring,
            channel,
            own,
            challenges: Challenges {
                key: hmac::Key::new(hmac::HMAC_SHA256, secret),
                index: 0,
            },
            peers: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Opens with the keys of this keyring from now on; sessions and windows stay.
    pub fn set_keyring(&mut self, keyring: Arc<Keyring>) {
        for peer in &mut self.peers {
            for association in peer.proven.iter_mut().chain(&mut peer.claimed) {
                association.key = None;
            }
        }
        self.keyring = keyring;
    }

    /// Opens a datagram in place. `now` is monotonic, counted from any fixed point.
    ///
    /// # Errors
    /// Why it is not to be believed; it is counted.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8], now: Duration) -> Result<Opened<'a>, Refusal> {
        let opened = self.examine(datagram, now);
        match &opened {
            Ok(opened) => {
                self.counters.opened += 1;
                self.counters.unproven += u64::from(opened.origin.standing != Standing::Proven);
            }
            Err(refusal) => self.counters.refused[*refusal as usize] += 1,
        }
        opened
    }

    fn examine<'a>(&mut self, datagram: &'a mut [u8], now: Duration) -> Result<Opened<'a>, Refusal> {
        let header = Header::parse(datagram)?;
        if header.channel != self.channel {
            return Err(Refusal::OtherChannel);
        }
        if header.cluster != self.keyring.cluster_id() {
            return Err(Refusal::OtherCluster);
        }
        let is_own = header.sender == self.keyring.own();
        if is_own && header.session == self.own {
            return Err(Refusal::OwnEcho);
        }
        let sealed = header.key.is_some();
        if !sealed && !self.keyring.believes_plain() {
            return Err(Refusal::NotSealed);
        }
        // What was received already is refused before any work is spent on its seal.
        let place = self
            .peers
            .iter()
            .position(|peer| (peer.id, peer.sealed) == (header.sender, sealed));
        let known = place.and_then(|place| self.peers[place].association(header.session));
        match known.as_ref().map(|(known, _)| known.examine(header.counter)) {
            None | Some(Verdict::New) => {}
            Some(Verdict::Seen) => return Err(Refusal::Replayed),
            Some(Verdict::TooOld) => return Err(Refusal::TooOld),
        }
        let mut derived = None;
        let payload = match header.key {
            None => &mut datagram[HEADER..],
            Some(id) => {
                let kept = known.and_then(|(association, _)| association.key.as_ref());
                let key = match kept.filter(|(kept, _)| *kept == id) {
                    Some((_, key)) => key,
                    None => &derived.insert((id, derive(&self.keyring, id, &header)?)).1,
                };
                unseal(datagram, &header, key)?
            }
        };
        if is_own {
            return Err(Refusal::SameName);
        }
        let place = match place {
            Some(place) => place,
            None => self.make_room(header.sender, sealed, now)?,
        };
        let peer = &mut self.peers[place];
        peer.heard = now;
        let standing = match peer.association(header.session) {
            Some((association, standing)) => {
                association.accept(header.counter);
                association.key = derived.or(association.key.take());
                standing
            }
            None => peer.meet(Association::starting_with(
                header.session,
                header.counter,
                derived,
            )),
        };
        let origin = Origin {
            sender: header.sender,
            session: header.session,
            counter: header.counter,
            sealed,
            standing,
        };
        Ok(Opened { origin, payload })
    }

    /// A place for a sender that was not known.
    fn make_room(&mut self, sender: NodeId, sealed: bool, now: Duration) -> Result<usize, Refusal> {
        let alike = || self.peers.iter().filter(|peer| peer.sealed == sealed);
        if alike().count() >= MAX_PEERS {
            let silent =
                |peer: &Peer| peer.sealed == sealed && now.saturating_sub(peer.heard) > FORGOTTEN_AFTER;
            let place = self
                .peers
                .iter()
                .position(silent)
                .ok_or(Refusal::TooManySenders)?;
            self.peers.swap_remove(place);
        }
        self.peers.push(Peer::new(sender, sealed, now));
        Ok(self.peers.len() - 1)
    }

    /// What to greet the others with.
    #[must_use]
    pub fn greeting(&self) -> Greeting {
        let mut greeting = Greeting::new(self.challenges.present());
        for peer in &self.peers {
            for challenge in [peer.challenge, peer.doubtful_challenge].into_iter().flatten() {
                // Where there are more peers than a cluster has directors, the last ones wait.
                greeting.push(peer.id, challenge);
            }
        }
        greeting
    }

    /// Takes note of the greeting in a datagram that came from `origin`; how far the session is to be believed from now
    /// on.
    pub fn greeted(&mut self, origin: &Origin, greeting: &Greeting) -> Standing {
        let answers = greeting.answers(self.keyring.own(), self.challenges.present());
        let Some(peer) = self
            .peers
            .iter_mut()
            .find(|peer| (peer.id, peer.sealed) == (origin.sender, origin.sealed))
        else {
            return Standing::Stale;
        };
        let mut standing = match peer.association(origin.session) {
            Some((_, standing)) => standing,
            None => Standing::Stale,
        };
        if answers && standing != Standing::Proven {
            peer.prove(origin.session, origin.counter);
            standing = Standing::Proven;
            // The echo was spoken on the wire, and must not prove anything again.
            self.challenges.index += 1;
        }
        let best = match standing {
            Standing::Proven => true,
            Standing::Claimed => peer.proven.is_none(),
            Standing::Stale => false,
        };
        if best {
            peer.challenge = Some(greeting.challenge);
            if standing == Standing::Proven {
                peer.doubtful_challenge = None;
            }
        } else {
            peer.doubtful_challenge = Some(greeting.challenge);
        }
        standing
    }

    /// What was opened and refused.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn derive(keyring: &Keyring, id: KeyId, header: &Header) -> Result<LessSafeKey, Refusal> {
    let key = keyring.find(id).ok_or(Refusal::UnknownKey)?;
    Ok(key.of_session(keyring.cluster(), header.channel, header.sender, header.session))
}

fn unseal<'a>(datagram: &'a mut [u8], header: &Header, key: &LessSafeKey) -> Result<&'a mut [u8], Refusal> {
    let (additional, sealed) = datagram
        .split_first_chunk_mut::<HEADER>()
        .ok_or(Refusal::Truncated)?;
    let length = sealed.len().checked_sub(TAG).ok_or(Refusal::Truncated)?;
    key.open_in_place(nonce(header.counter), Aad::from(*additional), sealed)
        .map_err(|_| Refusal::Forged)?;
    Ok(&mut sealed[..length])
}

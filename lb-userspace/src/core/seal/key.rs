//! One key of a cluster.

use std::fmt::{self, Debug, Display, Formatter};

use lb_common::wire::seal::{Channel, KeyId, NodeId, Session};
use ring::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
};

/// Length of a key's secret, in bytes.
pub const SECRET: usize = 32;
/// Length of a cluster's seed, in bytes.
pub const SEED: usize = 32;

/// Domain separation: what is derived for one purpose says nothing about the others.
const EXTRACT: &[u8] = b"tandem cluster key 1";
const SESSION: &[u8] = b"session";
const SCHEDULE: &[u8] = b"schedule";
const FINGERPRINT: &[u8] = b"fingerprint";

/// A secret that the directors of a cluster share, with its number.
///
/// Keys are replaced now and then; the `seed` is not, since what is derived from it has to stay the same on all
/// directors at all times: where new connections go.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    secret: Prk,
    seed: Prk,
}

/// Tells keys apart without giving them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 8]);

impl Display for Fingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A key of random bytes.
    #[must_use]
    pub fn new(id: KeyId, secret: &[u8; SECRET], seed: &[u8; SEED]) -> Self {
        let salt = Salt::new(HKDF_SHA256, EXTRACT);
        Self {
            id,
            secret: salt.extract(secret),
            seed: salt.extract(seed),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Of the secret.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(expand(&self.secret, &[FINGERPRINT]))
    }

    /// Of the seed.
    #[must_use]
    pub fn seed_fingerprint(&self) -> Fingerprint {
        Fingerprint(expand(&self.seed, &[FINGERPRINT]))
    }

    /// Words for the schedulers' hash, the same for each key of the cluster.
    #[must_use]
    pub(super) fn schedule_seed(&self, cluster: &str) -> [u64; 6] {
        words(expand(&self.seed, &[SCHEDULE, cluster.as_bytes()]))
    }

    /// What seals the datagrams of one session.
    pub(super) fn of_session(
        &self,
        cluster: &str,
        channel: Channel,
        sender: NodeId,
        session: Session,
    ) -> LessSafeKey {
        let info = [
            SESSION,
            &[channel as u8],
            &sender.0.to_be_bytes(),
            &session.epoch.to_be_bytes(),
            &session.salt.to_be_bytes(),
            cluster.as_bytes(),
        ];
        let bytes: [u8; 32] = expand(&self.secret, &info);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("an AES-256 key has 32 bytes");
        LessSafeKey::new(key)
    }
}

/// Words that anybody can compute who knows the cluster's name: for a cluster without a key.
pub(super) fn schedule_seed_without_key(cluster: &str) -> [u64; 6] {
    let prk = Salt::new(HKDF_SHA256, EXTRACT).extract(b"no key");
    words(expand(&prk, &[SCHEDULE, cluster.as_bytes()]))
}

fn words(bytes: [u8; 48]) -> [u64; 6] {
    let mut words = [0; 6];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_be_bytes(*bytes);
    }
    words
}

struct Length(usize);

impl ring::hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(prk: &Prk, info: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    prk.expand(info, Length(N))
        .and_then(|okm| okm.fill(&mut bytes))
        .expect("HKDF gives up to 8160 bytes (RFC 5869 section 2.3)");
    bytes
}

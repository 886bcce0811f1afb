use std::{num::NonZeroU8, sync::Arc, time::Duration};

use lb_common::wire::seal::{ClusterId, Header};
use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(100);

fn key_id(id: u8) -> KeyId {
    KeyId(NonZeroU8::new(id).unwrap())
}

fn key(id: u8) -> Key {
    Key::new(key_id(id), &[id; SECRET], &[7; SEED])
}

fn keyring(director: &str, keys: &[u8], authentication: Authentication) -> Arc<Keyring> {
    let keys = keys.iter().map(|&id| key(id)).collect();
    Arc::new(Keyring::new("edge", director, keys, authentication).unwrap())
}

/// One director's ends of a channel.
struct Director {
    sealer: Sealer,
    opener: Opener,
}

impl Director {
    fn with(keyring: Arc<Keyring>, session: Session) -> Self {
        let secret = [session.salt as u8; 32];
        Self {
            sealer: Sealer::new(Arc::clone(&keyring), Channel::Sync, session),
            opener: Opener::new(keyring, Channel::Sync, session, &secret),
        }
    }

    fn new(name: &str, epoch: u64, salt: u64) -> Self {
        Self::with(
            keyring(name, &[1], Authentication::Enforce),
            Session { epoch, salt },
        )
    }

    fn set_keyring(&mut self, keyring: &Arc<Keyring>) {
        self.sealer.set_keyring(Arc::clone(keyring));
        self.opener.set_keyring(Arc::clone(keyring));
    }

    fn says(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0; HEADER];
        datagram.extend_from_slice(payload);
        self.sealer.seal(&mut datagram);
        datagram
    }

    fn hears(&mut self, datagram: &[u8]) -> Result<(Origin, Vec<u8>), Refusal> {
        let mut datagram = datagram.to_vec();
        let opened = self.opener.open(&mut datagram, NOW)?;
        Ok((opened.origin, opened.payload.to_vec()))
    }

    fn greets(&mut self) -> Vec<u8> {
        let greeting = self.opener.greeting();
        let mut payload = vec![0; greeting.length()];
        greeting.emit(&mut payload).unwrap();
        self.says(&payload)
    }

    /// How a greeting is to be believed when it arrives, and after it was read.
    fn is_greeted(&mut self, datagram: &[u8]) -> Result<(Standing, Standing), Refusal> {
        let (origin, payload) = self.hears(datagram)?;
        let (greeting, _) = Greeting::parse(&payload).unwrap();
        Ok((origin.standing, self.opener.greeted(&origin, &greeting)))
    }
}

/// Both greet each other until both are sure.
fn introduce(a: &mut Director, b: &mut Director) {
    for _ in 0..3 {
        let greeting = a.greets();
        b.is_greeted(&greeting).unwrap();
        let greeting = b.greets();
        a.is_greeted(&greeting).unwrap();
    }
    assert_eq!(standing(a, b), Standing::Proven);
    assert_eq!(standing(b, a), Standing::Proven);
}

fn standing(from: &mut Director, to: &mut Director) -> Standing {
    to.hears(&from.says(b"x")).unwrap().0.standing
}

#[test]
fn what_is_sealed_is_opened_and_what_it_said_cannot_be_read() {
    let (mut a, mut b) = (Director::new("a", 5, 1), Director::new("b", 6, 2));
    let datagram = a.says(b"attack at dawn");
    assert!(!datagram.windows(6).any(|window| window == b"attack"));
    let (origin, payload) = b.hears(&datagram).unwrap();
    assert_eq!(payload, b"attack at dawn");
    let expected = Origin {
        sender: node_id("edge", "a"),
        session: Session { epoch: 5, salt: 1 },
        counter: 1,
        sealed: true,
        standing: Standing::Claimed,
    };
    assert_eq!(origin, expected);
    assert_eq!(datagram.len(), OVERHEAD + payload.len());
}

#[test]
fn a_repetition_is_refused_and_a_late_one_is_not() {
    let (mut a, mut b) = (Director::new("a", 5, 1), Director::new("b", 6, 2));
    let datagrams: Vec<_> = (0..3).map(|_| a.says(b"x")).collect();
    for (index, expected) in [
        (2, None),
        (0, None),
        (2, Some(Refusal::Replayed)),
        (1, None),
        (0, Some(Refusal::Replayed)),
    ] {
        assert_eq!(b.hears(&datagrams[index]).err(), expected);
    }
    for _ in 0..3000 {
        let datagram = a.says(b"y");
        b.hears(&datagram).unwrap();
    }
    assert_eq!(b.hears(&datagrams[0]).err(), Some(Refusal::TooOld));
    assert_eq!(b.opener.counters().refused(Refusal::Replayed), 2);
    assert_eq!(b.opener.counters().refused(Refusal::TooOld), 1);
    assert_eq!(b.opener.counters().opened, 3003);
}

#[test]
fn each_stranger_has_its_reason() {
    let session = Session { epoch: 1, salt: 1 };
    let mut b = Director::new("b", 6, 2);
    let own = b.says(b"");
    let stranger = |keyring: Arc<Keyring>| Director::with(keyring, session).says(b"payload");
    let other = |cluster: &str| {
        let keys = vec![key(1)];
        Arc::new(Keyring::new(cluster, "a", keys, Authentication::Enforce).unwrap())
    };
    let mut heartbeat = Sealer::new(other("edge"), Channel::Heartbeat, session);
    let mut of_other_channel = vec![0; HEADER];
    heartbeat.seal(&mut of_other_channel);
    // Another cluster's datagram with our cluster's number on it.
    let mut disguised = stranger(other("core"));
    disguised[4..8].copy_from_slice(&cluster_id("edge").0.to_be_bytes());
    let enforce = Authentication::Enforce;
    let wrong_key = Key::new(key_id(1), &[9; SECRET], &[7; SEED]);
    let forger = Arc::new(Keyring::new("edge", "a", vec![wrong_key], enforce).unwrap());
    for (datagram, expected) in [
        (vec![], Refusal::Truncated),
        (vec![0; 1400], Refusal::NotTandem),
        (of_other_channel, Refusal::OtherChannel),
        (stranger(other("core")), Refusal::OtherCluster),
        (disguised, Refusal::Forged),
        (stranger(keyring("a", &[], enforce)), Refusal::NotSealed),
        (stranger(keyring("a", &[2], enforce)), Refusal::UnknownKey),
        (stranger(forger), Refusal::Forged),
        (stranger(keyring("b", &[1], enforce)), Refusal::SameName),
        (own, Refusal::OwnEcho),
    ] {
        assert_eq!(b.hears(&datagram).err(), Some(expected));
        assert!(b.opener.counters().refused(expected) > 0);
    }
    assert_eq!(b.opener.greeting().echoes(), [], "nobody was met");
}

/// Computed by Python's hmac and `cryptography` from the description in docs/sync-protocol.md.
#[test]
fn others_would_compute_the_same() {
    let secret: [u8; SECRET] = std::array::from_fn(|n| n as u8);
    let seed: [u8; SEED] = std::array::from_fn(|n| (n + SECRET) as u8);
    let key = Key::new(key_id(7), &secret, &seed);
    assert_eq!(key.fingerprint().to_string(), "cc7dd58c20bdc396");
    assert_eq!(key.seed_fingerprint().to_string(), "d7b629abfc20848b");
    let ring = Keyring::new("edge", "lb1", vec![key], Authentication::Enforce).unwrap();
    let words: String = ring
        .schedule_seed()
        .iter()
        .map(|word| format!("{word:016x}"))
        .collect();
    assert_eq!(
        words,
        "4bda63db72e6ea45c4fc5805c6c0521905c25c362c45e953d679859ae33640fff00436fdfe6dcc184d687eb1b515a28c"
    );
    let session = Session {
        epoch: 1_700_000_000_000,
        salt: 0x0123_4567_89ab_cdef,
    };
    let datagram = Director::with(Arc::new(ring), session).says(b"tandem");
    let datagram: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
    let documented = include_str!("../../../../docs/sync-protocol.md");
    let example = documented
        .split("```\n")
        .find(|block| block.starts_with("54640102"));
    let example: String = example.unwrap().split_whitespace().collect();
    assert_eq!(
        example,
        "54640102a1cb100f2f9a2d74fe6254fd0000018bcfe568000123456789abcdef0700000000000001\
         d71dd81a53c3f126aa6fde821f63867edfacb5393052"
    );
    assert_eq!(datagram, example);
}

/// Sender by receiver: none of the steps of a roll-out is further than one from its neighbours.
#[test]
fn modes_next_to_each_other_understand_each_other() {
    use Authentication::{Enforce, Permissive, ReceiveOnly};
    let stages: [(&[u8], Authentication); 4] = [
        (&[], Enforce),
        (&[1], ReceiveOnly),
        (&[1], Permissive),
        (&[1], Enforce),
    ];
    #[rustfmt::skip]
    let expected = [
        // to:  no key                      receive-only  permissive  enforce
        [None,                      None,         None,       Some(Refusal::NotSealed)], // no key
        [None,                      None,         None,       Some(Refusal::NotSealed)], // receive-only
        [Some(Refusal::UnknownKey), None,         None,       None],                     // permissive
        [Some(Refusal::UnknownKey), None,         None,       None],                     // enforce
    ];
    for (from, row) in stages.into_iter().zip(expected) {
        for (to, expected) in stages.into_iter().zip(row) {
            let mut sender = Director::with(keyring("a", from.0, from.1), Session { epoch: 1, salt: 1 });
            let mut receiver = Director::with(keyring("b", to.0, to.1), Session { epoch: 1, salt: 2 });
            let datagram = sender.says(b"hello");
            assert_eq!(receiver.hears(&datagram).err(), expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn keys_are_replaced_without_losing_a_datagram() {
    let (mut a, mut b) = (Director::new("a", 5, 1), Director::new("b", 6, 2));
    introduce(&mut a, &mut b);
    let enforce = Authentication::Enforce;
    // Each learns the new key, each seals with it, each forgets the old one; never both at the same moment.
    for keys in [&[1, 2][..], &[2, 1], &[2]] {
        for director in 0..2 {
            if director == 0 {
                a.set_keyring(&keyring("a", keys, enforce));
            } else {
                b.set_keyring(&keyring("b", keys, enforce));
            }
            assert_eq!(standing(&mut a, &mut b), Standing::Proven);
            assert_eq!(standing(&mut b, &mut a), Standing::Proven);
        }
    }
    assert_eq!(Header::parse(&a.says(b"")).unwrap().key, Some(key_id(2)));
}

#[test]
fn a_recording_is_never_proven() {
    let (mut a, mut b) = (Director::new("a", 5, 1), Director::new("b", 6, 2));
    let mut recorded: Vec<Vec<u8>> = (0..3)
        .map(|_| {
            let greeting = a.greets();
            b.is_greeted(&greeting).unwrap();
            let answer = b.greets();
            a.is_greeted(&answer).unwrap();
            greeting
        })
        .collect();
    recorded.push(a.says(b"order"));

    // A director that has just started is played the recording.
    let mut b = Director::new("b", 7, 3);
    for datagram in &recorded {
        assert_eq!(b.hears(datagram).unwrap().0.standing, Standing::Claimed);
    }
    // The real one has restarted, with the same epoch: its clock and its disk are lost. It is believed all the same.
    let mut a = Director::new("a", 5, 4);
    let greeting = b.greets();
    a.is_greeted(&greeting).unwrap();
    let greeting = a.greets();
    assert_eq!(
        b.is_greeted(&greeting).unwrap(),
        (Standing::Stale, Standing::Proven)
    );
    for datagram in &recorded {
        assert_eq!(b.hears(datagram).unwrap().0.standing, Standing::Stale);
    }
    introduce(&mut a, &mut b);

    // What a life said that is over does not prove it again, even to the director that it was said to.
    let last_words: Vec<_> = (0..3).map(|_| a.greets()).collect();
    for datagram in &last_words[..2] {
        b.is_greeted(datagram).unwrap();
    }
    let mut a = Director::new("a", 3, 5);
    introduce(&mut a, &mut b);
    assert_eq!(
        b.is_greeted(&last_words[2]).unwrap(),
        (Standing::Stale, Standing::Stale)
    );
}

#[test]
fn a_restart_with_a_later_epoch_is_taken_for_alive_at_once() {
    let (mut a, mut b) = (Director::new("a", 5, 1), Director::new("b", 6, 2));
    introduce(&mut a, &mut b);
    let mut a = Director::new("a", 6, 3);
    assert_eq!(standing(&mut a, &mut b), Standing::Claimed);
    introduce(&mut a, &mut b);
}

#[test]
fn senders_are_bounded_and_the_silent_give_way() {
    let mut b = Director::new("b", 6, 2);
    let mut hears_at = |name: String, now: Duration| {
        let mut datagram = Director::new(&name, 1, 1).says(b"");
        b.opener.open(&mut datagram, now).err()
    };
    for n in 0..MAX_PEERS {
        assert_eq!(hears_at(format!("a{n}"), NOW), None);
    }
    assert_eq!(hears_at("late".into(), NOW), Some(Refusal::TooManySenders));
    let later = NOW + Duration::from_secs(61);
    assert_eq!(hears_at("late".into(), later), None);
    assert_eq!(b.opener.greeting().echoes().len(), 0, "none of them greeted");
}

#[test]
fn keys_that_do_not_go_together_make_no_keyring() {
    let ring = |keys| Keyring::new("edge", "a", keys, Authentication::Enforce);
    let stranger = Key::new(key_id(2), &[2; SECRET], &[8; SEED]);
    assert_eq!(
        ring(vec![key(1), key(1)]).unwrap_err(),
        KeyringError::SameId(key_id(1))
    );
    assert!(matches!(
        ring(vec![key(1), stranger]).unwrap_err(),
        KeyringError::OtherSeed { .. }
    ));
    assert_eq!(
        ring((1..=9).map(key).collect()).unwrap_err(),
        KeyringError::TooMany(9)
    );
}

#[test]
fn the_schedule_is_the_clusters_and_survives_new_keys() {
    let seed = |cluster: &str, keys: &[u8]| {
        let keys = keys.iter().map(|&id| key(id)).collect();
        let ring = Keyring::new(cluster, "a", keys, Authentication::Enforce).unwrap();
        ring.schedule_seed()
    };
    assert_eq!(seed("edge", &[1]), seed("edge", &[2, 1]));
    assert_ne!(seed("edge", &[1]), seed("core", &[1]));
    assert_ne!(seed("edge", &[]), seed("edge", &[1]));
    assert_ne!(seed("edge", &[]), seed("core", &[]));
}

#[test]
fn a_key_does_not_show_itself() {
    let shown = format!("{:?}", Key::new(key_id(3), &[0xAB; SECRET], &[0xCD; SEED]));
    assert!(
        !shown.contains("171") && !shown.to_lowercase().contains("abab"),
        "{shown}"
    );
    assert!(shown.contains(&key(3).id().to_string()));
}

proptest! {
    /// Whatever bit is changed, nothing is opened and nobody is met.
    #[test]
    fn a_changed_bit_is_noticed(payload: Vec<u8>, bit: prop::sample::Index) {
        let (mut a, mut b) = (Director::new("a", 5, 1), Director::new("b", 6, 2));
        let mut datagram = a.says(&payload);
        let bit = bit.index(datagram.len() * 8);
        datagram[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(b.hears(&datagram).is_err());
        prop_assert_eq!(b.opener.counters().opened, 0);
    }

    #[test]
    fn no_bytes_make_it_panic(datagrams: Vec<Vec<u8>>) {
        let mut b = Director::with(keyring("b", &[], Authentication::Enforce), Session { epoch: 1, salt: 1 });
        for mut datagram in datagrams {
            let header = Header {
                channel: Channel::Sync,
                cluster: ClusterId(0),
                sender: NodeId(1),
                session: Session { epoch: 1, salt: 1 },
                key: None,
                counter: 1,
            };
            let _ = b.hears(&datagram);
            // The same behind a header that is in order.
            let mut header = header.emit().to_vec();
            header[4..8].copy_from_slice(&cluster_id("edge").0.to_be_bytes());
            header.append(&mut datagram);
            let _ = b.hears(&header);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// One greets; a bit for each of the others says whether it arrives.
    Greet(usize, u8),
    /// With this epoch: it may well lie in the past.
    Restart(usize, u64),
    /// Something that was said is said again, to one of them.
    Replay(prop::sample::Index, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_usize, any::<u8>()).prop_map(|(from, to)| Step::Greet(from, to)),
        1 => (0..3_usize, 1..9_u64).prop_map(|(who, epoch)| Step::Restart(who, epoch)),
        3 => (any::<prop::sample::Index>(), 0..3_usize).prop_map(|(what, to)| Step::Replay(what, to)),
    ]
}

proptest! {
    /// Three directors that lose datagrams, restart with any epoch, and are played recordings: only a living session is
    /// ever proven, and all are as soon as they hear each other again.
    #[test]
    fn the_living_are_proven_and_the_dead_are_not(steps in prop::collection::vec(step(), 0..60)) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut salt = 0;
        let mut born = |who: usize, epoch: u64| {
            salt += 1;
            Director::new(NAMES[who], epoch, salt)
        };
        let mut directors: Vec<Director> = (0..3).map(|who| born(who, 1)).collect();
        // Who spoke, in which life, what, and who has heard it.
        let mut recorded: Vec<(usize, Session, Vec<u8>, u8)> = Vec::new();
        for step in steps {
            let (index, to) = match step {
                Step::Restart(who, epoch) => {
                    directors[who] = born(who, epoch);
                    continue;
                }
                Step::Greet(from, to) => {
                    let session = directors[from].sealer.session();
                    recorded.push((from, session, directors[from].greets(), 0));
                    (recorded.len() - 1, to)
                }
                Step::Replay(_, _) if recorded.is_empty() => continue,
                Step::Replay(what, to) => (what.index(recorded.len()), 1 << to),
            };
            let (from, session, datagram, heard_by) = &mut recorded[index];
            let living = directors[*from].sealer.session() == *session;
            for (who, receiver) in directors.iter_mut().enumerate() {
                if who != *from && to & 1 << who != 0 {
                    if let Ok((before, after)) = receiver.is_greeted(datagram) {
                        let first_time = *heard_by & 1 << who == 0;
                        prop_assert!(living || first_time || before == after, "it proved something twice");
                    }
                    *heard_by |= 1 << who;
                }
            }
        }
        for _ in 0..4 {
            for from in 0..3 {
                let datagram = directors[from].greets();
                for (who, receiver) in directors.iter_mut().enumerate() {
                    if who != from {
                        prop_assert!(receiver.is_greeted(&datagram).is_ok());
                    }
                }
            }
        }
        for from in 0..3 {
            let datagram = directors[from].says(b"order");
            for (who, receiver) in directors.iter_mut().enumerate() {
                if who != from {
                    prop_assert_eq!(receiver.hears(&datagram).unwrap().0.standing, Standing::Proven);
                }
            }
        }
        for (from, session, datagram, _) in recorded {
            if directors[from].sealer.session() != session {
                for (who, receiver) in directors.iter_mut().enumerate() {
                    if who != from {
                        let standing = receiver.is_greeted(&datagram).map(|(_, after)| after);
                        prop_assert_ne!(standing, Ok(Standing::Proven));
                    }
                }
            }
        }
    }
}

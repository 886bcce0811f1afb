//! One director: flow tables that packets and a node work on, a clock of its own, and a life that may end.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use lb_common::{
    abi::{FlowPlace, JournalRing, TimeoutTable, Timeouts},
    flow_state::{FlowState, Worth},
    flow_table::{
        self, Bucket, Clock, Control, Entry, Entry4, Entry6, Hit, Insertion, NewFlow, Origin, Snapshot,
        Target, Translation, Translation4, Translation6, TranslationEntry, WAYS, insert_sparing, lookup,
        places, translation_at,
    },
    hash::Seed,
    packet::{FlowKey, FlowKey4, protocol},
};

use super::SERVICE;
use crate::core::{
    model::Telling,
    seal::{Authentication, Key, Keyring, SECRET, SEED, Session},
    sync::{
        Event, Node, Replica as _, Settings, Store, To,
        flows::{Directory, Facts, FlowReplica, Memory, NumberedBackend, Synced},
    },
};

pub(in crate::core::sync) const HZ: u32 = 250;
pub(in crate::core::sync) const LEAF_BITS: u8 = 6;
const BUCKETS: usize = 512;

type Replica = FlowReplica<
    Arc<[Bucket<Entry4>]>,
    Arc<[Bucket<Translation4>]>,
    Arc<[Bucket<Entry6>]>,
    Arc<[Bucket<Translation6>]>,
    Arc<[JournalRing]>,
    Arc<TimeoutTable>,
>;

/// Address of the pool.
const POOL: u32 = 0x0A00_00FE;
/// Ports of it that each director gives out.
const SHARE: u16 = 256;

/// What can be seen of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core::sync) struct Flow {
    pub(in crate::core::sync) backend: IpAddr,
    pub(in crate::core::sync) state: FlowState,
    /// Where replies go to, if it is translated: address and port.
    pub(in crate::core::sync) reply: Option<(u32, u16)>,
}

/// Flows by key.
pub(in crate::core::sync) type Flows = BTreeMap<[u64; 2], Flow>;

/// What a client's packet does to its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::core::sync) enum Packet {
    /// The first of a handshake.
    Syn,
    /// The first after the handshake: where no flow is known, one is made.
    Open,
    /// More data.
    Data,
    /// The end of a connection.
    Fin,
}

/// Its own clocks: the world's time goes by alike, but where they began differs.
#[derive(Debug, Clone, Copy)]
pub(in crate::core::sync) struct Clocks {
    pub(in crate::core::sync) monotonic: Duration,
    pub(in crate::core::sync) wall_ms: u64,
    pub(in crate::core::sync) jiffies: u64,
}

/// A director that runs, or whose daemon or machine is dead.
pub(in crate::core::sync) struct Director {
    pub(in crate::core::sync) name: String,
    clocks: Clocks,
    index: u16,
    four: Arc<[Bucket<Entry4>]>,
    translations: Arc<[Bucket<Translation4>]>,
    journal: Arc<[JournalRing]>,
    timeouts: Arc<TimeoutTable>,
    seed: Seed,
    /// Number of each backend; every director counts in its own way.
    numbers: BTreeMap<IpAddr, u32>,
    telling: Telling,
    keyring: Arc<Keyring>,
    store: Store,
    pub(in crate::core::sync) daemon: Option<(Node, Replica)>,
    lives: u64,
    pub(in crate::core::sync) events: Vec<Event>,
}

pub(in crate::core::sync) fn backend(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

pub(in crate::core::sync) fn keyring(name: &str, keys: &[u8]) -> Arc<Keyring> {
    let key = |id: &u8| {
        let id = std::num::NonZeroU8::new(*id).expect("not 0");
        Key::new(crate::core::seal::KeyId(id), &[id.get(); SECRET], &[9; SEED])
    };
    let keys = keys.iter().map(key).collect();
    Arc::new(Keyring::new("sim", name, keys, Authentication::Enforce).expect("keys that go together"))
}

/// Another one in each life: or else what a recording echoes would answer a later life's challenges.
fn secret_of(salt: u64) -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..8].copy_from_slice(&salt.to_be_bytes());
    secret
}

type Tables = (
    Arc<[Bucket<Entry4>]>,
    Arc<[Bucket<Translation4>]>,
    Arc<[JournalRing]>,
);

fn tables() -> Tables {
    (
        (0..BUCKETS).map(|_| Bucket::default()).collect(),
        (0..BUCKETS).map(|_| Bucket::default()).collect(),
        (0..1).map(|_| JournalRing::default()).collect(),
    )
}

impl Director {
    /// Dead, with an empty table.
    pub(in crate::core::sync) fn new(index: usize, clocks: Clocks, seed: Seed) -> Self {
        let name = format!("lb{index}");
        let (four, translations, journal) = tables();
        let timeouts = TimeoutTable::default();
        let mut row: Timeouts = [0; FlowState::LIMIT];
        for state in FlowState::ALL {
            row[state as usize] = state.default_timeout() * HZ;
        }
        timeouts.set_class(3, &row);
        Self {
            keyring: keyring(&name, &[1]),
            name,
            clocks,
            index: index as u16,
            four,
            translations,
            journal,
            timeouts: Arc::new(timeouts),
            seed,
            numbers: (0..4)
                .map(|n| (backend(n), (u32::from(n) + index as u32) % 4 + 1))
                .collect(),
            telling: Telling::default(),
            store: Store::default(),
            daemon: None,
            lives: 0,
            events: Vec::new(),
        }
    }

    /// Gives out the ports of that director: a mistake in its configuration.
    pub(in crate::core::sync) fn share_with(&mut self, other: u16) {
        self.index = other;
    }

    pub(in crate::core::sync) fn local(&self, now: Duration) -> Duration {
        self.clocks.monotonic + now
    }

    fn jiffies(&self, now: Duration) -> u64 {
        self.clocks.jiffies + now.as_millis() as u64 * u64::from(HZ) / 1000
    }

    fn clock(&self, now: Duration) -> Clock<'_> {
        Clock {
            now: self.jiffies(now),
            timeouts: &self.timeouts,
        }
    }

    fn directory(&self) -> Directory {
        let backends = self.numbers.iter().map(|(address, number)| NumberedBackend {
            number: *number,
            service: SERVICE.into(),
            address: *address,
            port: 0,
        });
        if self.telling == Telling::Off {
            return Directory::default();
        }
        let service = Synced {
            name: SERVICE.to_owned(),
            class: 3,
            half_open: self.telling == Telling::FirstPacket,
        };
        Directory::new([service], backends)
    }

    /// The daemon starts; what it kept and what is in the tables is there.
    pub(in crate::core::sync) fn start(&mut self, now: Duration, history: usize) {
        self.lives += 1;
        let [w0, w1, w2, w3, w4, w5] = self.keyring.schedule_seed();
        let facts = Facts {
            seed: self.seed,
            leaf_seed: Seed::new([w0, w1, w2, w3, w4, w5]),
            leaf_bits: LEAF_BITS,
            hz: HZ,
        };
        let memory = Memory {
            four: Arc::clone(&self.four),
            translations4: Arc::clone(&self.translations),
            six: (0..2).map(|_| Bucket::default()).collect(),
            translations6: (0..2).map(|_| Bucket::default()).collect(),
            journal: Arc::clone(&self.journal),
            timeouts: Arc::clone(&self.timeouts),
        };
        let replica = FlowReplica::new(memory, facts, self.directory(), self.jiffies(now));
        let salt = self.lives << 8 | u64::from(self.name.as_bytes()[2]);
        let settings = Settings {
            keyring: Arc::clone(&self.keyring),
            name: self.name.clone(),
            session: Session {
                epoch: self.lives,
                salt,
            },
            secret: secret_of(salt),
            leaf_bits: LEAF_BITS,
            // So small that leaves need parts, now and then.
            datagram: 260,
            history,
            bulk_rate: 2_000_000,
        };
        let wall_ms = self.clocks.wall_ms + now.as_millis() as u64;
        let node = Node::new(settings, self.store.clone(), wall_ms, self.local(now));
        self.daemon = Some((node, replica));
    }

    /// The daemon dies. What it said and heard is on its disk.
    pub(in crate::core::sync) fn kill(&mut self) {
        if let Some((node, _)) = self.daemon.take() {
            self.store = node.store().clone();
        }
    }

    /// The machine starts anew.
    pub(in crate::core::sync) fn forget(&mut self) {
        self.kill();
        (self.four, self.translations, self.journal) = tables();
    }

    pub(in crate::core::sync) fn set_keys(&mut self, keys: &[u8]) {
        self.keyring = keyring(&self.name, keys);
        if let Some((node, _)) = &mut self.daemon {
            node.set_keyring(&self.keyring);
        }
    }

    /// What it has told is not repeated.
    pub(in crate::core::sync) fn forget_history(&mut self) {
        if let Some((node, _)) = &mut self.daemon {
            node.forget_history();
        }
    }

    pub(in crate::core::sync) fn say(&mut self, key: &str, value: Option<String>, now: Duration) {
        let now = self.local(now);
        if let Some((node, _)) = &mut self.daemon {
            node.say(key, value, now).expect("short and few");
        }
    }

    /// Another backend is configured here, and not yet elsewhere.
    pub(in crate::core::sync) fn add_backend(&mut self, address: IpAddr, now: Duration) {
        let next = self.numbers.values().max().map_or(1, |most| most + 1);
        self.numbers.insert(address, next);
        let (directory, now) = (self.directory(), self.local(now));
        if let Some((node, replica)) = &mut self.daemon {
            replica.set_directory(directory, node.cluster_ms(now));
        }
    }

    /// The service says otherwise when others are to be told.
    pub(in crate::core::sync) fn set_telling(&mut self, telling: Telling, now: Duration) {
        self.telling = telling;
        let (directory, now) = (self.directory(), self.local(now));
        if let Some((node, replica)) = &mut self.daemon {
            replica.set_directory(directory, node.cluster_ms(now));
        }
    }

    /// An operator ends a flow.
    pub(in crate::core::sync) fn remove(&mut self, key: &FlowKey, now: Duration) -> bool {
        let now = self.local(now);
        let daemon = self.daemon.as_mut();
        daemon.is_some_and(|(node, replica)| replica.remove(key, node.cluster_ms(now)))
    }

    /// An operator's order ends the flows of a backend here.
    pub(in crate::core::sync) fn release(&mut self, address: IpAddr, now: Duration) {
        let (number, now) = (self.numbers[&address], self.local(now));
        if let Some((node, replica)) = &mut self.daemon {
            replica.release(number, node.cluster_ms(now));
        }
        for entry in self.four.iter().flat_map(|bucket| &bucket.entries) {
            let control = entry.state();
            if control.is_live() && self.number_of(&entry.key(), control) == Some(number) {
                entry.remove(control);
            }
        }
    }

    /// A backend that flows go to and that has no number gets one, as the planner gives it.
    fn number(&mut self, now: Duration) {
        let Some((_, replica)) = &self.daemon else { return };
        let wanted: Vec<IpAddr> = replica.wanted().map(|wanted| wanted.address).collect();
        for address in wanted {
            self.add_backend(address, now);
        }
    }

    fn translation(&self, key: &FlowKey4, control: Control) -> Option<Hit<'_, Translation4>> {
        match control.target() {
            Target::Backend(_) => None,
            Target::Translation(place) => translation_at(&*self.translations, place, key),
        }
    }

    /// Number of the flow's backend; `None` if the flow is translated and its translation is gone.
    fn number_of(&self, key: &FlowKey4, control: Control) -> Option<u32> {
        match control.target() {
            Target::Backend(number) => Some(number),
            Target::Translation(_) => self.translation(key, control)?.control.backend(),
        }
    }

    /// What can be seen of the flow; `None` if its translation is gone.
    fn flow(&self, key: &FlowKey4, control: Control) -> Option<Flow> {
        let reply = self.translation(key, control).map(|hit| {
            let reply = hit.entry.key().reply;
            (reply.destination(), (reply.ports() >> 16) as u16)
        });
        Some(Flow {
            backend: self.address(self.number_of(key, control)?),
            state: control.state(),
            reply,
        })
    }

    /// What a new flow's entry has for its target: by its client's number it is translated, from a port of this director's
    /// share of the pool or not.
    fn target_of(&self, key: &FlowKey4, backend: IpAddr, state: FlowState, clock: &Clock<'_>) -> Target {
        let number = *self.numbers.get(&backend).unwrap_or(&1);
        let IpAddr::V4(server) = self.address(number) else {
            panic!("an IPv4 backend")
        };
        let reply = key.answered_by(u32::from_ne_bytes(server.octets()), 0);
        let replies: Vec<_> = match key.source() % 3 {
            // A template only says whom to choose.
            _ if state == FlowState::Template => return Target::Backend(number),
            0 => return Target::Backend(number),
            1 => vec![reply],
            _ => (0..SHARE)
                .map(|port| {
                    reply.redirected(
                        POOL,
                        1 + self.index * SHARE + (port + key.source() as u16) % SHARE,
                    )
                })
                .collect(),
        };
        for reply in replies {
            let translation = NewFlow {
                key: Translation {
                    reply,
                    original: *key,
                    origin: Origin::new(1, 2, 3),
                },
                hash: reply.hash(&self.seed),
                target: Target::Backend(number),
                state,
                class: 3,
            };
            insert_sparing(&*self.translations, &translation, clock);
            let hit = lookup(&*self.translations, &translation.key, translation.hash);
            let hit = hit.expect("there is room");
            if hit.entry.is_of(key) {
                return Target::Translation(hit.place);
            }
        }
        panic!("the pool is exhausted")
    }

    /// What a packet does in the XDP program: what can be seen of its flow behind it.
    pub(in crate::core::sync) fn packet(
        &mut self,
        key: &FlowKey4,
        packet: Packet,
        choice: u8,
        now: Duration,
    ) -> Flow {
        let hash = key.hash(&self.seed);
        let clock = self.clock(now);
        let is_template = key.protocol() == protocol::TEMPLATE;
        if let Some(hit) = lookup(&*self.four, key, hash) {
            let (entry, control) = (hit.entry, hit.control);
            let is_open = matches!(control.state(), FlowState::SynRecv | FlowState::Established);
            let begins_anew = packet == Packet::Open && !is_open && !is_template;
            if begins_anew {
                entry.remove(control);
            } else {
                entry.touch(clock.stamp());
                let translation = self.translation(key, control);
                if let Some(translation) = &translation {
                    translation.entry.touch(clock.stamp());
                }
                let mut now = control;
                let next = match (packet, control.state()) {
                    (Packet::Open | Packet::Data, FlowState::SynRecv) => Some(FlowState::Established),
                    (Packet::Fin, FlowState::Established) => Some(FlowState::FinWait),
                    _ => None,
                };
                if let Some(next) = next {
                    now = control.with_state(next);
                    entry.change(control, now);
                    if let Some(translation) = translation {
                        let control = translation.control;
                        translation.entry.change(control, control.with_state(next));
                    }
                    self.note(key, hash);
                }
                return self.flow(key, now).expect("living flows have their translations");
            }
        }
        let state = match packet {
            _ if is_template => FlowState::Template,
            Packet::Syn => FlowState::SynRecv,
            Packet::Fin => FlowState::FinWait,
            Packet::Open | Packet::Data => FlowState::Established,
        };
        let flow = NewFlow {
            key: *key,
            hash,
            target: self.target_of(key, backend(choice), state, &clock),
            state,
            class: 3,
        };
        let insertion = flow_table::insert(&*self.four, &flow, &clock);
        assert!(
            matches!(
                insertion,
                Insertion::Inserted | Insertion::Evicted(Worth::Expired, _)
            ),
            "the tables have room: {insertion:?}"
        );
        self.note(key, hash);
        let control = Control::default().with_flow(&flow);
        self.flow(key, control).expect("its translation was just entered")
    }

    fn address(&self, number: u32) -> IpAddr {
        let found = self.numbers.iter().find(|(_, known)| **known == number);
        *found.expect("flows name backends that have numbers").0
    }

    fn note(&self, key: &FlowKey4, hash: u64) {
        let (first, second) = places(hash, self.four.len() as u32 - 1);
        for bucket in [first, second] {
            for (way, entry) in self.four[bucket as usize].entries.iter().enumerate() {
                if entry.state().is_live() && entry.holds(key) {
                    self.journal[0].note(FlowPlace {
                        is_v6: false,
                        place: bucket * WAYS as u32 + way as u32,
                    });
                }
            }
        }
    }

    /// Packets note the flow so often that the daemon cannot keep up.
    pub(in crate::core::sync) fn note_often(&self, key: &FlowKey4, times: usize) {
        (0..times).for_each(|_| self.note(key, key.hash(&self.seed)));
    }

    /// What the daemon's census does once a second.
    pub(in crate::core::sync) fn sweep(&self, now: Duration) {
        let clock = self.clock(now);
        for entry in self.four.iter().flat_map(|bucket| &bucket.entries) {
            let control = entry.state();
            if control.is_live() && clock.worth(entry, control).0 == Worth::Expired {
                let translation = self.translation(&entry.key(), control);
                entry.remove(control);
                if let Some(translation) = translation {
                    translation.entry.remove(translation.control);
                }
            }
        }
        for entry in self.translations.iter().flat_map(|bucket| &bucket.entries) {
            let Some(found) = entry.snapshot() else { continue };
            let original = found.key.original;
            let flow = lookup(&*self.four, &original, original.hash(&self.seed));
            if flow.is_none_or(|flow| {
                self.translation(&original, flow.control)
                    .is_none_or(|hit| !std::ptr::eq(hit.entry, entry))
            }) {
                entry.remove(found.control);
            }
        }
    }

    /// The flows that are in its table and will be for a while: key, backend, state.
    pub(in crate::core::sync) fn flows(&self, now: Duration) -> Flows {
        let clock = self.clock(now);
        let living = self
            .four
            .iter()
            .flat_map(|bucket| &bucket.entries)
            .filter_map(Entry::snapshot);
        living
            .filter(|flow: &Snapshot<FlowKey4>| {
                let timeout = clock.timeouts.of(flow.control);
                clock.idle(flow.last_seen) + (timeout / 8).max(8 * HZ) < timeout
            })
            .map(|flow| {
                let seen = self.flow(&flow.key, flow.control);
                (
                    flow.key.words,
                    seen.expect("living flows have their translations"),
                )
            })
            .collect()
    }

    /// When its daemon next has something to do.
    pub(in crate::core::sync) fn wakes_at(&self, now: Duration) -> Option<Duration> {
        let (node, _) = self.daemon.as_ref()?;
        let deadline = node.next_deadline(self.local(now));
        // A real one looks at the journal every now and then, too.
        Some(
            deadline
                .saturating_sub(self.clocks.monotonic)
                .max(now + Duration::from_micros(500)),
        )
    }

    /// The daemon works; what it sends.
    pub(in crate::core::sync) fn work(&mut self, now: Duration) -> Vec<(To, Vec<u8>)> {
        let (local, jiffies) = (self.local(now), self.jiffies(now));
        let mut sent = Vec::new();
        if let Some((node, replica)) = &mut self.daemon {
            replica.set_jiffies(jiffies);
            node.work(replica, local);
            let mut datagram = Vec::new();
            while let Some(to) = node.poll_output(replica, local, &mut datagram) {
                sent.push((to, datagram.clone()));
                assert!(sent.len() < 2_000, "it never stops");
            }
            self.events.extend(std::iter::from_fn(|| node.poll_event()));
        }
        self.number(now);
        sent
    }

    pub(in crate::core::sync) fn hear(&mut self, datagram: &mut [u8], now: Duration) {
        let (local, jiffies) = (self.local(now), self.jiffies(now));
        if let Some((node, replica)) = &mut self.daemon {
            replica.set_jiffies(jiffies);
            // What is refused is counted.
            let _ = node.receive(datagram, replica, local);
        }
    }

    pub(in crate::core::sync) fn id(&self) -> lb_common::wire::seal::NodeId {
        self.keyring.own()
    }

    pub(in crate::core::sync) fn store_digest(&self, now: Duration) -> u64 {
        let digest = |(node, _): &(Node, Replica)| node.store().digest(node.cluster_ms(self.local(now)));
        self.daemon.as_ref().map_or(0, digest)
    }

    pub(in crate::core::sync) fn describe_flow(&self, key: &FlowKey4, now: Duration) -> String {
        let local = self.local(now);
        let (node, replica) = self.daemon.as_ref().expect("it runs");
        replica.describe(key, node.cluster_ms(local))
    }

    pub(in crate::core::sync) fn describe(&self, now: Duration) -> String {
        match &self.daemon {
            None => format!("{}: dead", self.name),
            Some((node, replica)) => format!(
                "{}: {:#?}\n{:#?}\n{:#?}\nflows {}",
                self.name,
                node.view(self.local(now)),
                node.counters(),
                node.seal_counters(),
                replica.flows()
            ),
        }
    }
}

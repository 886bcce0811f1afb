//! A director without packets: its tables lie in plain memory.

use std::{
    num::NonZeroU8,
    ops::{Deref, Range},
    slice,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use lb_common::{
    abi::{FlowPlace, JournalRing, TimeoutTable, Timeouts},
    flow_state::FlowState,
    flow_table::{
        Bucket, Clock, Entry4, Entry6, NewFlow, Target, Translation4, Translation6, insert, lookup,
    },
    hash::Seed,
    packet::FlowKey4,
    wire::{
        seal::{Refusal, Session},
        sync::{Body, Message, Phase},
    },
};
use lb_userspace::core::{
    model::DEFAULT_BULK_RATE,
    seal::{Authentication, Key, KeyId, Keyring, SECRET, SEED},
    sync::{
        HISTORY, LEAF_BITS, Moment, Node, Replica as _, Settings, Source, Store,
        flows::{Directory, Facts, FlowReplica, Memory, NumberedBackend, Synced},
    },
};

/// An IP packet on Ethernet, in bytes.
pub(super) const LINK: usize = 1500;
/// What a datagram on it can hold, in bytes.
pub(super) const DATAGRAM: usize = LINK - 28;

/// Name of the cluster.
pub(super) const CLUSTER: &str = "bench";

const SERVICE: &str = "web";
const CLASS: u8 = 3;
const HZ: u32 = 250;
const BACKENDS: u32 = 64;

/// Buckets in a page of memory.
const IN_PAGE: usize = 32;

#[derive(Default)]
#[repr(C, align(4096))]
struct Page([Bucket<Entry4>; IN_PAGE]);

const _: () = assert!(size_of::<Page>() == 4096);

/// Buckets that begin with a page, as those of a map do: so each is two cache lines, and never three.
#[derive(Clone)]
pub(super) struct Buckets(Arc<[Page]>);

impl Buckets {
    fn new(count: usize) -> Self {
        Self((0..count.div_ceil(IN_PAGE)).map(|_| Page::default()).collect())
    }
}

impl Deref for Buckets {
    type Target = [Bucket<Entry4>];

    fn deref(&self) -> &Self::Target {
        // SAFETY: pages are nothing but buckets, without padding, and those of a slice lie one behind the other.
        unsafe { slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * IN_PAGE) }
    }
}

type Replica = FlowReplica<
    Buckets,
    Arc<[Bucket<Translation4>]>,
    Arc<[Bucket<Entry6>]>,
    Arc<[Bucket<Translation6>]>,
    Arc<[JournalRing]>,
    Arc<TimeoutTable>,
>;

/// A director's flow table.
pub(super) struct Table {
    four: Buckets,
    seed: Seed,
}

impl Table {
    /// Where that connection goes, if it is known.
    pub(super) fn target(&self, n: u32) -> Option<Target> {
        let key = key(n);
        Some(lookup(&*self.four, &key, key.hash(&self.seed))?.control.target())
    }
}

fn key(n: u32) -> FlowKey4 {
    FlowKey4::new(0x0A00_0000 + n, 0xC000_020A, (80 << 16) | (n & 0xFFFF), 6)
}

/// One director.
pub(super) struct Director {
    pub(super) node: Node,
    pub(super) replica: Replica,
    four: Buckets,
    journal: Arc<[JournalRing]>,
    timeouts: Arc<TimeoutTable>,
    seed: Seed,
    begun: Instant,
}

impl Director {
    /// With room for four times as many flows, so that none has to give way to another.
    pub(super) fn new(name: &str, flows: u32) -> Self {
        let buckets = (flows as usize).next_power_of_two();
        let four = Buckets::new(buckets);
        let six = (0..2).map(|_| Bucket::default()).collect();
        let journal: Arc<[_]> = std::iter::once(JournalRing::default()).collect();
        let timeouts = TimeoutTable::default();
        let mut row: Timeouts = [0; FlowState::LIMIT];
        for state in FlowState::ALL {
            row[state as usize] = state.default_timeout() * HZ;
        }
        timeouts.set_class(CLASS, &row);
        let timeouts = Arc::new(timeouts);
        let id = KeyId(NonZeroU8::MIN);
        let keys = vec![Key::new(id, &[7; SECRET], &[9; SEED])];
        let keyring = Arc::new(Keyring::new(CLUSTER, name, keys, Authentication::Enforce).expect("one key"));
        // Another one on each, as in life.
        let own = u64::from(name.bytes().next().unwrap_or_default());
        let seed =
            Seed::new([1, 2, 3, 4, 5, 6].map(|word: u64| (own * word).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let facts = Facts {
            seed,
            leaf_seed: Seed::new(keyring.schedule_seed()),
            leaf_bits: LEAF_BITS,
            hz: HZ,
        };
        let memory = Memory {
            four: four.clone(),
            translations4: (0..2).map(|_| Bucket::default()).collect(),
            six,
            translations6: (0..2).map(|_| Bucket::default()).collect(),
            journal: Arc::clone(&journal),
            timeouts: Arc::clone(&timeouts),
        };
        let backends = (0..BACKENDS).map(|number| NumberedBackend {
            number,
            service: SERVICE.to_owned(),
            address: [10, 0, 0, number as u8].into(),
            port: 0,
        });
        let service = Synced {
            name: SERVICE.to_owned(),
            class: CLASS,
            half_open: false,
        };
        let directory = Directory::new([service], backends);
        let settings = Settings {
            keyring,
            name: name.to_owned(),
            session: Session { epoch: 1, salt: own },
            secret: [own as u8; 32],
            leaf_bits: LEAF_BITS,
            datagram: DATAGRAM,
            history: HISTORY,
            bulk_rate: DEFAULT_BULK_RATE,
        };
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            node: Node::new(
                settings,
                Store::default(),
                since_1970.as_millis() as u64,
                Duration::ZERO,
            ),
            replica: FlowReplica::new(memory, facts, directory, Self::jiffies(Duration::ZERO)),
            four,
            journal,
            timeouts,
            seed,
            begun: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn jiffies(now: Duration) -> u64 {
        (1 << 33) + now.as_millis() as u64 * u64::from(HZ) / 1000
    }

    /// Does what packets do that complete the handshakes of these connections.
    pub(super) fn begin(&self, flows: Range<u32>) {
        let clock = Clock {
            now: Self::jiffies(self.now()),
            timeouts: &self.timeouts,
        };
        for n in flows {
            let key = key(n);
            let hash = key.hash(&self.seed);
            let flow = NewFlow {
                key,
                hash,
                target: Target::Backend(n % BACKENDS),
                state: FlowState::Established,
                class: CLASS,
            };
            insert(&*self.four, &flow, &clock);
            if let Some(hit) = lookup(&*self.four, &key, hash) {
                self.journal[0].note(FlowPlace {
                    is_v6: false,
                    place: hit.place,
                });
            }
        }
    }

    /// Its flow table, for others to look into.
    pub(super) fn table(&self) -> Table {
        Table {
            four: self.four.clone(),
            seed: self.seed,
        }
    }

    /// Puts into `said` what it has to say now; the bytes of that on the wire.
    pub(super) fn say(&mut self, said: &mut Vec<Vec<u8>>) -> u64 {
        let now = self.work();
        let mut count = 0;
        let mut bytes = 0;
        loop {
            if said.len() == count {
                said.push(Vec::new());
            }
            if self
                .node
                .poll_output(&mut self.replica, now, &mut said[count])
                .is_none()
            {
                break;
            }
            bytes += (said[count].len() + super::HEADERS) as u64;
            count += 1;
        }
        said.truncate(count);
        bytes
    }

    /// Looks at its clock and tables.
    pub(super) fn work(&mut self) -> Duration {
        let now = self.now();
        self.replica.set_jiffies(Self::jiffies(now));
        self.node.work(&mut self.replica, now);
        now
    }

    pub(super) fn hear(&mut self, datagram: &mut [u8]) {
        let now = self.now();
        // What is refused is missing in the end.
        let _ = self.node.receive(datagram, &mut self.replica, now);
    }

    pub(super) fn is_in_sync(&self) -> bool {
        self.node.phase() == Phase::InSync && self.has_met()
    }

    pub(super) fn has_met(&self) -> bool {
        self.node.is_in_company()
    }

    /// Whether it has something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        self.node.next_deadline(self.now()) <= self.now()
    }

    /// Datagrams that it did not open.
    pub(super) fn refused(&self) -> u64 {
        let counters = self.node.seal_counters();
        Refusal::ALL
            .iter()
            .map(|refusal| counters.refused(*refusal))
            .sum()
    }

    /// Connections that it learned of from others.
    pub(super) fn taken_in(&self) -> u64 {
        let counters = self.node.counters();
        counters.updated.new + counters.repaired.new
    }
}

/// Nanoseconds that it takes to enter a connection that another director told of, once its datagram is open.
pub(super) fn applying(flows: u32) -> Result<f64> {
    let (mut a, mut b) = (Director::new("a", flows), Director::new("b", flows));
    let mut block = lb_common::wire::sync::BlockBuilder::new(DATAGRAM - 100);
    block.clear_for(lb_common::wire::sync::VERSION);
    let mut payload = Vec::new();
    let (mut time, mut applied) = (Duration::ZERO, 0);
    for begun in (0..flows).step_by(super::AT_ONCE as usize) {
        a.begin(begun..(begun + super::AT_ONCE).min(flows));
        let now = a.work();
        let now_ms = a.node.cluster_ms(now);
        loop {
            let is_full = a.replica.collect(&mut block, now_ms);
            if block.is_empty() {
                break;
            }
            payload.clear();
            lb_common::wire::sync::write::updates(1, &block, now_ms, &mut payload);
            block.clear();
            let Ok(Message {
                body: Body::Updates { block, .. },
                ..
            }) = Message::parse(&payload)
            else {
                bail!("an own message cannot be read");
            };
            b.work();
            let moment = Moment {
                sent: now_ms,
                now: now_ms,
            };
            let start = Instant::now();
            applied += b.replica.apply(&block, Source::Update, moment).new;
            time += start.elapsed();
            if !is_full {
                break;
            }
        }
    }
    Ok(time.as_nanos() as f64 / applied as f64)
}

//! The connections of one director: its flow tables, which packets change at the same time.
//!
//! For each place of the tables there is a [`shadow::Shadow`]: when the connection changed last, and what the others know of
//! it. A new flow has none; one whose state packets have changed does not fit it. So what is to be told can be seen
//! at any time, whether the journal named it or was overrun.

mod context;
mod digest;
mod directory;
mod half;
mod route;
mod shadow;
mod take;
mod tell;
#[cfg(test)]
mod tests;
mod ticks;
mod translate;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    ops::Deref,
};

use lb_common::{
    abi::{FlowPlace, JOURNAL_SLOTS, JournalReader, JournalRing, TimeoutTable},
    flow_table::{Bucket, Entry, Entry4, Entry6, Translation4, Translation6},
    hash::Seed,
    packet::FlowKey,
    wire::sync::{Block, BlockBuilder, Digest, Full, ServiceId, Stamp, SurveyId, Target},
};

pub use self::directory::{Directory, NumberedBackend, Synced};
use self::{
    context::{Context, Urgency},
    directory::Resolved,
    half::Half,
    ticks::Ticks,
    walk::{Findings, Unknown},
};
use super::{
    replica::{Applied, Mended, Moment, Place, Replica, Source},
    settings::UNSETTLED_MS,
};

/// Buckets that one step of a walk looks at: a fifth of a millisecond's work.
const STRIDE: usize = 2048;
/// So many flows of one CPU that were noted and not read are too many.
const PRESSED: u32 = JOURNAL_SLOTS as u32 / 2;
/// Flows that a walk finds, or that were put off, and that wait to be told, at most; the next walk finds the rest.
const MOST_FOUND: usize = 1 << 16;
/// Backends that are wanted at the same time, at most.
const MOST_WANTED: usize = 1 << 10;
/// Targets whose flows were ended that are remembered, at most.
const MOST_RELEASED: usize = 1 << 10;

/// What a replica is made of: memory that it shares with the packet path.
#[derive(Debug)]
pub struct Memory<M4, N4, M6, N6, J, T> {
    /// IPv4 flows.
    pub four: M4,
    /// Their translations.
    pub translations4: N4,
    /// IPv6 flows.
    pub six: M6,
    /// Their translations.
    pub translations6: N6,
    /// What each CPU noted.
    pub journal: J,
    /// Timeouts by class and state.
    pub timeouts: T,
}

/// What does not change in the life of a replica.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Of the flow tables' hash.
    pub seed: Seed,
    /// Of the hash that is the same on all directors.
    pub leaf_seed: Seed,
    /// Connections are divided into 2 to this power leaves.
    pub leaf_bits: u8,
    /// Jiffies in a second.
    pub hz: u32,
}

/// A backend of a service that flows of others go to and that has no number here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedBackend {
    /// Name of the service.
    pub service: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 where it is the frontend's.
    pub port: u16,
}

/// What both families share.
#[derive(Debug)]
struct Common<T> {
    facts: Facts,
    timeouts: T,
    jiffies: u64,
    directory: Directory,
    /// Targets whose flows were ended here, and when: by what stands for them in digests.
    released: BTreeMap<u64, Stamp>,
}

impl<T: Deref<Target = TimeoutTable>> Common<T> {
    fn context(&self, now_ms: u64) -> Context<'_> {
        Context {
            ticks: Ticks {
                hz: self.facts.hz,
                now: self.jiffies,
                now_ms,
            },
            timeouts: &self.timeouts,
            directory: &self.directory,
            released: &self.released,
            facts: &self.facts,
        }
    }
}

/// The connections in the flow tables.
#[derive(Debug)]
pub struct FlowReplica<M4, N4, M6, N6, J, T> {
    common: Common<T>,
    four: Half<Entry4, M4, N4>,
    six: Half<Entry6, M6, N6>,
    journal: J,
    readers: Vec<JournalReader>,
    /// Found by a walk or put off, and to be told.
    found: VecDeque<FlowPlace>,
    /// The flow that did not fit the last block.
    left: Option<FlowPlace>,
    unfound: u64,
    wanted: BTreeSet<(ServiceId, IpAddr, u16)>,
    resolved: Vec<(Target, Resolved)>,
    cutoff: Stamp,
    unknown: Unknown,
    /// Digests of the last complete survey, and of the one under way.
    digests: Vec<Digest>,
    walked: Vec<Digest>,
}

impl<M4, N4, M6, N6, J, T> FlowReplica<M4, N4, M6, N6, J, T>
where
    M4: Deref<Target = [Bucket<Entry4>]>,
    N4: Deref<Target = [Bucket<Translation4>]>,
    M6: Deref<Target = [Bucket<Entry6>]>,
    N6: Deref<Target = [Bucket<Translation6>]>,
    J: Deref<Target = [JournalRing]>,
    T: Deref<Target = TimeoutTable>,
{
    /// A replica of what is in `memory`, as of `jiffies`.
    #[must_use]
    pub fn new(
        memory: Memory<M4, N4, M6, N6, J, T>,
        facts: Facts,
        directory: Directory,
        jiffies: u64,
    ) -> Self {
        let leaves = 1 << facts.leaf_bits;
        Self {
            common: Common {
                facts,
                timeouts: memory.timeouts,
                jiffies,
                directory,
                released: BTreeMap::new(),
            },
            four: Half::new(memory.four, memory.translations4, facts.leaf_bits),
            six: Half::new(memory.six, memory.translations6, facts.leaf_bits),
            readers: memory.journal.iter().map(JournalReader::from_now).collect(),
            journal: memory.journal,
            found: VecDeque::new(),
            left: None,
            unfound: 0,
            wanted: BTreeSet::new(),
            resolved: Vec::new(),
            cutoff: Stamp::default(),
            // What an earlier daemon left is mostly known to the others.
            unknown: Unknown::Adopt,
            digests: vec![Digest::default(); leaves],
            walked: vec![Digest::default(); leaves],
        }
    }

    /// The time goes on.
    pub fn set_jiffies(&mut self, jiffies: u64) {
        self.common.jiffies = jiffies;
    }

    /// The numbers stand for others from now on; what waited for it is taken in at `now`, in the cluster's milliseconds.
    pub fn set_directory(&mut self, directory: Directory, now: u64) -> Applied {
        self.common.directory = directory;
        self.wanted.clear();
        let mut applied = Applied::default();
        let context = self.common.context(now);
        self.four.take_parked(now, &mut applied, &context);
        self.six.take_parked(now, &mut applied, &context);
        applied
    }

    /// Backends that need a number, so that flows of others can go there.
    pub fn wanted(&self) -> impl Iterator<Item = WantedBackend> + '_ {
        self.wanted.iter().filter_map(|(service, address, port)| {
            Some(WantedBackend {
                service: self.common.directory.name(*service)?.to_owned(),
                address: *address,
                port: *port,
            })
        })
    }

    /// The flows of the backend with this number end here, whoever goes on telling of them.
    pub fn release(&mut self, number: u32, now: u64) {
        let released = &mut self.common.released;
        if let Some(known) = self.common.directory.known(number) {
            if released.len() >= MOST_RELEASED {
                released.pop_first();
            }
            released.insert(known.identity, Stamp::at(now));
        }
    }

    /// Removes a flow, here and on all directors; whether it was here.
    pub fn remove(&mut self, key: &FlowKey, now: u64) -> bool {
        let context = self.common.context(now);
        let four = key
            .to_v4()
            .is_some_and(|key| self.four.order_removal(&key, &context));
        four || key
            .to_v6()
            .is_some_and(|key| self.six.order_removal(&key, &context))
    }

    /// Flows that were overwritten in the journal before they were read; and flows that a walk found, or that were put off, and
    /// that there was no room for.
    #[must_use]
    pub fn overrun(&self) -> (u64, u64) {
        (
            self.readers.iter().map(JournalReader::overrun).sum(),
            self.unfound,
        )
    }

    /// The next flow that the journal or a walk names. While the journal fills faster than it is read, those that are not
    /// urgent are put off.
    fn next_place(&mut self, is_pressed: bool) -> Option<FlowPlace> {
        if let Some(left) = self.left.take() {
            return Some(left);
        }
        while let Some(noted) = self.next_noted() {
            if !is_pressed {
                return Some(noted);
            }
            match self.urgency(noted) {
                Urgency::AtOnce => return Some(noted),
                Urgency::Later if self.found.len() < MOST_FOUND => self.found.push_back(noted),
                Urgency::Later | Urgency::Never => self.unfound += 1,
            }
        }
        self.found.pop_front()
    }

    fn next_noted(&mut self) -> Option<FlowPlace> {
        let mut readers = self.readers.iter_mut().zip(self.journal.iter());
        readers.find_map(|(reader, ring)| reader.next(ring))
    }

    /// Whether packets note flows faster than they can be told.
    fn is_pressed(&self) -> bool {
        let mut readers = self.readers.iter().zip(self.journal.iter());
        readers.any(|(reader, ring)| reader.behind(ring) > PRESSED)
    }

    fn urgency(&self, flow: FlowPlace) -> Urgency {
        let control = if flow.is_v6 {
            self.six.entry(flow.place).map(Entry::state)
        } else {
            self.four.entry(flow.place).map(Entry::state)
        };
        control.map_or(Urgency::Never, Urgency::of)
    }
}

impl<M4, N4, M6, N6, J, T> Replica for FlowReplica<M4, N4, M6, N6, J, T>
where
    M4: Deref<Target = [Bucket<Entry4>]>,
    N4: Deref<Target = [Bucket<Translation4>]>,
    M6: Deref<Target = [Bucket<Entry6>]>,
    N6: Deref<Target = [Bucket<Translation6>]>,
    J: Deref<Target = [JournalRing]>,
    T: Deref<Target = TimeoutTable>,
{
    fn apply(&mut self, block: &Block<'_>, source: Source, moment: Moment) -> Applied {
        let mut applied = Applied::default();
        let context = self.common.context(moment.now);
        self.resolved.clear();
        let resolve = |target| (target, context.directory.resolve(&target));
        self.resolved.extend(block.targets().map(resolve));
        let mut want = |target: Target| {
            if self.wanted.len() < MOST_WANTED {
                self.wanted.insert((target.service, target.backend, target.port));
            }
        };
        let news = (&self.resolved[..], source, moment);
        self.four
            .take_all(block.records4(), news, &mut applied, &mut want, &context);
        self.six
            .take_all(block.records6(), news, &mut applied, &mut want, &context);
        applied
    }

    fn collect(&mut self, block: &mut BlockBuilder, now: u64) -> bool {
        if self.four.tell_removals(block).is_err() || self.six.tell_removals(block).is_err() {
            return true;
        }
        let is_pressed = self.is_pressed();
        while let Some(flow) = self.next_place(is_pressed) {
            let context = self.common.context(now);
            let told = if flow.is_v6 {
                self.six.tell(flow.place, block, &context)
            } else {
                self.four.tell(flow.place, block, &context)
            };
            if told == Err(Full) {
                self.left = Some(flow);
                return true;
            }
        }
        false
    }

    fn begin_survey(&mut self, survey: SurveyId, services: &[ServiceId]) {
        self.common.directory.set_scope(services);
        self.cutoff = Stamp::at(survey.0.saturating_sub(UNSETTLED_MS));
        self.walked.fill(Digest::default());
        self.four.begin_survey();
        self.six.begin_survey();
    }

    fn walk(&mut self, now: u64) -> bool {
        let context = self.common.context(now);
        let (found, unfound) = (&mut self.found, &mut self.unfound);
        let mut tell = |is_v6: bool, place: u32| {
            if found.len() < MOST_FOUND {
                found.push_back(FlowPlace { is_v6, place });
            } else {
                *unfound += 1;
            }
        };
        let mut findings = Findings {
            cutoff: self.cutoff,
            unknown: self.unknown,
            digests: &mut self.walked,
            tell: |place| tell(false, place),
        };
        if !self.four.walk(STRIDE, &mut findings, &context) {
            return false;
        }
        let mut findings = Findings {
            cutoff: self.cutoff,
            unknown: self.unknown,
            digests: &mut self.walked,
            tell: |place| tell(true, place),
        };
        if !self.six.walk(STRIDE, &mut findings, &context) {
            return false;
        }
        std::mem::swap(&mut self.digests, &mut self.walked);
        self.unknown = Unknown::Tell;
        true
    }

    fn list_mended(&mut self, most: usize) {
        self.four.list_mended(most);
        self.six.list_mended(most);
    }

    fn mended(&self) -> Vec<Mended> {
        self.four.mended().chain(self.six.mended()).collect()
    }

    fn digests(&self) -> &[Digest] {
        &self.digests
    }

    fn leaf(&self, leaf: u16, places: &mut Vec<Place>) {
        places.clear();
        let place = |is_v6: bool| move |place: u32| Place(u64::from(place) | u64::from(is_v6) << 32);
        places.extend(self.four.leaf(leaf).map(place(false)));
        places.extend(self.six.leaf(leaf).map(place(true)));
    }

    fn push(&mut self, place: Place, block: &mut BlockBuilder, now: u64) -> Result<(), Full> {
        let context = self.common.context(now);
        if place.0 >> 32 == 0 {
            self.four.give(place.0 as u32, block, &context)
        } else {
            self.six.give(place.0 as u32, block, &context)
        }
    }

    fn forget_moments(&mut self, _now: u64) {
        self.four.forget();
        self.six.forget();
        self.unknown = Unknown::Adopt;
    }

    fn services(&self) -> &[ServiceId] {
        self.common.directory.services()
    }

    fn flows(&self) -> u64 {
        self.four.flows.told + self.six.flows.told
    }

    fn untold(&self) -> u64 {
        self.four.flows.untold + self.six.flows.untold
    }
}

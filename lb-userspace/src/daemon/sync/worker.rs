//! The sync thread: a loop around [`Node`].

use std::{
    io,
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lb_common::{
    abi::{JournalRing, TimeoutTable},
    flow_table::{Bucket, Entry4, Entry6, Translation4, Translation6},
    hash::Seed,
    wire::{
        seal::{NodeId, Session},
        sync::Phase,
    },
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::{
    super::{
        ha::{clock, post::Inbox},
        identity::Identity,
    },
    courier::{Courier, Passage},
    ticker::{Reading, Ticker},
    view,
};
use crate::{
    api::types::SyncView,
    core::{
        ha,
        model::{Config, SyncPath},
        seal::Keyring,
        sync::{
            Compared, Crossing, Event, HISTORY, LEAF_BITS, LEAST_DATAGRAM, Node, Replica as _, Settings,
            Store, Word,
            flows::{Directory, Facts, FlowReplica, Memory, WantedBackend},
        },
    },
    datapath::{Elements, First, Kernel},
    notify::Sink,
};

/// Between two looks at what packets note, in company. Alone there is nobody to tell.
const JOURNAL: Duration = Duration::from_millis(1);
/// Between two looks at the interface, and tellings of backends that are wanted.
const LOOK: Duration = Duration::from_secs(1);
/// How long the others may take to have everything before VIPs are handed over all the same.
const BARRIER: Duration = Duration::from_millis(800);
/// What a datagram has where nothing is known of the link: Ethernet's MTU without the headers of IPv6 and UDP.
const USUAL_DATAGRAM: usize = 1500 - 48;

pub(super) type Replica = FlowReplica<
    Elements<Bucket<Entry4>>,
    Elements<Bucket<Translation4>>,
    Elements<Bucket<Entry6>>,
    Elements<Bucket<Translation6>>,
    Elements<JournalRing>,
    First<TimeoutTable>,
>;

/// What the thread is told by the daemon's loop.
#[derive(Debug)]
pub(super) enum Order {
    /// The numbers stand for others.
    Directory(Directory),
    /// The flows of the backend with this number are ended.
    Release(u32),
    /// The configuration is another one.
    Configure {
        /// Its keys.
        keyring: Arc<Keyring>,
        /// Its digest.
        digest: u64,
    },
    /// This was said on this director.
    Words(Vec<(String, Word)>),
    /// What the packet path's clock showed.
    Jiffies(Reading),
    /// Somebody asks.
    View(oneshot::Sender<SyncView>),
    /// Somebody wants to know when everybody has everything.
    Barrier(oneshot::Sender<Crossing>),
    /// Somebody wants to know how the tables compare, and to see so much of what differs.
    Compare(usize, oneshot::Sender<Compared>),
    /// End.
    Stop,
}

/// What the daemon's loop is told.
#[derive(Debug)]
pub(in crate::daemon) enum News {
    /// Backends that only others have flows to need numbers here.
    Wanted(Vec<WantedBackend>),
    /// Others said something that is the last word now.
    Said(Vec<Said>),
}

/// What another director said.
#[derive(Debug)]
pub(in crate::daemon) struct Said {
    /// Of what.
    pub(in crate::daemon) key: String,
    /// What, and when.
    pub(in crate::daemon) word: Word,
    /// The director that said it first.
    pub(in crate::daemon) director: String,
}

/// What the daemon's loop can see at any time.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Of the others' connections, how many are here, in hundredths of a percent.
    pub(super) complete: AtomicU16,
    /// Number of the next update.
    pub(super) position: AtomicU64,
    /// How far the cluster's time is ahead of this machine's clock, in milliseconds.
    pub(super) ahead: AtomicU64,
}

/// All of them, in hundredths of a percent.
const COMPLETE: u16 = 10_000;

pub(super) struct Worker {
    /// This director's name.
    pub(super) name: String,
    pub(super) node: Node,
    pub(super) replica: Replica,
    pub(super) courier: Courier,
    ticker: Ticker,
    /// Whether it was told that nothing can be sent.
    is_lost: bool,
    look_at: Duration,
    inbox: Inbox<Order>,
    news: mpsc::Sender<News>,
    /// Who waits for a barrier, and for a comparison.
    crossing: Vec<oneshot::Sender<Crossing>>,
    comparing: Vec<(usize, oneshot::Sender<Compared>)>,
    progress: Arc<Progress>,
    events: Sink,
}

impl Worker {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing, and this is called once"
    )]
    pub(super) fn new(
        config: &Config,
        path: &SyncPath,
        identity: &Identity,
        kernel: &Kernel,
        directory: Directory,
        store: Store,
        ticker: Ticker,
        inbox: Inbox<Order>,
        news: mpsc::Sender<News>,
        progress: Arc<Progress>,
        events: Sink,
    ) -> Self {
        let tables = &kernel.tables;
        let memory = Memory {
            four: Elements(Arc::clone(&tables.flows_v4)),
            translations4: Elements(Arc::clone(&tables.translations_v4)),
            six: Elements(Arc::clone(&tables.flows_v6)),
            translations6: Elements(Arc::clone(&tables.translations_v6)),
            journal: Elements(Arc::clone(&tables.journal)),
            timeouts: First(Arc::clone(&tables.timeouts)),
        };
        let facts = Facts {
            seed: kernel.settings().flow_seed,
            leaf_seed: Seed::new(identity.keyring.schedule_seed()),
            leaf_bits: LEAF_BITS,
            hz: ticker.hz(),
        };
        let replica = FlowReplica::new(memory, facts, directory, ticker.now());
        let (courier, error) = Courier::new(path.clone());
        let settings = Settings {
            keyring: Arc::clone(&identity.keyring),
            name: config.director.name.clone(),
            session: Session {
                epoch: identity.epoch,
                salt: rand::random(),
            },
            secret: rand::random(),
            leaf_bits: LEAF_BITS,
            datagram: courier
                .longest_datagram()
                .unwrap_or(USUAL_DATAGRAM)
                .max(LEAST_DATAGRAM),
            history: HISTORY,
            bulk_rate: path.bulk_rate,
        };
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = clock::now();
        let mut node = Node::new(settings, store, since_1970.as_millis() as u64, now);
        node.set_config_digest(view::digest(config), now);
        let mut worker = Self {
            name: config.director.name.clone(),
            node,
            replica,
            courier,
            ticker,
            is_lost: false,
            look_at: now + LOOK,
            inbox,
            news,
            crossing: Vec::new(),
            comparing: Vec::new(),
            progress,
            events,
        };
        worker.say_how_far();
        if let Some(error) = error {
            worker.path_lost(&error.to_string());
        }
        worker
    }

    /// Works until it is stopped.
    ///
    /// # Errors
    /// When the system fails it.
    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            self.inbox.silence();
            while let Some(order) = self.inbox.next() {
                if !self.obey(order) {
                    return Ok(());
                }
            }
            self.replica.set_jiffies(self.ticker.now());
            self.courier
                .receive(&mut self.node, &mut self.replica, clock::now());
            self.node.work(&mut self.replica, clock::now());
            self.courier.send(&mut self.node, &mut self.replica, clock::now());
            while let Some(event) = self.node.poll_event() {
                self.events.tell(event);
            }
            self.say_how_far();
            self.pass_on_what_was_said();
            self.answer_those_who_wait();
            if clock::now() >= self.look_at {
                self.look_at = clock::now() + LOOK;
                self.look_at_path();
                self.ask_for_numbers();
            }
        }
    }

    /// Has the daemon's loop know how complete the connections are.
    fn say_how_far(&self) {
        let complete = match self.node.phase() {
            Phase::Starting => 0,
            // It may have fetched everything, and not know yet whether that is all.
            Phase::Joining => (self.node.view(clock::now()).joined * 10).min(ha::COMPLETE - 1),
            Phase::InSync => COMPLETE,
        };
        self.progress.complete.store(complete, Ordering::Relaxed);
        self.progress
            .position
            .store(self.node.position(), Ordering::Relaxed);
        let now = clock::now();
        let ahead = self.node.cluster_ms(now).saturating_sub(now.as_millis() as u64);
        self.progress.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Has the daemon's loop hear what others said. What it has no time for stays with the node, the last word on each thing.
    fn pass_on_what_was_said(&mut self) {
        let Ok(room) = self.news.try_reserve() else { return };
        let mut said = Vec::new();
        while let Some((key, word)) = self.node.poll_said() {
            let director = self.node.name_of(NodeId(word.author));
            said.push(Said { key, word, director });
        }
        if !said.is_empty() {
            room.send(News::Said(said));
        }
    }

    fn answer_those_who_wait(&mut self) {
        let now = clock::now();
        if let Some(crossing) = self.node.poll_barrier(now) {
            for to in self.crossing.drain(..) {
                // Who asked may have lost patience.
                drop(to.send(crossing.clone()));
            }
        }
        if let Some(found) = self.node.poll_comparison(&self.replica, now) {
            self.replica.list_mended(0);
            for (most, to) in self.comparing.drain(..) {
                let mut found = found.clone();
                found.mended.truncate(most);
                drop(to.send(found));
            }
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&self) -> io::Result<()> {
        let now = clock::now();
        let mut due = self.node.next_deadline(now).min(self.look_at);
        if self.node.is_in_company() {
            due = due.min(now + JOURNAL);
        }
        let patience = match self.courier.has_more() {
            true => Duration::ZERO,
            // Whatever is due, it cannot be sent before the network takes it.
            false if self.courier.is_blocked() => JOURNAL,
            false => due.saturating_sub(now),
        };
        let mut polled = vec![PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN)];
        if let Some(descriptor) = self.courier.descriptor() {
            let mut events = PollFlags::POLLIN;
            events.set(PollFlags::POLLOUT, self.courier.is_blocked());
            polled.push(PollFd::new(descriptor, events));
        }
        match ppoll(&mut polled, Some(TimeSpec::from_duration(patience)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether to go on.
    fn obey(&mut self, order: Order) -> bool {
        let now = clock::now();
        match order {
            Order::Directory(directory) => {
                let cluster_ms = self.node.cluster_ms(now);
                self.replica.set_directory(directory, cluster_ms);
            }
            Order::Release(number) => self.replica.release(number, self.node.cluster_ms(now)),
            Order::Configure { keyring, digest } => {
                self.node.set_keyring(&keyring);
                self.node.set_config_digest(digest, now);
            }
            Order::Words(words) => {
                for (key, word) in words {
                    if !self.node.pass_on(&key, word, now) {
                        warn!(
                            key,
                            "there is no room for it in the replicated store: it holds on this director alone"
                        );
                    }
                }
            }
            Order::Jiffies(reading) => self.ticker.set(reading),
            // Who asked may have lost patience.
            Order::View(to) => drop(to.send(view::view(self, now))),
            Order::Barrier(to) => {
                self.node.begin_barrier(BARRIER, now);
                self.crossing.push(to);
            }
            Order::Compare(most, to) => {
                self.comparing.push((most, to));
                let most = self.comparing.iter().map(|(most, _)| *most).max();
                self.replica.list_mended(most.unwrap_or(0));
                self.node.begin_comparison(now);
            }
            Order::Stop => return false,
        }
        true
    }

    /// Says so when the way to the others is lost, or found again.
    fn look_at_path(&mut self) {
        match self.courier.look() {
            Passage::Blocked(reason) => self.path_lost(&reason),
            Passage::Free if std::mem::take(&mut self.is_lost) => {
                let interface = self.courier.path().interface.clone();
                self.events.tell(Event::PathFound { interface });
            }
            Passage::Free | Passage::Unknown => {}
        }
    }

    /// Says so once.
    fn path_lost(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.events.tell(Event::PathLost {
                interface: self.courier.path().interface.clone(),
                reason: reason.to_owned(),
            });
        }
    }

    /// Asks for numbers of backends that only others have flows to, until there are.
    fn ask_for_numbers(&mut self) {
        let wanted: Vec<_> = self.replica.wanted().collect();
        if !wanted.is_empty() {
            // A loop that has no time is asked again.
            let _ = self.news.try_send(News::Wanted(wanted));
        }
    }
}

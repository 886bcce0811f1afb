//! Follows the kernel's link, route and neighbour tables for a set of backends.
//!
//! A task reads multicast messages, feeds [`Neighbours`] and does what it asks for. Nothing queues without bound: the
//! kernel's socket buffer holds what was not read yet, and when it overflows (ENOBUFS) the tables are read anew.

use std::{io, net::IpAddr, time::Duration};

use rtnetlink::{
    MulticastGroup,
    packet_core::{NLM_F_CREATE, NetlinkBuffer, NetlinkMessage, NetlinkPayload},
    packet_route::RouteNetlinkMessage,
};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Netlink, NetlinkError, subscription::Subscription, translate};
use crate::core::neighbour::{Egress, Input, Neighbour, Neighbours, Output, ProbeKind, Route, Timing};

/// The tables are read anew this often, in case a message was lost without notice.
const RESYNC: Duration = Duration::from_secs(60);
/// Not more often than this, however many messages are lost.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);
/// Longer messages are cut, which counts as a loss. The kernel's multicast messages stay under a page or two.
const LONGEST_MESSAGE: usize = 64 << 10;
/// Messages read before what they caused is done: more than fit into the buffer, except for a kernel that never stops.
const READ_BATCH: usize = 32 << 10;
/// Requests made before newly arrived messages are read.
const REQUEST_BATCH: usize = 64;
/// Changes that wait for the daemon; when it is full the monitor waits, and the kernel's buffer fills.
const CHANGES: usize = 256;

const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Why the monitor cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The multicast socket could not be opened or read.
    #[error("cannot follow the kernel's network tables: {0}")]
    Socket(io::Error),
    /// A request failed for a reason that will not pass.
    #[error(transparent)]
    Request(#[from] NetlinkError),
    /// The monitor has ended before, with the error it gave then.
    #[error("the monitor of the kernel's network tables has stopped")]
    Stopped,
}

/// How a backend is reached has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The backend. A change may still come for one that was just removed.
    pub address: IpAddr,
    /// How it is reached from now on.
    pub egress: Egress,
}

/// A running monitor; dropping it ends it.
#[derive(Debug)]
pub struct Monitor {
    targets: watch::Sender<Vec<IpAddr>>,
    changes: mpsc::Receiver<Result<Change, MonitorError>>,
    task: JoinHandle<()>,
}

impl Monitor {
    /// Starts it in the calling thread's network namespace, with no targets.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers on.
    ///
    /// # Errors
    /// When the sockets cannot be opened.
    pub fn spawn(timing: Timing) -> Result<Self, MonitorError> {
        let (targets, wanted) = watch::channel(Vec::new());
        let (sender, changes) = mpsc::channel(CHANGES);
        let worker = Worker::new(timing, wanted, sender)?;
        Ok(Self {
            targets,
            changes,
            task: tokio::spawn(worker.run()),
        })
    }

    /// Follows exactly these backends from now on. Each gets a first [`Change`] at once, mostly "not yet resolved".
    pub fn set_targets(&self, addresses: Vec<IpAddr>) {
        self.targets.send_replace(addresses);
    }

    /// The next change. Cancelling loses nothing.
    ///
    /// # Errors
    /// When the monitor had to end; what it said before is not kept up any more.
    pub async fn next(&mut self) -> Result<Change, MonitorError> {
        self.changes.recv().await.unwrap_or(Err(MonitorError::Stopped))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a worker ends.
enum End {
    /// Nobody listens any more.
    Unwanted,
    Error(MonitorError),
}

impl From<MonitorError> for End {
    fn from(error: MonitorError) -> Self {
        Self::Error(error)
    }
}

impl From<NetlinkError> for End {
    fn from(error: NetlinkError) -> Self {
        Self::Error(error.into())
    }
}

struct Worker {
    events: AsyncFd<Subscription>,
    requests: Netlink,
    machine: Neighbours,
    targets: watch::Receiver<Vec<IpAddr>>,
    changes: mpsc::Sender<Result<Change, MonitorError>>,
    start: Instant,
    resync_at: Instant,
    last_resync: Option<Instant>,
    buffer: Vec<u8>,
    /// Messages may be waiting that no readiness will announce.
    unread: bool,
    /// Messages were lost and the tables not read since: what we know may be old.
    lossy: bool,
}

impl Worker {
    fn new(
        timing: Timing,
        targets: watch::Receiver<Vec<IpAddr>>,
        changes: mpsc::Sender<Result<Change, MonitorError>>,
    ) -> Result<Self, MonitorError> {
        let start = Instant::now();
        Ok(Self {
            events: Subscription::open(&GROUPS)
                .and_then(Subscription::into_async)
                .map_err(MonitorError::Socket)?,
            requests: Netlink::open()?,
            machine: Neighbours::new(timing),
            targets,
            changes,
            start,
            resync_at: start,
            last_resync: None,
            buffer: Vec::with_capacity(LONGEST_MESSAGE),
            unread: true,
            lossy: false,
        })
    }

    async fn run(mut self) {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(End::Unwanted) => return,
                Err(End::Error(error)) => {
                    // The receiver may be gone too, and then nobody needs to know.
                    let _ = self.changes.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Learns what is new, does what follows from it, then waits for the next thing.
    async fn turn(&mut self) -> Result<(), End> {
        // First, so that nothing is asked or probed on the strength of what is not so any more.
        self.read_events()?;
        if self.resync_at <= Instant::now() {
            self.resync().await?;
        }
        if !self.lossy {
            self.feed(Input::Tick);
            self.perform().await?;
        }
        if self.unread {
            return Ok(());
        }
        let deadline = self
            .machine
            .next_deadline()
            .filter(|_| !self.lossy)
            .map(|at| self.start + at);
        tokio::select! {
            wanted = self.targets.changed() => {
                wanted.map_err(|_| End::Unwanted)?;
                let addresses = self.targets.borrow_and_update();
                self.machine.set_targets(&addresses);
            }
            // Cleared before reading: what arrives while we read announces itself again.
            ready = self.events.readable() => ready.map_err(MonitorError::Socket)?.clear_ready(),
            () = sleep_until(deadline.unwrap_or(self.resync_at).min(self.resync_at)) => {}
        }
        Ok(())
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(input, self.start.elapsed());
    }

    /// Reads what has arrived, up to a batch.
    fn read_events(&mut self) -> Result<(), MonitorError> {
        self.unread = true;
        for _ in 0..READ_BATCH {
            self.buffer.clear();
            match self.events.get_ref().receive(&mut self.buffer) {
                Ok(length) if length > self.buffer.len() => self.lost("a message was too long"),
                Ok(_) => self.decode(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unread = false;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.lost("they came faster than they were read");
                }
                Err(error) => return Err(MonitorError::Socket(error)),
            }
        }
        Ok(())
    }

    /// Takes apart the datagram in the buffer, which may hold several messages.
    fn decode(&mut self) {
        let mut rest = self.buffer.as_slice();
        let mut inputs = Vec::new();
        while let Ok(header) = NetlinkBuffer::new_checked(rest) {
            let length = header.length() as usize;
            match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&rest[..length]) {
                Ok(message) => {
                    if let NetlinkPayload::InnerMessage(message) = &message.payload {
                        inputs.extend(translate::input(message));
                    }
                }
                Err(error) => tracing::debug!(%error, "a netlink message could not be read"),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        for input in inputs {
            self.feed(input);
        }
    }

    /// Messages are missing: read the tables, but not in a storm.
    fn lost(&mut self, why: &str) {
        tracing::debug!(why, "kernel messages were lost, reading the tables anew");
        let earliest = self.last_resync.map_or(self.start, |last| last + RESYNC_PAUSE);
        self.resync_at = self.resync_at.min(earliest);
        self.lossy = true;
    }

    async fn resync(&mut self) -> Result<(), End> {
        // Older than the snapshot, and must not be taken for newer.
        self.read_events()?;
        while self.unread {
            self.read_events()?;
        }
        self.lossy = false;
        let now = Instant::now();
        self.last_resync = Some(now);
        self.resync_at = now + RESYNC;
        let links = self.requests.links().await?;
        let neighbours = self.requests.neighbours().await?;
        self.feed(Input::Snapshot { links, neighbours });
        Ok(())
    }

    async fn perform(&mut self) -> Result<(), End> {
        let mut requests = 0;
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::LookupRoute { ip } => {
                    let route = self.look_up(ip).await?;
                    self.feed(Input::Route { ip, route });
                }
                Output::Probe { ip, ifindex, kind } => self.probe(ip, ifindex, kind).await?,
                Output::Changed { address, egress } => {
                    let change = Change { address, egress };
                    self.changes.send(Ok(change)).await.map_err(|_| End::Unwanted)?;
                    continue;
                }
            }
            requests += 1;
            if requests % REQUEST_BATCH == 0 {
                self.read_events()?;
                if self.lossy {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn look_up(&self, ip: IpAddr) -> Result<Route, NetlinkError> {
        let what = format!("look up the route to {ip}");
        match self.requests.get(translate::route_request(ip), &what).await {
            Ok(Some(RouteNetlinkMessage::NewRoute(message))) => Ok(translate::route(&message)),
            Ok(_) => Ok(Route::None),
            // ENETUNREACH, EHOSTUNREACH, EACCES (prohibit), EINVAL (blackhole): every errno means no way.
            Err(error) if error.errno().is_some() => Ok(Route::None),
            Err(error) => Err(error),
        }
    }

    async fn probe(&mut self, ip: IpAddr, ifindex: u32, kind: ProbeKind) -> Result<(), NetlinkError> {
        let flags = match kind {
            ProbeKind::Confirm => 0,
            ProbeKind::Resolve => {
                // NTF_USE would make a permanent entry an ordinary one, and unmark a kept one.
                let entry = self.entry(ip, ifindex).await?;
                if let Some(entry) = entry.filter(|entry| entry.kept || entry.is_usable()) {
                    self.feed(Input::Neighbour(entry));
                    return Ok(());
                }
                NLM_F_CREATE
            }
        };
        let what = format!("probe the neighbour {ip}");
        match self
            .requests
            .order(translate::probe_request(ip, ifindex, kind), flags, &what)
            .await
        {
            Ok(()) if kind == ProbeKind::Confirm => return Ok(()),
            Ok(()) => {}
            Err(error) => match error.errno() {
                None | Some(libc::EPERM) => return Err(error),
                Some(libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => {
                    self.feed(Input::TableFull { ip, ifindex });
                    return Ok(());
                }
                // The entry or the interface changed in between; look again.
                Some(_) => {}
            },
        }
        // The kernel tells of changes only, and there may have been none.
        let input = match self.entry(ip, ifindex).await? {
            Some(entry) => Input::Neighbour(entry),
            None => Input::NeighbourDeleted { ip, ifindex },
        };
        self.feed(input);
        Ok(())
    }

    /// A neighbour entry as it is now.
    async fn entry(&self, ip: IpAddr, ifindex: u32) -> Result<Option<Neighbour>, NetlinkError> {
        let what = format!("look up the neighbour {ip}");
        match self
            .requests
            .get(translate::neighbour_request(ip, ifindex), &what)
            .await
        {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(message))) => Ok(translate::neighbour(&message)),
            Ok(_) => Ok(None),
            // ENOENT; or without the interface, which its own message tells.
            Err(error) if error.errno().is_some() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

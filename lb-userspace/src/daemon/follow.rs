//! Packets that somebody follows: the program tells of them, and is put back in its usual form when he has gone.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lb_common::{
    abi::{ARRIVES, LEAVES, REFUSED, WATCHED_BYTES, WatchFilter, WatchRecord},
    reason::Reason,
};
use nix::time::{ClockId, clock_gettime};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use tracing::{info, warn};

use super::director::Director;
use crate::{
    api::{
        query::Refusal,
        trace::Action,
        watch::{Moment, PacketView, Place, WatchRequest},
    },
    core::frame::Headers,
    datapath::{DatapathError, MapSizes, Watch, WatchRing},
};

/// Packets that may wait for the reader.
const WAITING: usize = 1024;
/// How long it may take until it is noticed that the reader has gone.
const LOOK: Duration = Duration::from_millis(100);
const USUAL_BYTES: u32 = 128;

type Reply = oneshot::Sender<Result<mpsc::Receiver<PacketView>, Refusal>>;

/// What becomes of following packets.
pub(super) enum Step {
    /// The program is loaded, and is to be put in place.
    Loaded(Box<(Watch, WatchRing)>, Reply),
    /// It could not be loaded.
    Failed,
    /// The reader has gone.
    Ended,
}

/// Packets that are followed, by one reader at a time.
pub(super) struct Watcher {
    told: mpsc::Sender<Step>,
    steps: mpsc::Receiver<Step>,
    busy: bool,
    /// While it is in place.
    watch: Option<Watch>,
}

impl Watcher {
    pub(super) fn new() -> Self {
        let (told, steps) = mpsc::channel(4);
        Self {
            told,
            steps,
            busy: false,
            watch: None,
        }
    }

    /// The next thing to be done.
    pub(super) async fn next(&mut self) -> Step {
        match self.steps.recv().await {
            Some(step) => step,
            None => unreachable!("there is a sender as long as there is a watcher"),
        }
    }

    /// Begins to follow.
    pub(super) fn begin(&mut self, director: &Director, request: &WatchRequest, reply: Reply) {
        if self.busy {
            let refusal = Refusal::harmful(
                "somebody follows packets already",
                "one at a time: ask again when he has ended",
            );
            return drop(reply.send(Err(refusal)));
        }
        let plan = director
            .kernel
            .watch_plan(&MapSizes::new(&director.config.limits));
        self.busy = true;
        let filter = filter(request);
        let told = self.told.clone();
        spawn_blocking(move || {
            let step = match plan.load(&filter) {
                Ok(loaded) => Step::Loaded(Box::new(loaded), reply),
                Err(error) => {
                    fail(reply, &error);
                    Step::Failed
                }
            };
            // The daemon may be at its end.
            let _ = told.blocking_send(step);
        });
    }

    /// Does it.
    pub(super) fn take(&mut self, step: Step, director: &mut Director) {
        match step {
            Step::Loaded(loaded, reply) => {
                let (mut watch, ring) = *loaded;
                match director.put_in_place(&mut watch) {
                    Ok(()) => {
                        self.watch = Some(watch);
                        info!("packets are followed");
                        self.read(ring, reply);
                    }
                    Err(error) => {
                        fail(reply, &error);
                        director.put_back();
                        self.busy = false;
                    }
                }
            }
            Step::Failed => self.busy = false,
            Step::Ended => {
                director.put_back();
                self.watch = None;
                self.busy = false;
                info!("packets are no longer followed");
            }
        }
    }

    /// Puts the program in place again, where a new configuration has put the usual one.
    pub(super) fn renew(&mut self, director: &mut Director) {
        if let Some(watch) = &mut self.watch
            && let Err(error) = director.put_in_place(watch)
        {
            warn!(%error, "packets cannot be followed any longer");
        }
    }

    /// Leaves nothing but the usual program behind.
    pub(super) fn end(&mut self, director: &mut Director) {
        if self.watch.take().is_some() {
            director.put_back();
        }
    }

    /// Hands on what the program tells, on a thread of its own.
    fn read(&self, mut ring: WatchRing, reply: Reply) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let told = self.told.clone();
        let gone = reply.send(Ok(receiver)).is_err();
        spawn_blocking(move || {
            let mut names = Names::default();
            let offset = offset();
            let mut lost = Lost::default();
            while !gone && !sender.is_closed() {
                while let Some(record) = ring.take() {
                    lost.note(&record);
                    let view = view(&record, lost.sum(), offset, &mut names);
                    if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(view) {
                        lost.unread += 1;
                    }
                }
                if ring.wait(LOOK).is_err() {
                    break;
                }
            }
            let _ = told.blocking_send(Step::Ended);
        });
    }
}

fn fail(reply: Reply, error: &DatapathError) {
    warn!(%error, "packets cannot be followed");
    let hint = "the log of tandemd has the same; packets are not concerned";
    let _ = reply.send(Err(Refusal::harmful(
        format!("packets cannot be followed: {error}"),
        hint,
    )));
}

impl Director {
    fn put_in_place(&mut self, watch: &mut Watch) -> Result<(), DatapathError> {
        let attached = self.interfaces.iter().filter(|(_, attached)| **attached);
        for (interface, _) in attached {
            watch.attach(interface)?;
        }
        Ok(())
    }

    /// Puts the program back in its usual form.
    fn put_back(&mut self) {
        let attached: Vec<String> = self
            .interfaces
            .iter()
            .filter(|(_, attached)| **attached)
            .map(|(interface, _)| interface.clone())
            .collect();
        for interface in attached {
            if let Err(error) = self.kernel.attach(&interface) {
                warn!(interface, %error, "the program goes on telling of packets on this interface; a restart of the daemon ends that");
            }
        }
    }
}

/// Nanoseconds from the boot clock to the wall clock.
fn offset() -> u64 {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        (time.tv_sec() as u64) * 1_000_000_000 + time.tv_nsec() as u64
    });
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (wall.as_nanos() as u64).saturating_sub(boot)
}

/// Names of interfaces by number.
#[derive(Default)]
struct Names(BTreeMap<u32, String>);

impl Names {
    fn of(&mut self, ifindex: u32) -> String {
        let name = self.0.entry(ifindex).or_insert_with(|| {
            let name = nix::net::if_::if_indextoname(ifindex)
                .ok()
                .map(|name| name.to_string_lossy().into_owned());
            name.unwrap_or_else(|| format!("if{ifindex}"))
        });
        name.clone()
    }
}

/// What came too fast to be told of.
#[derive(Default)]
struct Lost {
    /// For the reader.
    unread: u64,
    /// For the ring, by CPU.
    without_room: BTreeMap<u64, u64>,
}

impl Lost {
    fn note(&mut self, record: &WatchRecord) {
        // A packet's number has its CPU below.
        self.without_room.insert(record.number & 0xFFFF, record.lost);
    }

    fn sum(&self) -> u64 {
        self.unread + self.without_room.values().sum::<u64>()
    }
}

fn view(record: &WatchRecord, lost: u64, offset: u64, names: &mut Names) -> PacketView {
    let captured = (record.captured as usize).min(WATCHED_BYTES);
    let bytes = &record.bytes[..captured];
    let leaves = record.moment == LEAVES;
    let refused = record.told & REFUSED != 0;
    let reason = Reason::ALL.get((record.told & !REFUSED) as usize);
    PacketView {
        unix_nanoseconds: record.time + offset,
        number: record.number,
        moment: if leaves { Moment::Out } else { Moment::In },
        interface: names.of(record.ifindex),
        action: leaves.then(|| Action::from_number(record.action)),
        out: (leaves && !refused && record.told > 0).then(|| names.of(record.told)),
        reason: reason
            .filter(|_| leaves && refused)
            .map(|reason| reason.slug().to_owned()),
        headers: Headers::of(bytes, record.length as usize),
        bytes: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        lost,
    }
}

fn filter(request: &WatchRequest) -> WatchFilter {
    let mut filter = WatchFilter {
        protocol: request.protocol.map_or(0, |protocol| protocol.number().into()),
        sample_mask: request.sample.unwrap_or(1).clamp(1, 1 << 30).next_power_of_two() - 1,
        moments: if request.both == Some(true) {
            ARRIVES | LEAVES
        } else {
            LEAVES
        },
        bytes: request
            .bytes
            .unwrap_or(USUAL_BYTES)
            .clamp(14, WATCHED_BYTES as u32),
        ..WatchFilter::default()
    };
    if let Some(source) = request.source {
        (filter.source, filter.source_mask) = words(source, &mut filter.family);
        filter.source_port = source.port.map_or(0, u32::from);
    }
    if let Some(destination) = request.destination {
        (filter.destination, filter.destination_mask) = words(destination, &mut filter.family);
        filter.destination_port = destination.port.map_or(0, u32::from);
    }
    filter
}

/// The address and its mask as they lie in a packet.
fn words(place: Place, family: &mut u32) -> ([u32; 4], [u32; 4]) {
    let network = place.network.0.trunc();
    *family = if network.addr().is_ipv4() { 4 } else { 6 };
    let words = |address: IpAddr| match address {
        IpAddr::V4(v4) => [u32::from_ne_bytes(v4.octets()), 0, 0, 0],
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let (words, _) = octets.as_chunks::<4>();
            std::array::from_fn(|word| u32::from_ne_bytes(words[word]))
        }
    };
    (words(network.addr()), words(network.netmask()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_counted_wherever_it_was() {
        let record = |number, lost| WatchRecord {
            time: 0,
            number,
            moment: LEAVES,
            ifindex: 1,
            action: 3,
            told: 0,
            length: 0,
            captured: 0,
            lost,
            bytes: [0; WATCHED_BYTES],
        };
        let mut lost = Lost::default();
        for record in [record(1 << 16, 0), record(1 << 16 | 1, 5), record(2 << 16 | 1, 7)] {
            lost.note(&record);
        }
        lost.unread = 2;
        assert_eq!(lost.sum(), 9, "7 of the second CPU, and 2 that were not read");
    }

    #[test]
    fn a_filter_says_what_was_asked_for() {
        let request = WatchRequest {
            source: Some("198.51.100.7/24".parse().unwrap()),
            destination: Some("192.0.2.10:80".parse().unwrap()),
            sample: Some(5),
            ..WatchRequest::default()
        };
        let filter = filter(&request);
        assert_eq!(filter.source[0].to_ne_bytes(), [198, 51, 100, 0]);
        assert_eq!(filter.source_mask[0].to_ne_bytes(), [255, 255, 255, 0]);
        assert_eq!(filter.destination_mask[0], u32::MAX);
        assert_eq!(
            (
                filter.family,
                filter.destination_port,
                filter.sample_mask,
                filter.moments
            ),
            (4, 80, 7, LEAVES)
        );
        let all = super::filter(&WatchRequest::default());
        assert_eq!((all.family, all.sample_mask, all.bytes), (0, 0, USUAL_BYTES));
    }
}

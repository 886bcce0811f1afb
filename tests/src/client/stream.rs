//! A stream of datagrams at a steady rate, and what became of them.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::ClientError;
use crate::host::Host;

/// Datagrams go out in bursts that far apart.
const BURST: Duration = Duration::from_millis(1);
/// The last answers come within this time.
const LINGER: Duration = Duration::from_millis(300);

/// Datagrams of one flow to a server that answers each of them ([`UdpEcho`](crate::server::UdpEcho)).
#[derive(Debug)]
pub struct Stream {
    stopped: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<Duration>,
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passage {
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Answers that came.
    pub answered: u64,
    /// Longest time between two answers.
    pub longest_silence: Duration,
}

impl Stream {
    /// Begins to send `per_second` datagrams from `host` to `to`, at least one each millisecond.
    ///
    /// # Errors
    /// [`ClientError::Exchange`] when no route leads there.
    pub fn start(host: &Host, to: SocketAddr, per_second: u32) -> Result<Self, ClientError> {
        let opened: io::Result<_> = host.enter(|| {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(Duration::from_millis(20)))?;
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(32 << 20))?;
            Ok((socket.try_clone()?, socket))
        })?;
        let (out, back) = opened.map_err(|source| ClientError::Exchange {
            doing: "open a stream to",
            to,
            source,
        })?;
        let stopped = Arc::new(AtomicBool::new(false));
        let burst = (per_second / 1000).max(1);
        let (until, ended) = (Arc::clone(&stopped), Arc::clone(&stopped));
        let answered = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&answered);
        Ok(Self {
            stopped,
            answered,
            sender: thread::spawn(move || send(&out, burst, &until)),
            receiver: thread::spawn(move || receive(&back, &ended, &count)),
        })
    }

    /// Answers that have come so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Sends no more, and waits for the last answers.
    #[must_use]
    pub fn stop(self) -> Passage {
        self.stopped.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap_or_default();
        let longest_silence = self.receiver.join().unwrap_or_default();
        Passage {
            sent,
            answered: self.answered.load(Ordering::Relaxed),
            longest_silence,
        }
    }
}

fn send(socket: &UdpSocket, burst: u32, stopped: &AtomicBool) -> u64 {
    let (start, mut sent, mut bursts) = (Instant::now(), 0_u64, 0_u32);
    while !stopped.load(Ordering::Relaxed) {
        // A late one is made up for, so that the rate is kept.
        for _ in 0..burst {
            // A neighbour that is not known yet, or a full queue: it was not sent.
            sent += u64::from(socket.send(&sent.to_be_bytes()).is_ok());
        }
        bursts += 1;
        thread::sleep((start + BURST * bursts).saturating_duration_since(Instant::now()));
    }
    sent
}

/// The longest time between two answers.
fn receive(socket: &UdpSocket, stopped: &AtomicBool, answered: &AtomicU64) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last: Option<Instant> = None;
    let mut end = None;
    let mut buffer = [0; 256];
    while end.is_none_or(|end| Instant::now() < end) {
        match socket.recv(&mut buffer) {
            Ok(_) => {
                let now = Instant::now();
                answered.fetch_add(1, Ordering::Relaxed);
                if let Some(last) = last {
                    longest = longest.max(now - last);
                }
                last = Some(now);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // A backend's closed port: the answer of nobody.
            Err(_) => {}
        }
        if end.is_none() && stopped.load(Ordering::Relaxed) {
            end = Some(Instant::now() + LINGER);
        }
    }
    longest
}

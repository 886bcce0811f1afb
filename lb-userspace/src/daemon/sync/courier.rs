//! Between a node and its socket: what arrives is handed in, and what the node has to say is sent as fast as the network
//! takes it.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use lb_common::wire::seal::NodeId;

use crate::{
    core::{
        model::SyncPath,
        sync::{MAX_PEERS, Node, Replica, To},
    },
    net::sync::{SyncSocket, SyncSocketError},
};

/// Datagrams that are read, or sent, before something else is looked at.
const BATCH: usize = 256;
/// Longest datagram that is received.
const LONGEST: usize = 1 << 16;

/// What goes wrong on the way to the others.
#[derive(Debug, Default)]
pub struct Trouble {
    /// How often something could not be sent or received.
    pub errors: u64,
    /// What it was the last time.
    pub last: Option<String>,
    failed: bool,
    went_well: bool,
}

impl Trouble {
    fn note(&mut self, doing: &str, error: &io::Error) {
        self.errors += 1;
        self.failed = true;
        self.last = Some(format!("cannot {doing}: {error}"));
    }
}

/// How the path to the others has been since it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// Something was sent.
    Free,
    /// Nothing was to be sent.
    Unknown,
    /// Nothing could be sent, for this reason.
    Blocked(String),
}

/// A datagram, and those who have not got it yet.
#[derive(Debug, Default)]
struct Outbound {
    datagram: Vec<u8>,
    to: Vec<SocketAddr>,
}

/// A node and its socket.
#[derive(Debug)]
pub struct Courier {
    path: SyncPath,
    socket: Option<SyncSocket>,
    /// Where each of the others speaks from.
    addresses: BTreeMap<NodeId, SocketAddr>,
    outbound: Outbound,
    trouble: Trouble,
    is_blocked: bool,
    has_more: bool,
    buffer: Box<[u8]>,
}

impl Courier {
    /// A courier on this path, whose socket belongs to the calling thread's network namespace; and why it has none for now.
    #[must_use]
    pub fn new(path: SyncPath) -> (Self, Option<SyncSocketError>) {
        let (socket, error) = match SyncSocket::open(&path) {
            Ok(socket) => (Some(socket), None),
            Err(error) => (None, Some(error)),
        };
        let courier = Self {
            path,
            socket,
            addresses: BTreeMap::new(),
            outbound: Outbound::default(),
            trouble: Trouble::default(),
            is_blocked: false,
            has_more: false,
            buffer: vec![0; LONGEST].into(),
        };
        (courier, error)
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &SyncPath {
        &self.path
    }

    /// What went wrong.
    #[must_use]
    pub fn trouble(&self) -> &Trouble {
        &self.trouble
    }

    /// The longest UDP payload that the interface takes in one piece; `None` while there is no interface.
    #[must_use]
    pub fn longest_datagram(&self) -> Option<usize> {
        self.socket.as_ref()?.longest_datagram().ok()
    }

    /// What becomes readable when datagrams arrive.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Whether the network takes nothing at present; the descriptor becomes writable when it does.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Whether there is more to be read or sent at once.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Reads what has arrived.
    pub fn receive(&mut self, node: &mut Node, replica: &mut impl Replica, now: Duration) {
        self.has_more = false;
        let Some(socket) = &self.socket else { return };
        for _ in 0..BATCH {
            match socket.receive(&mut self.buffer) {
                Ok(Some((length, from))) => {
                    let datagram = &mut self.buffer[..length];
                    // What is refused is counted.
                    if let Ok(sender) = node.receive(datagram, replica, now) {
                        if self.addresses.len() > 2 * MAX_PEERS {
                            self.addresses.clear();
                        }
                        self.addresses.insert(sender, from);
                    }
                }
                Ok(None) => return,
                Err(error) => return self.trouble.note("receive", &error),
            }
        }
        self.has_more = true;
    }

    /// Sends what the network takes.
    pub fn send(&mut self, node: &mut Node, replica: &mut impl Replica, now: Duration) {
        self.is_blocked = false;
        for _ in 0..BATCH {
            if self.outbound.to.is_empty() {
                let Some(to) = node.poll_output(replica, now, &mut self.outbound.datagram) else {
                    return;
                };
                // Where there is no socket nobody gets it; who missed it will ask.
                if let Some(socket) = &self.socket {
                    match to {
                        To::Group => self.outbound.to.extend(socket.everybody()),
                        To::Peer(id) => self.outbound.to.extend(self.addresses.get(&id)),
                    }
                }
            }
            if !self.send_out() {
                self.is_blocked = true;
                return;
            }
        }
        self.has_more = true;
    }

    /// Sends the datagram that is ready; whether the network took it.
    fn send_out(&mut self) -> bool {
        let Some(socket) = &self.socket else {
            self.outbound.to.clear();
            return true;
        };
        while let Some(&to) = self.outbound.to.last() {
            match socket.send(&self.outbound.datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => self.trouble.note(&format!("send to {to}"), &error),
                Ok(()) => self.trouble.went_well = true,
            }
            self.outbound.to.pop();
        }
        true
    }

    /// Opens the socket again where the interface is another one now, and says how the path has been since the last time.
    pub fn look(&mut self) -> Passage {
        if self.socket.as_ref().is_some_and(|socket| !socket.is_current()) {
            self.socket = None;
        }
        if self.socket.is_none() {
            match SyncSocket::open(&self.path) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => return Passage::Blocked(error.to_string()),
            }
        }
        let failed = std::mem::take(&mut self.trouble.failed);
        let went_well = std::mem::take(&mut self.trouble.went_well);
        match (went_well, failed) {
            (true, _) => Passage::Free,
            (false, true) => Passage::Blocked(self.trouble.last.clone().unwrap_or_default()),
            (false, false) => Passage::Unknown,
        }
    }
}

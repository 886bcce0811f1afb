//! Captures: the frames that an interface sent and received.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::LabError;
use crate::netns::Namespace;
use crate::packet_socket::PacketSocket;
use crate::wait::Timeout;

/// A capture keeps no more frames than this.
const MOST_FRAMES: usize = 1_000_000;

/// Why frames could not be captured or sent.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// No packet socket on that interface.
    #[error("cannot open a packet socket on {interface} in {namespace}: {source}")]
    Open {
        /// The interface.
        interface: String,
        /// Its namespace.
        namespace: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A frame was refused.
    #[error("cannot send a frame of {length} bytes: {source}")]
    Send {
        /// The frame's length in bytes.
        length: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// Frames could not be read.
    #[error("cannot receive frames: {0}")]
    Receive(#[source] io::Error),
    /// More frames came than were read in time.
    #[error("the capture lost {0} frames: narrow the filter, or look sooner")]
    Lost(u32),
    /// More frames than a capture keeps.
    #[error("the capture is full with {MOST_FRAMES} frames: narrow the filter")]
    Full,
    /// The frame that was awaited did not come.
    #[error("{timeout}; captured {captured} frames meanwhile")]
    Timeout {
        /// What was awaited, and for how long.
        timeout: Timeout,
        /// How many frames the capture holds.
        captured: usize,
    },
    /// The pcap file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it was read from the kernel.
    pub at: SystemTime,
    /// Whether the interface sent it, rather than received it.
    pub outgoing: bool,
    /// Whether its transport checksum is still to be filled in, by the device that would put it on the wire.
    pub checksum_pending: bool,
    /// The frame from its destination MAC address on, with its VLAN tags, without the frame check sequence.
    pub bytes: Vec<u8>,
}

type Filter = Box<dyn Fn(&[u8]) -> bool + Send>;

/// A running capture on one interface.
///
/// The kernel queues frames from [`start`](Self::start) on; they are read whenever the capture is looked at. Frames that
/// an XDP program turns round are not seen on its own interface, but on the switch port at the other end.
pub struct Capture {
    socket: PacketSocket,
    filter: Filter,
    frames: Vec<Frame>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            socket,
            filter: _,
            frames,
        } = self;
        f.debug_struct("Capture")
            .field("socket", socket)
            .field("frames", frames)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Starts to capture the frames for which `filter` holds.
    ///
    /// # Errors
    /// [`CaptureError::Open`] when there is no such interface.
    pub fn start(
        namespace: &Namespace,
        interface: &str,
        filter: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Self, CaptureError> {
        let socket = PacketSocket::listen(namespace, interface)?;
        Ok(Self {
            socket,
            filter: Box::new(filter),
            frames: Vec::new(),
        })
    }

    /// All frames captured up to now.
    ///
    /// # Errors
    /// [`CaptureError::Lost`] when the capture is not complete.
    pub fn frames(&mut self) -> Result<&[Frame], CaptureError> {
        while self.read(Duration::ZERO)? {}
        match self.socket.lost().map_err(CaptureError::Receive)? {
            0 => Ok(&self.frames),
            lost => Err(CaptureError::Lost(lost)),
        }
    }

    /// Waits until `condition` holds for the frames captured so far, and returns them.
    ///
    /// # Errors
    /// [`CaptureError::Timeout`] when it does not within `deadline`.
    pub fn wait_until(
        &mut self,
        deadline: Duration,
        what: impl Into<String>,
        mut condition: impl FnMut(&[Frame]) -> bool,
    ) -> Result<&[Frame], CaptureError> {
        let start = Instant::now();
        loop {
            if condition(&self.frames) {
                return Ok(&self.frames);
            }
            let waited = start.elapsed();
            // A frame that arrived before the deadline counts, however late it is read.
            if !self.read(deadline.saturating_sub(waited))? && waited >= deadline {
                let timeout = Timeout {
                    what: what.into(),
                    waited,
                };
                return Err(CaptureError::Timeout {
                    timeout,
                    captured: self.frames.len(),
                });
            }
        }
    }

    /// Waits for a frame for which `condition` holds; one that was captured earlier will do.
    ///
    /// # Errors
    /// [`CaptureError::Timeout`] when none comes within `deadline`.
    pub fn wait_for(
        &mut self,
        deadline: Duration,
        what: impl Into<String>,
        mut condition: impl FnMut(&Frame) -> bool,
    ) -> Result<Frame, CaptureError> {
        let mut seen = 0;
        let mut found = None;
        self.wait_until(deadline, what, |frames| {
            found = frames[seen..].iter().find(|frame| condition(frame)).cloned();
            seen = frames.len();
            found.is_some()
        })?;
        found.ok_or(CaptureError::Receive(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Writes the frames captured so far to a file that tcpdump and Wireshark read.
    ///
    /// # Errors
    /// [`CaptureError::Write`].
    pub fn write_pcap(&self, path: &Path) -> Result<(), CaptureError> {
        let failed = |source| CaptureError::Write {
            path: path.to_owned(),
            source,
        };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        write_pcap(&mut file, &self.frames).map_err(failed)
    }

    /// Reads one frame and keeps it if it passes the filter; `false` when there was none in time.
    fn read(&mut self, patience: Duration) -> Result<bool, CaptureError> {
        let Some(received) = self.socket.receive(patience).map_err(CaptureError::Receive)? else {
            return Ok(false);
        };
        if (self.filter)(&received.bytes) {
            if self.frames.len() == MOST_FRAMES {
                return Err(CaptureError::Full);
            }
            self.frames.push(Frame {
                at: SystemTime::now(),
                outgoing: received.outgoing,
                checksum_pending: received.checksum_pending,
                bytes: received.bytes,
            });
        }
        Ok(true)
    }
}

/// The classic pcap format, version 2.4, microseconds, link type Ethernet.
fn write_pcap(out: &mut impl Write, frames: &[Frame]) -> io::Result<()> {
    let number = |out: &mut _, value: u64| Write::write_all(out, &(value as u32).to_le_bytes());
    out.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
    out.write_all(&[2, 0, 4, 0])?;
    for value in [0, 0, 1 << 18, 1] {
        number(out, value)?;
    }
    for frame in frames {
        let at = frame.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = frame.bytes.len() as u64;
        for value in [at.as_secs(), u64::from(at.subsec_micros()), length, length] {
            number(out, value)?;
        }
        out.write_all(&frame.bytes)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcap_has_a_header_and_each_frame_with_its_time_and_length() {
        let at = UNIX_EPOCH + Duration::from_micros(0x0102_0304 * 1_000_000 + 5);
        let frame = Frame {
            at,
            outgoing: true,
            checksum_pending: false,
            bytes: vec![0xaa, 0xbb, 0xcc],
        };
        let mut file = Vec::new();
        write_pcap(&mut file, &[frame]).unwrap();
        let (head, record) = file.split_at(24);
        assert_eq!(head[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(head[20..], [1, 0, 0, 0]);
        assert_eq!(
            record,
            [4, 3, 2, 1, 5, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0xaa, 0xbb, 0xcc]
        );
    }
}

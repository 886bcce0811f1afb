//! The program in the form that tells of packets, in the place of the other while somebody follows them.
//!
//! It shares all maps with the other, so that nothing but the telling differs; both changes are made by an update of the link, in
//! between two packets.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
    time::Duration,
};

use aya::{
    Ebpf,
    maps::{Map, MapData, RingBuf},
    programs::Xdp,
};
use lb_common::abi::{Settings, WatchFilter, WatchRecord, names};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{DatapathError, MapSizes, Pins, attach, object};

/// Bytes of the ring: some 2600 packets.
const RING: u32 = 4 << 20;

/// What it takes to load the program in this form.
#[derive(Debug, Clone)]
pub struct WatchPlan {
    pub(super) sizes: MapSizes,
    pub(super) settings: Settings,
    /// Without them it has maps of its own, for tests.
    pub(super) pins: Option<Pins>,
}

/// The program that tells of packets.
pub struct Watch {
    ebpf: Ebpf,
    pins: Option<Pins>,
}

/// What it tells.
pub struct WatchRing(RingBuf<MapData>);

impl WatchPlan {
    /// Loads the program. It takes as long as the verifier does: a second or so.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn load(&self, filter: &WatchFilter) -> Result<(Watch, WatchRing), DatapathError> {
        let mut ebpf = object::load_watched(&self.sizes, &self.settings, self.pins.as_ref(), filter, RING)?;
        object::load_program(&mut ebpf, names::WATCHED_PROGRAM)?;
        let map = names::WATCH;
        let ring = match ebpf.take_map(map) {
            Some(ring @ Map::RingBuf(_)) => RingBuf::try_from(ring),
            _ => return Err(DatapathError::Missing { name: map }),
        };
        let ring = ring.map_err(|source| DatapathError::Map {
            map,
            source: Box::new(source),
        })?;
        let pins = self.pins.clone();
        Ok((Watch { ebpf, pins }, WatchRing(ring)))
    }
}

impl Watch {
    /// Puts the program in the place of the one that is on this interface.
    ///
    /// # Errors
    /// [`DatapathError`].
    pub fn attach(&mut self, interface: &str) -> Result<(), DatapathError> {
        let Some(pins) = &self.pins else {
            return Err(DatapathError::Missing {
                name: "pin directory",
            });
        };
        let program = object::program(&mut self.ebpf, names::WATCHED_PROGRAM)?;
        attach::attach(program, interface, pins).map(drop)
    }

    /// The program, to look at.
    ///
    /// # Errors
    /// [`DatapathError::Missing`].
    pub fn program(&mut self) -> Result<&mut Xdp, DatapathError> {
        object::program(&mut self.ebpf, names::WATCHED_PROGRAM)
    }
}

impl WatchRing {
    /// The next packet that was told of.
    pub fn take(&mut self) -> Option<Box<WatchRecord>> {
        loop {
            let item = self.0.next()?;
            if item.len() == size_of::<WatchRecord>() {
                // SAFETY: as many bytes as the structure has, which is made of integers.
                return Some(Box::new(unsafe {
                    item.as_ptr().cast::<WatchRecord>().read_unaligned()
                }));
            }
        }
    }

    /// Waits until a packet is told of, but no longer than this.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&self, patience: Duration) -> io::Result<()> {
        // SAFETY: the ring outlives the borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

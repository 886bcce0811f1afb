//! The way of fragments that came too early: from the program to the daemon, and back through the program.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use lb_common::{
    abi::{HeldFrame, HeldKey},
    flow_table::{Bucket, Entry4, Entry6, lookup},
    hash::Seed,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Region;

/// Held fragments, where the others of their packets went, and the program.
pub struct FragmentPath {
    pub(super) ring: RingBuf<MapData>,
    pub(super) v4: Region<Bucket<Entry4>>,
    pub(super) v6: Region<Bucket<Entry6>>,
    pub(super) seed: Seed,
    pub(super) program: OwnedFd,
}

impl FragmentPath {
    /// The next fragment that was handed over, and what its packet is known by.
    pub fn take(&mut self) -> Option<(HeldKey, Vec<u8>)> {
        loop {
            let item = self.ring.next()?;
            if item.len() == size_of::<HeldFrame>() {
                // SAFETY: as many bytes as the structure has, which is made of integers.
                let held: HeldFrame = unsafe { item.as_ptr().cast::<HeldFrame>().read_unaligned() };
                return Some((held.key(), held.frame().to_vec()));
            }
        }
    }

    /// Waits until a fragment is handed over, but no longer than this.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&self, patience: Duration) -> io::Result<()> {
        // SAFETY: the ring outlives the borrow.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the first fragment of the packet has come.
    #[must_use]
    pub fn knows(&self, key: &HeldKey) -> bool {
        match key {
            HeldKey::V4(key) => lookup(&*self.v4, key, key.hash(&self.seed)).is_some(),
            HeldKey::V6(key) => lookup(&*self.v6, key, key.hash(&self.seed)).is_some(),
        }
    }

    /// Forgets where packets went; for tests.
    pub fn forget(&self) {
        fn empty<E: lb_common::flow_table::Entry>(table: &[Bucket<E>]) {
            for entry in table.iter().flat_map(|bucket| &bucket.entries) {
                entry.remove(entry.state());
            }
        }
        empty(&self.v4);
        empty(&self.v6);
    }

    /// Sends a frame through the program, as if it had come in by the loopback interface; it leaves by whatever interface the
    /// program says. One that is not to be held again is marked as `overdue`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frame: &[u8], overdue: bool) -> io::Result<()> {
        let mut bytes = vec![0; if overdue { MARK } else { 0 }];
        bytes.extend_from_slice(frame);
        let context = Context {
            data: if overdue { MARK as u32 } else { 0 },
            data_end: bytes.len() as u32,
            ..Context::default()
        };
        let request = TestRun {
            program: self.program.as_fd().as_raw_fd().cast_unsigned(),
            data_size_in: bytes.len() as u32,
            data_in: bytes.as_ptr().expose_provenance() as u64,
            repeat: 1,
            ctx_size_in: size_of::<Context>() as u32,
            ctx_in: (&raw const context).expose_provenance() as u64,
            flags: LIVE_FRAMES,
            ..TestRun::default()
        };
        // SAFETY: the request is valid for its size, and so are the frame and the context that it names.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_PROG_TEST_RUN,
                &raw const request,
                size_of::<TestRun>(),
            )
        };
        if failed == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Bytes before a frame that say that it was held already.
const MARK: usize = 4;

/// `BPF_PROG_TEST_RUN` in `enum bpf_cmd` (linux/bpf.h).
const BPF_PROG_TEST_RUN: i32 = 10;
/// `BPF_F_TEST_XDP_LIVE_FRAMES` (linux/bpf.h, Linux 5.18): what the program says of the frame is done with it.
const LIVE_FRAMES: u32 = 1 << 1;

/// `struct xdp_md` (linux/bpf.h).
#[derive(Default)]
#[repr(C)]
struct Context {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// `test` in `union bpf_attr` (linux/bpf.h).
#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    return_value: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    reserved: u32,
}

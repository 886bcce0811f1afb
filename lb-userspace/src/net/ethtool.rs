//! The few facts that only the SIOCETHTOOL ioctl tells (linux/ethtool.h).

use std::{
    ffi::CStr,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::ifreq;

const GET_DRIVER_INFO: u32 = 0x03;
/// One-bit questions, answered in [`Value`].
pub(super) const GET_RX_CHECKSUM: u32 = 0x14;
pub(super) const GET_TX_CHECKSUM: u32 = 0x16;
pub(super) const GET_TSO: u32 = 0x1e;
pub(super) const GET_GRO: u32 = 0x2b;
const GET_FLAGS: u32 = 0x25;
const FLAG_LRO: u32 = 1 << 15;

/// struct ethtool_value.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// struct ethtool_drvinfo; the driver's name is its first field after the command.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// A socket to ask through; which one does not matter.
#[derive(Debug)]
pub(super) struct Ethtool(OwnedFd);

impl Ethtool {
    /// Opens it in the calling thread's network namespace.
    pub(super) fn open() -> nix::Result<Self> {
        socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .map(Self)
    }

    /// The name of an interface's driver.
    pub(super) fn driver(&self, interface: &str) -> nix::Result<String> {
        let mut info = DriverInfo {
            command: GET_DRIVER_INFO,
            driver: [0; 32],
            rest: [0; 160],
        };
        // SAFETY: DriverInfo is laid out as the struct the command in its first field fills.
        unsafe { self.ask(interface, &mut info) }?;
        let name = CStr::from_bytes_until_nul(&info.driver).map_err(|_| Errno::EINVAL)?;
        Ok(name.to_string_lossy().into_owned())
    }

    /// The answer to one of the one-bit questions; `None` where the driver does not know it.
    pub(super) fn is_on(&self, interface: &str, question: u32) -> Option<bool> {
        self.value(interface, question).map(|value| value != 0)
    }

    /// Whether large receive offload is on.
    pub(super) fn lro(&self, interface: &str) -> Option<bool> {
        self.value(interface, GET_FLAGS)
            .map(|flags| flags & FLAG_LRO != 0)
    }

    fn value(&self, interface: &str, command: u32) -> Option<u32> {
        let mut value = Value { command, data: 0 };
        // SAFETY: the commands used here fill a struct ethtool_value.
        unsafe { self.ask(interface, &mut value) }.ok()?;
        Some(value.data)
    }

    /// # Safety
    /// `T` must be laid out as the struct that the command in its first field makes the kernel read and write.
    unsafe fn ask<T>(&self, interface: &str, request: &mut T) -> nix::Result<()> {
        let mut ifreq = ifreq::named(interface)?;
        ifreq.ifr_ifru.ifru_data = (&raw mut *request).cast();
        // SAFETY: what it points to lives through the call; the layout is the caller's promise.
        unsafe { ifreq::ask(self.0.as_fd(), libc::SIOCETHTOOL, &mut ifreq) }
    }
}

//! What a network device does in place of the kernel, turned off by ioctl (ethtool's interface).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use crate::error::LabError;
use crate::netns::Namespace;

/// linux/ethtool.h
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETH_FLAG_TXVLAN: u32 = 1 << 7;

/// linux/ethtool.h, `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Has the kernel complete each frame before it hands it to `interface`: `ethtool -K IF tx off tx-vlan-hw-insert off`.
///
/// Segmentation goes with the checksum, since a device that cannot do the one is not asked for the other.
pub(crate) fn turn_off_transmit(namespace: &Namespace, interface: &str) -> Result<(), LabError> {
    let asked: io::Result<()> = namespace.enter(|| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        ethtool(&socket, interface, ETHTOOL_STXCSUM, 0)?;
        let flags = ethtool(&socket, interface, ETHTOOL_GFLAGS, 0)?;
        ethtool(&socket, interface, ETHTOOL_SFLAGS, flags & !ETH_FLAG_TXVLAN)?;
        Ok(())
    })?;
    asked.map_err(|source| LabError::Interface {
        doing: "turn off the offloads",
        interface: interface.to_owned(),
        source,
    })
}

fn ethtool(socket: &UdpSocket, interface: &str, command: u32, data: u32) -> io::Result<u32> {
    let mut value = Value { command, data };
    // SAFETY: a plain C struct; all zeroes is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One byte stays zero and ends the name.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(interface.bytes())
    {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: `request` is an ifreq whose data points to the struct these commands read and write; both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if done == 0 {
        Ok(value.data)
    } else {
        Err(io::Error::last_os_error())
    }
}

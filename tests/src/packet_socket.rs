//! A raw packet socket (packet(7)) on one interface: whole Ethernet frames in and out.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::capture::CaptureError;
use crate::netns::Namespace;
use crate::xdp::interface_index;

/// Frames that wait to be read, in bytes of memory.
const RECEIVE_BUFFER: i32 = 64 << 20;
/// No frame is longer, not even one still to be segmented (GSO).
const LONGEST_FRAME: usize = 256 * 1024;
/// The two MAC addresses, behind which a VLAN tag goes.
const MAC_ADDRESSES: usize = 12;

/// Sends whole frames out of an interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    interface: u32,
}

/// A frame as it was received.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) outgoing: bool,
    pub(crate) checksum_pending: bool,
}

impl PacketSocket {
    /// A socket that only sends.
    ///
    /// # Errors
    /// [`CaptureError::Open`] when there is no such interface.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self, CaptureError> {
        Self::open_for(namespace, interface, 0)
    }

    /// A socket that also receives every frame the interface sends or receives, from now on.
    pub(crate) fn listen(namespace: &Namespace, interface: &str) -> Result<Self, CaptureError> {
        Self::open_for(
            namespace,
            interface,
            u16::try_from(libc::ETH_P_ALL).unwrap_or_default(),
        )
    }

    fn open_for(namespace: &Namespace, interface: &str, protocol: u16) -> Result<Self, CaptureError> {
        let opened = namespace.enter(|| {
            let interface = interface_index(interface)?;
            open(interface, protocol).map(|fd| Self { fd, interface })
        })?;
        opened.map_err(|source| CaptureError::Open {
            interface: interface.to_owned(),
            namespace: namespace.name().to_owned(),
            source,
        })
    }

    /// Sends one frame, from its destination MAC address on, without the frame check sequence.
    ///
    /// # Errors
    /// [`CaptureError::Send`]: the frame is too long for the interface, or the link is down.
    pub fn send(&self, frame: &[u8]) -> Result<(), CaptureError> {
        let to = address(self.interface, 0);
        // SAFETY: the frame and the address are valid for the lengths given.
        let sent = unsafe {
            let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            libc::sendto(
                self.fd.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                length,
            )
        };
        if sent >= 0 {
            return Ok(());
        }
        Err(CaptureError::Send {
            length: frame.len(),
            source: io::Error::last_os_error(),
        })
    }

    /// The next frame; `None` when none comes within `patience`.
    pub(crate) fn receive(&self, patience: Duration) -> io::Result<Option<Received>> {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(nix::Error::EINTR) => Ok(None),
            Ok(_) => receive(&self.fd).map(Some),
            Err(errno) => Err(errno.into()),
        }
    }

    /// How many frames were lost since the last call, because the buffer was full.
    pub(crate) fn lost(&self) -> io::Result<u32> {
        // SAFETY: a plain C struct; all zeroes is a valid value of it.
        let mut statistics: libc::tpacket_stats = unsafe { zeroed() };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the pointers lead to the two locals above, and the length is right.
        let done = unsafe {
            let value = (&raw mut statistics).cast();
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                value,
                &raw mut length,
            )
        };
        if done == 0 {
            Ok(statistics.tp_drops)
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

fn open(interface: u32, protocol: u16) -> io::Result<OwnedFd> {
    // Protocol 0 receives nothing: frames of other interfaces must not come in before the socket is bound.
    // SAFETY: takes integers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)?;
    set_option(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
    let address = address(interface, protocol);
    // SAFETY: the address is valid for the length given.
    let bound = unsafe {
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length)
    };
    if bound == 0 {
        Ok(fd)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_option(fd: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the value is an int of the length given.
    let done = unsafe {
        let length = size_of::<i32>() as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), length)
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn address(interface: u32, protocol: u16) -> libc::sockaddr_ll {
    // SAFETY: a plain C struct; all zeroes is a valid value of it.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as libc::sa_family_t;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface.cast_signed();
    address
}

fn receive(fd: &OwnedFd) -> io::Result<Received> {
    let mut bytes = vec![0_u8; LONGEST_FRAME];
    // Words, so that the control messages in it are aligned.
    let mut control = [0_u64; 16];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: plain C structs; all zeroes is a valid value of both.
    let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: every pointer in the message leads to a local above, of the length given.
    let length = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    bytes.truncate(length);
    let mut received = Received {
        bytes,
        outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
        checksum_pending: false,
    };
    // SAFETY: the kernel filled the message in; the control buffer is still there.
    if let Some(aside) = unsafe { auxiliary(&message) } {
        received.checksum_pending = aside.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
        restore_tag(&mut received.bytes, &aside);
    }
    received.bytes.shrink_to_fit();
    Ok(received)
}

/// # Safety
/// `message` must have been filled in by recvmsg(2), and its control buffer be valid.
unsafe fn auxiliary(message: &libc::msghdr) -> Option<libc::tpacket_auxdata> {
    // SAFETY: the caller's promise.
    let first = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null or the first header in the control buffer.
    let header = unsafe { first.as_ref() }?;
    let is_aside = header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA;
    // SAFETY: this type of message carries that struct, perhaps unaligned.
    is_aside.then(|| unsafe {
        libc::CMSG_DATA(first)
            .cast::<libc::tpacket_auxdata>()
            .read_unaligned()
    })
}

/// The kernel takes the outer VLAN tag off a frame and keeps it aside; here it goes back where it was on the wire.
fn restore_tag(frame: &mut Vec<u8>, aside: &libc::tpacket_auxdata) {
    if aside.tp_status & libc::TP_STATUS_VLAN_VALID != 0 && frame.len() >= MAC_ADDRESSES {
        let tag = [aside.tp_vlan_tpid.to_be_bytes(), aside.tp_vlan_tci.to_be_bytes()].concat();
        frame.splice(MAC_ADDRESSES..MAC_ADDRESSES, tag);
    }
}

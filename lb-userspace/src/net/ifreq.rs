//! Questions about an interface by ioctl (netdevice(7)).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// A request about the interface of this name.
pub(super) fn named(interface: &str) -> nix::Result<libc::ifreq> {
    let mut name: [libc::c_char; libc::IFNAMSIZ] = [0; libc::IFNAMSIZ];
    // The last byte stays the terminator.
    if interface.len() >= name.len() {
        return Err(Errno::ENODEV);
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    Ok(libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
    })
}

/// Asks through a socket, whichever it is.
///
/// # Safety
/// What `request` points to must be what `command` makes the kernel read and write.
pub(super) unsafe fn ask(
    socket: BorrowedFd<'_>,
    command: libc::Ioctl,
    request: &mut libc::ifreq,
) -> nix::Result<()> {
    // SAFETY: the ifreq lives through the call; what it points to is the caller's promise.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), command, std::ptr::from_mut(request)) }).map(drop)
}

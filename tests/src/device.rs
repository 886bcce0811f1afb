//! A network device, asked and told by ioctl (netdevice(7)) and ethtool.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use crate::error::LabError;
use crate::netns::Namespace;
use crate::tool;
use crate::wait::wait_for_some;

/// How long a link may take to come up.
const LINK_UP: Duration = Duration::from_secs(5);

/// Waits until frames can be sent on `interface`.
///
/// A veth end that gets its carrier takes up work a little later, when the kernel's link watch comes to it; what is sent
/// before that is lost without a word.
pub(crate) fn wait_until_running(namespace: &Namespace, interface: &str) -> Result<(), LabError> {
    let running: io::Result<()> = namespace.enter(|| {
        let socket = any_socket()?;
        let flags = || {
            let mut request = request(interface);
            // SAFETY: this request holds no pointer.
            unsafe { ask(&socket, libc::SIOCGIFFLAGS, &mut request) }.ok()?;
            // SAFETY: the kernel has just written the flags.
            let flags = unsafe { request.ifr_ifru.ifru_flags };
            (i32::from(flags) & libc::IFF_RUNNING != 0).then_some(request)
        };
        let mut flags = wait_for_some(LINK_UP, "the link", flags).map_err(|_| io::ErrorKind::TimedOut)?;
        // The flag is set a moment before the queues are: both under a lock that setting the flags again waits for.
        // SAFETY: this request holds no pointer.
        unsafe { ask(&socket, libc::SIOCSIFFLAGS, &mut flags) }
    })?;
    running.map_err(refused("bring up the link", interface))
}

/// Has the kernel complete each frame before it hands it to `interface`: checksums and both kinds of VLAN tags.
///
/// Segmentation goes with the checksum, since a device that cannot do the one is not asked for the other.
pub(crate) fn turn_off_transmit(namespace: &Namespace, interface: &str) -> Result<(), LabError> {
    let mut ethtool = Command::new(tool::find("ethtool")?);
    ethtool.args([
        "-K",
        interface,
        "tx",
        "off",
        "tx-vlan-hw-insert",
        "off",
        "tx-vlan-stag-hw-insert",
        "off",
    ]);
    let output = namespace.enter(move || ethtool.output())?;
    let said = output.and_then(|output| match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    });
    said.map_err(refused("turn off the offloads", interface))
}

/// Packets that came to `interface` so far.
pub(crate) fn packets_received(namespace: &Namespace, interface: &str) -> Result<u64, LabError> {
    let counted = namespace.enter(|| {
        // The view of the thread that looks.
        let table = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        let line = table.lines().find_map(|line| {
            let (name, numbers) = line.split_once(':')?;
            (name.trim() == interface).then_some(numbers)
        });
        // The first number is bytes.
        let packets = line.and_then(|numbers| numbers.split_whitespace().nth(1)?.parse().ok());
        packets.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    })?;
    counted.map_err(refused("count the packets", interface))
}

fn refused(doing: &'static str, interface: &str) -> impl FnOnce(io::Error) -> LabError {
    let interface = interface.to_owned();
    move |source| LabError::Interface {
        doing,
        interface,
        source,
    }
}

/// These requests go through a socket; any will do.
fn any_socket() -> io::Result<UdpSocket> {
    UdpSocket::bind("127.0.0.1:0")
}

fn request(interface: &str) -> libc::ifreq {
    // SAFETY: a plain C struct; all zeroes is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // One byte stays zero and ends the name.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(interface.bytes())
    {
        *to = from.cast_signed();
    }
    request
}

/// # Safety
/// Where `what` takes a pointer in the request, it must lead to what `what` reads and writes.
unsafe fn ask(socket: &UdpSocket, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: these ioctls read and write an ifreq; the rest is the caller's promise.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

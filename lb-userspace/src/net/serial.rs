//! A serial line as a heartbeat path: a device such as `/dev/ttyS0` at the end of a null modem cable.

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
};

use nix::sys::termios::{
    BaudRate, ControlFlags, FlushArg, SetArg, cfmakeraw, cfsetspeed, tcflush, tcgetattr, tcsetattr,
};

use super::heartbeat::MAX_DATAGRAM;
use crate::core::serial::{Decoder, encode};

/// Bytes that are read at a time.
const CHUNK: usize = 512;

/// The line.
#[derive(Debug)]
pub struct SerialLine {
    device: std::fs::File,
    decoder: Decoder,
    chunk: [u8; CHUNK],
    /// What of it was not looked at yet.
    unread: std::ops::Range<usize>,
}

impl SerialLine {
    /// Opens the device for this process alone: eight bits, no parity, one stop bit, no flow control.
    ///
    /// # Errors
    /// When there is none, it is no terminal, or somebody else has it.
    pub fn open(path: &Path, baud: u32) -> io::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)?;
        // SAFETY: this request takes no argument.
        if unsafe { libc::ioctl(device.as_raw_fd(), libc::TIOCEXCL) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut settings = tcgetattr(&device)?;
        cfmakeraw(&mut settings);
        settings
            .control_flags
            .insert(ControlFlags::CLOCAL | ControlFlags::CREAD);
        settings
            .control_flags
            .remove(ControlFlags::CRTSCTS | ControlFlags::CSTOPB | ControlFlags::PARENB);
        cfsetspeed(&mut settings, speed(baud)?)?;
        tcsetattr(&device, SetArg::TCSANOW, &settings)?;
        // What somebody said before nobody listened is old.
        tcflush(&device, FlushArg::TCIOFLUSH)?;
        Ok(Self {
            device,
            decoder: Decoder::new(MAX_DATAGRAM),
            chunk: [0; CHUNK],
            unread: 0..0,
        })
    }

    /// Sends a datagram, unless the line still has most of the last one to carry.
    ///
    /// # Errors
    /// When the line is too slow, or gone.
    pub fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let line = encode(datagram);
        let mut waiting: libc::c_int = 0;
        // SAFETY: the kernel writes one int there.
        let asked = unsafe { libc::ioctl(self.device.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
        if asked == 0 && usize::try_from(waiting).is_ok_and(|waiting| waiting > line.len() / 2) {
            return Err(io::Error::other(
                "the line is too slow for its interval: choose a longer `interval` or a higher `baud`",
            ));
        }
        // What does not fit is lost, and with it this datagram: the next one begins anew.
        match self.device.write(&line) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::other("nobody takes what is sent over the line"))
            }
            Err(error) => Err(error),
        }
    }

    /// The next datagram; `None` when none waits.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the line is gone, and has to be opened anew.
    pub fn next<'b>(&mut self, buffer: &'b mut [u8; MAX_DATAGRAM]) -> io::Result<Option<&'b mut [u8]>> {
        loop {
            while !self.unread.is_empty() {
                let (taken, datagram) = self.decoder.take(&self.chunk[self.unread.clone()]);
                self.unread.start += taken;
                if let Some(datagram) = datagram
                    && let Some(place) = buffer.get_mut(..datagram.len())
                {
                    place.copy_from_slice(&datagram);
                    return Ok(buffer.get_mut(..datagram.len()));
                }
            }
            match self.device.read(&mut self.chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread = 0..length,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => return Ok(None),
                    // What a line says that was hung up.
                    _ if error.raw_os_error() == Some(libc::EIO) => {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    _ => return Err(error),
                },
            }
        }
    }
}

impl SerialLine {
    /// How often something came over it that was no datagram.
    #[must_use]
    pub fn noise(&self) -> u64 {
        self.decoder.noise()
    }
}

impl AsFd for SerialLine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// Speeds that a line can have, in bits a second.
pub const SPEEDS: [u32; 9] = [
    9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_000_000,
];

fn speed(baud: u32) -> io::Result<BaudRate> {
    Ok(match baud {
        9600 => BaudRate::B9600,
        19_200 => BaudRate::B19200,
        38_400 => BaudRate::B38400,
        57_600 => BaudRate::B57600,
        115_200 => BaudRate::B115200,
        230_400 => BaudRate::B230400,
        460_800 => BaudRate::B460800,
        921_600 => BaudRate::B921600,
        1_000_000 => BaudRate::B1000000,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    })
}

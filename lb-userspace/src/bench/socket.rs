//! Packets out of an interface whose driver sends no frames for XDP: by a packet socket (packet(7)), which is several times slower.

use std::{
    io, mem,
    os::fd::{AsRawFd as _, OwnedFd},
    ptr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::socket::{AddressFamily, LinkAddr, SockFlag, SockType, SockaddrLike as _, bind, socket},
    time::{ClockId, clock_gettime},
};

use super::{front::Wire, generator::Flows, packet_source::PacketSource, path::STAMP, template::Template};

/// Packets that are made before any is sent, and then sent over and over: what comes of a few thousand flows.
const MADE: usize = 8192;
/// Packets of one system call.
const AT_ONCE: usize = 64;
/// What is later than this is not made up for.
const LATEST: Duration = Duration::from_micros(50);

/// Where packets leave.
pub(super) struct Sender {
    socket: OwnedFd,
    packets: Vec<Vec<u8>>,
    next: usize,
    wire: Wire,
    /// Where each packet is to begin another flow.
    renewal: Option<Renewal>,
}

/// What it takes to make the same packets of other flows.
struct Renewal {
    /// Which source each packet is of.
    origins: Vec<usize>,
    sources: Vec<(Template, PacketSource)>,
}

impl Sender {
    /// Opens the socket on the interface of this index, in the calling thread's network, and makes packets: of each template in
    /// turn as many as stand with it.
    ///
    /// # Errors
    /// Without the capability CAP_NET_RAW.
    pub(super) fn open(interface: u32, mix: &[(Template, u32)], flows: Flows, wire: Wire) -> Result<Self> {
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
            .context("opening a packet socket (CAP_NET_RAW)")?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: 0,
            sll_ifindex: interface.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: an address of the family and the length that it says.
        let address = unsafe {
            LinkAddr::from_raw(
                ptr::from_ref(&address).cast(),
                Some(size_of::<libc::sockaddr_ll>() as u32),
            )
        };
        bind(socket.as_raw_fd(), &address.context("an address of a link")?)
            .context("binding the packet socket")?;
        // No queue of the kernel's in between, which would hide what does not fit.
        let bypass: libc::c_int = 1;
        // SAFETY: the option is an integer of that size.
        let set = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_QDISC_BYPASS,
                ptr::from_ref(&bypass).cast(),
                size_of::<libc::c_int>() as u32,
            )
        };
        if set != 0 {
            return Err(io::Error::last_os_error()).context("having the packet socket send at once");
        }
        let (count, order) = flows.drawn();
        let mut sources: Vec<_> = mix
            .iter()
            .map(|(template, _)| (template.clone(), template.source(count, order)))
            .collect();
        let (mut packets, mut origins) = (Vec::with_capacity(MADE), Vec::with_capacity(MADE));
        while packets.len() < MADE {
            for (number, (_, parts)) in mix.iter().enumerate() {
                let (template, source) = &mut sources[number];
                for _ in 0..*parts {
                    packets.push(template.packet(source.draw()));
                    origins.push(number);
                }
            }
        }
        Ok(Self {
            socket,
            packets,
            next: 0,
            wire,
            renewal: (flows == Flows::Each).then_some(Renewal { origins, sources }),
        })
    }

    /// Sends as many packets as the kernel takes for so long; how many that were.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn flood(&mut self, duration: Duration) -> Result<u64> {
        let (start, mut sent) = (Instant::now(), 0);
        while start.elapsed() < duration {
            sent += self.send(AT_ONCE)? as u64;
        }
        Ok(sent)
    }

    /// Sends so many packets at a rate of so many a second. What the kernel does not take then is lost.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn keep(&mut self, packets: u64, rate: f64) -> Result<()> {
        let interval = Duration::from_secs_f64(1.0 / rate);
        let mut due = Instant::now();
        for _ in 0..packets {
            due += interval;
            let now = Instant::now();
            if now > due + LATEST {
                due = now;
            }
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            self.send(1)?;
        }
        Ok(())
    }

    /// Offers the kernel the next packets; how many it took.
    fn send(&mut self, packets: usize) -> Result<usize> {
        let first = self.next;
        let end = (first + packets).min(self.packets.len());
        if self.wire == Wire::Stamped {
            // The clock of `bpf_ktime_get_ns`.
            let now = clock_gettime(ClockId::CLOCK_MONOTONIC).context("reading the clock")?;
            let stamp = (now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64).to_ne_bytes();
            for packet in &mut self.packets[first..end] {
                let place = packet.len() - STAMP as usize;
                packet[place..].copy_from_slice(&stamp);
            }
        }
        let mut pieces: Vec<libc::iovec> = self.packets[first..end]
            .iter_mut()
            .map(|packet| libc::iovec {
                iov_base: packet.as_mut_ptr().cast(),
                iov_len: packet.len(),
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = pieces
            .iter_mut()
            .map(|piece| {
                // SAFETY: all zero is a message without address, data and control data.
                let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
                message.msg_hdr.msg_iov = piece;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        // SAFETY: the messages and what they point to outlive the call.
        let taken = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                messages.len() as u32,
                0,
            )
        };
        self.next = if end == self.packets.len() { 0 } else { end };
        if let Some(Renewal { origins, sources }) = &mut self.renewal {
            for (packet, &origin) in self.packets[first..end].iter_mut().zip(&origins[first..end]) {
                let (template, source) = &mut sources[origin];
                *packet = template.packet(source.draw());
            }
        }
        match usize::try_from(taken) {
            Ok(taken) => Ok(taken),
            Err(_) => match io::Error::last_os_error() {
                // The driver's queue is full.
                error if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
                error => Err(error).context("sending by the packet socket"),
            },
        }
    }
}

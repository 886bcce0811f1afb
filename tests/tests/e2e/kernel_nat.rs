//! What NAT makes of packets, beside what the kernel's own makes of the same packets.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::{
    IpHeaders, Ipv4Header, Ipv6FlowLabel, Ipv6Header, NetSlice, PacketBuilder, PacketBuilderStep,
    SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice, ip_number,
};
use lb_tests::{
    Host, PacketSocket, Tandem,
    capture::Capture,
    topology::{OneDirector, VIP4, VIP6},
};

use crate::nat;

const PATIENCE: Duration = Duration::from_secs(10);

/// Frames by the client's port.
type Frames = BTreeMap<u16, Vec<u8>>;

/// What each packet is about, with the packet; ports of the client begin at 2000 and are its key.
struct Packets {
    macs: ([u8; 6], [u8; 6]),
    clients: [IpAddr; 2],
    frames: Frames,
    about: BTreeMap<u16, &'static str>,
}

impl Packets {
    fn add(&mut self, about: &'static str, build: impl FnOnce(u16) -> Vec<u8>) {
        let port = 2000 + self.frames.len() as u16;
        self.frames.insert(port, build(port));
        self.about.insert(port, about);
    }

    fn v4(&self, change: impl FnOnce(&mut Ipv4Header)) -> PacketBuilderStep<IpHeaders> {
        let IpAddr::V4(client) = self.clients[0] else {
            unreachable!("the first is IPv4")
        };
        let mut header =
            Ipv4Header::new(0, 64, ip_number::TCP, client.octets(), VIP4.octets()).expect("it is short");
        header.identification = 0x1234;
        change(&mut header);
        PacketBuilder::ethernet2(self.macs.0, self.macs.1).ip(IpHeaders::Ipv4(header, Default::default()))
    }

    fn v6(&self, change: impl FnOnce(&mut Ipv6Header)) -> PacketBuilderStep<IpHeaders> {
        let IpAddr::V6(client) = self.clients[1] else {
            unreachable!("the second is IPv6")
        };
        let mut header = Ipv6Header {
            hop_limit: 64,
            source: client.octets(),
            destination: VIP6.octets(),
            ..Ipv6Header::default()
        };
        change(&mut header);
        PacketBuilder::ethernet2(self.macs.0, self.macs.1).ip(IpHeaders::Ipv6(header, Default::default()))
    }
}

fn syn(port: u16) -> TcpHeader {
    let mut header = TcpHeader::new(port, 80, 0xFEDC_0000 + u32::from(port), 64_000);
    header.syn = true;
    header
}

fn tcp(network: PacketBuilderStep<IpHeaders>, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    network
        .tcp_header(header)
        .write(&mut frame, payload)
        .expect("a vector takes it");
    frame
}

fn udp(network: PacketBuilderStep<IpHeaders>, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    network
        .udp(port, 53)
        .write(&mut frame, payload)
        .expect("a vector takes it");
    frame
}

fn packets(lab: &OneDirector) -> Result<Packets> {
    let client = &lab.clients[0];
    let mut packets = Packets {
        macs: (
            client.interface("eth0")?.mac(),
            lab.director.interface("eth0")?.mac(),
        ),
        clients: [nat::address(client, true), nat::address(client, false)],
        frames: Frames::new(),
        about: BTreeMap::new(),
    };
    let plain = packets.v4(|_| {});
    packets.add("IPv4 SYN", |port| tcp(plain, syn(port), &[]));
    let marked = packets.v4(|header| {
        header.dscp = 46.try_into().expect("six bits");
        header.ecn = 1.try_into().expect("two bits");
        header.dont_fragment = false;
        header.time_to_live = 2;
    });
    packets.add("IPv4 with DSCP, ECN, and a TTL of 2", |port| {
        tcp(marked, syn(port), &[])
    });
    let plain = packets.v4(|_| {});
    packets.add("IPv4 SYN with options and data", |port| {
        let mut header = syn(port);
        header
            .set_options(&[
                TcpOptionElement::MaximumSegmentSize(1460),
                TcpOptionElement::SelectiveAcknowledgementPermitted,
                TcpOptionElement::Timestamp(1, 0),
                TcpOptionElement::WindowScale(7),
            ])
            .expect("there is room");
        tcp(plain, header, &[0xA5; 333])
    });
    for (about, payload) in [
        ("IPv4 datagram", &b"hello"[..]),
        ("IPv4 datagram of ones", &[0xFF; 1000]),
        ("IPv4 datagram of nothing", &[]),
    ] {
        let plain = packets.v4(|_| {});
        packets.add(about, |port| udp(plain, port, payload));
    }
    let plain = packets.v4(|_| {});
    packets.add("IPv4 datagram without a checksum", |port| {
        let mut frame = udp(plain, port, b"unchecked");
        let checksum = 14 + 20 + 6;
        frame[checksum..checksum + 2].fill(0);
        frame
    });
    let plain = packets.v6(|_| {});
    packets.add("IPv6 SYN", |port| tcp(plain, syn(port), &[]));
    let marked = packets.v6(|header| {
        header.traffic_class = 0xB9;
        header.flow_label = Ipv6FlowLabel::try_new(0xABCDE).expect("twenty bits");
        header.hop_limit = 3;
    });
    packets.add("IPv6 with a traffic class and a flow label", |port| {
        tcp(marked, syn(port), &[7; 99])
    });
    for (about, payload) in [
        ("IPv6 datagram", &b"hello!"[..]),
        ("IPv6 datagram of ones", &[0xFF; 1001]),
    ] {
        let plain = packets.v6(|_| {});
        packets.add(about, |port| udp(plain, port, payload));
    }
    Ok(packets)
}

/// The client's port in a packet between it and a server, or in one that is quoted; `None` of other packets.
fn key(frame: &[u8]) -> Option<u16> {
    let ours = |ports: (u16, u16)| {
        [ports.0, ports.1]
            .into_iter()
            .find(|port| (2000..2100).contains(port))
    };
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let quoted = match packet.transport? {
        TransportSlice::Tcp(tcp) => return ours((tcp.source_port(), tcp.destination_port())),
        TransportSlice::Udp(udp) => return ours((udp.source_port(), udp.destination_port())),
        TransportSlice::Icmpv4(icmp) => icmp.payload().get(20..24)?,
        TransportSlice::Icmpv6(icmp) => icmp.payload().get(40..44)?,
    };
    ours((
        u16::from_be_bytes([quoted[0], quoted[1]]),
        u16::from_be_bytes([quoted[2], quoted[3]]),
    ))
}

/// From the network header on, without what a host makes up anew for each packet that it sends.
fn lasting(frame: &[u8]) -> Result<Vec<u8>> {
    let mut packet = frame.get(14..).context("a whole frame")?.to_vec();
    match SlicedPacket::from_ethernet(frame)?.net {
        Some(NetSlice::Ipv4(_)) => {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
        Some(NetSlice::Ipv6(_)) => {
            packet[1] &= 0xF0;
            packet[2..4].fill(0);
        }
        Some(NetSlice::Arp(_)) | None => bail!("no IP packet"),
    }
    Ok(packet)
}

/// What of the client's packets arrives at the backend, and what of the backend's answers at the client.
fn pass(lab: &OneDirector, packets: &Packets) -> Result<[Frames; 2]> {
    let (client, backend) = (&lab.clients[0], &lab.backends[0]);
    let arriving = |host: &Host| Capture::start(host.namespace(), "eth0", |frame| key(frame).is_some());
    let mut captures = [arriving(backend)?, arriving(client)?];
    let socket = PacketSocket::open(client.namespace(), "eth0")?;
    for frame in packets.frames.values() {
        socket.send(frame)?;
    }
    let mut seen = [Frames::new(), Frames::new()];
    for (capture, seen) in captures.iter_mut().zip(&mut seen) {
        let waited = capture.wait_until(PATIENCE, "a packet for each of the client's ports", |frames| {
            let arrived = frames.iter().filter(|frame| !frame.outgoing);
            seen.extend(arrived.filter_map(|frame| Some((key(&frame.bytes)?, frame.bytes.clone()))));
            seen.len() == packets.frames.len()
        });
        let missing = packets.about.iter().filter(|(port, _)| !seen.contains_key(port));
        let missing: Vec<_> = missing.map(|(_, about)| about).collect();
        waited.with_context(|| format!("missing: {missing:?}"))?;
    }
    Ok(seen)
}

/// The kernel forwards and translates.
fn translate_by_kernel(director: &Host, backends: [IpAddr; 2]) -> Result<()> {
    let translation = |family: &str, vip: IpAddr, backend: IpAddr| {
        format!(
            "table {family} translation {{
              chain incoming {{
                type nat hook prerouting priority dstnat
                {family} daddr {vip} tcp dport 80 dnat to {to}
                {family} daddr {vip} udp dport 53 dnat to {to}
              }}
            }}\n",
            to = SocketAddr::from((backend, 8080))
        )
    };
    let rules = [
        translation("ip", VIP4.into(), backends[0]),
        translation("ip6", VIP6.into(), backends[1]),
    ]
    .concat();
    let mut nft = director
        .command("nft")?
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()?;
    nft.stdin
        .take()
        .context("it is piped")?
        .write_all(rules.as_bytes())?;
    ensure!(nft.wait()?.success(), "nft refuses the rules");
    set(
        director,
        &[
            "net.ipv4.conf.all.send_redirects=0",
            "net.ipv4.conf.eth0.send_redirects=0",
            "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1",
        ],
    )
}

fn set(host: &Host, settings: &[&str]) -> Result<()> {
    let status = host.command("sysctl")?.arg("-qw").args(settings).status()?;
    ensure!(status.success(), "sysctl refuses {settings:?}");
    Ok(())
}

#[test]
fn packets_are_translated_as_the_kernel_translates_them() -> Result<()> {
    let lab = OneDirector::build("e2e-nat-kernel", 1, 1)?;
    let backend = &lab.backends[0];
    nat::through_the_director(&lab, backend)?;
    // Nobody listens there: the backend's kernel answers each packet at once, with a reset or an ICMP error.
    set(
        backend,
        &["net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0"],
    )?;
    let packets = packets(&lab)?;

    let tandem = Tandem::start(&lab.director, &nat::config(&lab, ["forward = \"nat\""; 2]))?;
    let [ours, our_answers] = pass(&lab, &packets)?;
    drop(tandem);
    let ending = Tandem::refused(&lab.director, ["--detach"])?;
    ensure!(ending.code == Some(0), "{ending:?}");
    translate_by_kernel(
        &lab.director,
        [nat::address(backend, true), nat::address(backend, false)],
    )?;
    let [theirs, their_answers] = pass(&lab, &packets)?;

    for (port, about) in &packets.about {
        ensure!(
            ours[port][14..] == theirs[port][14..],
            "{about}, to the backend:\n{:02x?}\nthe kernel:\n{:02x?}",
            &ours[port][14..],
            &theirs[port][14..]
        );
        let (our_answer, their_answer) = (lasting(&our_answers[port])?, lasting(&their_answers[port])?);
        ensure!(
            our_answer == their_answer,
            "{about}, to the client:\n{our_answer:02x?}\nthe kernel:\n{their_answer:02x?}"
        );
    }
    Ok(())
}

//! What is on the wire: what we send, as others decode it, and what is not obeyed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use lb_common::wire::vrrp::{Addresses, Coverage, Endpoints, GROUP_V4, Interval, MAX_LENGTH, PROTOCOL, Repr};
use lb_tests::{
    Capture, Host, PacketSocket, Tandem,
    topology::{Pair, VIP4},
    wait_for,
};

use crate::roles::{PATIENCE, expect_role, role};

fn start(pair: &Pair, director: usize, priority: u8, more: &str) -> Result<Tandem> {
    let more = format!("advert_interval = \"100ms\"\nfailback = \"immediate\"\n{more}");
    let config = pair.config(director, &Pair::front(priority, &more));
    Tandem::start(&pair.directors[director], &config)
}

/// Advertisements, gratuitous ARP and neighbour advertisements, and Wireshark's opinion of them.
#[test]
fn wireshark_has_no_complaint() -> Result<()> {
    let pair = Pair::build("ha-tshark", 1, 1)?;
    let client = &pair.clients[0];
    let mut capture = Capture::start(client.namespace(), "eth0", |frame| {
        let is_vrrp = frame.get(23) == Some(&PROTOCOL) || frame.get(20) == Some(&PROTOCOL);
        let is_arp = frame.get(12..14) == Some(&[0x08, 0x06]);
        let is_advertisement = frame.get(20) == Some(&58) && frame.get(54) == Some(&136);
        is_vrrp || is_arp || is_advertisement
    })?;
    let a = start(&pair, 0, 150, "")?;
    expect_role(&a, "active")?;
    capture.wait_until(PATIENCE, "some of each", |frames| {
        let count = |ether_type: [u8; 2], at: usize, value: u8| {
            let frames = frames.iter().map(|frame| &frame.bytes);
            frames
                .filter(|bytes| bytes[12..14] == ether_type && bytes.get(at) == Some(&value))
                .count()
        };
        count([0x08, 0x00], 23, PROTOCOL) > 5
            && count([0x86, 0xdd], 20, PROTOCOL) > 5
            && count([0x86, 0xdd], 54, 136) > 1
            && count([0x08, 0x06], 21, 1) > 1
    })?;
    a.process().terminate(PATIENCE)?;
    capture.wait_for(PATIENCE, "the goodbye", |frame| {
        let bytes = &frame.bytes;
        bytes[12..14] == [0x86, 0xdd] && bytes[20] == PROTOCOL && bytes[56] == 0
    })?;
    let path = client.run_dir().join("vrrp.pcap");
    capture.write_pcap(&path)?;
    let output = client.command("tshark")?.args(["-V", "-r"]).arg(&path).output()?;
    let decoded = String::from_utf8_lossy(&output.stdout).into_owned();
    for good in [
        "Virtual Router Redundancy Protocol",
        "Priority: 150",
        "Priority: 0 (Current Master has stopped participating in VRRP)",
        "Checksum Status: Good",
        "Is gratuitous: True",
        "Time to Live: 255",
        "Hop Limit: 255",
        "Neighbor Advertisement",
    ] {
        ensure!(decoded.contains(good), "tshark does not say `{good}`:\n{decoded}");
    }
    for bad in [
        "Expert Info (Warning",
        "Expert Info (Error",
        "Malformed",
        "Checksum Status: Bad",
        "incorrect",
    ] {
        ensure!(!decoded.contains(bad), "tshark says `{bad}`:\n{decoded}");
    }
    Ok(())
}

/// An advertisement for the instance, and what is wrong with it.
struct Forgery {
    source: Ipv4Addr,
    vrid: u8,
    priority: u8,
    centiseconds: u16,
    ttl: u8,
    damage: fn(&mut Vec<u8>),
}

impl Forgery {
    const GOOD: Self = Self {
        source: Ipv4Addr::new(192, 0, 2, 121),
        vrid: 51,
        priority: 254,
        centiseconds: 10,
        ttl: 255,
        damage: |_| {},
    };

    fn frame(&self, host: &Host) -> Result<Vec<u8>> {
        let endpoints = Endpoints::V4 {
            source: self.source,
            destination: GROUP_V4,
        };
        let vips = [VIP4.octets()];
        let repr = Repr {
            vrid: self.vrid,
            priority: self.priority,
            interval: Interval::from_centiseconds(self.centiseconds).context("an interval")?,
            coverage: Coverage::Message,
            addresses: Addresses::V4(&vips),
        };
        let mut buffer = [0; MAX_LENGTH];
        let mut message = repr.emit(&endpoints, &mut buffer)?.to_vec();
        (self.damage)(&mut message);
        let builder = PacketBuilder::ethernet2(host.interface("eth0")?.mac(), [0x01, 0, 0x5e, 0, 0, 0x12])
            .ipv4(self.source.octets(), GROUP_V4.octets(), self.ttl);
        let mut frame = Vec::new();
        builder.write(&mut frame, etherparse::IpNumber(PROTOCOL), &message)?;
        Ok(frame)
    }
}

/// The checksum of a message that was changed.
fn seal(message: &mut [u8]) {
    message[6..8].fill(0);
    let words = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    message[6..8].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn forgeries() -> Vec<(&'static str, Forgery)> {
    let good = || Forgery::GOOD;
    vec![
        ("hop_limit", Forgery { ttl: 254, ..good() }),
        (
            "truncated",
            Forgery {
                damage: |message| message.truncate(7),
                ..good()
            },
        ),
        (
            "truncated",
            Forgery {
                damage: |message| message[3] = 200,
                ..good()
            },
        ),
        (
            "unknown_version",
            Forgery {
                damage: |message| message[0] = 0x41,
                ..good()
            },
        ),
        (
            "unknown_type",
            Forgery {
                damage: |message| message[0] = 0x32,
                ..good()
            },
        ),
        (
            "checksum",
            Forgery {
                damage: |message| message[9] ^= 1,
                ..good()
            },
        ),
        (
            "no_addresses",
            Forgery {
                damage: |message| {
                    message[3] = 0;
                    message.truncate(8);
                    seal(message);
                },
                ..good()
            },
        ),
        (
            "interval_zero",
            Forgery {
                damage: |message| {
                    message[4..6].fill(0);
                    seal(message);
                },
                ..good()
            },
        ),
        ("other_router", Forgery { vrid: 52, ..good() }),
        // That a packet has our own source the kernel notices before us.
        ("unknown_peer", good()),
    ]
}

/// How often each reason was counted by the director.
fn refused(tandem: &Tandem) -> Result<BTreeMap<String, u64>> {
    let view = tandem.ask(&["ha"])?;
    let routers = view["instances"][0]["routers"]
        .as_array()
        .context("virtual routers")?;
    let lists = routers
        .iter()
        .map(|router| &router["refused"])
        .chain([&view["refused"]]);
    let mut counts = BTreeMap::new();
    for entry in lists.filter_map(|list| list.as_array()).flatten() {
        let slug = entry["slug"].as_str().context("a slug")?;
        *counts.entry(slug.to_owned()).or_default() += entry["count"].as_u64().context("a count")?;
    }
    Ok(counts)
}

#[test]
fn what_is_forged_or_damaged_is_counted_by_reason_and_not_obeyed() -> Result<()> {
    let pair = Pair::build("ha-forged", 1, 1)?;
    let client = &pair.clients[0];
    let link_local: IpAddr = "fe80::9".parse()?;
    let a = start(
        &pair,
        0,
        150,
        &format!("peers = [\"192.0.2.3\", \"{link_local}\"]"),
    )?;
    expect_role(&a, "active")?;
    let socket = PacketSocket::open(client.namespace(), "eth0")?;
    for (slug, forgery) in forgeries() {
        let before = refused(&a)?;
        socket.send(&forgery.frame(client)?)?;
        let mut after = before.clone();
        let _ = wait_for(PATIENCE, "a forgery to be counted", || {
            after = refused(&a).unwrap_or_default();
            after != before
        });
        let mut expected = before;
        *expected.entry(slug.to_owned()).or_default() += 1;
        assert_eq!(after, expected, "{slug}");
    }
    assert_eq!(role(&a).as_deref(), Some("active"));
    Ok(())
}

/// Everything above, and an honest advertisement of a lower priority, fifty thousand times a second.
#[test]
fn a_flood_of_bad_advertisements_changes_nothing() -> Result<()> {
    const RATE: u32 = 50_000;
    const SPAN: Duration = Duration::from_secs(3);
    let pair = Pair::build("ha-flood", 1, 1)?;
    let client = &pair.clients[0];
    let a = start(&pair, 0, 150, "")?;
    let b = start(&pair, 1, 100, "")?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    let bad = forgeries()
        .into_iter()
        .filter(|(slug, _)| *slug != "unknown_peer");
    let lesser = Forgery {
        priority: 1,
        ..Forgery::GOOD
    };
    let frames = bad
        .map(|(_, forgery)| forgery)
        .chain([lesser])
        .map(|forgery| forgery.frame(client))
        .collect::<Result<Vec<_>>>()?;
    let changes = |tandem: &Tandem| tandem.process().log().matches(" -> ").count();
    let before = (changes(&a), changes(&b));
    let socket = PacketSocket::open(client.namespace(), "eth0")?;
    let begin = Instant::now();
    let mut sent = 0;
    while begin.elapsed() < SPAN {
        let due = (begin.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
        for frame in frames
            .iter()
            .cycle()
            .skip(sent as usize % frames.len())
            .take(due.saturating_sub(sent) as usize)
        {
            // A queue that is full is a flood, too.
            let _ = socket.send(frame);
            sent += 1;
        }
        // Not before there is something to send again.
        std::thread::yield_now();
    }
    let after = (changes(&a), changes(&b));
    let counted: u64 = refused(&b)?.values().sum();
    println!(
        "sent {sent} in {SPAN:?}, of which b refused {counted}: {:?}",
        refused(&b)?
    );
    assert_eq!(after, before, "{}\n{}", a.process().log(), b.process().log());
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );
    ensure!(sent > RATE, "only {sent} were sent");
    ensure!(counted > u64::from(sent) / 2, "{counted} of {sent} were counted");
    Ok(())
}

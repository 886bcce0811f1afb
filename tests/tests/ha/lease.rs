//! Who answers for a VIP: nobody whose lease has ended, and what becomes of it when somebody else does.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Capture, Host, PacketSocket, Tandem,
    capture::Frame,
    client::http,
    neighbour::{
        ALL_NODES, arp, discovery,
        kind::{ADVERTISEMENT, SOLICITATION},
        solicited_node,
    },
    topology::{Pair, VIP4, VIP6},
    wait_for,
};

use crate::roles::{PATIENCE, expect_holds, expect_role};

const INTERVAL: Duration = Duration::from_millis(100);

fn start(pair: &Pair, more: &str) -> Result<Tandem> {
    Tandem::start(&pair.directors[0], &config(pair, more))
}

fn config(pair: &Pair, more: &str) -> String {
    pair.config(
        0,
        &Pair::front(150, &format!("advert_interval = \"100ms\"\n{more}")),
    )
}

/// A client that asks where the VIPs are, over and over.
pub(crate) struct Asker {
    socket: PacketSocket,
    answers: Capture,
    questions: [Vec<u8>; 2],
}

/// Which VIP it is that the frame says is at the frame's source.
pub(crate) fn says_where(frame: &[u8]) -> Option<IpAddr> {
    match frame.get(12..14)? {
        [0x08, 0x06] if frame.get(28..32)? == VIP4.octets() => Some(VIP4.into()),
        [0x86, 0xdd] if frame.get(54) == Some(&ADVERTISEMENT) && frame.get(62..78)? == VIP6.octets() => {
            Some(VIP6.into())
        }
        _ => None,
    }
}

impl Asker {
    pub(crate) fn new(client: &Host) -> Result<Self> {
        let mac = client.interface("eth0")?.mac();
        let from4 = client.ipv4().context("an IPv4 address")?;
        let from6 = client.ipv6().context("an IPv6 address")?;
        let from6: Ipv6Addr = from6;
        Ok(Self {
            socket: PacketSocket::open(client.namespace(), "eth0")?,
            answers: Capture::start(client.namespace(), "eth0", |frame| says_where(frame).is_some())?,
            questions: [
                arp(1, mac, from4, VIP4),
                discovery(SOLICITATION, 0, mac, from6, solicited_node(VIP6), VIP6),
            ],
        })
    }

    /// Asks for both VIPs until neither is answered for; when the last question that was answered for was asked, for each.
    pub(crate) fn ask_until_silent(&mut self) -> Result<[Instant; 2]> {
        let start = Instant::now();
        let mut answered = [start; 2];
        let mut heard = self.answers.frames()?.len();
        while answered.iter().any(|at| at.elapsed() < 5 * INTERVAL) {
            ensure!(start.elapsed() < PATIENCE, "the VIPs are still answered for");
            let asked = Instant::now();
            for question in &self.questions {
                self.socket.send(question)?;
            }
            // Answers come at once or not at all.
            let both = |frames: &[Frame]| frames.len() >= heard + 2;
            let _ = self.answers.wait_until(Duration::from_millis(3), "answers", both);
            let frames = self.answers.frames()?;
            for frame in &frames[heard..] {
                answered[usize::from(says_where(&frame.bytes) == Some(VIP6.into()))] = asked;
            }
            heard = frames.len();
        }
        Ok(answered)
    }
}

/// The client knows where the VIPs are, at these MAC addresses, and does not ask.
pub(crate) fn learn(client: &Host, macs: [[u8; 6]; 2]) -> Result<()> {
    for (vip, [a, b, c, d, e, f]) in [IpAddr::from(VIP4), VIP6.into()].into_iter().zip(macs) {
        let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
        let vip = vip.to_string();
        let mut command = client.command("ip")?;
        command.args([
            "neigh",
            "replace",
            &vip,
            "lladdr",
            &mac,
            "nud",
            "permanent",
            "dev",
            "eth0",
        ]);
        ensure!(command.status()?.success(), "the neighbour could not be set");
    }
    Ok(())
}

/// A director whose daemon is stopped or dead does not keep the VIPs, and still forwards what reaches it.
#[test]
fn a_director_that_lost_its_mind_is_not_asked_again_and_forwards_on() -> Result<()> {
    let pair = Pair::build("ha-lease", 1, 1)?;
    let _servers = pair.serve_http_everywhere()?;
    let (client, director) = (&pair.clients[0], &pair.directors[0]);
    let a = start(&pair, "")?;
    expect_role(&a, "active")?;
    expect_holds(director, VIP6, true)?;
    let mut asker = Asker::new(client)?;
    let get = |vip: IpAddr| http::get(client, (vip, 80).into(), "/", PATIENCE);
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        wait_for(PATIENCE, format!("an answer from {vip}"), || get(vip).is_ok())?;
    }
    learn(client, [director.interface("eth0")?.mac(); 2])?;

    a.process().pause()?;
    let paused = Instant::now();
    for last in asker.ask_until_silent()? {
        let after = last.saturating_duration_since(paused);
        ensure!(after <= 3 * INTERVAL, "answered {after:?} after it was stopped");
    }
    ensure!(director.has_address(VIP4)?, "nobody took the address away");
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        assert_eq!(get(vip)?.status, 200);
    }
    a.process().resume()?;
    a.wait_until_it_says("the daemon did nothing for")?;
    expect_role(&a, "active")?;
    expect_holds(director, VIP4, true)?;

    a.process().kill()?;
    let killed = Instant::now();
    for last in asker.ask_until_silent()? {
        let after = last.saturating_duration_since(killed);
        ensure!(after <= 3 * INTERVAL, "answered {after:?} after it was killed");
    }
    ensure!(director.has_address(VIP6)?, "nobody took the address away");
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        assert_eq!(get(vip)?.status, 200);
    }
    Ok(())
}

/// Another machine says that the VIPs are its own.
#[test]
fn who_else_answers_for_a_vip_is_told_of_and_outdone_or_given_way_to() -> Result<()> {
    const ONCE: &str = "announce = { repeat = 1 }";
    let pair = Pair::build("ha-claim", 1, 1)?;
    let (client, director) = (&pair.clients[0], &pair.directors[0]);
    let forger = client.interface("eth0")?.mac();
    let own = director.interface("eth0")?.mac();
    let socket = PacketSocket::open(client.namespace(), "eth0")?;
    let mut capture = Capture::start(client.namespace(), "eth0", move |frame| {
        frame.get(6..12) == Some(&own[..]) && says_where(frame).is_some()
    })?;
    let a = start(&pair, ONCE)?;
    expect_role(&a, "active")?;
    let announced = |vip: IpAddr, times: usize| {
        move |frames: &[Frame]| {
            let frames = frames.iter();
            frames
                .filter(|frame| says_where(&frame.bytes) == Some(vip))
                .count()
                >= times
        }
    };
    let claims = [
        arp(1, forger, VIP4, VIP4),
        discovery(ADVERTISEMENT, 0x20, forger, VIP6, ALL_NODES, VIP6),
    ];
    for (claim, vip) in claims.iter().zip([IpAddr::from(VIP4), VIP6.into()]) {
        capture.wait_until(PATIENCE, "the VIP to be announced", announced(vip, 1))?;
        socket.send(claim)?;
        capture.wait_until(
            PATIENCE,
            "the VIP to be announced against the claim",
            announced(vip, 2),
        )?;
        wait_for(PATIENCE, format!("the event that {vip} is claimed"), || {
            let events = a.ask(&["events", "--kind", "ha.duplicate_address"]);
            events.is_ok_and(|events| events.to_string().contains(&vip.to_string()))
        })?;
    }
    ensure!(a.count("vip_claimed")? >= 2, "claims are not counted");
    expect_role(&a, "active")?;

    a.reload(&config(&pair, &format!("{ONCE}\non_duplicate = \"yield\"")))?;
    expect_role(&a, "active")?;
    socket.send(&claims[0])?;
    expect_role(&a, "out")?;
    expect_holds(director, VIP4, false)?;
    let view = a.ask(&["ha"])?;
    println!("{}", a.show(&["ha"])?);
    let reason = view["instances"][0]["unfit"][0].as_str().unwrap_or_default();
    ensure!(reason.contains(&VIP4.to_string()), "{reason}");
    Ok(())
}

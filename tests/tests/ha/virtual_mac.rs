//! VIPs at MAC addresses of their own, which no takeover changes.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::Output,
};

use anyhow::{Result, ensure};
use lb_tests::{
    Capture, Host, Keepalived, PacketSocket, Tandem,
    client::http,
    neighbour::arp,
    topology::{Pair, VIP4, VIP6},
    wait_for,
};

use crate::{
    interop::{expect_holder, keepalived, tandem},
    lease::{Asker, learn, says_where},
    roles::{PATIENCE, expect_holds, expect_role},
};

/// Of VRID 51, for IPv4 and IPv6 (RFC 9568, section 7.3).
const MACS: [[u8; 6]; 2] = [[0, 0, 0x5e, 0, 1, 51], [0, 0, 0x5e, 0, 2, 51]];

fn config(pair: &Pair, director: usize, priority: u8) -> String {
    let more = "advert_interval = \"100ms\"\nfailback = \"immediate\"\nvirtual_mac = true";
    pair.config(director, &Pair::front(priority, more))
}

/// The director's links with MAC addresses of VIPs: all, or those that are on.
fn links(director: &Host, only_on: bool) -> Result<usize> {
    let mut command = director.command("ip")?;
    command.args(["-o", "link", "show", "group", "84"]);
    if only_on {
        command.arg("up");
    }
    let Output { stdout, .. } = command.output()?;
    Ok(String::from_utf8(stdout)?.lines().count())
}

fn expect_links(director: &Host, all: usize, on: usize) -> Result<()> {
    let name = director.name();
    wait_for(
        PATIENCE,
        format!("{name} to have {all} links, {on} of them on"),
        || {
            links(director, false).is_ok_and(|found| found == all)
                && links(director, true).is_ok_and(|found| found == on)
        },
    )?;
    Ok(())
}

fn expect_service(pair: &Pair) -> Result<()> {
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        wait_for(PATIENCE, format!("an answer from {vip}"), || {
            let got = http::get(&pair.clients[0], (vip, 80).into(), "/", PATIENCE);
            got.is_ok_and(|got| got.status == 200)
        })?;
    }
    Ok(())
}

fn reaches(client: &Host, address: IpAddr) -> bool {
    let Ok(mut command) = client.command("ping") else {
        return false;
    };
    let output = command.args(["-c1", "-W1", &address.to_string()]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Frames to a client that are VRRP's or say where a VIP is: their kind, and the address that they come from and name.
fn tells(frame: &[u8]) -> bool {
    says_where(frame).is_some() || is_vrrp(frame)
}

fn is_vrrp(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(23) == Some(&112),
        Some([0x86, 0xdd]) => frame.get(20) == Some(&112),
        _ => false,
    }
}

/// Everything that a client heard about the VIPs came from their own addresses.
fn expect_nothing_but_virtual_macs(heard: &mut Capture) -> Result<()> {
    let mut adverts = 0;
    let mut answers = 0;
    for frame in heard.frames()? {
        let bytes = &frame.bytes;
        let is_v6 = bytes[12..14] == [0x86, 0xdd];
        let expected = MACS[usize::from(is_v6)];
        ensure!(bytes[6..12] == expected, "from another address: {bytes:02x?}");
        if is_vrrp(bytes) {
            adverts += 1;
            continue;
        }
        // The sender's address in ARP, and the option of an advertisement.
        let named = if is_v6 {
            bytes.get(80..86)
        } else {
            bytes.get(22..28)
        };
        ensure!(named == Some(&expected[..]), "says another address: {bytes:02x?}");
        answers += 1;
    }
    ensure!(
        adverts > 10 && answers > 2,
        "{adverts} advertisements, {answers} answers"
    );
    Ok(())
}

/// A takeover after a kill: no client needs to learn anything, and nothing that is left behind speaks up.
#[test]
fn clients_find_the_vips_at_one_address_whoever_holds_them() -> Result<()> {
    let pair = Pair::build("ha-vmac", 1, 1)?;
    let _servers = pair.serve_http_everywhere()?;
    let client = &pair.clients[0];
    let [host_a, host_b] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    let mut heard = Capture::start(client.namespace(), "eth0", tells)?;
    let a = Tandem::start(host_a, &config(&pair, 0, 150))?;
    expect_role(&a, "active")?;
    let b = Tandem::start(host_b, &config(&pair, 1, 100))?;
    expect_role(&b, "backup")?;
    expect_links(host_a, 2, 2)?;
    expect_links(host_b, 2, 0)?;
    expect_service(&pair)?;
    println!("{}", a.show(&["ha"])?);
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        ensure!(reaches(client, vip), "{vip} does not answer pings");
    }
    // The director's own address is where it was.
    let own = host_a.interface("eth0")?.mac();
    let own_address = Ipv4Addr::new(192, 0, 2, 2);
    let mut answers = Capture::start(client.namespace(), "eth0", move |frame| {
        frame.get(12..14) == Some(&[0x08, 0x06]) && frame.get(28..32) == Some(&own_address.octets())
    })?;
    let question = arp(
        1,
        client.interface("eth0")?.mac(),
        Ipv4Addr::new(192, 0, 2, 100),
        own_address,
    );
    PacketSocket::open(client.namespace(), "eth0")?.send(&question)?;
    let answer = answers.wait_for(PATIENCE, "an answer", |frame| frame.bytes.get(21) == Some(&2))?;
    ensure!(answer.bytes[22..28] == own, "{:02x?}", answer.bytes);

    // From now on the client learns nothing any more.
    learn(client, MACS)?;
    a.process().kill()?;
    expect_role(&b, "active")?;
    expect_holds(host_b, VIP6, true)?;
    expect_service(&pair)?;
    expect_links(host_a, 2, 2)?;
    expect_nothing_but_virtual_macs(&mut heard)?;

    // Nobody answers any more once both are dead, though the addresses are on their links.
    b.process().kill()?;
    let mut asker = Asker::new(client)?;
    let _ = asker.ask_until_silent()?;
    ensure!(
        host_a.has_address(VIP4)? && host_b.has_address(VIP6)?,
        "somebody cleaned up"
    );

    // What was left behind is gone before the next life has a role, and that leaves nothing behind.
    let b = Tandem::start(host_b, &config(&pair, 1, 100))?;
    expect_role(&b, "active")?;
    let a = Tandem::start(host_a, &config(&pair, 0, 150))?;
    expect_role(&b, "backup")?;
    expect_links(host_b, 2, 0)?;
    expect_service(&pair)?;
    expect_nothing_but_virtual_macs(&mut heard)?;
    a.process().terminate(PATIENCE)?;
    expect_role(&b, "active")?;
    expect_links(host_a, 0, 0)?;
    expect_service(&pair)?;

    // A reload that does without.
    b.reload(&config(&pair, 1, 100).replace("virtual_mac = true", ""))?;
    expect_links(host_b, 0, 0)?;
    expect_role(&b, "active")?;
    expect_holds(host_b, VIP4, true)
}

/// A link that somebody removes comes back, and where it cannot be made the director takes no part and says why.
#[test]
fn without_its_link_a_director_holds_nothing() -> Result<()> {
    let pair = Pair::build("ha-vmac-link", 1, 1)?;
    let _servers = pair.serve_http_everywhere()?;
    let director = &pair.directors[0];
    let a = Tandem::start(director, &config(&pair, 0, 150))?;
    expect_role(&a, "active")?;
    expect_links(director, 2, 2)?;
    let ip = |arguments: &[&str]| -> Result<()> {
        let output = director.command("ip")?.args(arguments).output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    };
    ip(&["link", "delete", "group", "84"])?;
    expect_links(director, 2, 2)?;
    expect_holds(director, VIP4, true)?;
    expect_service(&pair)?;
    a.process().terminate(PATIENCE)?;

    // A port of a bridge has no room for another handler.
    ip(&["link", "add", "br0", "type", "bridge"])?;
    ip(&["link", "set", "eth0", "master", "br0"])?;
    let a = Tandem::start_again(director)?;
    wait_for(PATIENCE, "the director to say why not", || {
        let view = a.ask(&["ha"]).unwrap_or_default();
        let reason = view["instances"][0]["unfit"][0].as_str().unwrap_or_default();
        reason.contains("virtual MAC address: cannot make the link vm4.51.")
            && reason.contains("a port of a bridge")
    })
    .map_err(|timeout| anyhow::anyhow!("{timeout}: {}", a.show(&["ha"]).unwrap_or_default()))?;
    ip(&["link", "set", "eth0", "nomaster"])?;
    expect_role(&a, "active")?;
    expect_service(&pair)
}

/// keepalived with `use_vmac` on the other side.
#[test]
fn keepalived_holds_the_vips_at_the_same_address() -> Result<()> {
    let pair = Pair::build("ha-vmac-keepalived", 1, 1)?;
    let client = &pair.clients[0];
    let [ours, theirs] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    let mut heard = Capture::start(client.namespace(), "eth0", is_vrrp)?;
    let a = Tandem::start(ours, &tandem(&pair, 150, "virtual_mac = true"))?;
    expect_role(&a, "active")?;
    expect_links(ours, 2, 2)?;
    let b = Keepalived::start(theirs, &keepalived(100, ["use_vmac", "use_vmac"]))?;
    expect_holder(&pair, 0)?;
    learn(client, MACS)?;
    let expect_answers = |who: &str| -> Result<()> {
        for vip in [IpAddr::from(VIP4), VIP6.into()] {
            wait_for(PATIENCE, format!("{who} to answer at {vip}"), || {
                reaches(client, vip)
            })?;
        }
        Ok(())
    };
    expect_answers("Tandem")?;
    a.process().terminate(PATIENCE)?;
    expect_holder(&pair, 1)?;
    expect_answers("keepalived")?;
    let a = Tandem::start_again(ours)?;
    expect_role(&a, "active")?;
    expect_holder(&pair, 0)?;
    expect_answers("Tandem")?;
    a.process().kill()?;
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        expect_holds(theirs, vip, true)?;
    }
    expect_answers("keepalived")?;
    let a = Tandem::start_again(ours)?;
    expect_role(&a, "active")?;
    expect_holder(&pair, 0)?;
    b.process().terminate(PATIENCE)?;
    expect_answers("Tandem")?;
    let from = |mac: [u8; 6]| move |frame: &&lb_tests::capture::Frame| frame.bytes[6..12] == mac;
    let frames = heard.frames()?;
    let own = frames
        .iter()
        .filter(|frame| !MACS.iter().any(|mac| from(*mac)(frame)))
        .count();
    ensure!(
        own == 0,
        "{own} of {} advertisements came from another address",
        frames.len()
    );
    Ok(())
}

//! Hundreds of VIPs of one group: they move together, and each of them is announced.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Capture, Host, Tandem, capture::Frame, neighbour::kind::ADVERTISEMENT, topology::Pair, wait_for,
};

use crate::roles::{PATIENCE, expect_peers, expect_role};

/// Two instances have as many IPv4 VIPs as fit, one the IPv6 VIPs.
const V4_EACH: u8 = 250;
const V6: u16 = 60;

fn vips(instance: usize) -> Vec<IpAddr> {
    let v4 = |network: [u8; 3]| -> Vec<IpAddr> {
        let [a, b, c] = network;
        (1..=V4_EACH)
            .map(|host| Ipv4Addr::new(a, b, c, host).into())
            .collect()
    };
    match instance {
        0 => v4([198, 51, 100]),
        1 => v4([203, 0, 113]),
        _ => (1..=V6)
            .map(|host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 9, host).into())
            .collect(),
    }
}

fn start(pair: &Pair, director: usize, more: &str) -> Result<Tandem> {
    let mut config = more.to_owned();
    for instance in 0..3 {
        let vips: Vec<String> = vips(instance).iter().map(|vip| format!("\"{vip}\"")).collect();
        write!(
            config,
            "[[instance]]\nname = \"many{instance}\"\ngroup = \"all\"\nvrid = {}\ninterface = \"eth0\"\npriority = {}\n\
             failback = \"never\"\nadvert_interval = \"100ms\"\nvips = [{}]\n",
            60 + instance,
            150 - 50 * director,
            vips.join(", ")
        )?;
    }
    Tandem::start(&pair.directors[director], &pair.config(director, &config))
}

/// The VIP that this frame announces.
fn announced(frame: &Frame) -> Option<IpAddr> {
    let bytes = &frame.bytes;
    match bytes.get(12..14)? {
        [0x08, 0x06] => Some(<[u8; 4]>::try_from(bytes.get(28..32)?).ok()?.into()),
        [0x86, 0xdd] if bytes.get(54) == Some(&ADVERTISEMENT) => {
            Some(<[u8; 16]>::try_from(bytes.get(62..78)?).ok()?.into())
        }
        _ => None,
    }
}

/// Announcements that come to the client from this director.
fn listen(client: &Host, director: &Host) -> Result<Capture> {
    let own = director.interface("eth0")?.mac();
    Ok(Capture::start(client.namespace(), "eth0", move |frame| {
        let is_one = matches!(frame.get(12..14), Some([0x08, 0x06] | [0x86, 0xdd]));
        is_one && frame.get(6..12) == Some(&own[..])
    })?)
}

fn expect_all_announced(capture: &mut Capture, all: &BTreeSet<IpAddr>) -> Result<()> {
    let frames = capture.wait_until(PATIENCE, "all VIPs to be announced", |frames| {
        let told: BTreeSet<_> = frames.iter().filter_map(announced).collect();
        told.is_superset(all)
    })?;
    ensure!(!frames.is_empty(), "nothing was captured");
    Ok(())
}

/// How many of them the host has.
fn held(host: &Host, all: &BTreeSet<IpAddr>) -> Result<usize> {
    let output = host.command("ip")?.args(["-o", "address", "show"]).output()?;
    let shown = String::from_utf8(output.stdout)?;
    let words = shown.split_whitespace().filter_map(|word| word.split('/').next());
    let found: BTreeSet<IpAddr> = words.filter_map(|word| word.parse().ok()).collect();
    Ok(found.intersection(all).count())
}

fn expect_held(host: &Host, all: &BTreeSet<IpAddr>, expected: usize) -> Result<()> {
    let mut last = 0;
    wait_for(
        PATIENCE,
        format!("{} to hold {expected} VIPs", host.name()),
        || {
            last = held(host, all).unwrap_or(usize::MAX);
            last == expected
        },
    )
    .with_context(|| format!("it holds {last}"))
}

#[test]
fn hundreds_of_vips_move_together_and_are_all_announced() -> Result<()> {
    let pair = Pair::build("ha-many", 1, 1)?;
    let client = &pair.clients[0];
    let [first, second] = [&pair.directors[0], &pair.directors[1]];
    let all: BTreeSet<IpAddr> = (0..3).flat_map(vips).collect();
    ensure!(all.len() == 560);
    let more = Pair::cluster(&pair.make_key()?, "");
    let a = start(&pair, 0, &more)?;
    expect_role(&a, "active")?;
    let b = start(&pair, 1, &more)?;
    for director in [&a, &b] {
        expect_peers(director, 1)?;
    }
    expect_held(first, &all, all.len())?;
    expect_held(second, &all, 0)?;

    let mut capture = listen(client, second)?;
    let killed = Instant::now();
    a.process().kill()?;
    expect_all_announced(&mut capture, &all)?;
    println!(
        "all {} announced {:?} after the kill",
        all.len(),
        killed.elapsed()
    );
    expect_held(second, &all, all.len())?;

    // It finds what its earlier life has left behind.
    let a = Tandem::start_again(first)?;
    expect_held(first, &all, 0)?;
    for director in [&a, &b] {
        expect_peers(director, 1)?;
    }
    let mut capture = listen(client, first)?;
    let ordered = Instant::now();
    a.ask(&["ha", "handover", "--to", "a"])?;
    expect_all_announced(&mut capture, &all)?;
    println!("all announced {:?} after the order", ordered.elapsed());
    expect_held(first, &all, all.len())?;
    expect_held(second, &all, 0)?;
    let instances = a.ask(&["ha"])?;
    let instances = instances["instances"].as_array().context("instances")?;
    ensure!(
        instances.len() == 3 && instances.iter().all(|instance| instance["role"] == "active"),
        "{instances:?}"
    );
    Ok(())
}

//! Interfaces.

use lb_common::abi::names;

use super::{Daemon, Finding, Interface};
use crate::net::link::{LinkFacts, XdpMode, XdpProgram};

/// Largest packet of a client whose network has the usual Ethernet MTU.
const CLIENT_MTU: u32 = 1500;

/// Kinds of virtual interfaces that run XDP programs in their driver.
const NATIVE_KINDS: [&str; 3] = ["veth", "tun", "bond"];

/// Whether anything is to be examined at all.
pub(super) fn any(interfaces: &[Interface]) -> Option<Finding> {
    interfaces.is_empty().then(|| {
        Finding::warning(
            "interfaces",
            "no interface was examined",
            "most of what goes wrong has to do with them",
            "name them with --interface, or the configuration that does with --config",
        )
    })
}

pub(super) fn examine(interface: &Interface, daemon: &Daemon) -> Vec<Finding> {
    let link = match &interface.link {
        Ok(link) => link,
        Err(why) => return vec![missing(&interface.name, why)],
    };
    let expected = daemon
        .running()
        .is_some_and(|running| running.status.interfaces.iter().any(|i| i.name == link.name));
    if link.mac.is_none() {
        return vec![state(link)];
    }
    let findings = [
        Some(state(link)),
        program(link, expected),
        kind(link),
        port(link),
        Some(room(link)),
        large_receive(link),
    ];
    let peer = peer(link, interface.peer.as_ref());
    findings.into_iter().flatten().chain(peer).collect()
}

fn missing(name: &str, why: &str) -> Finding {
    Finding::problem(
        "interface",
        format!("{name}: {why}"),
        "there is nothing to balance on",
        "`ip link` lists the interfaces there are; correct the name, or create the interface",
    )
}

pub(super) fn state(link: &LinkFacts) -> Finding {
    const CHECK: &str = "interface";
    let name = &link.name;
    if link.mac.is_none() {
        return Finding::problem(
            CHECK,
            format!("{name} is no Ethernet interface"),
            "packets are forwarded by rewriting their Ethernet headers",
            "name an Ethernet interface",
        );
    }
    if !link.admin_up {
        return Finding::problem(
            CHECK,
            format!("{name} is down"),
            "no packet comes in by it",
            format!("ip link set dev {name} up"),
        );
    }
    if !link.running {
        return Finding::problem(
            CHECK,
            format!("{name} has no carrier"),
            "no packet comes in by it",
            "look at the cable, and at the switch or the other end",
        );
    }
    let driver = link.driver.as_ref();
    let driver = driver.map_or_else(String::new, |driver| format!(", driver {driver}"));
    Finding::ok(CHECK, format!("{name} is up{driver}, MTU {}", link.mtu))
}

/// What is attached. `expected` is whether a running daemon balances on the interface.
pub(super) fn program(link: &LinkFacts, expected: bool) -> Option<Finding> {
    const CHECK: &str = "xdp";
    let name = &link.name;
    // The kernel does not tell names to everybody; the daemon's word will do.
    let is_ours = |program: &XdpProgram| match &program.name {
        Some(name) => name == names::PROGRAM,
        None => expected,
    };
    if let Some(other) = link.xdp.iter().find(|program| !is_ours(program)) {
        let called = other.name.as_ref();
        let called = called.map_or_else(String::new, |name| format!(" `{name}`"));
        return Some(Finding::problem(
            CHECK,
            format!("{name} runs another XDP program{called} (id {})", other.id),
            "an interface runs one XDP program, and Tandem does not push out another's",
            format!(
                "ip link set dev {name} xdp off; if it is held by a link (`bpftool link`), by whoever made that link"
            ),
        ));
    }
    let ours = link.xdp.first();
    match ours.map(|program| program.mode) {
        None if expected => Some(Finding::problem(
            CHECK,
            format!("{name} runs no XDP program, though the daemon balances on it"),
            "its packets are not balanced",
            "somebody took the program off: restart the daemon",
        )),
        None => Some(Finding::ok(CHECK, format!("{name} runs no other XDP program"))),
        Some(XdpMode::Generic) => Some(Finding::warning(
            CHECK,
            format!("{name} runs the program in generic mode"),
            "the driver cannot, so the network stack does after it has built a socket buffer: several times slower",
            "use an interface whose driver runs XDP programs (and, for some, fewer queues or a smaller MTU)",
        )),
        Some(XdpMode::Native) => Some(Finding::ok(
            CHECK,
            format!("{name} runs the program in the driver"),
        )),
        Some(XdpMode::Offloaded) => Some(Finding::ok(
            CHECK,
            format!("{name} runs the program in the device"),
        )),
    }
}

pub(super) fn kind(link: &LinkFacts) -> Option<Finding> {
    const CHECK: &str = "kind";
    let (name, kind) = (&link.name, link.kind.as_deref()?);
    let below = link.lower.as_ref().and_then(|lower| lower.name.as_deref());
    if kind == "vlan" {
        let id = link.vlan.map_or_else(String::new, |id| format!(" {id}"));
        let below = below.unwrap_or("the interface below");
        return Some(Finding::warning(
            CHECK,
            format!("{name} is VLAN{id} of {below}"),
            "VLAN interfaces have no native XDP; the program reads VLAN tags itself",
            format!("balance on {below} instead"),
        ));
    }
    if NATIVE_KINDS.contains(&kind) {
        return None;
    }
    Some(Finding::warning(
        CHECK,
        format!("{name} is a virtual interface ({kind})"),
        "its driver has no native XDP, so the program would run in generic mode: several times slower",
        "balance on the physical interface below it",
    ))
}

/// An interface that is a port of another.
pub(super) fn port(link: &LinkFacts) -> Option<Finding> {
    let (name, master) = (&link.name, link.master.as_ref()?);
    Some(Finding::warning(
        "port",
        format!("{name} is a port of {master}"),
        format!(
            "the program sees only packets that come in by this port, before {master} does, and sends them out by it again"
        ),
        format!(
            "if {master} is a bond, balance on {master}; if it is a bridge, be sure that all clients come in by {name}"
        ),
    ))
}

/// Whether a client's packet still fits when it is forwarded.
pub(super) fn room(link: &LinkFacts) -> Finding {
    const CHECK: &str = "mtu";
    let (name, mtu) = (&link.name, link.mtu);
    let Some(spare) = mtu.checked_sub(CLIENT_MTU) else {
        return Finding::warning(
            CHECK,
            format!("{name} has an MTU of {mtu}"),
            format!("clients send packets of up to {CLIENT_MTU} bytes: large ones do not fit"),
            format!(
                "ip link set dev {name} mtu {CLIENT_MTU}, and the same on the backends and the switch between"
            ),
        );
    };
    let tunnels = match spare {
        0 => "a tunnel's headers fit only in front of shorter ones, which clients are told".to_owned(),
        spare => format!("a tunnel can add up to {spare} bytes to the longest"),
    };
    Finding::ok(
        CHECK,
        format!("{name} has room for clients' packets (MTU {mtu}); {tunnels}"),
    )
}

pub(super) fn large_receive(link: &LinkFacts) -> Option<Finding> {
    let name = &link.name;
    (link.offloads.lro == Some(true)).then(|| {
        Finding::warning(
            "lro",
            format!("{name} merges packets as they come in (LRO)"),
            "most drivers refuse native XDP like this, and what was merged cannot be forwarded as it came",
            format!("ethtool -K {name} lro off"),
        )
    })
}

/// The other end of a veth pair.
pub(super) fn peer(link: &LinkFacts, peer: Option<&LinkFacts>) -> Vec<Finding> {
    if link.kind.as_deref() != Some("veth") {
        return Vec::new();
    }
    let name = &link.name;
    let Some(peer) = peer else {
        return vec![Finding::warning(
            "veth",
            format!("the other end of {name} is in another network namespace and cannot be seen from here"),
            "frames that the program sends back vanish unless that end runs an XDP program too, and no counter says so; \
             and its packets must leave with finished checksums",
            "over there, attach any XDP program to it (one that passes everything will do), and `ethtool -K DEV tx off`",
        )];
    };
    let other = &peer.name;
    let mut findings = Vec::new();
    if peer.xdp.is_empty() {
        findings.push(Finding::problem(
            "veth",
            format!("{other}, the other end of {name}, runs no XDP program"),
            "frames that the program sends back by a veth vanish unless the other end runs one too, and no counter says so",
            format!("attach any XDP program to {other}: one that passes everything will do"),
        ));
    }
    if peer.offloads.tx_checksum == Some(true) {
        findings.push(Finding::problem(
            "checksum",
            format!("{other}, the other end of {name}, leaves checksums to the device"),
            "a veth has no device that would finish them, so what is forwarded arrives with wrong ones",
            format!("ethtool -K {other} tx off"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "veth",
            format!("{other}, the other end of {name}, is fit for XDP"),
        ));
    }
    findings
}

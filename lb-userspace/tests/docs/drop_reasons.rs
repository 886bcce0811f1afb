//! `docs/drop-reasons.md` is made from the tables of reasons and events; only the advice is written here.

use std::{collections::BTreeSet, env, fmt::Write as _, fs};

use lb_common::{
    abi::Event,
    packet::{MAX_EXTENSIONS, MAX_VLAN_TAGS},
    reason::{Fate, Reason},
};

use crate::{read, root};

const PATH: &str = "docs/drop-reasons.md";
/// Set to 1, it makes the test write the page instead of comparing it.
const BLESS: &str = "TANDEM_BLESS";

const HEAD: &str = "\
# Packets that are not forwarded

<!-- Made from lb-common/src/reason.rs, lb-common/src/abi/counters.rs and lb-userspace/tests/docs/drop_reasons.rs by
     `TANDEM_BLESS=1 cargo test -p lb-userspace --test docs`: change it there, not here. -->

The XDP program forwards a packet, or has a reason not to. Each reason has a number, a name and a counter; a packet counts
under one reason. `tandem stats` shows those that have occurred, `tandem stats --all` the others too, and `tandem stats -j` and
`/v1/stats` on the daemon's [socket](cli.md#the-api) give them to scripts, in which names do not change. They count from when balancing
began; a restart of the daemon does not set them back. A forwarded packet is counted at its backend: see `tandem backend`.

A packet whose destination is no VIP is `not_vip`, whatever else may be wrong with it: nothing is dropped that is not addressed to a
VIP. The one exception is a frame too short to tell, which is `truncated`.

Which reason a packet of your choice would have, and why, says [`tandem trace`](cli.md#where-does-a-packet-go). `tandem trace -f` and `tandem capture`
show those that come, with their reasons.
";

/// What it means to an operator when this counter moves.
fn advice(reason: Reason) -> String {
    match reason {
        Reason::NotIp => format!(
            "ARP, LLDP, spanning tree and the like: normal. A frame with more than {MAX_VLAN_TAGS} VLAN tags is among \
             them."
        ),
        Reason::NotVip => "Normal: the director's own traffic.".into(),
        Reason::NoService => {
            "Somebody tries ports that nobody serves, or a frontend is missing from the configuration: `tandem service` \
             lists them. The director's kernel refuses the connection."
                .into()
        }
        Reason::NotUnicastMac => {
            "A client or a switch floods packets for the VIP. They are not balanced, or each would arrive as often as \
             there are directors on the link."
                .into()
        }
        Reason::OtherProtocol => {
            "IPv6 neighbour discovery and the like, in small numbers: normal. Large numbers are a scan, or a protocol that \
             no service can balance."
                .into()
        }
        Reason::NestedTunnel => {
            "IPIP, 6in4 or GRE sent to a VIP. Either somebody tries what is behind it, or another director takes this one for \
             a backend: `tandem backend` there must not have a VIP for an address. A tunnel that ends on this machine must \
             end at an address that is no VIP."
                .into()
        }
        Reason::IcmpUnrelated => {
            "The kernel gets it. In small numbers normal: answers to what the director itself sent from a VIP, or late \
             errors about services that are gone."
                .into()
        }
        Reason::AllFull => {
            "New connections are refused until some end: `tandem backend` shows who is full. Raise `upper_threshold`, add \
             backends, or one with `backup = true`. With a scheduler that hashes, `fallback = true` lets others help out."
                .into()
        }
        Reason::ResetSent => {
            "A service has `on_unknown = \"reset\"` or `on_gone = \"reset\"`, or a drain ended with a reset; see \
             [connections](connections.md). Many of them are a scan, or another director's connections that this one was not told of."
                .into()
        }
        Reason::UnknownFlow => {
            "A service has `on_unknown = \"drop\"` (or `reset`, where a reset came). See [connections](connections.md#segments-of-unknown-connections)."
                .into()
        }
        Reason::FragmentHeld => {
            "Fragments that overtook the first one of their packet, on a network with several paths. They are sent on as soon as \
             that has come, and count once more then, at their backend or as `fragment_unknown`. See [fragments](fragments.md)."
                .into()
        }
        Reason::FragmentUnknown => {
            "First fragments that were lost on the way, or a flood of later ones. See [fragments](fragments.md).".into()
        }
        Reason::BadFragment => {
            "An attack: fragments that hide a transport header, or write over it (RFC 1858), or end beyond the largest packet.".into()
        }
        Reason::SourceFlood => {
            "One client, or many behind one address, began more connections in a second than `source_rate` of `flood` says. See \
             [floods](flood.md)."
                .into()
        }
        Reason::BadIcmpQuote => {
            "A router that quotes less than RFC 792 asks for, or somebody who makes errors up. See [ICMP](icmp.md).".into()
        }
        Reason::Fragment => {
            "Pings that are longer than the MTU, which the kernel puts together and answers. TCP and UDP in fragments are balanced."
                .into()
        }
        Reason::RoutingHeader => "The VIP is no router; the kernel decides, and by default refuses.".into(),
        Reason::EchoAnswered => "Pings. An answer shows that the director lives, not that a backend does.".into(),
        Reason::Truncated => "A sender or driver at fault, or an attack.".into(),
        Reason::BadIpHeader => "Crafted, or damaged on the way.".into(),
        Reason::BadIpChecksum => "Damaged on the way, or crafted.".into(),
        Reason::TtlExpired => "No router forwards such a packet: a neighbour sent it, or a loop. A tunnel needs a TTL of 2, since it counts as a hop.".into(),
        Reason::MartianSource => {
            "Forged: an unspecified, loopback, multicast, reserved or broadcast address, or the VIP's own.".into()
        }
        Reason::BadTransportHeader => "Crafted, or damaged on the way.".into(),
        Reason::BadTcpFlags => "A port scan: none of SYN, ACK and RST, or SYN with FIN or RST.".into(),
        Reason::PortZero => "A port scan, or a forged source.".into(),
        Reason::TooManyExtensions => format!("The program follows {MAX_EXTENSIONS}; no ordinary client sends so many."),
        Reason::NoBackend => {
            "All backends of the service are unreachable or have a weight of 0, or it has none: `tandem backend` says why."
                .into()
        }
        Reason::BackendUnresolved => {
            "The backend was reachable when the flow began. `tandem backend` says what is wrong; new flows go elsewhere \
             meanwhile, and this one waits for its backend."
                .into()
        }
        Reason::NoLease => {
            "Normal on a Backup: the Active answers. On a director that should be Active see `tandem ha`: its daemon is dead, \
             stopped, or has given the VIP up."
                .into()
        }
        Reason::TooBigAnswered => {
            "A client learns that its packets must be shorter by the tunnel's headers, once a connection: normal. See \
             [forwarding](forwarding.md#packets-that-do-not-fit)."
                .into()
        }
        Reason::TooBigUnanswered => {
            "A flood of long packets, or a client that does not hear the answers. As many are sent as Linux sends ICMP errors: \
             1000 a second on each CPU."
                .into()
        }
        Reason::Loop => {
            "Another director takes this one for a backend and gets the packet back. `tandem backend` on both: neither may \
             have the other's address, unless that one serves itself."
                .into()
        }
        Reason::ErrorLost => {
            "The kernel has no route to the client, or no MAC address of the next hop; or more errors were due than may be sent. \
             See [forwarding](forwarding.md#packets-that-do-not-fit)."
                .into()
        }
        Reason::NoHeadroom => {
            "Tunnels need up to 52 bytes in front of the packet. Another driver, or generic mode, has them.".into()
        }
        Reason::NoTranslation => {
            "A reset, or an error, of a connection that this director does not know, to a service with NAT. Normal after a \
             director has taken over."
                .into()
        }
        Reason::TranslationLost => "Rare: it was removed at the very moment of its connection's packet. The client repeats.".into(),
        Reason::TranslationConflict => {
            "A client uses one port for two services whose backend and port are the same, and NAT keeps the client's port. \
             Take full NAT, or give the services ports of their own on the backend. See [forwarding](forwarding.md#nat)."
                .into()
        }
        Reason::TranslationsFull => "Raise `translations_v4` or `translations_v6`.".into(),
        Reason::PoolExhausted => {
            "Give the service's pool more addresses: each has 64 512 ports for each port of each backend. See \
             [forwarding](forwarding.md#full-nat)."
                .into()
        }
        Reason::BackendGone | Reason::MapMissing => "Should not happen. Please report it.".into(),
    }
}

/// What it means to an operator when this counter moves.
fn remedy(event: Event) -> &'static str {
    match event {
        Event::FlowCreated => "As many as there are new connections.",
        Event::EvictedExpired => {
            "Normal in a table that is rather full: flows expire between two rounds of the daemon, which removes them once a \
             second."
        }
        Event::EvictedHalfOpen => "A SYN flood, or a table too small: see below.",
        Event::EvictedClosing => "The table is small. Raise `flows_v4` or `flows_v6`.",
        Event::EvictedIdleDatagram => "The table is small. Raise `flows_v4` or `flows_v6`.",
        Event::EvictedActive => "The table is too small. Raise `flows_v4` or `flows_v6`.",
        Event::VipClaimed => {
            "Two directors hold a VIP, or somebody forges: the event `ha.duplicate_address` says who. A few at a takeover are \
             normal."
        }
        Event::ErrorTranslated => {
            "A link on the way to a backend is narrower than the director's own: once a connection that sends long packets."
        }
        Event::SynUnentered => {
            "A service has more SYNs than `syn_rate` of its `flood` says: they are forwarded, and leave no entry. See \
             [floods](flood.md)."
        }
        Event::FlowContended => {
            "Harmless: the flow's next packet goes to the same backend and is entered then."
        }
    }
}

const AFTER_EVENTS: &str = "
A flow may stand in eight places of its table. When all are taken, the least valuable flow in them goes: an expired one, then half-open,
closing, idle datagrams, and only then one with traffic; among equals the one that was silent longest. A connection that lost its
entry is scheduled again by its next packet, and meets the same backend unless the schedule has changed since the connection
began. The table's size is `flows_v4` and `flows_v6` under [`[limits]`](configuration.md#limits-sizes-of-the-tables).
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    let sections = [
        (
            Fate::Pass,
            "Passed to the kernel",
            "The packet goes on untouched, as if there were no XDP program.",
        ),
        (
            Fate::Answer,
            "Answered",
            "The director answers the packet itself.",
        ),
        (Fate::Drop, "Dropped", "The packet ends here."),
    ];
    for (fate, title, what) in sections {
        let _ = write!(page, "\n## {title}\n\n{what}\n\n");
        page += "| number | name | why | when it grows |\n|---|---|---|---|\n";
        for &reason in Reason::ALL.iter().filter(|reason| reason.fate() == fate) {
            let (number, slug, sentence) = (reason.number(), reason.slug(), reason.sentence());
            let _ = writeln!(page, "| {number} | `{slug}` | {sentence} | {} |", advice(reason));
        }
    }
    page += "\n## Other events\n\nThese count beside the reasons: what becomes of the flow table.\n\n";
    page += "| number | name | what | when it grows |\n|---|---|---|---|\n";
    for event in Event::ALL {
        let (number, slug, sentence) = (event as u32, event.slug(), event.sentence());
        let _ = writeln!(page, "| {number} | `{slug}` | {sentence} | {} |", remedy(event));
    }
    page + AFTER_EVENTS
}

#[test]
fn the_page_is_what_the_tables_say() {
    let page = page();
    if env::var_os(BLESS).is_some_and(|value| value == "1") {
        fs::write(root().join(PATH), &page).expect("the page can be written");
    }
    assert!(
        read(PATH) == page,
        "{PATH} is not what the tables say: run this test again with {BLESS}=1, and commit what it writes"
    );
}

/// Other pages speak of reasons by name; names in `code` with an underscore in the tables of troubles are reasons.
#[test]
fn troubles_are_called_by_their_names() {
    let slugs: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.slug()).collect();
    let text = read("docs/direct-routing.md");
    let (_, troubles) = text.split_once("| counter |").expect("a table of counters");
    let rows = troubles.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert!(names.len() >= 5, "only {names:?}");
    for name in names {
        assert!(slugs.contains(name), "there is no reason `{name}`");
    }
}

//! `net` against the real kernel, in network namespaces that the tests make and that vanish with them. Needs root.

mod lab;
mod xdp;

use std::net::IpAddr;

use lab::{ALTERNATIVE_MAC, DIRECTOR_MAC, Lab, PEER_MAC, PEER_V4, PEER_V6, ip, ip_batch, netlink_drops};
use lb_userspace::{
    core::neighbour::{Egress, Mac, Unresolved},
    net::{
        Netlink,
        address::{Added, AddressBook, AddressError, InterfaceAddress, Leftover, Removed},
        announce::Announcer,
        link::{LinkError, XdpMode},
        monitor::Monitor,
        packet::PacketError,
    },
};

const V4_VIP: &str = "192.0.2.10";
const V6_VIP: &str = "2001:db8:ffff::10";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn both_peers() -> Vec<IpAddr> {
    vec![address(PEER_V4), address(PEER_V6)]
}

fn is_at(mac: Mac) -> impl Fn(&Egress) -> bool {
    move |egress| matches!(egress, Egress::Resolved(hop) if hop.dest_mac == mac)
}

fn is_out(reason: Unresolved) -> impl Fn(&Egress) -> bool {
    let expected = Egress::Unresolved(reason);
    move |egress| *egress == expected
}

#[test]
fn neighbours_of_both_families_are_resolved() {
    Lab::run(async |lab| {
        let mut watch = lab.watch(both_peers());
        for peer in both_peers() {
            let hop = watch.resolved(peer).await;
            assert_eq!(hop.ifname, "dir0");
            assert_eq!(hop.source_mac, DIRECTOR_MAC);
            assert_eq!(hop.dest_mac, PEER_MAC);
            assert_eq!((hop.via, hop.mtu), (peer, 1500));
        }
    });
}

#[test]
fn a_neighbour_that_silently_changed_its_mac_is_found_again() {
    Lab::run(async |lab| {
        let mut watch = lab.watch_resolved(both_peers()).await;
        lab.peer
            .run(|| ip(&format!("link set peer0 address {ALTERNATIVE_MAC}")));
        for peer in both_peers() {
            watch.until(peer, is_at(ALTERNATIVE_MAC)).await;
        }
    });
}

#[test]
fn a_neighbour_that_stops_answering_is_out_until_it_is_back() {
    Lab::run(async |lab| {
        let mut watch = lab.watch_resolved(both_peers()).await;
        lab.peer.run(|| ip("address flush dev peer0"));
        for peer in both_peers() {
            let reason = watch.unresolved(peer).await;
            assert_eq!(
                reason,
                Unresolved::NotAnswering {
                    via: peer,
                    interface: "dir0".into()
                }
            );
        }
        lab.peer.run(lab::address_peer);
        for peer in both_peers() {
            watch.until(peer, is_at(PEER_MAC)).await;
        }
    });
}

#[test]
fn a_link_without_carrier_takes_its_backends_out() {
    Lab::run(async |lab| {
        let mut watch = lab.watch_resolved(both_peers()).await;
        lab.peer.run(|| ip("link set peer0 down"));
        for peer in both_peers() {
            watch
                .until(
                    peer,
                    is_out(Unresolved::InterfaceDown {
                        interface: "dir0".into(),
                    }),
                )
                .await;
        }
        lab.peer.run(|| {
            ip("link set peer0 up");
            lab::address_peer();
        });
        for peer in both_peers() {
            watch.resolved(peer).await;
        }
    });
}

#[test]
fn an_interface_may_go_and_come_back() {
    Lab::run(async |lab| {
        let former = lab.ifindex();
        let mut watch = lab.watch_resolved(both_peers()).await;
        ip("link delete dir0");
        for peer in both_peers() {
            watch
                .until(
                    peer,
                    is_out(Unresolved::InterfaceGone {
                        interface: "dir0".into(),
                    }),
                )
                .await;
        }
        lab.connect();
        assert_ne!(lab.ifindex(), former);
        for peer in both_peers() {
            let hop = watch.resolved(peer).await;
            assert_eq!((hop.ifindex, hop.dest_mac), (lab.ifindex(), PEER_MAC));
        }
    });
}

#[test]
fn flushing_the_neighbour_table_is_no_failure() {
    Lab::run(async |lab| {
        let later = address("10.0.0.12");
        lab.peer.run(|| ip("address add 10.0.0.12/24 dev peer0"));
        let mut watch = lab.watch_resolved(both_peers()).await;
        let seen = watch.history.len();
        ip("neigh flush dev dir0");
        // Resolved after the flush, so the flush's own messages have been read.
        watch.monitor.set_targets([both_peers(), vec![later]].concat());
        watch.resolved(later).await;
        let about_peers: Vec<_> = watch.history[seen..]
            .iter()
            .filter(|change| change.address != later)
            .collect();
        assert!(about_peers.is_empty(), "{about_peers:?}");
    });
}

#[test]
fn entries_that_others_set_or_keep_are_not_touched() {
    Lab::run(async |lab| {
        let (managed, permanent) = (PEER_V4, "10.0.0.12");
        ip(&format!("neigh add {managed} dev dir0 managed"));
        ip(&format!(
            "neigh add {permanent} lladdr {PEER_MAC} dev dir0 nud permanent"
        ));
        let mut watch = lab
            .watch_resolved([both_peers(), vec![address(permanent)]].concat())
            .await;
        // The other one is only found again by being confirmed, so the time of these has come by then, too.
        lab.peer
            .run(|| ip(&format!("link set peer0 address {ALTERNATIVE_MAC}")));
        watch.until(address(PEER_V6), is_at(ALTERNATIVE_MAC)).await;
        for (target, mark) in [(managed, "managed"), (permanent, "PERMANENT")] {
            let entry = lab::command("ip", &format!("neigh show {target} dev dir0"));
            assert!(entry.contains(mark), "{entry}");
        }
    });
}

#[test]
fn routes_that_do_not_lead_to_a_neighbour_say_why() {
    Lab::run(async |lab| {
        ip(&format!("route add 198.51.100.0/24 via {PEER_V4}"));
        ip("route add blackhole 203.0.113.0/24");
        let [routed, nowhere, swallowed] = ["198.51.100.1", "192.0.2.99", "203.0.113.1"].map(address);
        let [own, broadcast] = ["10.0.0.1", "10.0.0.255"].map(address);
        let mut watch = lab.watch(vec![routed, nowhere, swallowed, own, broadcast]);
        assert_eq!(watch.unresolved(nowhere).await, Unresolved::NoRoute);
        assert_eq!(watch.unresolved(swallowed).await, Unresolved::NoRoute);
        assert_eq!(watch.unresolved(own).await, Unresolved::Local);
        assert_eq!(watch.unresolved(broadcast).await, Unresolved::NotUnicast);
        let hop = watch.resolved(routed).await;
        assert_eq!((hop.via, hop.dest_mac), (address(PEER_V4), PEER_MAC));
        let reason = Egress::Resolved(hop)
            .on_link(routed)
            .expect_err("not for direct routing");
        assert_eq!(
            reason,
            Unresolved::NotOnLink {
                gateway: address(PEER_V4),
                interface: "dir0".into()
            }
        );

        lab.peer.run(|| ip("address add 192.0.2.99/32 dev peer0"));
        ip("route add 192.0.2.99/32 dev dir0");
        watch.resolved(nowhere).await;
        ip("route delete 192.0.2.99/32 dev dir0");
        watch.until(nowhere, is_out(Unresolved::NoRoute)).await;
    });
}

#[test]
fn what_was_lost_in_an_overrun_is_read_anew() {
    Lab::run(async |lab| {
        let peer = address(PEER_V4);
        let mut watch = lab.watch_resolved(vec![peer]).await;
        // The monitor shares this thread, so it reads nothing while the kernel talks.
        let flood = (0..40_000_u32).map(|number| {
            let [_, _, high, low] = number.to_be_bytes();
            format!("neigh replace {PEER_V4} lladdr 02:00:00:01:{high:02x}:{low:02x} dev dir0 nud permanent")
        });
        let last = format!("neigh replace {PEER_V4} lladdr {ALTERNATIVE_MAC} dev dir0 nud permanent");
        ip_batch(flood.chain([last]));
        assert!(
            netlink_drops() > 0,
            "the flood was too small to overrun the socket"
        );
        watch.until(peer, is_at(ALTERNATIVE_MAC)).await;
    });
}

/// The book as it is now.
async fn book(netlink: &Netlink) -> AddressBook {
    netlink.address_book().await.expect("listed")
}

async fn add(netlink: &Netlink, vip: IpAddr) -> Added {
    let book = book(netlink).await;
    netlink.add_address(&book, "dir0", vip).await.expect("added")
}

async fn remove(netlink: &Netlink, vip: IpAddr) -> Removed {
    let book = book(netlink).await;
    netlink.remove_address(&book, "dir0", vip).await.expect("removed")
}

async fn leftovers(netlink: &Netlink, wanted: &[(String, IpAddr)]) -> Vec<Leftover> {
    book(netlink).await.leftovers(&wanted.iter().cloned().collect())
}

async fn addresses(netlink: &Netlink) -> Vec<InterfaceAddress> {
    let book = book(netlink).await;
    let ifindex = book.link("dir0").expect("there").ifindex;
    book.on(ifindex).cloned().collect()
}

#[test]
fn vips_are_added_and_removed_once() {
    Lab::run(async |_lab| {
        let netlink = Netlink::open().expect("netlink");
        for vip in [V4_VIP, V6_VIP].map(address) {
            assert_eq!(remove(&netlink, vip).await, Removed::Absent);
            assert_eq!(add(&netlink, vip).await, Added::New);
            assert_eq!(add(&netlink, vip).await, Added::Already);
            let all = addresses(&netlink).await;
            let found: Vec<_> = all.iter().filter(|found| found.address == vip).collect();
            let [found] = found[..] else { panic!("{all:?}") };
            assert!(found.ours && !found.unusable, "{found:?}");
            assert_eq!(found.prefix, if vip.is_ipv4() { 32 } else { 128 });

            let leftover = Leftover {
                interface: "dir0".into(),
                address: vip,
            };
            assert_eq!(leftovers(&netlink, &[]).await, [leftover]);
            assert_eq!(leftovers(&netlink, &[("dir0".into(), vip)]).await, []);

            assert_eq!(remove(&netlink, vip).await, Removed::Gone);
            assert_eq!(remove(&netlink, vip).await, Removed::Absent);
            assert_eq!(leftovers(&netlink, &[]).await, []);
        }
    });
}

#[test]
fn what_the_administrator_set_stays() {
    Lab::run(async |_lab| {
        let netlink = Netlink::open().expect("netlink");
        ip(&format!("address add {V4_VIP}/32 dev dir0"));
        ip(&format!("address add {V6_VIP}/64 dev dir0 nodad"));
        for vip in [V4_VIP, V6_VIP].map(address) {
            assert_eq!(add(&netlink, vip).await, Added::Foreign);
            assert_eq!(remove(&netlink, vip).await, Removed::Foreign);
            let all = addresses(&netlink).await;
            assert!(all.iter().any(|found| found.address == vip && !found.ours));
        }
        assert_eq!(leftovers(&netlink, &[]).await, []);
    });
}

#[test]
fn an_announcement_moves_the_address_in_a_neighbours_table() {
    Lab::run(async |lab| {
        let announcer = Announcer::open("dir0").expect("a packet socket");
        let cases = [
            (V4_VIP, "-4", [0xff; 6]),
            (V6_VIP, "-6", [0x33, 0x33, 0, 0, 0, 1]),
        ];
        for (vip, family, destination) in cases {
            let capture = lab.peer.run(move || {
                ip(&format!(
                    "{family} neigh replace {vip} lladdr {ALTERNATIVE_MAC} dev peer0 nud stale"
                ));
                lab::Capture::open("peer0")
            });
            announcer.announce(address(vip), DIRECTOR_MAC).expect("sent");
            let frame = capture.wait_for(|frame| frame[6..12] == DIRECTOR_MAC.0 && contains(frame, vip));
            assert_eq!(frame[..6], destination);
            lab.peer.wait_for_neighbour(vip, DIRECTOR_MAC);
        }
        ip("link set dir0 down");
        let error = announcer
            .announce(address(V4_VIP), DIRECTOR_MAC)
            .expect_err("the link is down");
        assert!(
            error
                .to_string()
                .starts_with("cannot announce 192.0.2.10 on dir0: "),
            "{error}"
        );
    });
}

fn contains(frame: &[u8], ip: &str) -> bool {
    let bytes = match address(ip) {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    frame.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn links_are_described() {
    Lab::run(async |_lab| {
        let netlink = Netlink::open().expect("netlink");
        ip("link add br0 type bridge");
        ip("link set dir0 master br0");
        let facts = netlink.link_facts("dir0").await.expect("described");
        assert_eq!(
            (facts.name.as_str(), facts.mac, facts.mtu),
            ("dir0", Some(DIRECTOR_MAC), 1500)
        );
        assert!(facts.admin_up && facts.running);
        assert_eq!(facts.kind.as_deref(), Some("veth"));
        assert_eq!(facts.driver.as_deref(), Some("veth"));
        assert_eq!(facts.master.as_deref(), Some("br0"));
        assert_eq!(
            facts.lower.expect("the other end").name,
            None,
            "it is in another namespace"
        );
        assert_eq!(facts.xdp, []);
        assert_eq!(
            (facts.offloads.tx_checksum, facts.offloads.lro),
            (Some(true), Some(false))
        );

        lab::command("ethtool", "-K dir0 tx off gro on");
        let facts = netlink.link_facts("dir0").await.expect("described");
        assert_eq!(
            (facts.offloads.tx_checksum, facts.offloads.gro),
            (Some(false), Some(true))
        );
    });
}

#[test]
fn attached_xdp_programs_are_described() {
    Lab::run(async |lab| {
        let netlink = Netlink::open().expect("netlink");
        for (flags, mode) in [(xdp::NATIVE, XdpMode::Native), (xdp::GENERIC, XdpMode::Generic)] {
            let link = xdp::attach_pass("pass_all", lab.ifindex(), flags);
            let facts = netlink.link_facts("dir0").await.expect("described");
            let [program] = &facts.xdp[..] else {
                panic!("{:?}", facts.xdp)
            };
            assert_eq!((program.mode, program.name.as_deref()), (mode, Some("pass_all")));
            assert_ne!(program.id, 0);
            drop(link);
            // A program that another test starts at this moment holds a copy of the link until its exec.
            lab::in_time("the program to be detached", async {
                while !netlink
                    .link_facts("dir0")
                    .await
                    .expect("described")
                    .xdp
                    .is_empty()
                {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    });
}

#[test]
fn an_unknown_interface_is_named() {
    Lab::run(async |_lab| {
        let netlink = Netlink::open().expect("netlink");
        let error = netlink
            .add_address(&book(&netlink).await, "nil0", address(V4_VIP))
            .await
            .expect_err("no such interface");
        assert!(matches!(&error, AddressError::NoInterface { interface, .. } if interface == "nil0"));
        assert!(
            error
                .to_string()
                .starts_with("cannot add 192.0.2.10 to nil0: there is no interface nil0")
        );
        let error = netlink.link_facts("nil0").await.expect_err("no such interface");
        assert!(matches!(error, LinkError::NoInterface { .. }));
        let error = Announcer::open("nil0").expect_err("no such interface");
        assert!(matches!(error, PacketError::NoInterface { .. }));
    });
}

#[test]
fn missing_capabilities_are_named() {
    Lab::run(async |_lab| {
        lab::become_nobody();
        let error = Announcer::open("dir0").expect_err("not allowed").to_string();
        assert!(error.contains("CAP_NET_RAW"), "{error}");
        let netlink = Netlink::open().expect("netlink");
        let error = netlink
            .add_address(&book(&netlink).await, "dir0", address(V4_VIP))
            .await
            .expect_err("not allowed")
            .to_string();
        assert!(error.contains("CAP_NET_ADMIN"), "{error}");

        let mut monitor = Monitor::spawn(lab::timing()).expect("listening is allowed");
        monitor.set_targets(vec![address(PEER_V4)]);
        let refusal = async {
            loop {
                if let Err(error) = monitor.next().await {
                    return error.to_string();
                }
            }
        };
        let error = lab::in_time("the refusal", refusal).await;
        assert!(error.contains("CAP_NET_ADMIN"), "{error}");
    });
}

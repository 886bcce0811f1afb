//! `[[heartbeat]]`

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    core::model::{DEFAULT_HEARTBEAT_GROUP, Heartbeat, HeartbeatNetwork, Medium},
    net::serial::SPEEDS,
};

prop_compose! {
    /// Valid with a cluster.
    pub(super) fn heartbeats()(paths in vec((10_u64..=10_000, 1_u16.., any::<bool>(), 0_u8..4), 0..4)) -> Vec<Heartbeat> {
        let heartbeats = paths.into_iter().enumerate().map(|(index, (interval, port, multicast, peers))| {
            let peers: Vec<_> = (0..peers).map(|peer| SocketAddr::from(([10, 9, 0, peer + 1], port))).collect();
            let group = if multicast || peers.is_empty() {
                SocketAddr::new(DEFAULT_HEARTBEAT_GROUP.ip(), port)
            } else {
                SocketAddr::from(([10, 9, 0, 99], port))
            };
            let medium = if port % 5 == 0 {
                let baud = SPEEDS[usize::from(port) % SPEEDS.len()];
                Medium::Serial { device: format!("/dev/ttyS{index}").into(), baud }
            } else {
                Medium::Network(HeartbeatNetwork { interface: format!("eth{index}"), group, peers })
            };
            Heartbeat { name: format!("h{index}"), interval: Duration::from_millis(interval), medium }
        });
        heartbeats.collect()
    }
}

const CLUSTER: &str =
    "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n[cluster]\nname = \"c\"\nkey_files = [\"/k\"]\n";

#[test]
fn a_path_needs_little() {
    let read = read(&format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\n")).expect("it is valid");
    let expected = Heartbeat {
        name: "eth1".to_owned(),
        interval: Duration::from_millis(100),
        medium: Medium::multicast("eth1"),
    };
    assert_eq!(read.config.heartbeats, [expected]);
}

#[test]
fn a_serial_line_needs_its_device() {
    let read = read(&format!("{CLUSTER}[[heartbeat]]\nserial = \"/dev/ttyS0\"\n")).expect("it is valid");
    let expected = Heartbeat {
        name: "ttyS0".to_owned(),
        interval: Duration::from_millis(200),
        medium: Medium::Serial {
            device: "/dev/ttyS0".into(),
            baud: 115_200,
        },
    };
    assert_eq!(read.config.heartbeats, [expected]);
}

#[test]
fn the_interval_is_that_of_the_fastest_instance() {
    let instance = "[[instance]]\nname = \"i\"\nvrid = 1\ninterface = \"eth0\"\nvips = [\"192.0.2.10\"]\n\
                    advert_interval = \"20ms\"\n";
    let path = "[[heartbeat]]\ninterface = \"eth1\"\npeers = [\"10.9.0.3\", \"10.9.0.4:9000\"]\ngroup = \"10.9.0.9:8000\"\n";
    let read = read(&format!("{CLUSTER}{instance}{path}")).expect("it is valid");
    let heartbeat = &read.config.heartbeats[0];
    assert_eq!(heartbeat.interval, Duration::from_millis(20));
    let Medium::Network(network) = &heartbeat.medium else {
        panic!("{heartbeat:?}")
    };
    let peers: Vec<_> = network.peers.iter().map(ToString::to_string).collect();
    assert_eq!(peers, ["10.9.0.3:8000", "10.9.0.4:9000"]);
}

#[test]
fn what_cannot_work_is_said() {
    for (text, expected) in [
        (
            "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n[[heartbeat]]\ninterface = \"eth1\"",
            "needs a [cluster]",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\n[[heartbeat]]\ninterface = \"eth1\""),
            "two heartbeats are called `eth1`",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\ngroup = \"10.0.0.1:1\""),
            "10.0.0.1 is no multicast group",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\ninterval = \"9ms\""),
            "`interval` is out of range",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\npeers = [\"10.9.0.3\", \"2001:db8::1\"]"),
            "the peers are of both families",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\nname = \"x\"\n"),
            "expected one of `interface` and `serial`",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\nserial = \"/dev/ttyS0\"\nbaud = 1200"),
            "`baud` is no speed of a serial line",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\nserial = \"/dev/ttyS0\"\npeers = [\"10.9.0.3\"]"),
            "a serial line has no `peers`",
        ),
        (
            &format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\npeers = [\"nobody\"]"),
            "cannot be in `peers`",
        ),
    ] {
        let error = read(text).expect_err(expected).render();
        assert!(error.contains(expected), "{error}");
    }
}

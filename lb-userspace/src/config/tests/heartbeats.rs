//! `[[heartbeat]]`

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::core::model::{DEFAULT_HEARTBEAT_GROUP, Heartbeat};

prop_compose! {
    /// Valid with a cluster.
    pub(super) fn heartbeats()(paths in vec((10_u64..=10_000, 1_u16.., any::<bool>(), 0_u8..4), 0..4)) -> Vec<Heartbeat> {
        let heartbeats = paths.into_iter().enumerate().map(|(index, (interval, port, multicast, peers))| {
            let peers: Vec<_> = (0..peers).map(|peer| SocketAddr::from(([10, 9, 0, peer + 1], port))).collect();
            Heartbeat {
                name: format!("h{index}"),
                interface: format!("eth{index}"),
                interval: Duration::from_millis(interval),
                group: if multicast || peers.is_empty() {
                    SocketAddr::new(DEFAULT_HEARTBEAT_GROUP.ip(), port)
                } else {
                    SocketAddr::from(([10, 9, 0, 99], port))
                },
                peers,
            }
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
        interface: "eth1".to_owned(),
        interval: Duration::from_millis(100),
        group: DEFAULT_HEARTBEAT_GROUP,
        peers: Vec::new(),
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
    let peers: Vec<_> = heartbeat.peers.iter().map(ToString::to_string).collect();
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
            &format!("{CLUSTER}[[heartbeat]]\ninterface = \"eth1\"\npeers = [\"nobody\"]"),
            "cannot be in `peers`",
        ),
    ] {
        let error = read(text).expect_err(expected).render();
        assert!(error.contains(expected), "{error}");
    }
}

//! Any instances there may be.

use std::{net::IpAddr, time::Duration};

use proptest::{collection::vec, prelude::*};

use super::{address, ip, name, read};
use crate::core::model::{Announce, Effect, Failback, Hooks, Instance, OnDuplicate, Step, Track, Tracked};

fn milliseconds(most: u64) -> impl Strategy<Value = Duration> {
    (0..=most).prop_map(Duration::from_millis)
}

fn tracked() -> impl Strategy<Value = Tracked> {
    prop_oneof![
        "[a-z][a-z0-9]{0,14}".prop_map(Tracked::Interface),
        (1..=254_u8).prop_map(|host| Tracked::Ping([10, 0, 0, host].into())),
        (1..=254_u8).prop_map(|host| Tracked::Gateway([10, 0, 0, host].into())),
        (1..=254_u8, 24..=32_u8).prop_map(|(net, prefix)| Tracked::Route {
            network: [10, 0, net, 0].into(),
            prefix
        }),
        Just(Tracked::Route {
            network: ip("::"),
            prefix: 0
        }),
        ("/[a-z]{1,9}", 1..=100_u8).prop_map(|(path, free)| Tracked::Disk {
            path: path.into(),
            free
        }),
        (1..=100_u8).prop_map(Tracked::Backends),
        "/[a-z]{1,9}".prop_map(|path| Tracked::File(path.into())),
        "[a-z]{1,9}".prop_map(Tracked::Process),
        "/[a-z]{1,9}".prop_map(|program| Tracked::Program(vec![program, "-x".to_owned()])),
    ]
}

fn hooks() -> impl Strategy<Value = Hooks> {
    let commands = proptest::collection::btree_map(
        prop::sample::select(Step::ALL.to_vec()),
        "/[a-z]{1,9}".prop_map(|program| vec![program, "-x".to_owned()]),
        0..4,
    );
    (commands, 10..=60_000_u64).prop_map(|(commands, milliseconds)| Hooks {
        commands,
        timeout: Duration::from_millis(milliseconds),
    })
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::Fault),
        (1..=254_i16, any::<bool>()).prop_map(|(weight, below)| Effect::Priority(if below {
            -weight
        } else {
            weight
        })),
        (1..=100_u8).prop_map(Effect::Health),
    ]
}

pub(super) fn tracks() -> impl Strategy<Value = Vec<Track>> {
    let track = (tracked(), effect(), 1..=3600_u64).prop_map(|(what, effect, seconds)| Track {
        what,
        effect,
        interval: Duration::from_secs(seconds),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 3,
    });
    vec(track, 0..4)
}

prop_compose! {
    fn instance()(
        name in name(),
        vrid in 1..=255_u8,
        interface in "[a-z][a-z0-9]{0,14}",
        (priority, centiseconds) in (1..=255_u8, 1..=4095_u64),
        failback in prop::sample::select(vec![Failback::Never, Failback::AfterSync, Failback::Immediate]),
        failback_delay in milliseconds(86_400_000),
        group in proptest::option::of("[a-z]{1,9}"),
        has_peers: bool,
        on_duplicate in prop::sample::select(vec![OnDuplicate::Announce, OnDuplicate::Yield, OnDuplicate::Ignore]),
        (track, hooks) in (tracks(), hooks()),
        announce in (1..=255_u8, milliseconds(86_400_000), 1..=1_000_000_u32, milliseconds(86_400_000)),
    ) -> Instance {
        Instance {
            name,
            vrid,
            interface,
            priority,
            vips: Vec::new(),
            advert_interval: Duration::from_millis(centiseconds * 10),
            failback,
            failback_delay,
            group,
            virtual_mac: !has_peers && priority < 255 && centiseconds % 2 == 0,
            peers: if has_peers { vec![ip("10.0.0.9"), ip("fe80::9")] } else { Vec::new() },
            announce: Announce {
                repeat: announce.0,
                interval: announce.1,
                rate: announce.2,
                refresh: announce.3,
            },
            on_duplicate,
            track,
            hooks,
        }
    }
}

/// Valid by construction: all that must be unique is numbered, and groups have one member.
pub(super) fn instances() -> impl Strategy<Value = Vec<Instance>> {
    vec(
        (instance(), proptest::collection::btree_set(address(173), 1..5)),
        0..4,
    )
    .prop_map(|list| {
        let numbered = list.into_iter().enumerate();
        let instances = numbered.map(|(index, (instance, vips))| Instance {
            name: format!("i{index}"),
            vrid: index as u8 + 1,
            group: instance.group.map(|group| format!("g{index}{group}")),
            vips: vips.into_iter().map(|vip| distinct(vip, index)).collect(),
            ..instance
        });
        instances.collect()
    })
}

/// An address that is different for each `index`.
fn distinct(address: IpAddr, index: usize) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, _, c, d] = address.octets();
            IpAddr::from([a, index as u8, c, d])
        }
        IpAddr::V6(address) => {
            let mut segments = address.segments();
            segments[5] = index as u16;
            IpAddr::from(segments)
        }
    }
}

#[test]
fn there_is_a_lease_for_each_group() {
    let file = |groups: usize| {
        let instance = |n: usize| {
            format!(
                "[[instance]]\nname = \"i{n}\"\nvrid = {}\ninterface = \"eth{n}\"\nvips = [\"192.0.2.{n}\"]\n",
                n + 1
            )
        };
        let instances: String = (0..groups).map(instance).collect();
        format!("[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n{instances}")
    };
    assert_eq!(read(&file(128)).expect("valid").config.instances.len(), 128);
    let error = read(&file(129)).expect_err("one too many").render();
    assert!(error.contains("error: too many groups of instances"), "{error}");
    assert!(error.contains("\"i128\""), "{error}");
}

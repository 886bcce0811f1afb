//! Services on whole networks and ranges of ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_tests::prog_run::{Action, INGRESS, Rig, SIZES, backend_mac, one_service};
use lb_userspace::core::{
    model::{Area, Frontend, Protocol},
    plan::{Desired, DesiredBackend},
};

use crate::packets::*;

fn area(network: &str, prefix: u8, ports: (u16, u16), protocol: Protocol) -> Area {
    Area {
        network: network.parse().expect("an address"),
        prefix,
        first: ports.0,
        last: ports.1,
        protocol,
    }
}

/// A service for each of these areas, whose backend is 10.0.0.1 and following; and one at port 80 of the VIP.
fn services(areas: &[Area]) -> Desired {
    let number = areas.len() as u8 + 1;
    let frontend = Frontend {
        vip: VIP4.into(),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let mut desired = one_service(&[frontend], number, INGRESS);
    let mut template = desired.services.remove(0);
    template.scheduling.table_size = 13;
    let of = |n: u8| vec![DesiredBackend::new(IpAddr::from([10, 0, 0, n]), 100)];
    for (n, &area) in (1..).zip(areas) {
        desired.services.push(lb_userspace::core::plan::DesiredService {
            name: format!("s{n}"),
            frontends: Vec::new(),
            areas: vec![area],
            backends: of(n),
            ..template.clone()
        });
    }
    desired.services.push(lb_userspace::core::plan::DesiredService {
        backends: of(number),
        ..template
    });
    desired
}

/// The backend that the packet goes to, or why it goes nowhere.
fn goes(rig: &mut Rig, packet: &[u8]) -> Result<u8, String> {
    let outcome = rig.run(packet).expect("the kernel takes it");
    if outcome.action == Action::Tx && outcome.packet[..5] == backend_mac(0)[..5] {
        return Ok(outcome.packet[5]);
    }
    let reason = outcome.counted.into_keys().next().expect("a reason");
    Err(reason.replace("reason.", ""))
}

fn to4(address: [u8; 4], port: u16) -> Vec<u8> {
    let packet = syn4(CLIENT4, Ipv4Addr::from(address));
    with(packet, L4_OF_V4 + 2, &port.to_be_bytes())
}

fn to6(address: &str, port: u16) -> Vec<u8> {
    let address: Ipv6Addr = address.parse().expect("an address");
    with(syn6(CLIENT6, address), L4_OF_V6 + 2, &port.to_be_bytes())
}

#[test]
fn the_most_particular_one_counts() {
    use Protocol::{Tcp, Udp};
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    let areas = [
        area("192.0.2.0", 24, (80, 80), Tcp),
        area("192.0.2.10", 32, (8000, 8999), Tcp),
        area("192.0.2.10", 32, (8080, 8080), Tcp),
        area("192.0.2.10", 32, (1, 65_535), Udp),
        area("2001:db8:5::", 48, (1, 65_535), Tcp),
        area("2001:db8:5:5::", 64, (443, 443), Tcp),
    ];
    rig.configure(&services(&areas)).expect("they fit");
    let vip = VIP4.octets();
    let not_vip = Err("not_vip".to_owned());
    let no_service = Err("no_service".to_owned());
    for (packet, expected) in [
        (to4(vip, 80), Ok(7)),
        (to4([192, 0, 2, 11], 80), Ok(1)),
        (to4([192, 0, 2, 255], 80), Ok(1)),
        (to4([192, 0, 3, 0], 80), not_vip.clone()),
        (to4([192, 0, 2, 11], 81), no_service.clone()),
        (to4(vip, 8000), Ok(2)),
        (to4(vip, 8999), Ok(2)),
        (to4(vip, 8080), Ok(3)),
        (to4(vip, 9000), no_service.clone()),
        (udp4(5, b"x"), Ok(4)),
        (udp4(65_535, b"x"), Ok(4)),
        (to6("2001:db8:5:1::9", 22), Ok(5)),
        (to6("2001:db8:5:5::9", 443), Ok(6)),
        (to6("2001:db8:5:5::9", 444), Ok(5)),
        (to6("2001:db8:6::9", 443), not_vip.clone()),
    ] {
        rig.forget_flows();
        assert_eq!(goes(&mut rig, &packet), expected);
        // The connection is known from then on.
        if expected.is_ok() {
            assert_eq!(goes(&mut rig, &packet), expected);
        }
    }
    // Pings to each address of a network are answered.
    let outcome = rig
        .run(&echo4(Ipv4Addr::new(192, 0, 2, 99), 1, b"ping"))
        .expect("the kernel takes it");
    assert_eq!(outcome.action, Action::Tx);
    assert_eq!(outcome.counted["reason.echo_answered"], 1);

    // Without the networks, their addresses are nobody's again; and with others, others are.
    rig.configure(&services(&areas[1..4])).expect("they fit");
    rig.forget_flows();
    assert_eq!(goes(&mut rig, &to4([192, 0, 2, 11], 80)), not_vip);
    assert_eq!(goes(&mut rig, &to6("2001:db8:5:1::9", 22)), not_vip);
    assert_eq!(goes(&mut rig, &to4(vip, 8080)), Ok(2));
    rig.configure(&services(&[])).expect("they fit");
    rig.forget_flows();
    assert_eq!(goes(&mut rig, &to4(vip, 8080)), no_service);
    assert_eq!(goes(&mut rig, &to4(vip, 80)), Ok(1));
}

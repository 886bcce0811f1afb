//! Fixtures: packet in, action and bytes out, and exactly the counters that moved.

use etherparse::PacketBuilder;
use lb_tests::prog_run::{Action, INGRESS, Rig, SIZES, backend_mac, one_service};
use lb_userspace::core::model::{Frontend, Protocol};

#[test]
fn a_syn_goes_to_a_backend_and_leaves_a_flow() {
    let mut rig = Rig::new(&SIZES).unwrap();
    let web = Frontend {
        vip: "192.0.2.10".parse().unwrap(),
        port: 80,
        protocol: Protocol::Tcp,
    };
    rig.configure(&one_service(&[web], 1, INGRESS)).unwrap();
    let mut packet = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([198, 51, 100, 7], [192, 0, 2, 10], 64)
        .tcp(40000, 80, 1, 1000)
        .syn()
        .write(&mut packet, &[])
        .unwrap();
    for expected_flows in [1, 0] {
        let outcome = rig.run(&packet).unwrap();
        assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
        assert_eq!(outcome.packet[..6], backend_mac(1));
        assert_eq!(outcome.packet[12..], packet[12..]);
        assert_eq!(
            outcome.counted.get("event.flow_created").copied().unwrap_or(0),
            expected_flows
        );
    }
}

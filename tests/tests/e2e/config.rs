//! Configurations of the ready-made labs.

use std::fmt::Write as _;

use lb_tests::{
    Host,
    topology::{VIP4, VIP6},
};

/// A service `web` on port 80 of both VIPs, TCP and, on port 53, UDP, over these backends with their weights.
pub(crate) fn web(backends: &[(&Host, u32)]) -> String {
    let mut config = format!(
        "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"256k\"\nflows_v6 = \"256k\"\n\n\
         [[service]]\nname = \"web\"\nlisten = [\"{VIP4}:80\", \"[{VIP6}]:80\", \"{VIP4}:53/udp\", \"[{VIP6}]:53/udp\"]\n"
    );
    for (host, weight) in backends {
        let address = host.ipv4().expect("hosts of the lab have IPv4 addresses");
        let name = host.name();
        writeln!(
            config,
            "\n[[service.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = {weight}"
        )
        .expect("writing to a string");
    }
    config
}

//! Checks that go to VIPs through tunnels: they find out what clients would.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result};
use lb_tests::{
    Host, Tandem,
    server::UdpEcho,
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const TIMES: &str = "interval = \"500ms\", timeout = \"450ms\", rise = 1, fall = 2, damping = \"0s\"";

/// Names of the methods, and what the configuration says.
const METHODS: [(&str, &str); 5] = [
    ("ipip", "{ type = \"ipip\" }"),
    ("gue", "{ type = \"gue\" }"),
    ("gue-sum", "{ type = \"gue\", checksum = true }"),
    ("gre", "{ type = \"gre\" }"),
    ("gre-sum", "{ type = \"gre\", checksum = true }"),
];
/// Kinds of checks; the header of the first does not fit into one segment.
const CHECKS: [(&str, &str); 2] = [
    (
        "http",
        "type = \"http\", port = 80, path = \"/healthz\", headers = { X-Long = \"LONG\" }",
    ),
    (
        "udp",
        "type = \"udp\", port = 7, send = \"hello\", expect = \"backend\"",
    ),
];

struct Pool<'a> {
    lab: &'a OneDirector,
    config: String,
    services: Vec<String>,
}

impl Pool<'_> {
    fn add(&mut self, name: &str, vip: IpAddr, ipv6: bool, method: &str, check: &str) -> Result<()> {
        let listen = std::net::SocketAddr::new(vip, 1000 + self.services.len() as u16);
        self.config += &format!(
            "\n[[service]]\nname = \"{name}\"\nlisten = [\"{listen}\"]\ntable_size = 251\nforward = \"tunnel\"\n\
             tunnel = {method}\ncheck = {{ {}, {TIMES} }}\n",
            check.replace("LONG", &"x".repeat(3000))
        );
        for host in &self.lab.backends {
            let address: Option<IpAddr> = if ipv6 {
                host.ipv6().map(Into::into)
            } else {
                host.ipv4().map(Into::into)
            };
            self.config += &format!(
                "[[service.backend]]\nname = \"{}\"\naddress = \"{}\"\n",
                host.name(),
                address.context("an address")?
            );
        }
        self.services.push(name.to_owned());
        Ok(())
    }
}

/// Waits until backend1 is down in those services that this is true of and ready in the others, and backend2 is ready in all.
fn expect(tandem: &Tandem, services: &[String], is_down: impl Fn(&str) -> bool) -> Result<()> {
    let mut wrong: Vec<Value> = Vec::new();
    let done = wait_for(PATIENCE, "backends to be as expected", || {
        let Ok(Value::Array(all)) = tandem.ask(&["backend"]) else {
            return false;
        };
        let seen = all.len();
        wrong = all;
        wrong.retain(|backend| {
            let service = backend["service"].as_str().unwrap_or_default();
            let down = backend["name"] == "backend1" && is_down(service);
            backend["state"] != if down { "down" } else { "ready" }
        });
        seen == 2 * services.len() && wrong.is_empty()
    });
    done.with_context(|| format!("{wrong:#?}"))
}

/// Every method, every family inside and outside: a backend that does not unwrap, or has lost its VIP, is down, and a plain
/// check sees it up.
#[test]
fn a_backend_that_does_not_unwrap_is_found_out_by_the_way_of_clients() -> Result<()> {
    let lab = OneDirector::build("e2e-check-tunnels", 0, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let echo = |host: &Host| UdpEcho::start(host, &OneDirector::listen(host, 7));
    let mut echoes = lab.backends.iter().map(echo).collect::<Result<Vec<_>, _>>()?;
    let (victim, other) = (&lab.backends[0], &lab.backends[1]);
    let mut pool = Pool {
        lab: &lab,
        config: "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"64k\"\nflows_v6 = \"1k\"\n"
            .to_owned(),
        services: Vec::new(),
    };
    for (name, method) in METHODS {
        for (kind, check) in CHECKS {
            for (vip, inside) in [(VIP4.into(), 4), (VIP6.into(), 6)] {
                for outside in [4, 6] {
                    let name = format!("{name}-{kind}-{inside}in{outside}");
                    pool.add(&name, vip, outside == 6, method, check)?;
                }
            }
        }
    }
    // That nobody listens is heard of within a family.
    for (vip, ipv6, name) in [(VIP4.into(), false, "closed-4"), (VIP6.into(), true, "closed-6")] {
        pool.add(
            name,
            vip,
            ipv6,
            METHODS[0].1,
            "type = \"udp\", port = 7, send = \"hello\"",
        )?;
    }
    let plain = "type = \"http\", port = 80, path = \"/healthz\", target = \"backend\"";
    pool.add("plain", VIP4.into(), false, METHODS[0].1, plain)?;
    let Pool { config, services, .. } = pool;
    Tandem::decap(other, &[])?;
    let tandem = Tandem::start(&lab.director, &config)?;

    // Where silence is good, nothing is heard of a backend that does not unwrap.
    let is_silent = |service: &str| service == "plain" || service.starts_with("closed");
    expect(&tandem, &services, |service| !is_silent(service))?;
    Tandem::decap(victim, &[])?;
    expect(&tandem, &services, |_| false)?;

    // It unwraps, but what is inside is for nobody here.
    let ip = |verb: &str| {
        let of = |address: IpAddr, length: u8| format!("address {verb} {address}/{length} dev lo");
        victim.namespace().ip(&[
            of(VIP4.into(), 32),
            of(VIP6.into(), 128) + if verb == "add" { " nodad" } else { "" },
        ])
    };
    ip("del")?;
    expect(&tandem, &services, |service| !is_silent(service))?;
    ip("add")?;
    expect(&tandem, &services, |_| false)?;

    // Each goes by its own method: GUE to another port is no GUE.
    Tandem::decap(victim, &["--gue-port", "7000"])?;
    expect(&tandem, &services, |service| service.starts_with("gue"))?;
    Tandem::decap(victim, &[])?;
    expect(&tandem, &services, |_| false)?;

    // That nobody listens is said by an ICMP error about a packet to the VIP.
    echoes.remove(0);
    expect(&tandem, &services, |service| {
        service.starts_with("closed") || service.contains("-udp-")
    })?;
    Ok(())
}

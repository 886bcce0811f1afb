//! What `ipvsadm -Ln` would show, column for column: for scripts that were written for it.

use std::{
    fmt,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
};

use crate::{
    api::types::{BackendState, BackendView, Method, ServiceView},
    core::schedule::Scheduler,
};

const HEADER: &str = "Prot LocalAddress:Port Scheduler Flags\n  \
                      -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";

/// Each frontend of a service is a virtual service there. The counts of connections are those of the whole service.
pub(super) fn render(
    services: &[ServiceView],
    backends: &[BackendView],
    out: &mut impl Write,
) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    writeln!(out, "IP Virtual Server version {version} (tandem)")?;
    out.write_all(HEADER.as_bytes())?;
    for service in services {
        let own = || {
            backends
                .iter()
                .filter(|backend| backend.service == service.name && backend.state != BackendState::Removed)
        };
        for frontend in &service.frontends {
            let (address, protocol) = frontend.rsplit_once('/').unwrap_or((frontend, "tcp"));
            let protocol = protocol.to_ascii_uppercase();
            write!(out, "{protocol:<3}  {address} {}", scheduler(service.scheduler))?;
            keeping(service, address.starts_with('['), out)?;
            let port = address.parse().map_or(0, |address: SocketAddr| address.port());
            for backend in own() {
                let address = SocketAddr::new(backend.address, backend.port.unwrap_or(port)).to_string();
                let (forward, weight) = (Forward(service.forward), backend.effective_weight);
                let (active, inactive) = (backend.active_flows, backend.inactive_flows);
                // Trailing blanks as there: some scripts cut by columns.
                writeln!(
                    out,
                    "  -> {address:<28} {forward:<7} {weight:<6} {active:<10} {inactive:<10}"
                )?;
            }
        }
    }
    Ok(())
}

/// The rest of a virtual service's line: what clients keep, and that datagrams are on their own.
fn keeping(service: &ServiceView, is_v6: bool, out: &mut impl Write) -> io::Result<()> {
    if let Some(clients) = service.persistence {
        write!(out, " persistent {}", clients.timeout_seconds)?;
        match (is_v6, clients.prefix_v4, clients.prefix_v6) {
            (false, 32, _) | (true, _, 128) => {}
            (false, prefix, _) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                write!(out, " mask {}", Ipv4Addr::from_bits(mask))?;
            }
            (true, _, prefix) => write!(out, " mask {prefix}")?,
        }
    }
    writeln!(out, "{}", if service.one_packet { " ops" } else { "" })
}

/// The name of it there.
fn scheduler(scheduler: Scheduler) -> String {
    match scheduler {
        Scheduler::Maglev => "mh".to_owned(),
        other => other.to_string(),
    }
}

/// The word for a forwarding method there.
struct Forward(Method);

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            Method::Dr => "Route",
            Method::Tunnel => "Tunnel",
            Method::Nat | Method::FullNat => "Masq",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testdata, *};
    use crate::api::types::PersistenceView;

    #[test]
    fn looks_as_there() {
        let (services, backends) = (
            testdata::view::<Vec<_>>("services"),
            testdata::view::<Vec<_>>("backends"),
        );
        let mut out = Vec::new();
        render(&services, &backends, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for line in [
            "Prot LocalAddress:Port Scheduler Flags",
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
            "TCP  192.0.2.10:80 mh",
            "TCP  [2001:db8::10]:80 mh",
            "  -> 10.0.0.11:80                 Route   100    6100       912       ",
            "UDP  192.0.2.53:53 mh",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
        assert!(!text.contains("10.0.0.19"), "it is no longer configured\n{text}");
    }

    #[test]
    fn what_is_kept_is_said_as_there() {
        let mut services = testdata::view::<Vec<ServiceView>>("services");
        services[0].persistence = Some(PersistenceView {
            timeout_seconds: 300,
            prefix_v4: 24,
            prefix_v6: 128,
        });
        services[1].one_packet = true;
        let mut out = Vec::new();
        render(&services, &[], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for line in [
            "TCP  192.0.2.10:80 mh persistent 300 mask 255.255.255.0",
            "TCP  [2001:db8::10]:80 mh persistent 300",
            "UDP  192.0.2.53:53 mh ops",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }
}

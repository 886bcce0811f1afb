//! Runs one probe.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{agent, dns, grpc, http, icmp::Pinger, peer::Peer, script, smtp, tcp, tls, udp};
use crate::core::{
    backend::Says,
    health::{Outcome, Probe, ProbeTarget, Share, Success},
};

/// What a probe that went well has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What the backend wants, if it says.
    pub(super) says: Says,
    /// How much of its weight, if it says.
    pub(super) weight: Share,
    /// What is to be said of it all the same.
    pub(super) warning: Option<String>,
}

impl Found {
    /// All is well, and nothing else is known.
    pub(super) const WELL: Self = Self {
        says: Says::Up,
        weight: Share::WHOLE,
        warning: None,
    };
}

/// Runs probes, and keeps what is dear to make.
#[derive(Debug, Default)]
pub(super) struct Runner {
    tls: tls::Clients,
    bodies: http::Bodies,
    pinger: Pinger,
}

impl Runner {
    /// Runs the probe; it takes no longer than `patience`.
    ///
    /// `mark` says, when it is known, what makes the packets of its sockets go the way of clients.
    pub(super) async fn run(
        &self,
        target: &ProbeTarget,
        mark: impl Future<Output = Option<u32>>,
        patience: Duration,
    ) -> Outcome {
        let start = Instant::now();
        let Ok(mark) = timeout(patience, mark).await else {
            return Outcome::Failure("packets cannot be sent to the backend".to_owned());
        };
        let left = patience.saturating_sub(start.elapsed());
        match timeout(left, self.attempt(target, mark, patience)).await {
            Ok(Ok(Found {
                says,
                weight,
                warning,
            })) => Outcome::Success(Success {
                took: start.elapsed(),
                says,
                weight,
                warning,
            }),
            Ok(Err(error)) => Outcome::Failure(crate::io::one_line(&error)),
            Err(_) => Outcome::Failure(format!("no answer within {} s", patience.as_secs_f64())),
        }
    }

    async fn attempt(
        &self,
        target: &ProbeTarget,
        mark: Option<u32>,
        patience: Duration,
    ) -> Result<Found, String> {
        let at = SocketAddr::new(target.address, target.port);
        let peer = &Peer {
            at,
            name: match (mark, target.route) {
                (Some(_), Some(route)) => route.vip,
                (None, _) | (_, None) => target.address,
            },
            mark,
            in_tunnel: target.route.is_some_and(|route| route.tunnel.is_some()),
        };
        match &target.probe {
            Probe::Tcp => tcp::probe(peer).await,
            Probe::Http(http) => http::probe(peer, http, &self.tls, &self.bodies).await,
            Probe::Tls(tls) => tls::probe(peer, tls, &self.tls).await,
            Probe::Icmp => self.pinger.probe(target.address).await,
            Probe::Udp(udp) => udp::probe(peer, udp, patience).await,
            Probe::Dns(dns) => dns::probe(peer, dns, patience).await,
            Probe::Smtp(smtp) => smtp::probe(peer, smtp).await,
            Probe::Grpc(grpc) => grpc::probe(peer, grpc, &self.tls).await,
            Probe::Script(script) => script::probe(at, script, patience).await,
            Probe::Agent(agent) => agent::probe(peer, agent).await,
        }
    }
}

//! A real DNS server (dnsmasq) on a host.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::ServerError;
use crate::{host::Host, process::Process, wait::wait_for};

/// Until it has said that it has started.
const START: Duration = Duration::from_secs(10);

/// A DNS server that knows one name; killed when dropped.
#[derive(Debug)]
pub struct DnsServer {
    process: Process,
}

impl DnsServer {
    /// Starts it on an address of `host`: `name` and everything below it is at `answer`, and nothing else is known.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start(
        host: &Host,
        address: SocketAddr,
        name: &str,
        answer: Ipv4Addr,
    ) -> Result<Self, ServerError> {
        let mut command = host.command("dnsmasq")?;
        command.args([
            "--keep-in-foreground",
            "--log-facility=-",
            "--conf-file=/dev/null",
            "--pid-file",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            &format!("--listen-address={}", address.ip()),
            &format!("--port={}", address.port()),
            &format!("--address=/{name}/{answer}"),
        ]);
        let process = host.spawn("dnsmasq", command)?;
        let what = format!("dnsmasq on {} to start", host.name());
        let ready = wait_for(START, what, || {
            process.status().is_some() || process.log().contains("started")
        });
        process.ensure_running()?;
        ready?;
        Ok(Self { process })
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

//! A real mail server (aiosmtpd) on a host.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::ServerError;
use crate::{certificate::Certificate, host::Host, process::Process, wait::wait_for};

/// Until it listens: a Python program takes its time on a busy machine.
const START: Duration = Duration::from_secs(20);

/// A mail server that keeps what it gets in its log; killed when dropped.
#[derive(Debug)]
pub struct MailServer {
    process: Process,
}

impl MailServer {
    /// Starts it on an address of `host`. With a certificate it wants STARTTLS.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start(
        host: &Host,
        address: SocketAddr,
        certificate: Option<&Certificate>,
    ) -> Result<Self, ServerError> {
        let mut command = host.command("aiosmtpd")?;
        command
            .env("PYTHONUNBUFFERED", "1")
            .args(["--nosetuid", "--listen", &address.to_string()]);
        if let Some(Certificate { certificate, key }) = certificate {
            command.arg("--tlscert").arg(certificate).arg("--tlskey").arg(key);
        }
        command.args(["--class", "aiosmtpd.handlers.Debugging", "stdout"]);
        let process = host.spawn("aiosmtpd", command)?;
        let what = format!("aiosmtpd on {} to accept connections", host.name());
        let ready = host.enter(|| {
            wait_for(START, what, || {
                process.status().is_some() || TcpStream::connect_timeout(&address, START).is_ok()
            })
        })?;
        process.ensure_running()?;
        ready?;
        Ok(Self { process })
    }

    /// Everything it has got so far, as text.
    #[must_use]
    pub fn received(&self) -> String {
        self.process.log()
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

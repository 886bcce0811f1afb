//! A real nginx on a host.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::ServerError;
use crate::big_file::BigFile;
use crate::certificate::Certificate;
use crate::host::Host;
use crate::process::Process;
use crate::wait::wait_for;

/// Until nginx has bound its addresses.
const START: Duration = Duration::from_secs(10);
/// What `/slow` serves at a kilobyte a second: a transfer that stays open for a quarter of an hour.
const SLOW_FILE: usize = 1 << 20;

/// A running nginx; killed when dropped.
///
/// It serves, with the header `X-Backend: NAME` on each response:
/// - `/`: the host's name and a newline
/// - `/healthz`: `ok`
/// - `/slow`: 1 MiB at 1 KiB/s
/// - `/big`: the lab's big file, where it was given one
///
/// An idle connection is kept for an hour, for a million requests.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
}

impl Nginx {
    /// Starts nginx on `host` and waits until it accepts connections on each address.
    ///
    /// # Errors
    /// [`ServerError::Process`] with nginx's own words when it gives up, [`ServerError::Lab`] where it is not installed.
    pub fn start(
        host: &Host,
        addresses: &[SocketAddr],
        big_file: Option<&BigFile>,
    ) -> Result<Self, ServerError> {
        let listen: String = addresses
            .iter()
            .map(|address| format!("    listen {address} backlog=65535;\n"))
            .collect();
        Self::launch(
            host,
            "nginx",
            addresses,
            &configuration(host.name(), &listen, big_file),
        )
    }

    /// Starts nginx with TLS on one address of `host`, and waits until it accepts connections.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_tls(
        host: &Host,
        address: SocketAddr,
        certificate: &Certificate,
    ) -> Result<Self, ServerError> {
        let Certificate { certificate, key } = certificate;
        let listen = format!(
            "    listen {address} ssl;\n    ssl_certificate {};\n    ssl_certificate_key {};\n",
            certificate.display(),
            key.display()
        );
        let name = format!("nginx-{}", address.port());
        Self::launch(
            host,
            &name,
            &[address],
            &configuration(host.name(), &listen, None),
        )
    }

    fn launch(
        host: &Host,
        name: &str,
        addresses: &[SocketAddr],
        config_text: &str,
    ) -> Result<Self, ServerError> {
        let prefix = host.run_dir().join(name);
        let write = |path: &Path, content: &[u8]| {
            fs::write(path, content).map_err(|source| ServerError::File {
                path: path.to_owned(),
                source,
            })
        };
        fs::create_dir_all(&prefix).map_err(|source| ServerError::File {
            path: prefix.clone(),
            source,
        })?;
        let config = prefix.join("nginx.conf");
        write(&config, config_text.as_bytes())?;
        write(
            &prefix.join("slow"),
            &(0..SLOW_FILE).map(slow_byte).collect::<Vec<u8>>(),
        )?;
        let mut command = host.command("nginx")?;
        // `-e`: without it nginx first opens the machine's log, before it has read of its own.
        command
            .arg("-e")
            .arg("stderr")
            .arg("-p")
            .arg(&prefix)
            .arg("-c")
            .arg(&config);
        let nginx = Self {
            process: host.spawn(name, command)?,
        };
        nginx.wait_until_ready(host, addresses)?;
        Ok(nginx)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    fn wait_until_ready(&self, host: &Host, addresses: &[SocketAddr]) -> Result<(), ServerError> {
        let what = format!("nginx on {} to accept connections", host.name());
        let accepts = |address: &SocketAddr| TcpStream::connect_timeout(address, START).is_ok();
        let ready = host.enter(|| {
            wait_for(START, what, || {
                self.process.status().is_some() || addresses.iter().all(accepts)
            })
        })?;
        self.process.ensure_running()?;
        Ok(ready?)
    }
}

/// The byte at this place of `/slow`: lines of 16 bytes, each of which is its own number.
#[must_use]
pub fn slow_byte(place: usize) -> u8 {
    const LINE: usize = 16;
    match place % LINE {
        column if column == LINE - 1 => b'\n',
        column => b'0' + (place / LINE / 10_usize.pow((LINE - 2 - column).min(15) as u32) % 10) as u8,
    }
}

/// One process without a master, so that a signal to it is a signal to the server.
fn configuration(name: &str, listen: &str, big_file: Option<&BigFile>) -> String {
    let big = big_file.map_or_else(String::new, |file| {
        format!("    location = /big {{ alias {}; }}\n", file.path.display())
    });
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{
  worker_connections 65536;
  multi_accept on;
}}
http {{
  access_log off;
  default_type text/plain;
  sendfile on;
  keepalive_timeout 1h;
  keepalive_requests 1000000;
  client_body_temp_path body;
  server {{
{listen}    add_header X-Backend {name} always;
    location = / {{ return 200 \"{name}\\n\"; }}
    location = /healthz {{ return 200 \"ok\\n\"; }}
    location = /slow {{ limit_rate 1k; alias slow; }}
{big}  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_file_numbers_its_lines() {
        let line = |start| String::from_utf8((start..start + 16).map(slow_byte).collect()).unwrap();
        assert_eq!(line(0), "000000000000000\n");
        assert_eq!(line(16 * 40_321), "000000000040321\n");
    }

    #[test]
    fn the_configuration_names_host_addresses_and_big_file() {
        let listen = "    listen 192.0.2.10:80;\n    listen [2001:db8::10]:80;\n";
        let big = BigFile {
            path: "/var/tmp/big".into(),
            size: 1,
            sha256: String::new(),
        };
        let text = configuration("backend1", listen, Some(&big));
        for line in [
            "    listen 192.0.2.10:80;",
            "    listen [2001:db8::10]:80;",
            "    add_header X-Backend backend1 always;",
            "    location = / { return 200 \"backend1\\n\"; }",
            "    location = /big { alias /var/tmp/big; }",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(!configuration("backend1", listen, None).contains("/big"));
    }
}

//! Ready-made labs.

mod pair;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::LabError;
use crate::host::Host;
use crate::lab::Lab;
use crate::server::{Nginx, ServerError};
use crate::switch::Switch;

pub use self::pair::Pair;

/// The virtual address of the ready-made labs, IPv4.
pub const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The virtual address of the ready-made labs, IPv6.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// Clients, one director and backends on one segment, 192.0.2.0/24 and 2001:db8::/64.
///
/// | host | IPv4 | IPv6 |
/// |---|---|---|
/// | `director` | 192.0.2.2 | 2001:db8::d:2 |
/// | `backendN` | 192.0.2.(20+N) | 2001:db8::b:N |
/// | `clientN` | 192.0.2.(120+N) | 2001:db8::c:N |
///
/// Numbers begin at 1 and are written in hexadecimal in IPv6 addresses. Backends accept [`VIP4`] and [`VIP6`] without
/// telling the network; nobody answers ARP or neighbour discovery for them until a director does. The director's switch
/// port is fit for XDP.
#[derive(Debug)]
pub struct OneDirector {
    /// Connections come from here.
    pub clients: Vec<Host>,
    /// To run the load balancer; it has nothing but its own addresses.
    pub director: Host,
    /// To run the servers.
    pub backends: Vec<Host>,
    /// What they are all connected to.
    pub switch: Switch,
    /// Last, so that it outlives the hosts.
    pub lab: Lab,
}

impl OneDirector {
    /// Makes the lab; `clients` up to 100, `backends` up to 100.
    ///
    /// # Errors
    /// What [`Lab::new`] and [`Lab::host`] say.
    pub fn build(name: &str, clients: u8, backends: u8) -> Result<Self, LabError> {
        let lab = Lab::new(name)?;
        let switch = lab.switch("public")?;
        let director = lab.host("director")?;
        director
            .connect(&switch, &["192.0.2.2/24", "2001:db8::d:2/64"])?
            .expect_xdp()?;
        let mut topology = Self {
            clients: Vec::new(),
            director,
            backends: Vec::new(),
            switch,
            lab,
        };
        for _ in 0..clients {
            topology.add_client()?;
        }
        for _ in 0..backends {
            topology.add_backend()?;
        }
        Ok(topology)
    }

    /// Adds the next client.
    ///
    /// # Errors
    /// What [`Lab::host`] says.
    pub fn add_client(&mut self) -> Result<Host, LabError> {
        let client = add_client(&self.lab, &self.switch, self.clients.len() + 1)?;
        self.clients.push(client.clone());
        Ok(client)
    }

    /// Adds the next backend, with the VIPs.
    ///
    /// # Errors
    /// What [`Lab::host`] says.
    pub fn add_backend(&mut self) -> Result<Host, LabError> {
        let backend = add_backend(&self.lab, &self.switch, self.backends.len() + 1)?;
        self.backends.push(backend.clone());
        Ok(backend)
    }

    /// Starts nginx on a backend: port 80 of the VIPs, and of its own addresses for health checks.
    ///
    /// # Errors
    /// What [`Nginx::start`] says.
    pub fn serve_http(&self, backend: &Host) -> Result<Nginx, ServerError> {
        serve_http(backend)
    }

    /// Starts nginx on every backend; see [`Self::serve_http`].
    ///
    /// # Errors
    /// What [`Nginx::start`] says.
    pub fn serve_http_everywhere(&self) -> Result<Vec<Nginx>, ServerError> {
        self.backends
            .iter()
            .map(|backend| self.serve_http(backend))
            .collect()
    }

    /// A port of the VIPs and of the backend's own addresses: where a server listens.
    #[must_use]
    pub fn listen(backend: &Host, port: u16) -> Vec<SocketAddr> {
        let vips = [IpAddr::from(VIP4), IpAddr::from(VIP6)];
        vips.into_iter()
            .chain(backend.addresses())
            .map(|ip| SocketAddr::new(ip, port))
            .collect()
    }
}

fn add_client(lab: &Lab, switch: &Switch, number: usize) -> Result<Host, LabError> {
    add_host(lab, switch, "client", number, 120, 'c')
}

fn add_backend(lab: &Lab, switch: &Switch, number: usize) -> Result<Host, LabError> {
    let backend = add_host(lab, switch, "backend", number, 20, 'b')?;
    backend.accept_vips(&[VIP4.into(), VIP6.into()])?;
    Ok(backend)
}

fn add_host(
    lab: &Lab,
    switch: &Switch,
    role: &str,
    number: usize,
    base: usize,
    group: char,
) -> Result<Host, LabError> {
    let host = lab.host(&format!("{role}{number}"))?;
    let (v4, v6) = (
        format!("192.0.2.{}/24", base + number),
        format!("2001:db8::{group}:{number:x}/64"),
    );
    host.connect(switch, &[&v4, &v6])?;
    Ok(host)
}

fn serve_http(backend: &Host) -> Result<Nginx, ServerError> {
    Nginx::start(backend, &OneDirector::listen(backend, 80), None)
}

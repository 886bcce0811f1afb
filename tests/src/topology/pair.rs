//! Directors that stand in for each other.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{VIP4, VIP6, add_backend, add_client, serve_http};
use crate::{
    Host, Lab, Switch,
    error::LabError,
    server::{Nginx, ServerError},
};

/// Clients, two to eight directors and backends on one segment, as in [`OneDirector`](super::OneDirector); and a second
/// segment that joins the directors alone, 10.9.0.0/24.
///
/// | host | `eth0`, on the public switch | `eth1`, on the private switch |
/// |---|---|---|
/// | `a`, `b`, … | 192.0.2.2, .3, …; 2001:db8::d:2, :3, … | 10.9.0.2, .3, … |
///
/// The directors' public switch ports are fit for XDP.
#[derive(Debug)]
pub struct Pair {
    /// Connections come from here.
    pub clients: Vec<Host>,
    /// To run the load balancers; they have nothing but their own addresses.
    pub directors: Vec<Host>,
    /// To run the servers.
    pub backends: Vec<Host>,
    /// What they are all connected to.
    pub public: Switch,
    /// What joins the directors alone.
    pub private: Switch,
    /// Last, so that it outlives the hosts.
    pub lab: Lab,
}

impl Pair {
    /// Makes the lab, with two directors.
    ///
    /// # Errors
    /// What [`Lab::new`] and [`Lab::host`] say.
    pub fn build(name: &str, clients: usize, backends: usize) -> Result<Self, LabError> {
        Self::with_directors(name, 2, clients, backends)
    }

    /// Makes the lab; `directors` up to eight.
    ///
    /// # Errors
    /// What [`Lab::new`] and [`Lab::host`] say.
    pub fn with_directors(
        name: &str,
        directors: u8,
        clients: usize,
        backends: usize,
    ) -> Result<Self, LabError> {
        let lab = Lab::new(name)?;
        let (public, private) = (lab.switch("public")?, lab.switch("private")?);
        let director = |number: u8| {
            let host = lab.host(&char::from(b'a' + number).to_string())?;
            let number = 2 + number;
            let (v4, v6) = (format!("192.0.2.{number}/24"), format!("2001:db8::d:{number}/64"));
            host.connect(&public, &[&v4, &v6])?.expect_xdp()?;
            host.connect(&private, &[&format!("10.9.0.{number}/24")])?;
            Ok(host)
        };
        Ok(Self {
            directors: (0..directors).map(director).collect::<Result<_, LabError>>()?,
            clients: (1..=clients)
                .map(|number| add_client(&lab, &public, number))
                .collect::<Result<_, _>>()?,
            backends: (1..=backends)
                .map(|number| add_backend(&lab, &public, number))
                .collect::<Result<_, _>>()?,
            public,
            private,
            lab,
        })
    }

    /// Starts nginx on every backend: port 80 of the VIPs, and of its own addresses for health checks.
    ///
    /// # Errors
    /// What [`Nginx::start`] says.
    pub fn serve_http_everywhere(&self) -> Result<Vec<Nginx>, ServerError> {
        self.backends.iter().map(serve_http).collect()
    }

    /// A configuration of the director of that number: a service `web` on port 80 (TCP) and port 53 (UDP) of both VIPs over
    /// all backends; and what else is given.
    #[must_use]
    pub fn config(&self, director: usize, more: &str) -> String {
        let mut config = format!(
            "[director]\nname = \"{}\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"64k\"\nflows_v6 = \"64k\"\n\n\
             {more}\n\n[[service]]\nname = \"web\"\n\
             listen = [\"{VIP4}:80\", \"[{VIP6}]:80\", \"{VIP4}:53/udp\", \"[{VIP6}]:53/udp\"]\n",
            self.directors[director].name()
        );
        for backend in &self.backends {
            let (name, address) = (backend.name(), backend.addresses()[0]);
            let _ = write!(
                config,
                "\n[[service.backend]]\nname = \"{name}\"\naddress = \"{address}\"\n"
            );
        }
        config
    }

    /// A cluster `edge` with this key file, and heartbeats over `eth1` besides what VRRP says on `eth0`.
    #[must_use]
    pub fn cluster(key: &Path, more: &str) -> String {
        format!(
            "[cluster]\nname = \"edge\"\nkey_files = [{key:?}]\n\n[[heartbeat]]\ninterface = \"eth1\"\n{more}\n\n"
        )
    }

    /// Makes a key for the cluster, in a file that all directors can read.
    ///
    /// # Errors
    /// When `tandem key new` fails.
    pub fn make_key(&self) -> anyhow::Result<PathBuf> {
        let file = self.directors[0].run_dir().join("cluster.key");
        let mut command = Command::new(crate::tandem::binary("tandem")?);
        let made = command.args(["key", "new"]).arg(&file).output()?;
        let said = String::from_utf8_lossy(&made.stderr);
        anyhow::ensure!(made.status.success(), "{said}");
        Ok(file)
    }

    /// Parts the directors from each other on the network of `interface`, or joins them again; everybody else hears
    /// them all.
    ///
    /// # Errors
    /// What the system refused.
    pub fn part(&self, interface: &str, parted: bool) -> Result<(), LabError> {
        let ports: Vec<_> = self
            .directors
            .iter()
            .map(|director| director.interface(interface))
            .collect::<Result<_, _>>()?;
        let switch = ports[0].switch().clone();
        switch.part(&ports.iter().collect::<Vec<_>>(), parted)
    }

    /// The director is dead to all networks, and forwards nothing; kill its daemon beside it.
    ///
    /// # Errors
    /// When its interfaces cannot be had.
    pub fn cut_off(&self, director: usize) -> Result<(), LabError> {
        self.interfaces(director, crate::Interface::unplug)
    }

    /// All its cables are back.
    ///
    /// # Errors
    /// When its interfaces cannot be had.
    pub fn reconnect(&self, director: usize) -> Result<(), LabError> {
        self.interfaces(director, crate::Interface::plug_in)
    }

    fn interfaces(
        &self,
        director: usize,
        work: impl Fn(&crate::Interface) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let host = &self.directors[director];
        ["eth0", "eth1"]
            .into_iter()
            .try_for_each(|name| work(&host.interface(name)?))
    }

    /// An instance `front` with both VIPs on `eth0`.
    #[must_use]
    pub fn front(priority: u8, more: &str) -> String {
        format!(
            "[[instance]]\nname = \"front\"\nvrid = 51\ninterface = \"eth0\"\npriority = {priority}\n\
             vips = [\"{VIP4}\", \"{VIP6}\"]\n{more}\n"
        )
    }
}

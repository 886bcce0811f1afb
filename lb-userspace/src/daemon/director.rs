//! One director: what it was asked to do, what it knows, and what it put in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use tracing::{debug, info, warn};

use super::{flows::Flows, links::Links, vips::Vips};
use crate::{
    core::{
        model::Config,
        neighbour::Unresolved,
        plan::{Desired, DesiredService, PlanError, Planner, Step},
    },
    datapath::{AttachMode, Attachment, Census, DatapathError, Kernel, MapSizes, Pins, StepError},
    net::monitor::Change,
};

/// Why the director cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DirectorError {
    /// The datapath.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What only a restart can change.
    #[error("{what} cannot be changed while the daemon runs; restart it")]
    NeedsRestart {
        /// The setting.
        what: &'static str,
    },
}

impl From<StepError> for DirectorError {
    fn from(error: StepError) -> Self {
        Self::Datapath(error.into())
    }
}

/// The director.
pub(super) struct Director {
    pub(super) config: Config,
    pub(super) kernel: Kernel,
    pub(super) planner: Planner,
    pub(super) links: Links,
    pub(super) attachments: Vec<Attachment>,
    /// Slots of each backend, by number.
    pub(super) slots: BTreeMap<u32, u32>,
    /// The latest census, and when it was taken.
    pub(super) census: Census,
    pub(super) census_at: Option<Instant>,
    pub(super) vips: Vips,
    /// When the daemon began.
    pub(super) opened: Instant,
    /// Where the configuration came from.
    pub(super) source: String,
    /// What the API reads beside the daemon's loop.
    pub(super) flows: Arc<Flows>,
    /// Whether `config` is in force; before that the maps hold what an earlier daemon put there.
    adopted: bool,
}

impl Director {
    /// Loads the datapath, and takes up what an earlier daemon left in it. Nothing is attached or changed yet.
    pub(super) fn open(
        config: Config,
        source: String,
        pins: Pins,
        vips: Vips,
    ) -> Result<Self, DirectorError> {
        let sizes = MapSizes::new(&config.limits);
        let kernel = Kernel::open(&sizes, Some(pins))?;
        let inventory = kernel.tables.inventory();
        if !inventory.backends.is_empty() {
            info!(
                services = inventory.services.len(),
                backends = inventory.backends.len(),
                "taking up the services and connections of an earlier daemon"
            );
        }
        // Until there is a cluster key, the seed that the maps keep stands for it.
        let [key, ..] = kernel.settings().schedule_seed.words();
        Ok(Self {
            planner: Planner::new(key, sizes.services, sizes.backends, &inventory),
            links: Links::inherit(&inventory),
            census: Census::default(),
            census_at: None,
            attachments: Vec::new(),
            slots: BTreeMap::new(),
            config,
            vips,
            opened: Instant::now(),
            source,
            flows: Arc::new(Flows::new(&kernel)),
            kernel,
            adopted: false,
        })
    }

    /// Backends whose links are to be followed under this configuration: its own, and those that are gone but still have
    /// flows.
    pub(super) fn targets(&self, config: &Config) -> BTreeSet<IpAddr> {
        let configured = config.services.iter().flat_map(|service| &service.backends);
        let retired = self.planner.retired().map(|(_, address)| address);
        configured.map(|backend| backend.address).chain(retired).collect()
    }

    /// Takes note of a backend's way; whether the packet path has to hear of it.
    pub(super) fn note(&mut self, change: Change) -> bool {
        let address = change.address;
        match change.egress.on_link(address) {
            Ok(hop) => {
                info!(backend = %address, interface = hop.ifname, mac = %hop.dest_mac, "backend reachable");
            }
            Err(Unresolved::NotYetResolved) => {}
            Err(reason) => warn!(backend = %address, %reason, "backend not reachable"),
        }
        self.links.note(change)
    }

    /// Puts in force what the links call for, once a configuration was adopted.
    pub(super) fn converge(&mut self) -> Result<(), DirectorError> {
        if !self.adopted {
            return Ok(());
        }
        let steps = self.planner.plan(&self.desired(&self.config))?;
        self.execute(&steps)
    }

    /// Changes over to a configuration: all of it or, with an error, nothing of its services.
    ///
    /// Packets find their services before the interfaces and the VIPs lead them here.
    pub(super) async fn adopt(&mut self, config: Config) -> Result<(), DirectorError> {
        if config.limits != self.config.limits {
            return Err(DirectorError::NeedsRestart { what: "[limits]" });
        }
        let steps = self.planner.plan(&self.desired(&config))?;
        self.execute(&steps)?;
        self.config = config;
        self.adopted = true;
        self.flows.set_names(self.names());
        self.attach()?;
        self.hold_vips().await;
        Ok(())
    }

    fn desired(&self, config: &Config) -> Desired {
        let service = |service: &crate::core::model::Service| DesiredService {
            name: service.name.clone(),
            frontends: service.frontends.clone(),
            table_size: service.table_size,
            backends: service
                .backends
                .iter()
                .map(|backend| (backend.address, backend.weight))
                .collect(),
        };
        Desired {
            services: config.services.iter().map(service).collect(),
            links: self.links.all(),
        }
    }

    fn execute(&mut self, steps: &[Step]) -> Result<(), DirectorError> {
        for step in steps {
            debug!(?step);
            if let Step::AssignBackend { backend, .. } = step {
                self.kernel.reset_backend_totals(*backend)?;
            }
            if let Err(error) = self.kernel.tables.apply(step) {
                // The planner believes that the step was taken: let it look again at what there is.
                self.replan();
                return Err(error.into());
            }
            if let Step::SetSchedule { service, .. } = step {
                self.count_slots(*service);
            }
        }
        if !steps.is_empty() {
            self.flows.set_names(self.names());
        }
        Ok(())
    }

    fn replan(&mut self) {
        let sizes = MapSizes::new(&self.config.limits);
        let [key, ..] = self.kernel.settings().schedule_seed.words();
        self.planner = Planner::new(
            key,
            sizes.services,
            sizes.backends,
            &self.kernel.tables.inventory(),
        );
    }

    fn count_slots(&mut self, service: u32) {
        let backends = &self.kernel.tables.backends;
        self.slots.retain(|&backend, _| {
            backends
                .get(backend as usize)
                .is_some_and(|entry| entry.in_use() && entry.service() != service)
        });
        self.slots.extend(self.kernel.tables.slot_counts(service));
    }

    /// Attaches to the configured interfaces, and releases others that an earlier configuration had.
    pub(super) fn attach(&mut self) -> Result<(), DirectorError> {
        self.attachments.clear();
        for interface in self.config.director.interfaces.clone() {
            let attachment = self.kernel.attach(&interface)?;
            match attachment.mode {
                AttachMode::Native => info!(interface, "attached in native mode"),
                AttachMode::Updated => info!(interface, "replaced the program of an earlier daemon in place"),
                AttachMode::Generic => warn!(
                    interface,
                    "attached in GENERIC mode: the driver has no XDP, every packet costs an skb, and throughput is a \
                     fraction of what native mode gives"
                ),
            }
            self.attachments.push(attachment);
        }
        for interface in self.kernel.release_others(&self.config.director.interfaces)? {
            info!(interface, "released");
        }
        Ok(())
    }

    /// Attaches again where an interface has been replaced by another of the same name.
    pub(super) fn reattach(&mut self) {
        let present = |attachment: &Attachment| {
            nix::net::if_::if_nametoindex(attachment.interface.as_str()) != Ok(attachment.ifindex)
        };
        for n in 0..self.attachments.len() {
            if !present(&self.attachments[n]) {
                continue;
            }
            let interface = self.attachments[n].interface.clone();
            match self.kernel.attach(&interface) {
                Ok(attachment) => {
                    info!(interface, "the interface is another one now; attached to it");
                    self.attachments[n] = attachment;
                }
                // Gone for the moment: said once, when it went.
                Err(DatapathError::NoInterface { .. }) if self.attachments[n].ifindex == 0 => {}
                Err(error) => {
                    warn!(interface, %error, "cannot attach any more");
                    self.attachments[n].ifindex = 0;
                }
            }
        }
    }

    /// Puts the VIPs on the interface, if that is our task, and tells the network.
    pub(super) async fn hold_vips(&mut self) {
        let Some(interface) = self.config.director.interfaces.first() else {
            return;
        };
        let wanted = if self.config.director.manage_vips {
            self.kernel.tables.vips().clone()
        } else {
            BTreeSet::new()
        };
        self.vips.hold(interface, &wanted).await;
    }

    /// Takes note of a census.
    pub(super) fn note_census(&mut self, census: Census) -> Result<(), DirectorError> {
        let steps = self.planner.census(|backend| census.of_backend(backend) > 0);
        self.census = census;
        self.census_at = Some(Instant::now());
        self.execute(&steps)?;
        Ok(())
    }
}

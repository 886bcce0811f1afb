//! One director: what it was asked to do, what it knows, and what it put in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use tracing::{debug, info, warn};

use super::{
    courses::Courses,
    flows::Flows,
    ha::{self, Answers, Ha, HaError, Reaches},
    health::HealthBook,
    identity::Identity,
    links::Links,
    orders::Orders,
    passive::{OutlierBook, RefusalBook},
    standing::Standings,
    sync::{Sync, SyncError},
    vips::Vips,
};
use crate::{
    api::types::{ProbesView, ReactionView},
    config::KeyFileError,
    core::{
        event,
        ha::LeaseNumbers,
        health::{Hearsay, Pool},
        model::{Config, Forward},
        neighbour::{Mac, Unresolved},
        plan::{Desired, DesiredService, PlanError, Planner, Step},
        slots::NoSpace,
        sync::{self, flows::WantedBackend},
        way::{NoWay, link_of},
    },
    datapath::{AttachMode, Census, DatapathError, Kernel, MapSizes, Pins, StepError},
    net::{loopback, monitor::Change},
    notify::Sink,
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
    /// No room for a service's schedule.
    #[error("service `{service}`: {source}")]
    NoRoom {
        /// Its name.
        service: String,
        /// Why.
        source: NoSpace,
    },
    /// The pair.
    #[error(transparent)]
    Ha(#[from] HaError),
    /// The synchronisation of connections.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The keys of the cluster.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// What the others know this director by.
    #[error(
        "the cluster, its keys' seed, and the name of a director that is in one cannot be changed while the daemon runs: \
         restart it (connections stay)"
    )]
    Cluster,
    /// The maps have the size that they were made with.
    #[error(
        "[limits] cannot be changed while balancing goes on: set them back, or end balancing with `tandemd --detach` (which \
         forgets all connections) and start again"
    )]
    Limits,
}

impl From<StepError> for DirectorError {
    fn from(error: StepError) -> Self {
        Self::Datapath(error.into())
    }
}

/// The director.
pub(super) struct Director {
    pub(super) config: Config,
    /// Its VIPs.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Itself in its cluster; `None` for one that works alone.
    pub(super) identity: Option<Identity>,
    pub(super) kernel: Kernel,
    pub(super) planner: Planner,
    pub(super) links: Links,
    /// Interfaces of the configuration in force, and whether the program is on them at present.
    pub(super) interfaces: BTreeMap<String, bool>,
    /// Slots of each backend, by the numbers of its service and of itself.
    pub(super) slots: BTreeMap<u32, BTreeMap<u32, u32>>,
    /// The latest census, and when it was taken.
    pub(super) census: Census,
    pub(super) census_at: Option<Instant>,
    pub(super) vips: Vips,
    /// Where there are instances, they hold the VIPs.
    pub(super) ha: Option<Ha>,
    /// Where connections are synchronised with other directors.
    pub(super) sync: Option<Sync>,
    /// What the pair was told of the backends that are reached.
    pub(super) told_reaches: Option<Reaches>,
    /// By which numbers the packet path knows their groups.
    leases: LeaseNumbers,
    /// When the daemon began.
    pub(super) opened: Instant,
    /// Where the configuration came from.
    pub(super) source: String,
    /// What the API reads beside the daemon's loop.
    pub(super) flows: Arc<Flows>,
    /// Where to tell what happens.
    pub(super) events: Sink,
    /// What operators ordered.
    pub(super) orders: Orders,
    /// What checks have found.
    pub(super) health: HealthBook,
    /// What other directors have found.
    pub(super) hearsay: Hearsay,
    /// Who leaves connections unanswered.
    pub(super) outliers: OutlierBook,
    pub(super) refusals: RefusalBook,
    /// How fast the packet path follows checks.
    pub(super) reaction: ReactionView,
    /// Probes so far, as of the last second.
    pub(super) probes: ProbesView,
    /// How backends have come and gone.
    pub(super) courses: Courses,
    /// What backends take part in, as it is in force.
    pub(super) standing: Standings,
    /// Whether services have their quorum.
    pub(super) pools: BTreeMap<String, Pool>,
    /// Whether `config` is in force; before that the maps hold what an earlier daemon put there.
    pub(super) adopted: bool,
    /// What went wrong when the maps were to follow the links; they still have to.
    behind: Option<String>,
}

impl Director {
    /// Loads the datapath, and takes up what an earlier daemon left in it. Nothing is attached or changed yet.
    pub(super) fn open(
        config: Config,
        source: String,
        identity: Option<Identity>,
        pins: Pins,
        vips: Vips,
        events: Sink,
        orders: Orders,
    ) -> Result<Self, DirectorError> {
        let sizes = MapSizes::new(&config.limits);
        let schedule_seed = identity.as_ref().map(Identity::schedule_seed);
        let kernel = Kernel::open(&sizes, Some(pins), schedule_seed)?;
        let inventory = kernel.tables.inventory();
        if !inventory.backends.is_empty() {
            info!(
                services = inventory.services.len(),
                backends = inventory.backends.len(),
                "taking up the services and connections of an earlier daemon"
            );
        }
        // The directors of a cluster have the same.
        let [key, ..] = kernel.settings().schedule_seed.words();
        Ok(Self {
            planner: Planner::new(
                key,
                kernel.clock().hz(),
                sizes.services,
                sizes.backends,
                &inventory,
            ),
            links: Links::default(),
            census: Census::default(),
            census_at: None,
            interfaces: BTreeMap::new(),
            slots: BTreeMap::new(),
            addresses: config.vips(),
            config,
            identity,
            vips,
            ha: None,
            sync: None,
            told_reaches: None,
            leases: LeaseNumbers::default(),
            opened: Instant::now(),
            source,
            flows: Arc::new(Flows::new(&kernel)),
            events,
            orders,
            health: HealthBook::inherit(&kernel),
            hearsay: Hearsay::default(),
            outliers: OutlierBook::new(),
            refusals: RefusalBook::new(),
            reaction: ReactionView::default(),
            probes: ProbesView::default(),
            courses: Courses::new(),
            standing: Standings::new(),
            pools: BTreeMap::new(),
            kernel,
            adopted: false,
            behind: None,
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
        let matters = self.links.note(change);
        self.tell_of(address);
        matters
    }

    /// Says whether packets can be sent to a backend, by any method that a service wants.
    fn tell_of(&self, address: IpAddr) {
        let services = self.config.services.iter();
        let users = services.filter(|service| service.backends.iter().any(|b| b.address == address));
        let mut ways = users.map(|service| self.links.way(service.forward, address, &self.addresses));
        let best = ways.next().map(|first| match first {
            Ok(way) => Ok(way),
            Err(reason) => ways.find_map(Result::ok).ok_or(reason),
        });
        match best {
            Some(Ok((way, interface))) => self.events.tell(match link_of(&way) {
                Some(link) => event::Reach::Found {
                    address,
                    interface: interface.to_owned(),
                    mac: Mac(link.destination).to_string(),
                },
                None => event::Reach::Here { address },
            }),
            None | Some(Err(NoWay::Unresolved(Unresolved::NotYetResolved))) => {}
            Some(Err(reason)) => self.events.tell(event::Reach::Lost {
                address,
                reason: reason.to_string(),
            }),
        }
    }

    /// Puts in force what the links call for, once a configuration was adopted. What fails is said once, and tried again.
    pub(super) fn converge(&mut self) {
        if !self.adopted {
            return;
        }
        self.follow_courses();
        let standing = self.stand_all(&self.config);
        let desired = self.desired(&self.config, &standing, &self.leases);
        self.keep_standing(standing);
        let failed = self.apply(&desired).err();
        self.tell_health();
        self.say_verdicts();
        self.tell_pair_of_health();
        let failed = failed.map(|error| error.to_string());
        if failed != self.behind {
            self.events.tell(match &failed {
                Some(reason) => event::Director::Behind {
                    reason: reason.clone(),
                },
                None => event::Director::CaughtUp,
            });
        }
        self.behind = failed;
    }

    /// Tries again what failed before.
    pub(super) fn catch_up(&mut self) {
        if self.behind.is_some() {
            self.converge();
        }
    }

    /// Changes over to a configuration or, with an error, stays with the one before.
    ///
    /// Packets find their services before the VIPs lead them here.
    pub(super) async fn adopt(&mut self, config: Config) -> Result<(), DirectorError> {
        if config.limits != self.config.limits {
            return Err(DirectorError::Limits);
        }
        if !config.instances.is_empty() {
            ha::ensure_allowed()?;
        }
        let identity = Identity::follow(self.identity.as_ref(), &config)?;
        let leases = self.leases.under(&config.instances);
        if config
            .services
            .iter()
            .any(|service| service.forward != Forward::Dr)
            && let Err((setting, error)) = loopback::let_it_forward()
        {
            warn!(setting, %error, "cannot be set: clients will not hear of links on the way to backends that are too narrow");
        }
        let Attached { interfaces, added } = self.attach(&config.director.interfaces)?;
        self.courses = self.courses_under(&config).0;
        let standing = self.stand_all(&config);
        if let Err(error) = self.apply(&self.desired(&config, &standing, &leases)) {
            // Some of it may be in force already.
            self.converge();
            self.kernel.release(&added)?;
            return Err(error);
        }
        for interface in self.kernel.release_others(&config.director.interfaces)? {
            info!(interface, "released");
        }
        self.addresses = config.vips();
        self.leases = leases;
        self.config = config;
        self.keep_standing(standing);
        self.identity = identity;
        self.interfaces = interfaces;
        self.adopted = true;
        self.behind = None;
        self.drop_orders_that_were_followed();
        self.watch_drains();
        self.tell_health();
        self.kernel.keep();
        self.publish_names();
        self.synchronise().await?;
        self.withdraw_verdicts();
        self.say_verdicts();
        self.end_gone();
        self.hold_vips().await
    }

    fn apply(&mut self, desired: &Desired) -> Result<(), DirectorError> {
        let before = self.planner.clone();
        let steps = self.planner.plan(desired)?;
        if let Err(error) = self.kernel.tables.ensure_room(&steps) {
            let error = self.name(error, desired);
            self.planner = before;
            return Err(error);
        }
        self.execute(&steps)
    }

    /// Says which service it is that the number stands for.
    fn name(&self, error: StepError, desired: &Desired) -> DirectorError {
        let StepError::NoSlots { service, source } = error else {
            return error.into();
        };
        let named = |desired: &&DesiredService| self.planner.service_number(&desired.name) == Some(service);
        match desired.services.iter().find(named) {
            Some(desired) => DirectorError::NoRoom {
                service: desired.name.clone(),
                source,
            },
            None => StepError::NoSlots { service, source }.into(),
        }
    }

    fn execute(&mut self, steps: &[Step]) -> Result<(), DirectorError> {
        for step in steps {
            debug!(?step);
            if let Err(error) = self.take(step) {
                // The planner believes that the step was taken: let it look again at what there is.
                self.replan();
                return Err(error);
            }
            if let Step::SetSchedule { service, .. } | Step::SetBackups { service, .. } = step {
                self.count_slots(*service);
            }
        }
        if steps.iter().any(Step::concerns_readers) {
            self.publish_names();
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), DirectorError> {
        if let Step::AssignBackend { backend, .. } = step {
            self.kernel.reset_backend_totals(*backend)?;
        }
        Ok(self.kernel.tables.apply(step)?)
    }

    /// Tells those who read flows who the numbers stand for.
    fn publish_names(&mut self) {
        self.flows.set_names(self.names());
        if let Some(sync) = &mut self.sync {
            sync.set_directory(self.planner.directory());
        }
    }

    fn replan(&mut self) {
        let sizes = MapSizes::new(&self.config.limits);
        let [key, ..] = self.kernel.settings().schedule_seed.words();
        self.planner = Planner::new(
            key,
            self.kernel.clock().hz(),
            sizes.services,
            sizes.backends,
            &self.kernel.tables.inventory(),
        );
    }

    fn count_slots(&mut self, service: u32) {
        let counts = self.kernel.tables.slot_counts(service);
        if counts.is_empty() {
            self.slots.remove(&service);
        } else {
            self.slots.insert(service, counts);
        }
    }

    /// Attaches to all of these interfaces or, with an error, to none that was not attached before. One that is in force
    /// already may be gone for the moment: it must not keep the operator from changing something else.
    fn attach(&mut self, interfaces: &[String]) -> Result<Attached, DirectorError> {
        let mut attached = Attached::default();
        for interface in interfaces {
            let known = self.interfaces.contains_key(interface);
            let present = match self.kernel.attach(interface) {
                Ok(AttachMode::Updated) if known => true,
                Ok(mode) => {
                    tell(interface, mode);
                    if mode != AttachMode::Updated {
                        attached.added.push(interface.clone());
                    }
                    true
                }
                Err(error @ DatapathError::NoInterface { .. }) if known => {
                    warn!(interface, %error, "going on without it");
                    false
                }
                Err(error) => {
                    self.kernel.release(&attached.added)?;
                    return Err(error.into());
                }
            };
            attached.interfaces.insert(interface.clone(), present);
        }
        Ok(attached)
    }

    /// Attaches again where the program is no longer on the interface of that name: it is another one now, or somebody took
    /// the program off. Says whether it is on one now that it was not on.
    pub(super) fn reattach(&mut self) -> bool {
        let mut attached = false;
        for (interface, present) in &mut self.interfaces {
            if self.kernel.is_attached(interface) {
                continue;
            }
            match self.kernel.attach(interface) {
                Ok(_) => {
                    self.events.tell(event::Director::Reattached {
                        interface: interface.clone(),
                    });
                    *present = true;
                    attached = true;
                }
                Err(error) if *present => {
                    self.events.tell(event::Director::Detached {
                        interface: interface.clone(),
                        reason: error.to_string(),
                    });
                    *present = false;
                }
                // Said when it went.
                Err(_) => {}
            }
        }
        attached
    }

    /// Has the VIPs held: by the pair, or else always.
    async fn hold_vips(&mut self) -> Result<(), DirectorError> {
        if let Some(ha) = self.ha.take_if(|ha| !ha.suits(&self.config)) {
            // Their VIPs are gone before others are added: they look alike.
            ha.stop().await;
        }
        if self.config.instances.is_empty() {
            self.hold_always().await;
            return Ok(());
        }
        match &self.ha {
            Some(ha) => ha.configure(&self.config, self.identity.as_ref(), &self.leases)?,
            None => {
                self.vips.release().await;
                let answers = Answers {
                    leases: Arc::clone(&self.kernel.tables.leases),
                    claims: Arc::clone(&self.kernel.tables.claims),
                };
                self.ha = Some(Ha::start(
                    &self.config,
                    self.identity.as_ref(),
                    &self.leases,
                    answers,
                    self.events.clone(),
                    self.orders.maintenance.is_on(),
                )?);
            }
        }
        // It may be new to it.
        self.told_reaches = None;
        self.tell_pair();
        Ok(())
    }

    /// Has the pair know how far this director's connections are those of the others, and how many backends it reaches.
    fn tell_pair(&mut self) {
        if let (Some(ha), Some(sync)) = (&self.ha, &self.sync) {
            ha.set_sync(sync.progress());
        }
        self.tell_pair_of_health();
    }

    /// Has connections synchronised as the configuration says.
    async fn synchronise(&mut self) -> Result<(), DirectorError> {
        let path = self.config.sync.as_ref();
        if let Some(sync) = self.sync.take_if(|sync| !sync.suits(path)) {
            sync.stop().await;
        }
        let (Some(path), Some(identity)) = (path, &self.identity) else {
            return Ok(());
        };
        match &self.sync {
            Some(sync) => sync.configure(&self.config, identity),
            None => {
                let jiffies = self.kernel.jiffies()?;
                let now = (jiffies, self.planner.directory());
                let events = self.events.clone();
                let mut store = self.orders.words.clone();
                for (key, word) in self.hearsay.words().iter() {
                    // There is room for both, or else some are not told.
                    let _ = store.merge(key, word.clone(), 0);
                }
                let sync = Sync::start(&self.config, path, identity, &self.kernel, now, store, events)?;
                self.sync = Some(sync);
                self.say_what_stands();
            }
        }
        Ok(())
    }

    /// Tells the sync thread the time, and what it was too busy to hear. One that has ended is succeeded by another.
    pub(super) async fn keep_sync(&mut self, jiffies: u64) {
        if self.sync.take_if(|sync| sync.has_ended()).is_some() {
            let interface = self.config.sync.as_ref().map(|path| path.interface.clone());
            self.events.tell(sync::Event::PathLost {
                interface: interface.unwrap_or_default(),
                reason: SyncError::Died.to_string(),
            });
        }
        match &mut self.sync {
            Some(sync) => {
                sync.set_jiffies(jiffies);
                if sync.is_behind() {
                    sync.set_directory(self.planner.directory());
                }
                self.say_again();
            }
            None if self.adopted => {
                if let Err(error) = self.synchronise().await {
                    warn!(%error, "connections are not synchronised; trying again");
                }
            }
            None => {}
        }
        self.tell_pair();
    }

    /// Gives numbers to backends that only other directors have flows to. Where there are none left, their flows stay
    /// unknown.
    pub(super) fn host(&mut self, wanted: &[WantedBackend]) {
        for WantedBackend {
            service,
            address,
            port,
        } in wanted
        {
            let steps = self
                .planner
                .host(service, *address, *port)
                .map_err(DirectorError::from);
            match steps.and_then(|steps| self.execute(&steps)) {
                Ok(()) => info!(service, %address, "another director has connections to this backend"),
                Err(error) => {
                    warn!(service, %address, %error, "connections of another director are left out");
                }
            }
        }
    }

    /// Connections are told of no more.
    pub(super) async fn leave_sync(&mut self) {
        if let Some(sync) = self.sync.take() {
            sync.stop().await;
        }
    }

    /// Puts the VIPs on the interface, if that is our task, and tells the network.
    async fn hold_always(&mut self) {
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

    /// Puts back what is missing of the VIPs that are always held.
    pub(super) async fn keep_vips(&mut self) {
        if let Some(interface) = self.config.director.interfaces.first() {
            self.vips.keep(interface).await;
        }
    }

    /// Gives up the VIPs that the pair holds.
    pub(super) async fn leave_pair(&mut self) {
        if let Some(ha) = self.ha.take() {
            ha.stop().await;
        }
    }

    /// Takes note of a census.
    pub(super) fn note_census(&mut self, census: Census) -> Result<(), DirectorError> {
        let steps = self.planner.census(
            |backend| census.names_backend(backend),
            |class| census.of_class(class) > 0,
        );
        self.census = census;
        self.census_at = Some(Instant::now());
        self.note_drains();
        self.execute(&steps)?;
        if self.note_outliers() {
            self.converge();
        }
        self.end_gone();
        Ok(())
    }
}

/// What attaching came to.
#[derive(Default)]
struct Attached {
    /// The interfaces, and whether the program is on them.
    interfaces: BTreeMap<String, bool>,
    /// Those that it was not on before.
    added: Vec<String>,
}

fn tell(interface: &str, mode: AttachMode) {
    match mode {
        AttachMode::Native => info!(interface, "attached in native mode"),
        AttachMode::Updated => info!(interface, "replaced the program in place"),
        AttachMode::Generic => warn!(
            interface,
            "attached in GENERIC mode: the driver has no XDP, every packet costs an skb, and throughput is a fraction of what \
             native mode gives"
        ),
    }
}

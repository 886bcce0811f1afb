//! The pair: a thread of its own for the heartbeat, and another one beside it for what may have to wait.
//!
//! | thread | does | never |
//! |---|---|---|
//! | `tandem-ha` | VRRP, decisions, announcements; at real-time priority | waits for a lock, a disk or another thread |
//! | `tandem-mover` | addresses, interfaces, sockets | |
//! | `tandem-tracker` | looks at what instances depend on, and runs programs when VIPs move | |
//!
//! The daemon's loop talks to the first through bounded channels.

mod answers;
pub(super) mod clock;
mod hooks;
mod mover;
mod path;
mod peers;
mod port;
pub(super) mod post;
mod realtime;
mod tracker;
mod view;
mod worker;

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use lb_common::wire::heartbeat;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{error, warn};

pub(super) use self::answers::Answers;
use self::{
    mover::Mover,
    post::Post,
    worker::{Order, Worker},
};
use super::identity::Identity;
use crate::{
    api::types::HaView,
    core::{
        ha::{ClusterSettings, Handed, LeaseNumbers, Reach, Unable},
        model::Config,
        seal::common_digest,
    },
    net::{
        NetlinkError,
        carrier::Carrier,
        vrrp::{self, VrrpError},
    },
    notify::Sink,
};

/// How many backends behind each group's VIPs are reached, by the group's name.
pub(super) type Reaches = BTreeMap<String, Vec<Reach>>;

/// Orders that wait for the mover.
const ORDERS: usize = 64;
/// The HA thread answers at once; what takes longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(1);
/// For VIPs to be given up and removed at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why there is no HA, or no more.
#[derive(Debug, thiserror::Error)]
pub enum HaError {
    /// VRRP cannot be spoken.
    #[error(transparent)]
    Vrrp(#[from] VrrpError),
    /// The kernel's tables cannot be followed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Something else that the system refused.
    #[error("cannot set up the HA thread: {0}")]
    Setup(#[from] io::Error),
    /// The HA thread has ended by itself.
    #[error("the HA thread has ended; its VIPs were given up. This is a fault of ours: please report it")]
    Died,
    /// It does not take orders.
    #[error("the HA thread does not answer: is the machine overloaded?")]
    Busy,
}

/// The running threads; dropping it gives all VIPs up.
#[derive(Debug)]
pub(super) struct Ha {
    orders: Post<Order>,
    ends: oneshot::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
    manages_vips: bool,
}

impl Ha {
    /// Starts the threads, in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`HaError`].
    pub(super) fn start(
        config: &Config,
        identity: Option<&Identity>,
        leases: &LeaseNumbers,
        answers: Answers,
        events: Sink,
        in_maintenance: bool,
    ) -> Result<Self, HaError> {
        let (orders, inbox) = post::post()?;
        let (to_mover, mover_orders) = mpsc::channel(ORDERS);
        let (life, ends) = oneshot::channel();
        let (to_tracker, tracker_orders) = mpsc::channel(ORDERS);
        let (to_hooks, jobs) = mpsc::channel(ORDERS);
        let helpers = (to_tracker, to_hooks);
        let mut worker = Worker::new(
            Carrier::open()?,
            inbox,
            to_mover,
            helpers,
            answers,
            events.clone(),
        );
        let manages_vips = config.director.manage_vips;
        let to_worker = orders.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Its sockets belong to the runtime.
        let mover = {
            let _inside = runtime.enter();
            Mover::open(manages_vips, mover_orders, to_worker)?
        };
        let (to_ha, from_hooks) = (orders.clone(), orders.clone());
        let looking = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let tracker = thread::Builder::new()
            .name("tandem-tracker".into())
            .spawn(move || {
                let both = async {
                    tokio::join!(
                        tracker::run(tracker_orders, to_ha),
                        hooks::run(jobs, from_hooks, events)
                    )
                };
                looking.block_on(both);
            })?;
        let mover = thread::Builder::new()
            .name("tandem-mover".into())
            .spawn(move || runtime.block_on(mover.run()))?;
        let worker = thread::Builder::new().name("tandem-ha".into()).spawn(move || {
            for lacking in realtime::prepare() {
                warn!("{lacking}");
            }
            if let Err(error) = worker.run() {
                error!(%error, "the HA thread cannot go on");
            }
            drop(life);
        })?;
        let ha = Self {
            orders,
            ends,
            threads: vec![worker, mover, tracker],
            manages_vips,
        };
        if in_maintenance {
            // Before it has a role.
            let (reply, _) = oneshot::channel();
            ha.order(Order::Maintenance {
                is_on: true,
                by_force: true,
                reply,
            })?;
        }
        ha.configure(config, identity, leases)?;
        Ok(ha)
    }

    /// Whether the threads can go on under this configuration, or others have to be started.
    pub(super) fn suits(&self, config: &Config) -> bool {
        !config.instances.is_empty() && config.director.manage_vips == self.manages_vips
    }

    /// Has the configuration's instances from now on.
    ///
    /// # Errors
    /// [`HaError::Busy`].
    pub(super) fn configure(
        &self,
        config: &Config,
        identity: Option<&Identity>,
        leases: &LeaseNumbers,
    ) -> Result<(), HaError> {
        let cluster = identity.map(|identity| {
            let settings = ClusterSettings {
                node: identity.keyring.own(),
                epoch: identity.epoch,
                name: config.director.name.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                config: common(config),
                paths: config.heartbeats.clone(),
            };
            (Arc::clone(&identity.keyring), settings)
        });
        self.order(Order::Configure {
            name: config.director.name.clone(),
            cluster,
            instances: config.members(),
            leases: leases.clone(),
        })
    }

    /// This director's connections are so far those of the others. Where the thread has no time, it hears the next word.
    pub(super) fn set_sync(&self, sync: heartbeat::Sync) {
        let _ = self.order(Order::Sync(sync));
    }

    /// So many backends are reached; whether the thread had time to hear it.
    pub(super) fn set_health(&self, reaches: Reaches) -> bool {
        self.order(Order::Health(reaches)).is_ok()
    }

    /// A line to the thread, to ask it by.
    pub(super) fn line(&self) -> Line {
        Line(self.orders.clone())
    }

    /// Gives all VIPs up, and waits until they are gone.
    pub(super) async fn stop(mut self) {
        // One that has ended needs no telling.
        let _ = self.order(Order::Stop);
        let threads = std::mem::take(&mut self.threads);
        let ended = spawn_blocking(move || {
            for thread in threads {
                // One that panicked has said so.
                let _ = thread.join();
            }
        });
        if timeout(FAREWELL, ended).await.is_err() {
            warn!(
                "the VIPs could not be removed in time: the kernel's network configuration is locked by somebody else"
            );
        }
    }

    fn order(&self, order: Order) -> Result<(), HaError> {
        self.orders.try_send(order).map_err(|_| HaError::Busy)
    }
}

/// A line to the thread.
#[derive(Debug, Clone)]
pub(super) struct Line(Post<Order>);

impl Line {
    /// How things are.
    ///
    /// # Errors
    /// [`HaError::Busy`], [`HaError::Died`].
    pub(super) async fn view(&self) -> Result<HaView, HaError> {
        self.ask(Order::View).await
    }

    /// Hands VIPs over: of one group or of all, to the director of that name or to the best. Returns what goes to whom.
    ///
    /// # Errors
    /// [`HaError::Busy`], [`HaError::Died`]; inside, why it is not done.
    pub(super) async fn hand_over(
        &self,
        group: Option<String>,
        to: Option<String>,
    ) -> Result<Result<Vec<Handed>, Unable>, HaError> {
        self.ask(|reply| Order::HandOver { group, to, reply }).await
    }

    /// Puts the director into maintenance, or ends that.
    ///
    /// # Errors
    /// [`HaError::Busy`], [`HaError::Died`]; inside, why it is not done.
    pub(super) async fn set_maintenance(
        &self,
        is_on: bool,
        by_force: bool,
    ) -> Result<Result<(), Unable>, HaError> {
        self.ask(|reply| Order::Maintenance {
            is_on,
            by_force,
            reply,
        })
        .await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, HaError> {
        let (sender, answer) = oneshot::channel();
        self.0.try_send(order(sender)).map_err(|_| HaError::Busy)?;
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| HaError::Died),
            Err(_) => Err(HaError::Busy),
        }
    }
}

impl Drop for Ha {
    fn drop(&mut self) {
        let _ = self.order(Order::Stop);
    }
}

/// Digest of what the directors of a cluster must have in common: what clients see.
fn common(config: &Config) -> u64 {
    let instances: Vec<_> = config
        .instances
        .iter()
        .map(|instance| (&instance.name, instance.vrid, &instance.vips, &instance.group))
        .collect();
    let common = serde_json::to_string(&(instances, &config.services));
    common_digest(&common.unwrap_or_default())
}

/// Whether VRRP may be spoken.
///
/// # Errors
/// [`HaError::Vrrp`].
pub(super) fn ensure_allowed() -> Result<(), HaError> {
    Ok(vrrp::ensure_allowed()?)
}

/// Waits until the HA thread ends by itself, which it should not. Cancelling loses nothing.
pub(super) async fn ended(ha: &mut Option<Ha>) -> HaError {
    match ha {
        Some(ha) => {
            // Nobody sends anything: it ends when the thread does.
            let _ = (&mut ha.ends).await;
            HaError::Died
        }
        None => pending().await,
    }
}

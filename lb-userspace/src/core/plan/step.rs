//! What a plan consists of.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::{FloodLimits, LoadLimits, Persistence, Policy, ServerId, Timeouts, Way};

use super::{Frontends, Pool, ScheduleSpec};

/// One change to the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The number belongs to this backend from now on; unresolved.
    AssignBackend {
        /// Number of the backend.
        backend: u32,
        /// Number of its service.
        service: u32,
        /// Its address.
        address: IpAddr,
    },
    /// Packets get to the backend like this, or not at all.
    SetWay {
        /// Number of the backend.
        backend: u32,
        /// How they get there.
        way: Option<Way>,
    },
    /// The number belongs to this service from now on.
    NameService {
        /// Number of the service.
        service: u32,
        /// Its name.
        name: String,
    },
    /// The timeouts of this class, which no flow is of yet.
    SetTimeouts {
        /// Number of the class.
        class: u8,
        /// By number of the state, in jiffies.
        timeouts: Timeouts,
    },
    /// The clients of the service that are one, for a policy by which they keep their backends.
    SetPersistence {
        /// Number of the service.
        service: u32,
        /// Which clients are one.
        persistence: Persistence,
    },
    /// How many new flows there may be, for a policy by which they are counted.
    SetFlood {
        /// Number of the service.
        service: u32,
        /// Its limits.
        limits: FloodLimits,
    },
    /// The service works like this from now on.
    SetPolicy {
        /// Number of the service.
        service: u32,
        /// What it wants beside its schedule.
        policy: Policy,
    },
    /// What the backend can bear, for schedulers that go by load.
    SetLoad {
        /// Number of the backend.
        backend: u32,
        /// What there is to say of it.
        limits: LoadLimits,
    },
    /// The service chooses by this schedule from now on.
    SetSchedule {
        /// Number of the service.
        service: u32,
        /// The schedule.
        schedule: ScheduleSpec,
    },
    /// The service has these backups from now on, for when all others are full.
    SetBackups {
        /// Number of the service.
        service: u32,
        /// Their list.
        backups: ScheduleSpec,
    },
    /// Packets of the service come from this pool, if they come from any.
    SetPool {
        /// Number of the service.
        service: u32,
        /// The pool.
        pool: Option<Pool>,
    },
    /// QUIC's connection IDs lead to these backends, by number.
    SetServerIds(BTreeMap<ServerId, u32>),
    /// Replies of these backends come back through the director: they are looked for.
    SetTranslated(BTreeSet<IpAddr>),
    /// Tunnels come from these addresses of this machine: errors to them are looked at.
    SetTunnelSources(BTreeSet<IpAddr>),
    /// These frontends are in force from now on, all at once.
    SetFrontends(Frontends),
    /// No flow names this backend any more.
    ForgetBackend {
        /// Number of the backend.
        backend: u32,
    },
    /// The service is gone, and so are its backends.
    ForgetService {
        /// Number of the service.
        service: u32,
    },
}

impl Step {
    /// Whether it can make a difference to whoever reads flows: to what their numbers stand for, where they go, and how long
    /// they live. Who takes part in a schedule makes none.
    #[must_use]
    pub const fn concerns_readers(&self) -> bool {
        match self {
            Self::AssignBackend { .. }
            | Self::SetWay { .. }
            | Self::NameService { .. }
            | Self::SetTimeouts { .. }
            | Self::SetPolicy { .. }
            | Self::SetPool { .. }
            | Self::SetFrontends(_)
            | Self::ForgetBackend { .. }
            | Self::ForgetService { .. } => true,
            Self::SetPersistence { .. }
            | Self::SetFlood { .. }
            | Self::SetLoad { .. }
            | Self::SetSchedule { .. }
            | Self::SetBackups { .. }
            | Self::SetServerIds(_)
            | Self::SetTranslated(_)
            | Self::SetTunnelSources(_) => false,
        }
    }
}

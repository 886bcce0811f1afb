//! The contract between the API server and the daemon.
//!
//! What the daemon's loop owns it is asked for by [`Query`], and answers between two of its other tasks. Flows are read
//! beside the loop, from the shared memory of the flow tables: a dump of a million of them takes a thread of its own
//! and disturbs nobody.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

pub use super::filter::{Clients, FlowFilter, FlowSource, NotAFilter, Vip};
use super::watch::{PacketView, WatchRequest};
use super::{
    access::Access,
    config::{ConfigView, ReloadAnswer, ReloadRequest},
    exit::{ExitAnswer, ExitRequest},
    flows::{EndAnswer, EndRequest},
    orders::{Covered, OrderAnswer, OrderRequest, OrderView},
    trace::{TraceRequest, TraceView},
    types::{
        BackendView, HaAnswer, HaOrder, HaView, ServiceView, StatsView, StatusView, SyncView, VerifyRequest,
        VerifyView,
    },
};
use crate::{
    core::event::{Filter, Pattern, PatternError, Severity},
    notify::Journal,
};

/// Queries that may wait for the daemon's loop; those who ask for more wait themselves.
const WAITING: usize = 16;

/// A question to the daemon's loop, and where the answer goes. Who asked may have lost patience and gone.
#[derive(Debug)]
pub enum Query {
    /// The director as a whole.
    Status(oneshot::Sender<StatusView>),
    /// Services in the order of the configuration.
    Services(oneshot::Sender<Vec<ServiceView>>),
    /// Backends by service in the order of the configuration, then those that were removed.
    Backends(oneshot::Sender<Vec<BackendView>>),
    /// Counters and tables.
    Stats(oneshot::Sender<StatsView>),
    /// The orders that stand.
    Orders(oneshot::Sender<Vec<OrderView>>),
    /// An order, and who gives it.
    Order(Box<OrderRequest>, String, OrderReply),
    /// To end flows, and who wants it.
    EndFlows(EndRequest, String, oneshot::Sender<Result<EndAnswer, Refusal>>),
    /// The configuration in force.
    Config(oneshot::Sender<ConfigView>),
    /// To read the file again, or to roll back.
    Reload(ReloadRequest, ReloadReply),
    /// This director's part in the pair.
    Ha(oneshot::Sender<HaView>),
    /// How the synchronisation of connections stands.
    Sync(oneshot::Sender<SyncView>),
    /// How the tables compare with those of the other directors.
    Verify(VerifyRequest, oneshot::Sender<VerifyView>),
    /// An order about the pair, and who gives it.
    HaOrder(HaOrder, String, HaReply),
    /// Where a packet would go.
    Trace(TraceRequest, oneshot::Sender<Result<TraceView, Refusal>>),
    /// Packets as they come and go.
    Watch(
        WatchRequest,
        oneshot::Sender<Result<mpsc::Receiver<PacketView>, Refusal>>,
    ),
    /// To end balancing, and who wants it.
    Exit(ExitRequest, String, oneshot::Sender<Result<ExitAnswer, Refusal>>),
}

/// Where the answer to an order about the pair goes.
pub type HaReply = oneshot::Sender<Result<HaAnswer, Refusal>>;

/// Where the answer to an order goes.
pub type OrderReply = oneshot::Sender<Result<OrderAnswer, Refusal>>;

/// Where the answer to a reload goes.
pub type ReloadReply = oneshot::Sender<Result<ReloadAnswer, Refusal>>;

/// Why an order is not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of what kind the reason is.
    pub kind: RefusalKind,
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}

/// Of what kind the reason is for which an order is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It makes no sense.
    Wrong,
    /// There is nothing of that name.
    NotFound,
    /// It would do harm.
    Harmful,
}

/// Names that are shown of those there are.
const MOST_NAMES: usize = 10;

impl Refusal {
    /// It makes no sense.
    #[must_use]
    pub fn wrong(error: impl Into<String>) -> Self {
        Self {
            kind: RefusalKind::Wrong,
            error: error.into(),
            hint: "docs/draining.md says what can be ordered".to_owned(),
        }
    }

    /// There is nothing of that name.
    #[must_use]
    pub fn not_found<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let mut known: Vec<&str> = known.collect();
        known.sort_unstable();
        known.dedup();
        let more = if known.len() > MOST_NAMES { ", …" } else { "" };
        known.truncate(MOST_NAMES);
        let known = known
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        Self {
            kind: RefusalKind::NotFound,
            error: format!("no {kind} is called `{}`", crate::io::one_line(name)),
            hint: if known.is_empty() {
                "there is none at all".to_owned()
            } else {
                format!("there are {known}{more}")
            },
        }
    }

    /// Several machines have that name.
    #[must_use]
    pub fn ambiguous(name: &str, all: impl Iterator<Item = Covered>) -> Self {
        let all: Vec<String> = all.map(|found| format!("{found} ({})", found.address)).collect();
        Self {
            kind: RefusalKind::Wrong,
            error: format!("`{}` could be {}", crate::io::one_line(name), all.join(" or ")),
            hint: "name the service as well, or the address instead".to_owned(),
        }
    }

    /// Nobody would serve these services any more.
    #[must_use]
    pub fn last(services: &[&str]) -> Self {
        let names = services
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let what = if services.len() == 1 {
            "service"
        } else {
            "services"
        };
        Self {
            kind: RefusalKind::Harmful,
            error: format!("no backend of {what} {names} would be left to serve new connections"),
            hint: "bring another one back first, or say --force".to_owned(),
        }
    }

    /// The configuration is not adopted.
    #[must_use]
    pub fn config(error: impl Into<String>) -> Self {
        Self {
            kind: RefusalKind::Wrong,
            error: error.into(),
            hint:
                "the configuration before stays in force; `tandem check FILE` says what is wrong with a file"
                    .to_owned(),
        }
    }

    /// It would do harm.
    #[must_use]
    pub fn harmful(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind: RefusalKind::Harmful,
            error: error.into(),
            hint: hint.into(),
        }
    }

    /// These still have flows.
    #[must_use]
    pub fn busy(backends: &[(Covered, u64)]) -> Self {
        let busy: Vec<String> = backends
            .iter()
            .map(|(backend, flows)| format!("{backend} has {flows}"))
            .collect();
        Self {
            kind: RefusalKind::Harmful,
            error: format!("flows are left: {}", busy.join(", ")),
            hint:
                "drain first (`tandem backend drain NAME --wait`), or say --force: they go on until they end"
                    .to_owned(),
        }
    }
}

/// The two ends of the way to the daemon's loop.
#[must_use]
pub fn channel() -> (mpsc::Sender<Query>, mpsc::Receiver<Query>) {
    mpsc::channel(WAITING)
}

/// What the server answers from.
#[derive(Clone)]
pub struct Sources {
    /// The way to the daemon's loop.
    pub queries: mpsc::Sender<Query>,
    /// Living flows.
    pub flows: Arc<dyn FlowSource>,
    /// The log of events.
    pub events: Arc<Journal>,
    /// Who may what.
    pub access: watch::Receiver<Access>,
}

/// Which events are asked for: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// Kinds or families of them, with commas in between: `backend.down,order.*`.
    pub kind: Option<String>,
    /// At least as severe.
    pub severity: Option<Severity>,
    /// About this service, or a backend of it.
    pub service: Option<String>,
    /// About the backend of this name.
    pub backend: Option<String>,
    /// Only the latest so many of those there are; without `after`.
    pub limit: Option<u64>,
    /// Those with a greater number; without it, all that are kept.
    pub after: Option<u64>,
    /// Go on with those that will happen.
    pub follow: bool,
}

impl EventFilter {
    /// What the journal is asked for.
    ///
    /// # Errors
    /// When there is no such kind.
    pub fn filter(&self) -> Result<Filter, PatternError> {
        let kinds = self.kind.as_deref().unwrap_or_default();
        let kinds = kinds.split(',').map(str::trim).filter(|kind| !kind.is_empty());
        Ok(Filter {
            kinds: kinds.map(str::parse::<Pattern>).collect::<Result<_, _>>()?,
            severity: self.severity,
            service: self.service.clone(),
            backend: self.backend.clone(),
        })
    }
}

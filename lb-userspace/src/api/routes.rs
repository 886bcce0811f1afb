//! What can be asked, and how it is answered.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{Query as Parameters, State, rejection::QueryRejection},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper::body::Body as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::watch::{self, WatchRequest};
use super::{
    access::guard,
    config::{ConfigView, ReloadAnswer, ReloadRequest},
    dump,
    exit::{ExitAnswer, ExitRequest},
    flows::{EndAnswer, EndRequest},
    follow, metrics, openapi,
    orders::{OrderAnswer, OrderRequest, OrderView},
    peer::{self, Peer},
    query::{EventFilter, FlowFilter, FlowSource, Query, Refusal, RefusalKind, Sources},
    server::Bounds,
    trace::{TraceRequest, TraceView},
    types::{
        BackendView, ErrorView, FlowCount, HaAnswer, HaOrder, HaView, ServiceView, StatsView, StatusView,
        SyncView, VerifyRequest, VerifyView,
    },
};
use crate::notify::{Journal, ReceiverView};

/// Where things are.
pub(super) mod path {
    pub(in crate::api) const STATUS: &str = "/v1/status";
    pub(in crate::api) const SERVICES: &str = "/v1/services";
    pub(in crate::api) const BACKENDS: &str = "/v1/backends";
    pub(in crate::api) const STATS: &str = "/v1/stats";
    pub(in crate::api) const HA: &str = "/v1/ha";
    pub(in crate::api) const SYNC: &str = "/v1/sync";
    pub(in crate::api) const VERIFY: &str = "/v1/sync/verify";
    pub(in crate::api) const FLOWS: &str = "/v1/flows";
    pub(in crate::api) const FLOW_COUNT: &str = "/v1/flows/count";
    pub(in crate::api) const FLOW_END: &str = "/v1/flows/end";
    pub(in crate::api) const ORDERS: &str = "/v1/orders";
    pub(in crate::api) const EVENTS: &str = "/v1/events";
    pub(in crate::api) const CONFIG: &str = "/v1/config";
    pub(in crate::api) const TRACE: &str = "/v1/trace";
    pub(in crate::api) const PACKETS: &str = "/v1/packets";
    pub(in crate::api) const OPENAPI: &str = "/v1/openapi.json";
    pub(in crate::api) const EXIT: &str = "/v1/exit";
    pub(in crate::api) const METRICS: &str = "/v1/metrics";
    pub(in crate::api) const EVENT_RECEIVERS: &str = "/v1/events/receivers";
}

#[derive(Clone)]
pub(super) struct Daemon {
    queries: mpsc::Sender<Query>,
    flows: Arc<dyn FlowSource>,
    pub(super) events: Arc<Journal>,
    dumps: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    patience: Duration,
}

/// Most bytes of a request's body.
const MOST_BODY: usize = 16 << 10;

/// Time for a configuration to be in force, however large: whoever asked may well be less patient.
const RELOAD_TIME: Duration = Duration::from_secs(60);

/// Time for the program to be loaded once more, and asked.
const TRACE_TIME: Duration = Duration::from_secs(30);

/// The API as a service.
pub(super) fn routes(sources: Sources, bounds: &Bounds) -> Router {
    Router::new()
        .route(path::STATUS, get(status))
        .route(path::SERVICES, get(services))
        .route(path::BACKENDS, get(backends))
        .route(path::STATS, get(stats))
        .route(path::HA, get(ha).post(ha_order))
        .route(path::SYNC, get(sync))
        .route(path::VERIFY, get(verify))
        .route(path::FLOWS, get(flows_dump))
        .route(path::FLOW_COUNT, get(flows_count))
        .route(path::FLOW_END, post(flows_end))
        .route(path::ORDERS, get(orders).post(order))
        .route(path::EVENTS, get(events))
        .route(path::EVENT_RECEIVERS, get(event_receivers))
        .route(path::CONFIG, get(config).post(reload))
        .route(path::TRACE, get(trace))
        .route(path::PACKETS, get(packets))
        .route(path::OPENAPI, get(openapi::serve))
        .route(path::EXIT, post(exit))
        .route(path::METRICS, get(metrics::scrape))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(sources.access.clone(), guard))
        .with_state(Daemon::new(sources, bounds))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("there is no `{0}`")]
    NotFound(String),
    #[error("{method} is not for `{path}`")]
    WrongMethod { method: Method, path: String },
    #[error("{0}")]
    BadParameters(String),
    #[error("tandemd is shutting down")]
    Stopping,
    #[error("tandemd did not answer within {} seconds", .0.as_secs_f64())]
    Busy(Duration),
    #[error("too many dumps of flows at the same time")]
    TooManyDumps,
    #[error("{0}")]
    BadEvents(String),
    #[error("too many clients follow events at the same time")]
    TooManyFollowers,
    #[error("{0}")]
    BadTrace(String),
    #[error("{0}")]
    BadWatch(String),
    #[error("{0}")]
    BadOrder(String),
    #[error("this user may not {0}")]
    Forbidden(&'static str),
    #[error("{}", .0.error)]
    Refused(Refusal),
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadParameters(_)
            | Self::BadEvents(_)
            | Self::BadTrace(_)
            | Self::BadWatch(_)
            | Self::BadOrder(_) => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::Wrong => StatusCode::BAD_REQUEST,
                RefusalKind::NotFound => StatusCode::NOT_FOUND,
                RefusalKind::Harmful => StatusCode::CONFLICT,
            },
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyDumps | Self::TooManyFollowers => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn hint(&self) -> Cow<'_, str> {
        let hint: &str = match self {
            Self::NotFound(_) => return format!("ask for {}", openapi::paths().join(", ")).into(),
            Self::WrongMethod { .. } => {
                "use GET; orders are given by POST to /v1/orders, or to /v1/ha about the pair, a reload by POST to /v1/config, flows \
                 are ended by POST to /v1/flows/end, and balancing by POST to /v1/exit"
            }
            Self::BadOrder(_) => {
                "an order is JSON such as {\"backend\": \"web1\", \"verb\": \"drain\"} (docs/draining.md has all of it), about \
                 the pair {\"order\": \"handover\"} (docs/ha.md), or about flows {\"filter\": {\"client\": \"198.51.100.7\"}}"
            }
            Self::Forbidden(_) => "[api] in the configuration says which groups may",
            Self::Refused(refusal) => &refusal.hint,
            Self::BadParameters(_) => {
                "flows are chosen by service=NAME, backend=NAME|ADDRESS, client=IP[/BITS], vip=IP[:PORT], protocol=PROTOCOL, state=STATE, \
                 older=SECONDS, younger=SECONDS, idle=SECONDS and limit=N"
            }
            Self::BadTrace(_) => {
                "a packet has source=IP:PORT and destination=IP:PORT, and may have protocol=tcp|udp|sctp, flags=FLAGS and interface=NAME"
            }
            Self::BadWatch(_) => {
                "packets are chosen by source=IP[/BITS]|IP:PORT, destination=…, protocol=tcp|udp|sctp, sample=N, both=true, bytes=N and limit=N"
            }
            Self::Stopping => "ask again when it has been started",
            Self::Busy(_) => "ask again; if it stays like this, look into its log",
            Self::TooManyDumps | Self::TooManyFollowers => "ask again when one of them has ended",
            Self::BadEvents(_) => {
                "events are chosen by kind=KIND[,KIND]…, severity=SEVERITY, service=NAME, backend=NAME, after=NUMBER and \
                 limit=N; follow=true goes on"
            }
        };
        hint.into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let view = ErrorView {
            error: self.to_string(),
            hint: self.hint().into_owned(),
        };
        (self.status(), Json(view)).into_response()
    }
}

impl Daemon {
    pub(super) fn new(sources: Sources, bounds: &Bounds) -> Self {
        Self {
            queries: sources.queries,
            flows: sources.flows,
            events: sources.events,
            dumps: Arc::new(Semaphore::new(bounds.dumps)),
            followers: Arc::new(Semaphore::new(bounds.followers)),
            patience: bounds.answer_time,
        }
    }

    /// Has the daemon's loop answer.
    async fn ask<T: Serialize>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
    ) -> Result<Json<T>, ApiError> {
        self.answer(query).await.map(Json)
    }

    pub(super) async fn answer<T>(
        &self,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
    ) -> Result<T, ApiError> {
        self.answer_within(self.patience, query).await
    }

    async fn answer_within<T>(
        &self,
        patience: Duration,
        query: impl FnOnce(oneshot::Sender<T>) -> Query,
    ) -> Result<T, ApiError> {
        let (sender, answer) = oneshot::channel();
        let exchange = async {
            let sent = self.queries.send(query(sender)).await;
            sent.map_err(|_| ApiError::Stopping)?;
            answer.await.map_err(|_| ApiError::Stopping)
        };
        let answer = timeout(patience, exchange).await;
        answer.unwrap_or(Err(ApiError::Busy(patience)))
    }

    /// A request's body, which is short and comes soon, or else nobody waits for it.
    async fn read<T: DeserializeOwned>(&self, body: Body) -> Result<T, ApiError> {
        if body.size_hint().lower() > MOST_BODY as u64 {
            return Err(ApiError::BadOrder(format!(
                "it has more than {} KiB",
                MOST_BODY >> 10
            )));
        }
        let body = match timeout(self.patience, to_bytes(body, MOST_BODY)).await {
            Ok(body) => body.map_err(|error| ApiError::BadOrder(error.to_string()))?,
            Err(_) => return Err(ApiError::BadOrder("its end did not come".to_owned())),
        };
        serde_json::from_slice(&body).map_err(|error| ApiError::BadOrder(error.to_string()))
    }

    async fn may_dump(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        match timeout(self.patience, Arc::clone(&self.dumps).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(ApiError::Stopping),
            Err(_) => Err(ApiError::TooManyDumps),
        }
    }
}

async fn status(State(daemon): State<Daemon>) -> Result<Json<StatusView>, ApiError> {
    daemon.ask(Query::Status).await
}

async fn services(State(daemon): State<Daemon>) -> Result<Json<Vec<ServiceView>>, ApiError> {
    daemon.ask(Query::Services).await
}

async fn backends(State(daemon): State<Daemon>) -> Result<Json<Vec<BackendView>>, ApiError> {
    daemon.ask(Query::Backends).await
}

async fn ha(State(daemon): State<Daemon>) -> Result<Json<HaView>, ApiError> {
    daemon.ask(Query::Ha).await
}

async fn sync(State(daemon): State<Daemon>) -> Result<Json<SyncView>, ApiError> {
    daemon.ask(Query::Sync).await
}

async fn verify(
    State(daemon): State<Daemon>,
    parameters: Result<Parameters<VerifyRequest>, QueryRejection>,
) -> Result<Json<VerifyView>, ApiError> {
    let Parameters(request) =
        parameters.map_err(|rejection| ApiError::BadParameters(rejection.body_text()))?;
    daemon.ask(|to| Query::Verify(request, to)).await
}

async fn ha_order(
    State(daemon): State<Daemon>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HaAnswer>, ApiError> {
    let order: HaOrder = daemon.read(body).await?;
    let who = peer.describe(behalf(&headers)).await;
    let answer = daemon.answer(|to| Query::HaOrder(order, who, to)).await?;
    answer.map(Json).map_err(ApiError::Refused)
}

async fn stats(State(daemon): State<Daemon>) -> Result<Json<StatsView>, ApiError> {
    daemon.ask(Query::Stats).await
}

type Filter = Result<Parameters<FlowFilter>, QueryRejection>;

fn filter(parameters: Filter) -> Result<FlowFilter, ApiError> {
    match parameters {
        Ok(Parameters(filter)) => Ok(filter),
        Err(rejection) => Err(ApiError::BadParameters(rejection.body_text())),
    }
}

async fn flows_dump(State(daemon): State<Daemon>, parameters: Filter) -> Result<Response, ApiError> {
    let filter = filter(parameters)?;
    let permit = daemon.may_dump().await?;
    let body = dump::lines(daemon.flows, filter, permit);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn flows_count(State(daemon): State<Daemon>, parameters: Filter) -> Result<Json<FlowCount>, ApiError> {
    let filter = filter(parameters)?;
    let permit = daemon.may_dump().await?;
    let flows = dump::count(daemon.flows, filter, permit).await;
    flows
        .map(|flows| Json(FlowCount { flows }))
        .ok_or(ApiError::Stopping)
}

async fn flows_end(
    State(daemon): State<Daemon>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<EndAnswer>, ApiError> {
    let request: EndRequest = daemon.read(body).await?;
    let who = peer.describe(behalf(&headers)).await;
    // A walk through a large table takes its time, of which it has as much as any dump.
    let _permit = daemon.may_dump().await?;
    let answer = daemon.answer(|to| Query::EndFlows(request, who, to)).await?;
    answer.map(Json).map_err(ApiError::Refused)
}

async fn orders(State(daemon): State<Daemon>) -> Result<Json<Vec<OrderView>>, ApiError> {
    daemon.ask(Query::Orders).await
}

async fn order(
    State(daemon): State<Daemon>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<OrderAnswer>, ApiError> {
    let request: OrderRequest = daemon.read(body).await?;
    let who = peer.describe(behalf(&headers)).await;
    let answer = daemon
        .answer(|to| Query::Order(Box::new(request), who, to))
        .await?;
    answer.map(Json).map_err(ApiError::Refused)
}

async fn config(State(daemon): State<Daemon>) -> Result<Json<ConfigView>, ApiError> {
    daemon.ask(Query::Config).await
}

async fn reload(State(daemon): State<Daemon>, body: Body) -> Result<Json<ReloadAnswer>, ApiError> {
    // `curl -X POST` without a body is a reload.
    let request = if body.size_hint().exact() == Some(0) {
        ReloadRequest::default()
    } else {
        daemon.read(body).await?
    };
    let answer = daemon
        .answer_within(RELOAD_TIME, |to| Query::Reload(request, to))
        .await?;
    answer.map(Json).map_err(ApiError::Refused)
}

async fn trace(
    State(daemon): State<Daemon>,
    parameters: Result<Parameters<TraceRequest>, QueryRejection>,
) -> Result<Json<TraceView>, ApiError> {
    let Parameters(request) = parameters.map_err(|rejection| ApiError::BadTrace(rejection.body_text()))?;
    // The program is loaded for it once more.
    let _permit = daemon.may_dump().await?;
    let answer = daemon
        .answer_within(TRACE_TIME, |to| Query::Trace(request, to))
        .await?;
    answer.map(Json).map_err(ApiError::Refused)
}

async fn packets(
    State(daemon): State<Daemon>,
    parameters: Result<Parameters<WatchRequest>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Parameters(request) = parameters.map_err(|rejection| ApiError::BadWatch(rejection.body_text()))?;
    let limit = request.limit;
    let packets = daemon
        .answer_within(TRACE_TIME, |to| Query::Watch(request, to))
        .await?
        .map_err(ApiError::Refused)?;
    let body = watch::lines(packets, limit);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn exit(
    State(daemon): State<Daemon>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ExitAnswer>, ApiError> {
    let request: ExitRequest = daemon.read(body).await?;
    let who = peer.describe(behalf(&headers)).await;
    let answer = daemon.answer(|to| Query::Exit(request, who, to)).await?;
    answer.map(Json).map_err(ApiError::Refused)
}

/// For whom the user acts, if it is another.
fn behalf(headers: &HeaderMap) -> Option<&str> {
    headers.get(peer::ON_BEHALF_OF)?.to_str().ok()
}

async fn events(
    State(daemon): State<Daemon>,
    parameters: Result<Parameters<EventFilter>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Parameters(asked) = parameters.map_err(|rejection| ApiError::BadEvents(rejection.body_text()))?;
    let filter = asked
        .filter()
        .map_err(|error| ApiError::BadEvents(error.to_string()))?;
    let from = asked.after.map(|after| after.saturating_add(1));
    let body = if asked.follow {
        let permit = Arc::clone(&daemon.followers).try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::TooManyFollowers)?;
        follow::follow(daemon.events, filter, from, asked.limit, permit)
    } else {
        follow::present(&daemon.events, &filter, from, asked.limit)
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn event_receivers(State(daemon): State<Daemon>) -> Json<Vec<ReceiverView>> {
    Json(daemon.events.receivers())
}

async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound(uri.path().to_owned())
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::WrongMethod {
        method,
        path: uri.path().to_owned(),
    }
}

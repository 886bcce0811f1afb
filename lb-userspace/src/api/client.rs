//! The other end of the socket.

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use http::request::Builder;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::watch::{PacketView, WatchRequest};
use super::{
    config::{ConfigView, ReloadAnswer, ReloadRequest},
    exit::{ExitAnswer, ExitRequest},
    flows::{EndAnswer, EndRequest},
    lines::Lines,
    orders::{OrderAnswer, OrderRequest, OrderView},
    peer,
    query::{EventFilter, FlowFilter},
    routes::path,
    trace::{TraceRequest, TraceView},
    types::{
        BackendView, ErrorView, FlowCount, FlowView, HaAnswer, HaOrder, HaView, ServiceView, StatsView,
        StatusView, SyncView, VerifyRequest, VerifyView,
    },
};
use crate::{core::event::Record, notify::ReceiverView};

/// Most bytes of an answer that is taken as a whole: more than any daemon has to say.
const MAX_ANSWER: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "tandemd is not running: nobody listens on {} ({source}); start it with `tandemd --config FILE`, or name its \
         socket with --socket", socket.display()
    )]
    NotRunning {
        /// Where it should.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not let this user connect.
    #[error(
        "no permission to use {}: run as root, or as a member of the group that owns the socket", .0.display()
    )]
    Permission(PathBuf),
    /// No answer in time.
    #[error(
        "tandemd did not answer within {} seconds on {}: is it stopped, or the machine overloaded? --timeout gives it \
         more time", patience.as_secs_f64(), socket.display()
    )]
    Timeout {
        /// Where it listens.
        socket: PathBuf,
        /// How long it had.
        patience: Duration,
    },
    /// Connecting failed in another way.
    #[error("cannot connect to {}: {source}", socket.display())]
    Connect {
        /// Where.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon answered that it cannot.
    #[error("tandemd answers: {}; {}", view.error, view.hint)]
    Refused {
        /// What kind of error.
        status: StatusCode,
        /// What it says.
        view: ErrorView,
    },
    /// What listens there does not speak this API.
    #[error("what listens on {} does not answer like tandemd of this version: {what}", socket.display())]
    Strange {
        /// Where.
        socket: PathBuf,
        /// What is strange.
        what: String,
    },
    /// The daemon went away in the middle of the answer.
    #[error("tandemd broke off in the middle of its answer (was it stopped?): {0}")]
    BrokenOff(hyper::Error),
}

/// A client of the daemon's API. Each call connects anew.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    patience: Duration,
}

impl Client {
    /// A client for the daemon that listens at `socket` and may take `patience` for each piece of its answers.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>, patience: Duration) -> Self {
        Self {
            socket: socket.into(),
            patience,
        }
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The director as a whole.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<StatusView, ClientError> {
        self.get(path::STATUS).await
    }

    /// Services in the order of the configuration.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.get(path::SERVICES).await
    }

    /// Backends by service in the order of the configuration, then those that were removed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn backends(&self) -> Result<Vec<BackendView>, ClientError> {
        self.get(path::BACKENDS).await
    }

    /// Counters and tables.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stats(&self) -> Result<StatsView, ClientError> {
        self.get(path::STATS).await
    }

    /// The director's part in the pair.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ha(&self) -> Result<HaView, ClientError> {
        self.get(path::HA).await
    }

    /// How the synchronisation of connections stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sync(&self) -> Result<SyncView, ClientError> {
        self.get(path::SYNC).await
    }

    /// How the tables compare with those of the other directors.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify(&self, request: &VerifyRequest) -> Result<VerifyView, ClientError> {
        self.get(&with_parameters(path::VERIFY, request)).await
    }

    /// How many flows match.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn count_flows(&self, filter: &FlowFilter) -> Result<FlowCount, ClientError> {
        self.get(&with_parameters(path::FLOW_COUNT, filter)).await
    }

    /// Ends flows; `behalf` is for whom, if the user acts for another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end_flows(
        &self,
        request: &EndRequest,
        behalf: Option<&str>,
    ) -> Result<EndAnswer, ClientError> {
        self.post(path::FLOW_END, request, behalf).await
    }

    /// The orders that stand.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn orders(&self) -> Result<Vec<OrderView>, ClientError> {
        self.get(path::ORDERS).await
    }

    /// Gives an order; `behalf` is for whom, if the user acts for another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order(
        &self,
        order: &OrderRequest,
        behalf: Option<&str>,
    ) -> Result<OrderAnswer, ClientError> {
        self.post(path::ORDERS, order, behalf).await
    }

    /// Gives an order about the pair; `behalf` is for whom, if the user acts for another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order_pair(&self, order: &HaOrder, behalf: Option<&str>) -> Result<HaAnswer, ClientError> {
        self.post(path::HA, order, behalf).await
    }

    /// Where a packet would go.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn trace(&self, request: &TraceRequest) -> Result<TraceView, ClientError> {
        self.get(&with_parameters(path::TRACE, request)).await
    }

    /// Calls `each` for packets that come and go, as they do, until it breaks or there were as many as were asked for.
    ///
    /// # Errors
    /// [`ClientError`]; `each` may have seen some packets by then.
    pub async fn visit_packets(
        &self,
        request: &WatchRequest,
        each: impl FnMut(PacketView) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        self.visit(&with_parameters(path::PACKETS, request), None, each)
            .await
    }

    /// Has the daemon end, and balancing with it; `behalf` is for whom, if the user acts for another.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] says why it goes on.
    pub async fn end_balancing(
        &self,
        request: ExitRequest,
        behalf: Option<&str>,
    ) -> Result<ExitAnswer, ClientError> {
        self.post(path::EXIT, &request, behalf).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        behalf: Option<&str>,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error.to_string()))?;
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = match behalf {
            Some(behalf) => request.header(peer::ON_BEHALF_OF, behalf),
            None => request,
        };
        let body = self.exchange(request, body).await?.into_body();
        self.read(body).await
    }

    /// Calls `each` for the flows that match, as they come in, until it breaks.
    ///
    /// # Errors
    /// [`ClientError`]; `each` may have seen some flows by then.
    pub async fn visit_flows(
        &self,
        filter: &FlowFilter,
        each: impl FnMut(FlowView) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let path = with_parameters(path::FLOWS, filter);
        self.visit(&path, Some(self.patience), each).await
    }

    /// Calls `each` for the events that match, as they come in, until it breaks. When it follows, there is no other end
    /// than that of the daemon, which is an error.
    ///
    /// # Errors
    /// [`ClientError`]; `each` may have seen some events by then.
    pub async fn visit_events(
        &self,
        filter: &EventFilter,
        each: impl FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let patience = (!filter.follow).then_some(self.patience);
        self.visit(&with_parameters(path::EVENTS, filter), patience, each)
            .await
    }

    /// Who is told of events, and how that goes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn event_receivers(&self) -> Result<Vec<ReceiverView>, ClientError> {
        self.get(path::EVENT_RECEIVERS).await
    }

    /// Calls `each` for every line of the answer; the next one may take as long as `patience`, or for ever.
    async fn visit<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Option<Duration>,
        mut each: impl FnMut(T) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let mut body = self.request(path).await?.into_body();
        let mut lines = Lines::default();
        loop {
            let frame = match patience {
                Some(_) => self.in_time(body.frame()).await?,
                None => body.frame().await,
            };
            let Some(frame) = frame else { break };
            let Ok(piece) = frame.map_err(ClientError::BrokenOff)?.into_data() else {
                continue;
            };
            let outcome = lines.take(&piece, |line| {
                let item = serde_json::from_slice(line).map_err(|error| error.to_string())?;
                Ok(each(item))
            });
            if outcome.map_err(|what| self.strange(what))?.is_break() {
                return Ok(());
            }
        }
        lines.end().map_err(|what| self.strange(what))
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn config(&self) -> Result<ConfigView, ClientError> {
        self.get(path::CONFIG).await
    }

    /// Has the daemon read its file again, or roll back, and waits until that is in force.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] says why the configuration before stays in force.
    pub async fn reload(&self, request: ReloadRequest) -> Result<ReloadAnswer, ClientError> {
        self.post(path::CONFIG, &request, None).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.request(path).await?.into_body();
        self.read(body).await
    }

    async fn read<T: DeserializeOwned>(&self, body: Incoming) -> Result<T, ClientError> {
        let body = self.whole(body).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(error.to_string()))
    }

    async fn request(&self, path: &str) -> Result<Response<Incoming>, ClientError> {
        self.exchange(Request::builder().method(Method::GET).uri(path), Vec::new())
            .await
    }

    /// An answer of success, whose body is still to come.
    async fn exchange(&self, request: Builder, body: Vec<u8>) -> Result<Response<Incoming>, ClientError> {
        let stream = self.in_time(UnixStream::connect(&self.socket)).await?;
        let stream = stream.map_err(|error| self.not_connected(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::BrokenOff)?;
        // What goes wrong there shows in the answer.
        tokio::spawn(connection);
        let request = request
            .header(header::HOST, "tandem")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.strange(error.to_string()))?;
        let response = self.in_time(sender.send_request(request)).await?;
        let response = response.map_err(|error| {
            if error.is_parse() {
                self.strange(error.to_string())
            } else {
                ClientError::BrokenOff(error)
            }
        })?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = self.whole(response.into_body()).await?;
        Err(match serde_json::from_slice(&body) {
            Ok(view) => ClientError::Refused { status, view },
            Err(_) => self.strange(format!("HTTP status {status}")),
        })
    }

    async fn whole(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let collected = self.in_time(Limited::new(body, MAX_ANSWER).collect()).await?;
        let collected = collected.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => ClientError::BrokenOff(*error),
            Err(error) => {
                debug_assert!(error.is::<LengthLimitError>());
                self.strange(format!("it says more than {} MiB", MAX_ANSWER >> 20))
            }
        })?;
        Ok(collected.to_bytes())
    }

    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, ClientError> {
        let done = timeout(self.patience, future).await;
        done.map_err(|_| self.timed_out())
    }

    fn not_connected(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning { socket, source }
            }
            io::ErrorKind::PermissionDenied => ClientError::Permission(socket),
            // The queue of connections that nobody accepts is full.
            io::ErrorKind::WouldBlock => self.timed_out(),
            _ => ClientError::Connect { socket, source },
        }
    }

    fn timed_out(&self) -> ClientError {
        ClientError::Timeout {
            socket: self.socket.clone(),
            patience: self.patience,
        }
    }

    fn strange(&self, what: impl Into<String>) -> ClientError {
        ClientError::Strange {
            socket: self.socket.clone(),
            what: what.into(),
        }
    }
}

fn with_parameters(path: &str, filter: &impl Serialize) -> String {
    match serde_urlencoded::to_string(filter) {
        Ok(parameters) if !parameters.is_empty() => format!("{path}?{parameters}"),
        Ok(_) => path.to_owned(),
        Err(error) => unreachable!("text, addresses and numbers have a URL form: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_escaped() {
        let filter = FlowFilter {
            service: Some("a&b=c d".into()),
            client: Some("2001:db8::1".parse().unwrap()),
            ..FlowFilter::default()
        };
        assert_eq!(
            with_parameters("/v1/flows", &filter),
            "/v1/flows?service=a%26b%3Dc+d&client=2001%3Adb8%3A%3A1"
        );
        assert_eq!(with_parameters("/v1/flows", &FlowFilter::default()), "/v1/flows");
    }
}

//! Server and client together, over a real socket.

mod events;
mod orders;

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    ops::ControlFlow,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::StatusCode;
use lb_common::{abi::Event, flow_state::FlowState, reason::Reason};
use tokio::task::spawn_blocking;

use super::{
    Access, ApiSocket, Bounds, Client, ClientError, Sources,
    config::{ConfigView, ReloadRequest},
    exit::{ExitAnswer, ExitRequest},
    flows::{EndAnswer, EndRequest, FlowEnding},
    health::{CheckView, HealthView},
    orders::*,
    query::{self, EventFilter, FlowFilter, FlowSource, Query, Refusal},
    serve,
    types::*,
};
use crate::{
    awaited::{PATIENCE, until_meanwhile},
    core::{
        event::{Director, Severity, Timestamp},
        model::Protocol,
        order::AtDeadline,
        schedule::Scheduler,
        seal::Authentication,
    },
    notify::Journal,
};

use self::orders::{answer, drain_view, order_view};

fn config_view() -> ConfigView {
    ConfigView {
        path: Some("/etc/tandem/tandem.toml".into()),
        toml: "[director]\n".to_owned(),
        previous: None,
    }
}

fn status() -> StatusView {
    StatusView {
        name: "a".into(),
        version: "0.1.0".into(),
        pid: 7,
        uptime_seconds: 61,
        interfaces: vec![InterfaceView {
            name: "eth0".into(),
            ifindex: Some(2),
            mode: Some(XdpMode::Native),
        }],
        config: "command line".into(),
        cluster: Some(ClusterView {
            name: "edge".into(),
            authentication: Some(Authentication::Permissive),
            keys: vec![KeyView {
                id: NonZeroU8::MIN,
                fingerprint: "cc7dd58c20bdc396".into(),
            }],
        }),
    }
}

fn service() -> ServiceView {
    ServiceView {
        name: "web".into(),
        frontends: vec!["192.0.2.10:80/tcp".into()],
        scheduler: Scheduler::Maglev,
        persistence: None,
        one_packet: false,
        forward: Method::Dr,
        tunnel: None,
        table_size: 65_537,
        backends: 2,
        backends_ready: 1,
        has_quorum: true,
        flows: 3,
        new_flows: 4,
        packets: 5,
        bytes: 6,
    }
}

fn backend() -> BackendView {
    BackendView {
        service: "web".into(),
        name: "web1".into(),
        address: "10.0.0.11".parse().unwrap(),
        port: None,
        weight: 100,
        effective_weight: 0,
        state: BackendState::Unresolved {
            reason: "nobody answers".into(),
        },
        backup: false,
        full: false,
        order: Some(order_view()),
        drain: Some(drain_view()),
        health: Some(HealthView {
            state: "up".into(),
            checks: vec![CheckView {
                found_by: None,
                check: "tcp".into(),
                state: "up".into(),
                reason: String::new(),
                warning: None,
                took_ms: Some(3),
                weight_percent: 50.0,
            }],
        }),
        share: Some(0.25),
        mac: None,
        interface: None,
        flows: 1,
        active_flows: 1,
        inactive_flows: 0,
        live: Some(LiveView {
            active: 1,
            inactive: 0,
        }),
        new_flows: 2,
        refused: 1,
        packets: 3,
        bytes: 4,
    }
}

fn ha() -> HaView {
    HaView {
        director: "a".into(),
        ..HaView::default()
    }
}

fn stats() -> StatsView {
    StatsView {
        packets: 1,
        bytes: 2,
        new_flows: 3,
        reasons: vec![ReasonView::new(Reason::NotVip, 4)],
        events: vec![EventView::new(Event::FlowCreated, 5)],
        tables: vec![TableView {
            family: Family::Ipv6,
            places: 6,
            flows: 7,
            by_state: vec![StateCount {
                state: StateName(FlowState::FinWait),
                flows: 7,
            }],
        }],
        census_age_seconds: None,
        reaction: ReactionView {
            changes: 2,
            total_ms: 7.5,
            longest_ms: 5.0,
        },
        probes: ProbesView { ended: 7, failed: 1 },
    }
}

/// As many flows as it is told, of two services in turn.
#[derive(Default)]
struct Flows {
    count: u64,
    /// Panics at this one.
    fatal: Option<u64>,
    visited: AtomicU64,
    ended: AtomicU64,
}

fn flow(n: u64) -> FlowView {
    let ip = IpAddr::from((n as u32).to_be_bytes());
    FlowView {
        protocol: Protocol::Tcp,
        client: SocketAddr::new(ip, 40_000),
        vip: "192.0.2.10:80".parse().unwrap(),
        service: Some(["web", "dns"][n as usize % 2].into()),
        backend: None,
        backend_address: None,
        state: StateName(FlowState::Established),
        age_seconds: n,
        idle_seconds: 0,
        timeout_seconds: 900,
    }
}

impl FlowSource for Flows {
    fn visit(&self, filter: &FlowFilter, each: &mut dyn FnMut(FlowView) -> ControlFlow<()>) {
        let flows = (0..self.count).map(|n| {
            assert_ne!(Some(n), self.fatal, "a fault of the source");
            self.visited.fetch_add(1, Ordering::Relaxed);
            flow(n)
        });
        let _ = flows.filter(|flow| filter.matches(flow)).try_for_each(each);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// How the loop behind the server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Loop {
    Answers,
    Hangs,
    IsGone,
}

struct Server {
    _directory: tempfile::TempDir,
    path: PathBuf,
    flows: Arc<Flows>,
    events: Arc<Journal>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    fn start(behaviour: Loop, flows: Flows, bounds: Bounds) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tandem.sock");
        let socket = ApiSocket::bind(&path).unwrap();
        let (sender, mut queries) = query::channel();
        let flows = Arc::new(flows);
        let events = Arc::new(Journal::new(100));
        let sources = Sources {
            queries: sender,
            flows: flows.clone(),
            events: Arc::clone(&events),
            access: tokio::sync::watch::channel(Access::default()).1,
        };
        let task = tokio::spawn(async move {
            let answering = async {
                let mut unanswered = Vec::new();
                if behaviour == Loop::IsGone {
                    drop(queries);
                    return std::future::pending().await;
                }
                while let Some(query) = queries.recv().await {
                    match (behaviour, query) {
                        (Loop::Hangs, query) => unanswered.push(query),
                        (_, Query::Status(sender)) => sender.send(status()).unwrap(),
                        (_, Query::Services(sender)) => sender.send(vec![service()]).unwrap(),
                        (_, Query::Backends(sender)) => sender.send(vec![backend(); 3]).unwrap(),
                        (_, Query::Stats(sender)) => sender.send(stats()).unwrap(),
                        (_, Query::Orders(sender)) => sender.send(vec![order_view()]).unwrap(),
                        (_, Query::Order(request, who, sender)) => {
                            sender.send(answer(&request, who)).unwrap();
                        }
                        (_, Query::EndFlows(request, _, sender)) => {
                            let ended = request.filter.limit.unwrap_or(7);
                            sender.send(Ok(EndAnswer { ended })).unwrap();
                        }
                        (_, Query::Config(sender)) => sender.send(config_view()).unwrap(),
                        (_, Query::Reload(_, sender)) => {
                            sender.send(Err(Refusal::config("line 3"))).unwrap();
                        }
                        (_, Query::Ha(sender)) => sender.send(ha()).unwrap(),
                        (_, Query::Sync(sender)) => sender.send(SyncView::default()).unwrap(),
                        (_, Query::Verify(_, sender)) => sender.send(VerifyView::default()).unwrap(),
                        (_, Query::Watch(_, sender)) => {
                            sender.send(Err(Refusal::wrong("nobody follows here"))).unwrap();
                        }
                        (_, Query::Trace(request, sender)) => {
                            let error = format!("{} is not asked here", request.source);
                            sender.send(Err(Refusal::wrong(error))).unwrap();
                        }
                        (_, Query::Exit(request, _, sender)) => {
                            let refusal = || Refusal::harmful("web/web1 is not drained", "drain first");
                            let answer = request.force.then_some(ExitAnswer { flows: 3 });
                            sender.send(answer.ok_or_else(refusal)).unwrap();
                        }
                        (_, Query::HaOrder(order, _, sender)) => {
                            sender.send(orders::pair_answer(&order)).unwrap();
                        }
                    }
                }
            };
            tokio::select! {
                outcome = serve(socket, sources, bounds) => panic!("{outcome:?}"),
                () = answering => panic!("the server dropped its end"),
            }
        });
        Self {
            _directory: directory,
            path,
            flows,
            events,
            task,
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.path, PATIENCE)
    }

    /// Sends `request` as it is, and returns all that comes back.
    async fn raw(&self, request: impl Into<Vec<u8>>) -> String {
        let (path, request) = (self.path.clone(), request.into());
        let exchange = move || {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(&request)?;
            let mut answer = Vec::new();
            // A server that closes before it has read everything resets the connection, behind what it answered.
            match stream.read_to_end(&mut answer) {
                Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
                Ok(_) | Err(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
            }
        };
        spawn_blocking(exchange).await.unwrap().unwrap()
    }

    async fn until(&self, what: &str, condition: impl Fn(&Flows) -> bool) {
        until_meanwhile(what, async || condition(&self.flows)).await;
    }
}

fn plenty(count: u64) -> Flows {
    Flows {
        count,
        ..Flows::default()
    }
}

async fn collect(client: &Client, filter: &FlowFilter) -> Result<Vec<FlowView>, ClientError> {
    let mut found = Vec::new();
    let visited = client.visit_flows(filter, |flow| {
        found.push(flow);
        ControlFlow::Continue(())
    });
    visited.await.map(|()| found)
}

#[tokio::test]
async fn a_configuration_is_shown_and_a_refused_reload_says_why() {
    let server = Server::start(Loop::Answers, Flows::default(), Bounds::default());
    let client = server.client();
    assert_eq!(client.config().await.unwrap(), config_view());
    let Err(ClientError::Refused { status, view }) = client.reload(ReloadRequest::default()).await else {
        panic!("the loop refuses");
    };
    assert_eq!((status.as_u16(), &*view.error), (400, "line 3"));
    assert!(view.hint.contains("stays in force"), "{}", view.hint);
}

#[tokio::test]
async fn everything_arrives_as_it_was_sent() {
    let server = Server::start(Loop::Answers, plenty(5000), Bounds::default());
    let client = server.client();
    assert_eq!(client.status().await.unwrap(), status());
    assert_eq!(client.services().await.unwrap(), [service()]);
    assert_eq!(client.backends().await.unwrap(), vec![backend(); 3]);
    assert_eq!(client.stats().await.unwrap(), stats());
    assert_eq!(client.orders().await.unwrap(), [order_view()]);
    assert_eq!(client.ha().await.unwrap(), ha());
    assert_eq!(client.sync().await.unwrap(), SyncView::default());
    let all: Vec<_> = (0..5000).map(flow).collect();
    assert_eq!(collect(&client, &FlowFilter::default()).await.unwrap(), all);
}

#[tokio::test]
async fn flows_are_filtered_limited_and_counted() {
    let server = Server::start(Loop::Answers, plenty(5000), Bounds::default());
    let client = server.client();
    let mut filter = FlowFilter {
        service: Some("dns".into()),
        ..FlowFilter::default()
    };
    assert_eq!(client.count_flows(&filter).await.unwrap().flows, 2500);
    for (limit, expected) in [(0, 0), (1, 1), (2500, 2500), (9999, 2500)] {
        filter.limit = Some(limit);
        let found = collect(&client, &filter).await.unwrap();
        assert_eq!(found.len(), expected);
        assert!(found.iter().all(|flow| filter.matches(flow)));
        assert_eq!(client.count_flows(&filter).await.unwrap().flows, expected as u64);
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_dump() {
    let server = Server::start(Loop::Answers, plenty(u64::MAX), Bounds::default());
    let mut seen = 0;
    let (client, filter) = (server.client(), FlowFilter::default());
    let visited = client.visit_flows(&filter, |_| {
        seen += 1;
        if seen == 1000 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    visited.await.unwrap();
    assert_eq!(seen, 1000);
    let ended = |flows: &Flows| flows.ended.load(Ordering::Relaxed) == 1;
    server.until("the dump ends", ended).await;
}

#[tokio::test]
async fn who_asks_for_a_count_and_leaves_ends_it() {
    let server = Server::start(Loop::Answers, plenty(u64::MAX), Bounds::default());
    let client = Client::new(&server.path, Duration::from_millis(200));
    let error = client.count_flows(&FlowFilter::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    let ended = |flows: &Flows| flows.ended.load(Ordering::Relaxed) == 1;
    server.until("the count ends", ended).await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_costs_little_memory_and_is_dismissed() {
    let bounds = Bounds {
        read_time: Duration::from_millis(300),
        ..Bounds::default()
    };
    let server = Server::start(Loop::Answers, plenty(u64::MAX), bounds);
    let mut stalled = UnixStream::connect(&server.path).unwrap();
    stalled
        .write_all(b"GET /v1/flows HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let ended = |flows: &Flows| flows.ended.load(Ordering::Relaxed) == 1;
    server.until("the dump ends", ended).await;
    // A few pieces, the socket's buffer, and what hyper holds: less than 2 MiB of lines of 200 bytes.
    let visited = server.flows.visited.load(Ordering::Relaxed);
    assert!(visited < 10_000, "{visited} flows were read");
    assert_eq!(server.client().status().await.unwrap(), status());
}

#[tokio::test]
async fn a_dump_that_breaks_off_does_not_look_complete() {
    let flows = Flows {
        count: 5000,
        fatal: Some(4000),
        ..Flows::default()
    };
    let server = Server::start(Loop::Answers, flows, Bounds::default());
    let error = collect(&server.client(), &FlowFilter::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::BrokenOff(_)), "{error}");
    let error = server.client().count_flows(&FlowFilter::default()).await;
    assert!(matches!(error, Err(ClientError::Refused { .. })));
}

#[tokio::test]
async fn dumps_are_limited_in_number() {
    let bounds = Bounds {
        dumps: 1,
        answer_time: Duration::from_millis(100),
        ..Bounds::default()
    };
    let server = Server::start(Loop::Answers, plenty(u64::MAX), bounds);
    let mut first = UnixStream::connect(&server.path).unwrap();
    first
        .write_all(b"GET /v1/flows HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let begun = |flows: &Flows| flows.visited.load(Ordering::Relaxed) > 0;
    server.until("the first dump begins", begun).await;
    let ClientError::Refused { view, .. } = collect(&server.client(), &FlowFilter::default())
        .await
        .unwrap_err()
    else {
        panic!("a second dump began")
    };
    assert_eq!(view.error, "too many dumps of flows at the same time");
    drop(first);
    let ended = |flows: &Flows| flows.ended.load(Ordering::Relaxed) == 1;
    server.until("the first dump ends", ended).await;
    let filter = FlowFilter {
        limit: Some(1),
        ..FlowFilter::default()
    };
    assert_eq!(collect(&server.client(), &filter).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_daemon_that_hangs_and_one_that_stops_are_told_apart() {
    let bounds = Bounds {
        answer_time: Duration::from_millis(50),
        ..Bounds::default()
    };
    for (behaviour, expected) in [
        (Loop::Hangs, "tandemd did not answer within 0.05 seconds"),
        (Loop::IsGone, "tandemd is shutting down"),
    ] {
        let server = Server::start(behaviour, plenty(1), bounds);
        let ClientError::Refused { view, .. } = server.client().stats().await.unwrap_err() else {
            panic!("there was an answer")
        };
        assert_eq!(view.error, expected);
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_answered_with_advice() {
    let server = Server::start(Loop::Answers, plenty(1), Bounds::default());
    for (request, status, error) in [
        ("GET /v2/status", "404 Not Found", "there is no `/v2/status`"),
        (
            "DELETE /v1/services",
            "405 Method Not Allowed",
            "DELETE is not for `/v1/services`",
        ),
        (
            "GET /v1/flows?colour=red",
            "400 Bad Request",
            "unknown field `colour`",
        ),
        (
            "GET /v1/flows?client=here",
            "400 Bad Request",
            "expected an address such as 198.51.100.7",
        ),
        (
            "GET /v1/flows?state=tired",
            "400 Bad Request",
            "`tired` is no state",
        ),
        ("GET /v1/flows/count?limit=-1", "400 Bad Request", "limit"),
        (
            "GET /v1/events?kind=weather.*",
            "400 Bad Request",
            "no kind of event",
        ),
        (
            "GET /v1/events?severity=loud",
            "400 Bad Request",
            "unknown variant",
        ),
    ] {
        let answer = server.raw(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        let view: ErrorView = serde_json::from_str(body).unwrap();
        assert!(view.error.contains(error), "{request}: {view:?}");
        assert!(!view.hint.is_empty());
    }
}

#[tokio::test]
async fn requests_without_end_are_refused() {
    let bounds = Bounds {
        header_time: Duration::from_millis(200),
        ..Bounds::default()
    };
    let server = Server::start(Loop::Answers, plenty(1), bounds);
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(17 << 10));
    let many = "GET / HTTP/1.1\r\n".to_owned() + &"a: b\r\n".repeat(500);
    for (request, status) in [
        (long.as_str(), "HTTP/1.1 431"),
        (&many, "HTTP/1.1 431"),
        ("gibberish\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let answer = server.raw(request).await;
        assert!(answer.starts_with(status), "{answer}");
    }
    for unfinished in ["", "GET /v1/status HTTP/1.1\r\nHost:"] {
        let answer = server.raw(unfinished).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    // A body is not read, however long it is.
    let body = format!(
        "POST /v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        u64::MAX / 2
    );
    assert!(server.raw(body).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let bounds = Bounds {
        connections: 2,
        header_time: Duration::from_millis(1500),
        ..Bounds::default()
    };
    let server = Server::start(Loop::Answers, plenty(1), bounds);
    let idle: Vec<_> = (0..2)
        .map(|_| UnixStream::connect(&server.path).unwrap())
        .collect();
    let hasty = Client::new(&server.path, Duration::from_millis(100));
    let error = hasty.status().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    // Those who say nothing are sent away in time.
    assert_eq!(server.client().status().await.unwrap(), status());
    drop(idle);
}

#[tokio::test]
async fn the_socket_goes_when_the_server_does() {
    let server = Server::start(Loop::Answers, plenty(1), Bounds::default());
    assert_eq!(server.client().status().await.unwrap(), status());
    server.task.abort();
    let gone = |_: &Flows| !server.path.exists();
    server.until("the socket is removed", gone).await;
    let error = server.client().status().await.unwrap_err();
    let ClientError::NotRunning { source, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn who_does_not_speak_the_api_is_strange() {
    let directory = tempfile::tempdir().unwrap();
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH\r\n", "does not answer like tandemd"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "missing field"),
        (
            "HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\nno",
            "HTTP status 502",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{", "broke off"),
        ("", "broke off"),
    ] {
        let path = directory.path().join("strange.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let stranger = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request, or else closing would reset the connection.
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let error = Client::new(&path, PATIENCE)
            .status()
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{answer:?}: {error}");
        stranger.await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn flows_are_ended() {
    let server = Server::start(Loop::Answers, plenty(3), Bounds::default());
    let request = EndRequest {
        filter: FlowFilter {
            client: Some("198.51.100.0/24".parse().unwrap()),
            limit: Some(5),
            ..FlowFilter::default()
        },
        how: FlowEnding::Forget,
        all: false,
    };
    let answer = server.client().end_flows(&request, None).await.unwrap();
    assert_eq!(answer, EndAnswer { ended: 5 });
}

#[tokio::test]
async fn balancing_ends_where_nobody_is_served_or_somebody_insists() {
    let server = Server::start(Loop::Answers, plenty(3), Bounds::default());
    let gently = server.client().end_balancing(ExitRequest::default(), None).await;
    assert!(
        matches!(&gently, Err(ClientError::Refused { status, .. }) if *status == StatusCode::CONFLICT),
        "{gently:?}"
    );
    let insisting = ExitRequest { force: true };
    let answer = server.client().end_balancing(insisting, None).await.unwrap();
    assert_eq!(answer, ExitAnswer { flows: 3 });
}

//! Servers that misbehave: whatever they do, a probe ends in time, takes little, and says why.

use std::{
    future::ready,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{Marks, News, Prober, runner::Runner, thread::Cache};
use crate::core::backend::Says;
use crate::core::health::{
    Agent, AgentForm, BodyMatch, Dns, Grpc, Http, Judge, Outcome, Probe, ProbeTarget, RecordType, Script,
    Smtp, Timing, Tls, Trust, Udp, Verdict, Watch, WatchKey,
};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LONG: Duration = Duration::from_secs(20);

/// A TCP server that does this with each connection, until it is dropped with the test.
fn server(behaviour: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let behaviour = Arc::new(behaviour);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let behaviour = Arc::clone(&behaviour);
            thread::spawn(move || behaviour(stream));
        }
    });
    port
}

/// One that reads a request and says this.
fn answering(answer: &'static [u8]) -> u16 {
    server(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer);
    })
}

fn target(port: u16, probe: Probe) -> ProbeTarget {
    ProbeTarget {
        address: LOCAL,
        port,
        route: None,
        probe,
    }
}

fn http() -> Http {
    Http {
        tls: None,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        host: None,
        headers: Vec::new(),
        statuses: vec![(200, 299)],
        body: None,
    }
}

fn tls() -> Tls {
    Tls {
        name: None,
        trust: Trust::Anybody,
        warn_days: 0,
    }
}

/// Why it failed; nothing if it did not.
async fn run(port: u16, probe: Probe, patience: Duration) -> String {
    match Runner::default()
        .run(&target(port, probe), ready(None), patience)
        .await
    {
        Outcome::Success(_) => String::new(),
        Outcome::Failure(reason) => reason,
    }
}

fn tcp_kinds() -> Vec<Probe> {
    vec![
        Probe::Http(http()),
        Probe::Http(Http {
            tls: Some(tls()),
            ..http()
        }),
        Probe::Tls(tls()),
        Probe::Smtp(Smtp {
            helo: "localhost".to_owned(),
        }),
        Probe::Grpc(Grpc {
            service: String::new(),
            tls: None,
        }),
    ]
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind((LOCAL, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for probe in tcp_kinds().into_iter().chain([Probe::Tcp]) {
        assert_eq!(
            run(port, probe.clone(), LONG).await,
            "connection refused",
            "{probe:?}"
        );
    }
    let port = UdpSocket::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port();
    let udp = |reply| {
        Probe::Udp(Udp {
            payload: b"hello".to_vec(),
            reply,
        })
    };
    assert_eq!(run(port, udp(None), LONG).await, "the port is closed");
    assert_eq!(
        run(port, udp(Some(b"x".to_vec())), LONG).await,
        "the port is closed"
    );
}

#[tokio::test]
async fn somebody_accepts_and_never_answers() {
    let port = server(|mut stream| {
        // Until the probe has given up and hangs up, and no longer than the test can last.
        let _ = stream.set_read_timeout(Some(LONG));
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    assert_eq!(run(port, Probe::Tcp, LONG).await, "");
    for probe in tcp_kinds() {
        let start = Instant::now();
        assert_eq!(
            run(port, probe.clone(), Duration::from_millis(100)).await,
            "no answer within 0.1 s",
            "{probe:?}"
        );
        assert!(start.elapsed() < LONG / 2);
    }
    let silent = UdpSocket::bind((LOCAL, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let dns = Probe::Dns(Dns {
        name: "example.net".to_owned(),
        record: RecordType::A,
        rcode: 0,
        answer: None,
    });
    assert_eq!(
        run(port, dns, Duration::from_millis(100)).await,
        "no answer within 0.1 s"
    );
    let udp = Probe::Udp(Udp {
        payload: Vec::new(),
        reply: None,
    });
    assert_eq!(
        run(port, udp, Duration::from_millis(100)).await,
        "",
        "silence is no refusal"
    );
}

#[tokio::test]
async fn somebody_never_stops() {
    let port = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        let _ = stream.write_all(head);
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    // The head says enough, and a rule for the body sees the beginning of it.
    assert_eq!(run(port, Probe::Http(http()), LONG).await, "");
    let rule = Http {
        body: Some(BodyMatch::Contains("needle".to_owned())),
        ..http()
    };
    assert_eq!(
        run(port, Probe::Http(rule), LONG).await,
        "the body is not what it should be"
    );
    let port = server(|mut stream| while stream.write_all(&[b'2'; 65_536]).is_ok() {});
    for probe in tcp_kinds() {
        let reason = run(port, probe.clone(), LONG).await;
        assert!(
            !reason.is_empty() && !reason.contains("no answer within"),
            "{probe:?}: {reason}"
        );
    }
}

#[tokio::test]
async fn somebody_hangs_up_resets_or_talks_nonsense() {
    let hangs_up = server(drop);
    let nonsense = server(|mut stream| {
        let _ = stream.write_all(b"\x00\xff\x15nonsense\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    for port in [hangs_up, nonsense] {
        for probe in tcp_kinds() {
            let reason = run(port, probe.clone(), LONG).await;
            assert!(
                !reason.is_empty() && !reason.contains("no answer within"),
                "{probe:?}: {reason}"
            );
        }
    }
}

#[tokio::test]
async fn what_http_says_is_judged() {
    let redirect = answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        run(redirect, Probe::Http(http()), LONG).await,
        "HTTP status 302",
        "redirects are not followed"
    );
    let lenient = Http {
        statuses: vec![(200, 299), (302, 302)],
        ..http()
    };
    assert_eq!(run(redirect, Probe::Http(lenient), LONG).await, "");
    let port = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nstatus: fine");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(b"status: fine").into();
    for (body, good) in [
        (BodyMatch::Contains("fine".to_owned()), true),
        (BodyMatch::Contains("Fine".to_owned()), false),
        (BodyMatch::Regex("^status: (fine|good)$".to_owned()), true),
        (BodyMatch::Regex("bad".to_owned()), false),
        (BodyMatch::Sha256(digest), true),
        (BodyMatch::Sha256([0; 32]), false),
    ] {
        let rule = Http {
            body: Some(body.clone()),
            ..http()
        };
        assert_eq!(
            run(port, Probe::Http(rule), LONG).await.is_empty(),
            good,
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn scripts_that_fail_hang_or_flood() {
    let script = |command: &str, dynamic| {
        Probe::Script(Script {
            command: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(),
            dynamic,
        })
    };
    let short = Duration::from_millis(500);
    for (command, dynamic, reason) in [
        ("exit 0", false, ""),
        ("echo out of order; exit 1", false, "exit code 1: out of order"),
        ("exit 77", false, "exit code 77"),
        ("exit 77", true, ""),
        ("exit 1", true, "exit code 1"),
        ("kill -9 $$", false, "killed by a signal"),
        ("test \"$TANDEM_ADDRESS:$TANDEM_PORT\" = 127.0.0.1:80", false, ""),
    ] {
        assert_eq!(run(80, script(command, dynamic), LONG).await, reason, "{command}");
    }
    for command in ["sleep 1000", "yes", "while :; do sleep 1000 & done"] {
        let reason = run(80, script(command, false), short).await;
        assert!(
            reason.contains("killed") || reason.contains("no answer within 0.5 s"),
            "{command}: {reason}"
        );
    }
    let outcome = Runner::default()
        .run(&target(80, script("exit 52", true)), ready(None), LONG)
        .await;
    let Outcome::Success(success) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(success.weight.of(100).as_permille(), 500);
}

#[tokio::test]
async fn agents_say_how_their_backends_are() {
    let line = |port| (port, AgentForm::Line);
    let json = |port| {
        let path = "/load".to_owned();
        (port, AgentForm::Http { path })
    };
    let says = |text: &'static [u8]| server(move |mut stream| drop(stream.write_all(text)));
    for ((port, form), says, permille) in [
        (line(says(b"75%\n")), Says::Up, 750),
        (line(says(b"drain\n")), Says::Drain, 1000),
        (line(says(b"down #the disk is full\n")), Says::Down, 1000),
        (
            json(answering(
                b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{\"weight\": 25, \"state\": \"drain\"}",
            )),
            Says::Drain,
            250,
        ),
        (
            json(answering(
                b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"weight\": 5}",
            )),
            Says::Up,
            50,
        ),
    ] {
        let outcome = Runner::default()
            .run(&target(port, Probe::Agent(Agent { form })), ready(None), LONG)
            .await;
        let Outcome::Success(success) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(
            (
                success.says,
                success.weight.of(100).as_permille(),
                success.warning
            ),
            (says, permille, None)
        );
    }
    // Who talks nonsense says nothing: the backend serves, and somebody is told.
    for port in [
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n]:-)"),
        answering(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (port, form) = json(port);
        let outcome = Runner::default()
            .run(&target(port, Probe::Agent(Agent { form })), ready(None), LONG)
            .await;
        let quiet = match &outcome {
            Outcome::Success(success) => success.warning.is_some() && success.says == Says::Up,
            Outcome::Failure(_) => true,
        };
        assert!(quiet, "{outcome:?}");
    }
}

#[test]
fn a_cache_is_bounded() {
    let cache = Cache::<u32, u32>::default();
    for n in 0..10_000 {
        assert_eq!(cache.get(&n, || Ok::<_, ()>(n)), Ok(n));
    }
    assert_eq!(cache.get(&9_999, || Err(())), Ok(9_999));
    assert_eq!(cache.get(&1, || Err(())), Err(()));
}

/// The whole thread: a server that is there, goes, and comes back.
#[tokio::test]
async fn the_thread_tells_what_becomes_of_a_server() {
    let listener = TcpListener::bind((LOCAL, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let mut prober = Prober::start().unwrap();
    let key = WatchKey {
        service: "web".into(),
        backend: LOCAL,
        check: 0,
    };
    let watch = Watch {
        target: Arc::new(target(address.port(), Probe::Tcp)),
        timing: Timing {
            interval: Duration::from_millis(50),
            fast_interval: Duration::from_millis(50),
            timeout: Duration::from_millis(50),
        },
        judge: Judge {
            rise: 2,
            fall: 2,
            damping: Duration::ZERO,
        },
        assumed: Verdict::Unknown,
    };
    prober.watch([(key.clone(), watch)].into(), Marks::default());
    let mut listener = Some(listener);
    for expected in [Verdict::Up, Verdict::Down, Verdict::Up] {
        if expected == Verdict::Down {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).unwrap());
        }
        loop {
            let News { watch, report, .. } = tokio::time::timeout(LONG, prober.next()).await.expect("news");
            assert_eq!(watch, key);
            if report.finding.verdict == expected {
                break;
            }
        }
    }
}

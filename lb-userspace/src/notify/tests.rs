//! The whole of it: events in at one end, programs and requests out at the other.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    time::Duration,
};

use super::{Notifier, ReceiverView};
use crate::{
    awaited::{PATIENCE, until},
    core::event::{Director, Filter, Hook, Receiver, Settings, Severity, Webhook},
};

fn hook(name: &str, script: &str) -> Receiver {
    Receiver::Hook(Hook {
        name: name.to_owned(),
        filter: Filter {
            severity: Some(Severity::Notice),
            ..Filter::default()
        },
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        timeout: Duration::from_millis(500),
        at_once: 1,
        per_minute: 60_000,
    })
}

fn settings(receivers: Vec<Receiver>) -> Settings {
    Settings { keep: 100, receivers }
}

/// How it goes, once the thread serves it.
fn view(notifier: &Notifier, name: &str) -> ReceiverView {
    let mut found = None;
    until("the receiver is served", || {
        let receivers = notifier.journal().receivers();
        found = receivers.into_iter().find(|receiver| receiver.name == name);
        found.is_some()
    });
    found.expect("it is")
}

fn behind(reason: &str) -> Director {
    Director::Behind {
        reason: reason.to_owned(),
    }
}

fn appending(path: &Path) -> String {
    format!(
        "read json; echo \"$TANDEM_DIRECTOR $TANDEM_EVENT $TANDEM_SEVERITY $TANDEM_REASON $json\" >> {}",
        path.display()
    )
}

#[test]
fn a_hook_is_run_once_for_each_event_that_concerns_it_in_order_also_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("told");
    let notifier = Notifier::start("lb1", &settings(vec![hook("a", &appending(&path))])).unwrap();
    let sink = notifier.sink();
    sink.tell(Director::Adopted { services: 1 });
    for n in 0..20 {
        sink.tell(behind(&format!("reason{n}")));
    }
    // Nobody waits for it to be told.
    drop(notifier);
    let told = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 20, "{told}");
    for (n, line) in lines.iter().enumerate() {
        assert!(
            line.starts_with(&format!("lb1 director.behind critical reason{n} {{\"number\":")),
            "{line}"
        );
    }
}

#[test]
fn hooks_that_hang_or_fail_or_flood_hold_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("told");
    let receivers = vec![
        hook("hangs", "sleep 1000"),
        hook("fails", "echo I am broken; exit 3"),
        hook("floods", "yes"),
        hook("good", &appending(&path)),
    ];
    let notifier = Notifier::start("lb1", &settings(receivers)).unwrap();
    notifier.sink().tell(Director::CaughtUp);
    until("the good one is told", || view(&notifier, "good").delivered == 1);
    until("the others have failed", || {
        ["hangs", "fails", "floods"]
            .iter()
            .all(|name| view(&notifier, name).failed == 1)
    });
    for (name, words) in [
        ("hangs", "killed"),
        ("fails", "exit code 3; it said: I am broken"),
        ("floods", "killed"),
    ] {
        let view = view(&notifier, name);
        assert!(view.last_error.as_ref().unwrap().contains(words), "{view:?}");
        assert_eq!((view.delivered, view.lost), (0, 1));
    }
}

#[test]
fn a_storm_is_bounded_and_what_is_lost_is_counted() {
    let notifier = Notifier::start("lb1", &settings(vec![hook("slow", "sleep 0.05")])).unwrap();
    let (sink, events) = (notifier.sink(), 50_000);
    for _ in 0..events {
        sink.tell(Director::CaughtUp);
    }
    let journal = notifier.journal();
    // What did not fit into the queue is told as one event.
    let total = || {
        let all = journal.tail(&Filter::default(), usize::MAX);
        let lost = all.iter().filter(|event| event.kind == "director.events_lost");
        lost.filter_map(|event| event.text.split(' ').next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    until("as much as the queue holds is told", || journal.end() > 8192);
    assert!(total() < events);
    assert!(journal.tail(&Filter::default(), usize::MAX).len() <= 100);
    until("the hook learns what it missed", || {
        view(&notifier, "slow").lost > 1000
    });
}

#[test]
fn a_reload_keeps_those_that_stay_where_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let notifier = Notifier::start("lb1", &settings(vec![hook("a", &appending(&first))])).unwrap();
    notifier.sink().tell(behind("one"));
    until("the first is told", || view(&notifier, "a").delivered == 1);
    notifier.configure(
        "lb1",
        &settings(vec![
            hook("a", &appending(&first)),
            hook("b", &appending(&second)),
        ]),
    );
    until("the new one is there", || {
        notifier.journal().receivers().len() == 2
    });
    notifier.sink().tell(behind("two"));
    until("both are told", || {
        (view(&notifier, "a").delivered, view(&notifier, "b").delivered) == (2, 1)
    });
    notifier.configure("lb1", &settings(Vec::new()));
    until("nobody is left", || notifier.journal().receivers().is_empty());
    notifier.sink().tell(behind("three"));
    drop(notifier);
    assert_eq!(fs::read_to_string(&first).unwrap().lines().count(), 2);
    assert_eq!(fs::read_to_string(&second).unwrap().lines().count(), 1);
}

#[test]
fn a_webhook_gets_what_happens_together_in_one_request_and_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in?x=1", listener.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "sesame\n").unwrap();
    let webhook = Receiver::Webhook(Webhook {
        name: "w".to_owned(),
        filter: Filter::default(),
        url: url.parse().unwrap(),
        token_file: Some(token),
        ca_file: None,
        timeout: Duration::from_secs(5),
        per_minute: 60_000,
    });
    let notifier = Notifier::start("lb1", &settings(vec![webhook])).unwrap();
    for n in 0..3 {
        notifier.sink().tell(behind(&n.to_string()));
    }
    let mut requests = Vec::new();
    for answer in [
        "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nno\n",
        "HTTP/1.1 204 Fine\r\n\r\n",
    ] {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"]}") {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).unwrap();
            assert_ne!(length, 0, "{}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&part[..length]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        requests.push(String::from_utf8(request).unwrap());
    }
    assert_eq!(requests[0], requests[1]);
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer sesame"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["director"], &body["lost"]), (&"lb1".into(), &0.into()));
    assert_eq!(body["events"].as_array().unwrap().len(), 3);
    assert_eq!(body["events"][2]["reason"], "2");
    until("it is counted", || view(&notifier, "w").delivered == 3);
    let view = view(&notifier, "w");
    assert_eq!((view.failed, view.lost), (1, 0));
    assert!(view.last_error.unwrap().ends_with("HTTP status 500: no"));
}

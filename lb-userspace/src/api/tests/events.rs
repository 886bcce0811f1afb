//! Events: chosen, limited, followed.

use super::*;

fn happen(journal: &Journal, times: u64) {
    for n in 0..times {
        let what = if n % 2 == 0 {
            Director::CaughtUp
        } else {
            Director::Behind {
                reason: "no room".into(),
            }
        };
        journal.enter(what.into(), Timestamp(n));
    }
}

/// Numbers of the events that are asked for, up to the first `most`.
async fn numbers(client: &Client, filter: &EventFilter, most: usize) -> Result<Vec<u64>, ClientError> {
    let mut found = Vec::new();
    let visited = client.visit_events(filter, |event| {
        found.push(event.number);
        if found.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    visited.await.map(|()| found)
}

#[tokio::test]
async fn events_are_chosen_and_limited() {
    let server = Server::start(Loop::Answers, plenty(1), Bounds::default());
    happen(&server.events, 10);
    let client = server.client();
    let all = EventFilter::default();
    assert_eq!(
        numbers(&client, &all, 99).await.unwrap(),
        (1..=10).collect::<Vec<_>>()
    );
    for (filter, expected) in [
        (
            EventFilter {
                limit: Some(2),
                ..all.clone()
            },
            vec![9, 10],
        ),
        (
            EventFilter {
                after: Some(7),
                ..all.clone()
            },
            vec![8, 9, 10],
        ),
        (
            EventFilter {
                after: Some(10),
                ..all.clone()
            },
            vec![],
        ),
        (
            EventFilter {
                severity: Some(Severity::Critical),
                limit: Some(2),
                ..all.clone()
            },
            vec![8, 10],
        ),
        (
            EventFilter {
                kind: Some("address.*,director.caught_up".into()),
                ..all.clone()
            },
            vec![1, 3, 5, 7, 9],
        ),
        (
            EventFilter {
                service: Some("web".into()),
                ..all.clone()
            },
            vec![],
        ),
    ] {
        assert_eq!(
            numbers(&client, &filter, 99).await.unwrap(),
            expected,
            "{filter:?}"
        );
    }
    assert_eq!(client.event_receivers().await.unwrap(), []);
}

#[tokio::test]
async fn who_follows_hears_of_what_happens_then() {
    let server = Server::start(Loop::Answers, plenty(1), Bounds::default());
    happen(&server.events, 4);
    let client = server.client();
    let filter = EventFilter {
        follow: true,
        limit: Some(1),
        ..EventFilter::default()
    };
    let mut heard = Vec::new();
    let visited = client.visit_events(&filter, |event| {
        // Whoever has got what there was follows.
        if heard.is_empty() {
            happen(&server.events, 2);
        }
        heard.push(event.number);
        if heard.len() < 3 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    visited.await.unwrap();
    assert_eq!(heard, [4, 5, 6]);
    // Somebody who comes back after a while learns how much is missing: the log keeps a hundred.
    happen(&server.events, 200);
    let mut kinds = Vec::new();
    let filter = EventFilter {
        follow: true,
        after: Some(6),
        ..EventFilter::default()
    };
    let visited = client.visit_events(&filter, |event| {
        kinds.push((event.kind, event.number, event.text));
        if kinds.len() < 2 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    visited.await.unwrap();
    assert_eq!(kinds[0].0, "director.events_lost");
    assert!(kinds[0].2.contains("100 events"), "{kinds:?}");
    assert_eq!(kinds[1].1, 107);
}

#[tokio::test]
async fn followers_are_limited_and_one_that_does_not_read_costs_nothing() {
    let bounds = Bounds {
        followers: 1,
        ..Bounds::default()
    };
    let server = Server::start(Loop::Answers, plenty(1), bounds);
    let mut stalled = UnixStream::connect(&server.path).unwrap();
    stalled
        .write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    happen(&server.events, 1);
    let follow = EventFilter {
        follow: true,
        ..EventFilter::default()
    };
    let mut refusal = None;
    until_meanwhile(
        "the first one is accepted, and the next one refused",
        async || {
            refusal = numbers(&server.client(), &follow, 1).await.err();
            refusal.is_some()
        },
    )
    .await;
    let error = refusal.unwrap();
    assert!(
        error.to_string().contains("too many clients follow events"),
        "{error}"
    );
    happen(&server.events, 100_000);
    drop(stalled);
    until_meanwhile("the place of one who left is free", async || {
        numbers(&server.client(), &follow, 1).await.is_ok()
    })
    .await;
}

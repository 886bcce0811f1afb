//! Orders: given, refused, shown.

use super::*;

pub(super) fn order_view() -> OrderView {
    OrderView {
        scope: "backend".into(),
        service: Some("web".into()),
        address: Some("10.0.0.11".parse().unwrap()),
        order: "drain".into(),
        weight: None,
        who: "root".into(),
        why: "kernel update".into(),
        at: Timestamp(1_000_000),
        until: Some(Timestamp(2_000_000)),
        deadline: Some(Timestamp(1_500_000)),
        at_deadline: Some(AtDeadline::Keep),
    }
}

pub(super) fn drain_view() -> DrainView {
    DrainView {
        flows_at_start: 9,
        flows: 1,
        new_flows: 0,
        new_flows_per_second: 0.5,
        oldest_seconds: Some(7),
        by_age: vec![AgeCount {
            younger_than_seconds: Some(60),
            flows: 1,
        }],
        remaining_seconds: None,
        deadline_seconds: Some(3),
        drained: false,
    }
}

/// Says who ordered it, and refuses what is not about `web1`.
pub(super) fn answer(request: &OrderRequest, who: String) -> Result<OrderAnswer, Refusal> {
    match request.backend.as_deref() {
        Some("web1") => Ok(OrderAnswer {
            covers: Vec::new(),
            order: Some(OrderView { who, ..order_view() }),
            lifted: Vec::new(),
            remarks: Vec::new(),
        }),
        Some("last") => Err(Refusal::last(&["web"])),
        other => Err(Refusal::not_found(
            "backend",
            other.unwrap_or("?"),
            ["web1"].into_iter(),
        )),
    }
}

fn drain(backend: &str) -> OrderRequest {
    OrderRequest {
        ramp_seconds: None,
        backend: Some(backend.into()),
        service: None,
        verb: Verb::Drain,
        weight: None,
        deadline_seconds: Some(60),
        at_deadline: None,
        for_seconds: None,
        reason: "kernel update".into(),
        force: false,
    }
}

/// Hands everything over to `b`, but nothing to `c`.
pub(super) fn pair_answer(order: &HaOrder) -> Result<HaAnswer, Refusal> {
    let handed_over = match order {
        HaOrder::Handover { to, .. } if to.as_deref() == Some("c") => {
            return Err(Refusal::harmful(
                "c cannot hold the VIPs",
                "see `tandem ha explain`",
            ));
        }
        HaOrder::Handover { .. } => vec![HandedOver {
            group: "front".to_owned(),
            to: "b".to_owned(),
            waits: false,
        }],
        HaOrder::Maintenance { .. } => Vec::new(),
    };
    Ok(HaAnswer {
        handed_over,
        maintenance: matches!(order, HaOrder::Maintenance { on: true, .. }),
        handover: None,
    })
}

#[tokio::test]
async fn orders_about_the_pair_have_a_place_of_their_own() {
    let server = Server::start(Loop::Answers, plenty(1), Bounds::default());
    let client = server.client();
    let hand_over = |to: &str| HaOrder::Handover {
        instance: None,
        to: Some(to.to_owned()),
    };
    let answer = client.order_pair(&hand_over("b"), None).await.unwrap();
    assert_eq!(answer.handed_over[0].to, "b");
    let error = client.order_pair(&hand_over("c"), None).await.unwrap_err();
    let ClientError::Refused { status, .. } = error else {
        panic!("it was not refused: {error}")
    };
    assert_eq!(status, StatusCode::CONFLICT);
    let maintenance = HaOrder::Maintenance {
        on: true,
        force: false,
    };
    assert!(client.order_pair(&maintenance, None).await.unwrap().maintenance);
    for body in ["{}", "{\"order\": \"dance\"}", "{\"order\": \"maintenance\"}"] {
        let request = format!(
            "POST /v1/ha HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = server.raw(request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn orders_are_given_by_somebody_and_may_be_refused() {
    let bounds = Bounds {
        answer_time: Duration::from_millis(300),
        ..Bounds::default()
    };
    let server = Server::start(Loop::Answers, plenty(1), bounds);
    let client = server.client();
    let who = |answer: OrderAnswer| answer.order.unwrap().who;
    let me = nix::unistd::User::from_uid(nix::unistd::getuid())
        .unwrap()
        .unwrap()
        .name;
    assert_eq!(who(client.order(&drain("web1"), None).await.unwrap()), me);
    let other = who(client.order(&drain("web1"), Some("alice")).await.unwrap());
    assert_eq!(
        other,
        if me == "root" {
            "root for alice".to_owned()
        } else {
            me
        }
    );
    for (backend, status, error) in [
        (
            "last",
            StatusCode::CONFLICT,
            "no backend of service `web` would be left",
        ),
        ("web9", StatusCode::NOT_FOUND, "no backend is called `web9`"),
    ] {
        let ClientError::Refused { status: got, view } =
            client.order(&drain(backend), None).await.unwrap_err()
        else {
            panic!("it was not refused")
        };
        assert_eq!(got, status);
        assert!(view.error.starts_with(error), "{view:?}");
    }
    for (body, error) in [
        ("{}", "missing field `verb`"),
        ("{\"verb\": \"dance\"}", "unknown variant `dance`"),
        ("{\"verb\": \"drain\", \"colour\": 1}", "unknown field `colour`"),
        ("nonsense", "expected"),
    ] {
        let request = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = server.raw(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains(error),
            "{answer}"
        );
    }
    let head = "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    let answer = server.raw(head).await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("its end did not come"),
        "{answer}"
    );
    let long = "POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n";
    assert!(!server.raw(long).await.contains("200 OK"));
}

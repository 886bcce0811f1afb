use proptest::{collection::vec, prelude::*};

use super::*;
use crate::core::sync::Store;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn order(scope: Scope, command: Command) -> Order {
    Order {
        scope,
        command,
        who: "root".to_owned(),
        why: "kernel update".to_owned(),
        at: Timestamp(1000),
        until: None,
        deadline: None,
    }
}

fn web(last: u8) -> Scope {
    Scope::Backend {
        service: "web".to_owned(),
        address: ip(last),
    }
}

fn service(name: &str) -> Scope {
    Scope::Service(name.to_owned())
}

#[test]
fn the_strictest_order_counts_and_then_the_narrowest() {
    let mut book = Book::default();
    let counts = |book: &Book| {
        book.order("web", ip(1))
            .map(|order| (order.scope.clone(), order.command))
    };
    assert_eq!(counts(&book), None);
    for (scope, command) in [
        (web(1), Command::Weight(5)),
        (service("web"), Command::Drain),
        (Scope::Host(ip(1)), Command::Drain),
        (Scope::Director, Command::Offline),
    ] {
        book.place(order(scope.clone(), command));
        assert_eq!(counts(&book), Some((scope, command)));
    }
    book.place(order(service("dns"), Command::Remove));
    book.place(order(web(2), Command::Remove));
    assert_eq!(
        counts(&book),
        Some((Scope::Director, Command::Offline)),
        "those are about others"
    );
    book.place(order(Scope::Director, Command::Weight(9)));
    assert_eq!(
        counts(&book),
        Some((Scope::Host(ip(1)), Command::Drain)),
        "the latest for a scope"
    );
}

#[test]
fn lifting_takes_what_lies_within() {
    let scopes = [
        Scope::Director,
        service("web"),
        service("dns"),
        Scope::Host(ip(1)),
        web(1),
        web(2),
    ];
    let all = || Book::new(scopes.iter().map(|scope| order(scope.clone(), Command::Drain)));
    for (scope, lifted) in [
        (Scope::Director, 6),
        (service("web"), 3),
        (Scope::Host(ip(1)), 2),
        (web(1), 1),
        (web(9), 0),
    ] {
        assert_eq!(all().lift(&scope).len(), lifted, "{scope}");
    }
}

#[test]
fn time_ends_flows_and_then_orders() {
    let mut drain = order(web(1), Command::Drain);
    drain.until = Some(Timestamp(5000));
    drain.deadline = Some(Deadline {
        at: Timestamp(3000),
        then: AtDeadline::Reschedule,
        done: false,
    });
    let mut book = Book::new([drain.clone(), order(web(2), Command::Drain)]);
    assert_eq!(book.next_deadline(), Some(Timestamp(3000)));
    assert_eq!(book.advance(Timestamp(2999)), []);
    let due = book.advance(Timestamp(3000));
    assert!(matches!(&due[..], [Due::Deadline(order, AtDeadline::Reschedule)] if order.scope == web(1)));
    assert_eq!(book.advance(Timestamp(3001)), [], "once");
    assert_eq!(book.next_deadline(), Some(Timestamp(5000)));
    // What is kept over a restart is that it was done.
    let mut book = Book::from_json(&book.to_json(&Store::default()).unwrap())
        .unwrap()
        .0;
    assert_eq!(book.advance(Timestamp(4999)), []);
    assert!(matches!(&book.advance(Timestamp(9999))[..], [Due::Expired(order)] if order.scope == web(1)));
    assert_eq!(book.next_deadline(), None);
    assert_eq!(book.iter().count(), 1);
    // A daemon that was away for long does both, in their order.
    let due = Book::new([drain]).advance(Timestamp(9999));
    assert!(matches!(&due[..], [Due::Deadline(..), Due::Expired(_)]));
}

#[test]
fn what_is_no_book_is_said_to_be_none() {
    for json in [
        "",
        "{}",
        "[]",
        r#"{"version": 2, "orders": []}"#,
        r#"{"version": 1, "orders": [{}]}"#,
    ] {
        assert!(Book::from_json(json.as_bytes()).is_err(), "{json}");
    }
}

fn scopes() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Director),
        prop::sample::select(vec!["web", "dns"]).prop_map(service),
        (1..4_u8).prop_map(|last| Scope::Host(ip(last))),
        (prop::sample::select(vec!["web", "dns"]), 1..4_u8).prop_map(|(service, last)| Scope::Backend {
            service: service.to_owned(),
            address: ip(last)
        }),
    ]
}

fn orders() -> impl Strategy<Value = Order> {
    let command = prop_oneof![
        any::<u32>().prop_map(Command::Weight),
        Just(Command::Drain),
        Just(Command::Offline),
        Just(Command::Remove),
    ];
    let then = prop::sample::select(vec![AtDeadline::Keep, AtDeadline::Reschedule, AtDeadline::Reset]);
    let deadline = proptest::option::of((0..100_u64, then, any::<bool>())).prop_map(|deadline| {
        deadline.map(|(at, then, done)| Deadline {
            at: Timestamp(at),
            then,
            done,
        })
    });
    (
        scopes(),
        command,
        "\\PC{0,9}",
        proptest::option::of(0..100_u64),
        deadline,
    )
        .prop_map(|(scope, command, who, until, deadline)| Order {
            until: until.map(Timestamp),
            deadline,
            who,
            ..order(scope, command)
        })
}

proptest! {
    #[test]
    fn what_is_kept_is_read_again(orders in vec(orders(), 0..12)) {
        let book = Book::new(orders);
        prop_assert_eq!(Book::from_json(&book.to_json(&Store::default()).unwrap()), Ok((book, Store::default())));
    }

    #[test]
    fn what_covers_is_covered_by_what_it_lies_within(a in scopes(), b in scopes()) {
        let backends = || ["web", "dns"].into_iter().flat_map(|service| (1..4).map(move |last| (service, ip(last))));
        if a.is_within(&b) {
            for (service, address) in backends() {
                prop_assert!(!a.covers(service, address) || b.covers(service, address));
            }
        }
    }

    /// However time is cut into steps, the same comes of it.
    #[test]
    fn steps_of_time_do_not_matter(orders in vec(orders(), 0..12), mut steps in vec(0..120_u64, 0..9)) {
        let mut whole = Book::new(orders);
        let mut pieces = whole.clone();
        let all = whole.advance(Timestamp(200));
        steps.sort_unstable();
        let mut found = Vec::new();
        for step in steps.into_iter().chain([200]) {
            found.extend(pieces.advance(Timestamp(step)));
            prop_assert!(pieces.next_deadline().is_none_or(|next| next > Timestamp(step)));
        }
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(all.len(), found.len());
    }
}

#[test]
fn scopes_have_keys_and_keys_scopes() {
    for (scope, key) in [
        (service("web"), "order/service/web"),
        (
            Scope::Host("2001:db8::1".parse().unwrap()),
            "order/host/2001:db8::1",
        ),
        (web(1), "order/backend/web/10.0.0.1"),
    ] {
        assert_eq!(scope.key().as_deref(), Some(key));
        assert_eq!(Scope::from_key(key), Some(scope));
    }
    for key in [
        "",
        "order/",
        "order/director/",
        "health/x",
        "order/host/web",
        "order/backend/web",
        "order/host/10.0.0.01",
    ] {
        assert_eq!(Scope::from_key(key), None, "{key:?}");
    }
}

#[test]
fn another_director_reckons_an_orders_times_by_its_own_clock() {
    let said = Order {
        until: Some(Timestamp(61_000)),
        deadline: Some(Deadline {
            at: Timestamp(31_000),
            then: AtDeadline::Reset,
            done: false,
        }),
        ..order(web(1), Command::Drain)
    };
    let key = said.scope.key().unwrap();
    let heard =
        |key: &str| Order::from_value(key, &said.to_value(), Duration::from_secs(2), Timestamp(902_000));
    let here = heard(&key).unwrap();
    assert_eq!(here.at, Timestamp(900_000));
    assert_eq!(here.until, Some(Timestamp(960_000)));
    assert_eq!(here.deadline.unwrap().at, Timestamp(930_000));
    assert_eq!(heard(&web(2).key().unwrap()), None, "it is about another");
    assert_eq!(
        Order::from_value(&key, "nonsense", Duration::ZERO, Timestamp(0)),
        None
    );
    let long = Order {
        why: "\"".repeat(5000),
        who: "ä".repeat(5000),
        ..said.clone()
    };
    let value = long.to_value();
    assert!(value.len() <= 896);
    assert!(Order::from_value(&key, &value, Duration::ZERO, Timestamp(0)).is_some());
}

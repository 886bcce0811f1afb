use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::wire::vrrp::{Addresses, GROUP_V4, GROUP_V6, HOP_LIMIT, MAX_LENGTH};

use super::*;

const SECOND: Interval = Interval::from_centiseconds(100).unwrap();
const TENTH: Interval = Interval::from_centiseconds(10).unwrap();
const START: Duration = Duration::from_secs(1000);

const fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host)
}

fn settings(priority: u8) -> Settings {
    Settings {
        vrid: 51,
        priority,
        interval: SECOND,
        preempt: Preempt::After(Duration::ZERO),
        down_adverts: DOWN_ADVERTS,
        takeover: Takeover::AtOnce,
        peers: Vec::new(),
        primary: IpAddr::V4(address(2)),
        vips: Vips::V4(vec![[10, 0, 0, 100]]),
    }
}

fn heard(host: u8, priority: u8) -> Heard {
    Heard {
        source: IpAddr::V4(address(host)),
        priority,
        interval: SECOND,
    }
}

/// An advertisement to a router with [`settings`].
fn advertisement(host: u8, priority: u8) -> Event {
    let heard = heard(host, priority);
    Event::Advertisement(heard, VirtualRouter::new(settings(128)).standing(heard.source))
}

fn hear(router: &mut VirtualRouter, heard: Heard, now: Duration) {
    let standing = router.standing(heard.source);
    router.handle(Event::Advertisement(heard, standing), now);
}

fn outputs(router: &mut VirtualRouter) -> Vec<Output> {
    std::iter::from_fn(|| router.poll_output()).collect()
}

fn receive(router: &mut VirtualRouter, message: &[u8], endpoints: &Endpoints, hop_limit: u8) {
    let standing = router.standing(endpoints.source());
    router.receive(message, endpoints, hop_limit, standing, START);
}

/// A router in this role at [`START`], its outputs taken.
fn in_role(role: Role, settings: Settings) -> VirtualRouter {
    let mut router = VirtualRouter::new(settings);
    match role {
        Role::Initialize => {}
        Role::Backup => router.handle(Event::Start, START),
        Role::Active => {
            let wait = router.settings.active_down_interval(router.settings.interval);
            router.handle(Event::Start, START.saturating_sub(wait));
            router.handle(Event::Tick, START);
        }
    }
    assert!(router.role() == role || router.settings.priority == OWNER);
    outputs(&mut router);
    router
}

fn changed(from: Role, to: Role, cause: Cause, at: Duration) -> Output {
    Output::Changed(Transition { from, to, cause, at })
}

/// Every state with every event: what it puts out, what it is then, and when it wants to be called again.
#[test]
fn the_whole_table() {
    use Role::{Active, Backup, Initialize};
    let ms = Duration::from_millis;
    // Priority 128: Skew_Time is half an interval.
    let (skew, down) = (ms(500), ms(3500));
    let advertise = |priority| Output::Advertise { priority };
    let table = [
        (
            Initialize,
            Event::Start,
            ms(0),
            vec![changed(Initialize, Backup, Cause::Started, START)],
            Backup,
            Some(down),
        ),
        (
            Initialize,
            Event::Stop(StopCause::Shutdown),
            ms(0),
            vec![],
            Initialize,
            None,
        ),
        (Initialize, Event::Tick, ms(9000), vec![], Initialize, None),
        (
            Initialize,
            Event::Take(Cause::Ordered),
            ms(0),
            vec![],
            Initialize,
            None,
        ),
        (
            Initialize,
            Event::Yield(Cause::GaveUp),
            ms(0),
            vec![],
            Initialize,
            None,
        ),
        (Initialize, Event::Lapse, ms(0), vec![], Initialize, None),
        (Initialize, advertisement(3, 200), ms(0), vec![], Initialize, None),
        (Backup, Event::Start, ms(0), vec![], Backup, Some(down)),
        (
            Backup,
            Event::Stop(StopCause::LinkDown),
            ms(0),
            vec![changed(
                Backup,
                Initialize,
                Cause::Stopped(StopCause::LinkDown),
                START,
            )],
            Initialize,
            None,
        ),
        (Backup, Event::Tick, ms(3499), vec![], Backup, Some(down)),
        (
            Backup,
            Event::Yield(Cause::GaveUp),
            ms(9),
            vec![],
            Backup,
            Some(down),
        ),
        (Backup, Event::Lapse, ms(9), vec![], Backup, Some(down)),
        (
            Backup,
            Event::Take(Cause::Ordered),
            ms(9),
            vec![
                advertise(128),
                Output::Acquire,
                changed(Backup, Active, Cause::Ordered, START + ms(9)),
            ],
            Active,
            Some(ms(1009)),
        ),
        (
            Backup,
            Event::Tick,
            down,
            vec![
                advertise(128),
                Output::Acquire,
                changed(Backup, Active, Cause::NobodyHeard, START + down),
            ],
            Active,
            Some(ms(4500)),
        ),
        (
            Backup,
            advertisement(3, 0),
            ms(100),
            vec![],
            Backup,
            Some(ms(100) + skew),
        ),
        (Backup, advertisement(3, 0), ms(3400), vec![], Backup, Some(down)),
        (
            Backup,
            advertisement(3, 200),
            ms(700),
            vec![],
            Backup,
            Some(ms(700) + down),
        ),
        (
            Backup,
            advertisement(1, 128),
            ms(700),
            vec![],
            Backup,
            Some(ms(700) + down),
        ),
        (Backup, advertisement(3, 127), ms(700), vec![], Backup, Some(down)),
        (Active, Event::Start, ms(0), vec![], Active, Some(ms(1000))),
        (
            Active,
            Event::Take(Cause::Ordered),
            ms(0),
            vec![],
            Active,
            Some(ms(1000)),
        ),
        (
            Active,
            Event::Yield(Cause::GaveUp),
            ms(9),
            vec![
                Output::Release,
                advertise(YIELD),
                changed(Active, Backup, Cause::GaveUp, START + ms(9)),
            ],
            Backup,
            Some(ms(9) + down),
        ),
        (
            Active,
            Event::Lapse,
            ms(9000),
            vec![
                Output::Release,
                advertise(YIELD),
                changed(Active, Backup, Cause::Lapsed, START + ms(9000)),
            ],
            Backup,
            // One interval and the skew, not three.
            Some(ms(9000) + ms(1500)),
        ),
        (
            Active,
            Event::Stop(StopCause::Shutdown),
            ms(0),
            vec![
                Output::Release,
                advertise(YIELD),
                changed(Active, Initialize, Cause::Stopped(StopCause::Shutdown), START),
            ],
            Initialize,
            None,
        ),
        (Active, Event::Tick, ms(999), vec![], Active, Some(ms(1000))),
        (
            Active,
            Event::Tick,
            ms(1000),
            vec![advertise(128)],
            Active,
            Some(ms(2000)),
        ),
        (
            Active,
            Event::Tick,
            ms(9000),
            vec![advertise(128)],
            Active,
            Some(ms(10_000)),
        ),
        (
            Active,
            advertisement(3, 0),
            ms(300),
            vec![advertise(128), Output::Announce],
            Active,
            Some(ms(1300)),
        ),
        (
            Active,
            advertisement(3, 127),
            ms(300),
            vec![advertise(128), Output::Announce],
            Active,
            Some(ms(1300)),
        ),
        (
            Active,
            advertisement(1, 128),
            ms(300),
            vec![advertise(128), Output::Announce],
            Active,
            Some(ms(1300)),
        ),
        (
            Active,
            advertisement(3, 128),
            ms(300),
            vec![
                Output::Release,
                changed(Active, Backup, Cause::WinsTie(heard(3, 128)), START + ms(300)),
            ],
            Backup,
            Some(ms(300) + down),
        ),
        (
            Active,
            advertisement(1, 129),
            ms(300),
            vec![
                Output::Release,
                changed(Active, Backup, Cause::Greater(heard(1, 129)), START + ms(300)),
            ],
            Backup,
            Some(ms(300) + down),
        ),
    ];
    for (role, event, after, expected, next, deadline) in table {
        let mut router = in_role(role, settings(128));
        router.handle(event, START + after);
        let what = format!("{role} {event:?} after {after:?}");
        assert_eq!(outputs(&mut router), expected, "{what}");
        assert_eq!(router.role(), next, "{what}");
        assert_eq!(
            router.next_deadline(),
            deadline.map(|deadline| START + deadline),
            "{what}"
        );
    }
}

#[test]
fn skew_and_down_interval_are_those_of_the_rfc() {
    for (priority, interval, skew, down) in [
        (1, SECOND, 996_093_750, 3_996_093_750),
        (100, SECOND, 609_375_000, 3_609_375_000_u64),
        (254, SECOND, 7_812_500, 3_007_812_500),
        (255, SECOND, 3_906_250, 3_003_906_250),
        (150, Interval::MIN, 4_140_625, 34_140_625),
        (100, Interval::MAX, 24_953_906_250, 147_803_906_250),
    ] {
        let settings = settings(priority);
        assert_eq!(settings.skew(interval), Duration::from_nanos(skew));
        assert_eq!(
            settings.active_down_interval(interval),
            Duration::from_nanos(down)
        );
    }
}

#[test]
fn the_owner_is_active_at_once_and_yields_to_nobody() {
    let mut router = VirtualRouter::new(settings(OWNER));
    router.handle(Event::Start, START);
    let expected = [
        Output::Advertise { priority: OWNER },
        Output::Acquire,
        changed(Role::Initialize, Role::Active, Cause::Owner, START),
    ];
    assert_eq!(outputs(&mut router), expected);
    hear(&mut router, heard(9, OWNER), START);
    assert_eq!(outputs(&mut router), []);
    assert_eq!(router.role(), Role::Active);
    assert_eq!(router.counters().refused(Refusal::LocalOwner), 1);
}

/// Who decides for several routers is told when one would take over, and is obeyed.
#[test]
fn on_order_a_backup_waits_and_an_owner_does_so_too() {
    for (priority, down, cause) in [
        (128, Duration::from_millis(3500), Cause::NobodyHeard),
        (OWNER, Duration::ZERO, Cause::Owner),
    ] {
        let mut router = VirtualRouter::new(Settings {
            takeover: Takeover::OnOrder,
            ..settings(priority)
        });
        router.handle(Event::Start, START);
        assert_eq!(router.role(), Role::Backup);
        let due = START + down;
        assert_eq!(router.next_deadline(), Some(due));
        assert_eq!(router.due(due.saturating_sub(Duration::from_nanos(1))), None);
        router.handle(Event::Tick, due);
        assert_eq!((router.role(), router.due(due)), (Role::Backup, Some(cause)));
        router.handle(Event::Take(cause), due);
        assert_eq!((router.role(), router.due(due)), (Role::Active, None));
    }
}

#[test]
fn other_settings_are_advertised_at_once() {
    let mut router = in_role(Role::Active, settings(128));
    let now = START + Duration::from_millis(10);
    router.reconfigure(settings(90), now);
    assert_eq!(
        (outputs(&mut router), router.next_deadline()),
        (vec![], Some(now))
    );
    router.handle(Event::Tick, now);
    assert_eq!(outputs(&mut router), [Output::Advertise { priority: 90 }]);
}

#[test]
fn a_backup_learns_the_interval_of_the_active() {
    let mut router = in_role(Role::Backup, settings(128));
    let fast = Heard {
        interval: TENTH,
        ..heard(3, 200)
    };
    hear(&mut router, fast, START);
    assert_eq!(router.next_deadline(), Some(START + Duration::from_millis(350)));
    // The skew after priority 0 is that of the learned interval, too.
    hear(&mut router, heard(3, 0), START);
    let at = START + Duration::from_millis(50);
    assert_eq!(router.next_deadline(), Some(at));
    router.handle(Event::Tick, at);
    assert_eq!(
        router.last_transition().map(|t| t.cause),
        Some(Cause::Yielded(heard(3, 0)))
    );
    // Its own adverts keep its own interval.
    assert_eq!(router.next_deadline(), Some(at + SECOND.duration()));
}

#[test]
fn preemption_is_at_once_later_or_never() {
    let lesser = heard(3, 50);
    for (preempt, expected) in [
        (Preempt::After(Duration::ZERO), Some(4)),
        // Obeyed at 0, 1, .. 4 s, no more from 5 s on.
        (Preempt::After(Duration::from_secs(5)), Some(8)),
        (Preempt::Never, None),
    ] {
        let mut router = in_role(
            Role::Backup,
            Settings {
                preempt,
                ..settings(128)
            },
        );
        let taken = (0..60).find(|second| {
            let now = START + Duration::from_secs(*second);
            hear(&mut router, lesser, now);
            router.handle(Event::Tick, now);
            router.role() == Role::Active
        });
        assert_eq!(taken, expected, "{preempt:?}");
        if taken.is_some() {
            let cause = router.last_transition().map(|transition| transition.cause);
            assert_eq!(cause, Some(Cause::Preempted(lesser)));
        }
    }
}

#[test]
fn a_delay_begins_anew_when_a_greater_one_was_heard_in_between() {
    let preempt = Preempt::After(Duration::from_secs(5));
    let mut router = in_role(
        Role::Backup,
        Settings {
            preempt,
            ..settings(128)
        },
    );
    for (second, host, priority) in [(0, 3, 50), (1, 4, 200), (6, 3, 50)] {
        let now = START + Duration::from_secs(second);
        hear(&mut router, heard(host, priority), now);
    }
    let down = Duration::from_millis(3500);
    assert_eq!(
        router.next_deadline(),
        Some(START + Duration::from_secs(6) + down)
    );
}

#[test]
fn a_flood_of_lesser_adverts_is_answered_four_times_an_interval() {
    let mut router = in_role(Role::Active, settings(128));
    let mut sent = 0;
    for millisecond in 0..10_000 {
        let now = START + Duration::from_millis(millisecond);
        for priority in [0, 1, 127] {
            hear(&mut router, heard(3, priority), now);
        }
        router.handle(Event::Tick, now);
        let advertise = Output::Advertise { priority: 128 };
        sent += outputs(&mut router)
            .into_iter()
            .filter(|output| *output == advertise)
            .count();
    }
    assert_eq!(sent, 40);
    assert_eq!(router.role(), Role::Active);
}

#[test]
fn a_stream_of_priority_zero_does_not_put_off_the_takeover() {
    let mut router = in_role(Role::Backup, settings(128));
    let taken = (0..).find(|millisecond| {
        let now = START + Duration::from_millis(*millisecond);
        hear(&mut router, heard(3, 0), now);
        router.handle(Event::Tick, now);
        router.role() == Role::Active
    });
    assert_eq!(taken, Some(500));
}

#[test]
fn what_is_not_for_us_is_counted_and_not_obeyed() {
    let endpoints = |host| Endpoints::V4 {
        source: address(host),
        destination: GROUP_V4,
    };
    let mut buffer = [0; MAX_LENGTH];
    let sender = VirtualRouter::new(Settings {
        primary: IpAddr::V4(address(3)),
        ..settings(200)
    });
    let good = sender.write(200, &endpoints(3), &mut buffer).unwrap().to_vec();
    let other_vrid = VirtualRouter::new(Settings {
        vrid: 52,
        ..sender.settings.clone()
    });
    let other_vrid = other_vrid
        .write(200, &endpoints(3), &mut buffer)
        .unwrap()
        .to_vec();
    let ours = sender.write(200, &endpoints(2), &mut buffer).unwrap().to_vec();
    for (message, host, hop_limit, refusal) in [
        (&good, 3, 254, Refusal::HopLimit),
        (&good, 4, HOP_LIMIT, Refusal::Checksum),
        (&other_vrid, 3, HOP_LIMIT, Refusal::OtherRouter),
        (&ours, 2, HOP_LIMIT, Refusal::OwnSource),
    ] {
        for role in [Role::Backup, Role::Active] {
            let mut router = in_role(role, settings(128));
            let before = router.clone();
            receive(&mut router, message, &endpoints(host), hop_limit);
            assert_eq!(router.counters().refused(refusal), 1, "{refusal:?}");
            assert_eq!(router.state, before.state, "{refusal:?}");
            assert_eq!(outputs(&mut router), []);
            assert_eq!(router.last_heard(), before.last_heard());
        }
    }
    let mut router = in_role(Role::Active, settings(128));
    receive(&mut router, &good, &endpoints(3), HOP_LIMIT);
    assert_eq!(router.role(), Role::Backup);
}

#[test]
fn the_other_family_is_another_router() {
    let endpoints = Endpoints::V6 {
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3),
        destination: GROUP_V6,
    };
    let repr = Repr {
        vrid: 51,
        priority: 200,
        interval: SECOND,
        coverage: Coverage::PseudoHeader,
        addresses: Addresses::V6(&[[0xFE; 16]]),
    };
    let mut buffer = [0; MAX_LENGTH];
    let message = repr.emit(&endpoints, &mut buffer).unwrap();
    let mut router = in_role(Role::Active, settings(128));
    receive(&mut router, message, &endpoints, HOP_LIMIT);
    assert_eq!(router.counters().refused(Refusal::OtherRouter), 1);
    assert_eq!(router.role(), Role::Active);
}

#[test]
fn a_neighbour_is_answered_with_the_checksum_that_it_uses() {
    let endpoints = Endpoints::V4 {
        source: address(3),
        destination: GROUP_V4,
    };
    let vips = [[10, 0, 0, 100]];
    let mut buffer = [0; MAX_LENGTH];
    let mut router = in_role(Role::Active, settings(128));
    for coverage in [Coverage::Message, Coverage::PseudoHeader, Coverage::Message] {
        let repr = Repr {
            vrid: 51,
            priority: 1,
            interval: SECOND,
            coverage,
            addresses: Addresses::V4(&vips),
        };
        let message = repr.emit(&endpoints, &mut buffer).unwrap();
        receive(&mut router, message, &endpoints, HOP_LIMIT);
        let written = router.write(128, &endpoints, &mut buffer).unwrap();
        assert_eq!(
            Repr::parse(written, &endpoints, HOP_LIMIT).map(|repr| repr.coverage),
            Ok(coverage)
        );
    }
}

#[test]
fn configurations_that_differ_are_seen() {
    let endpoints = Endpoints::V4 {
        source: address(3),
        destination: GROUP_V4,
    };
    let mut buffer = [0; MAX_LENGTH];
    let mut router = in_role(Role::Backup, settings(128));
    for (vips, interval, addresses, intervals) in [
        (vec![[10, 0, 0, 100]], SECOND, 0, 0),
        (vec![[10, 0, 0, 101]], SECOND, 1, 0),
        (vec![[10, 0, 0, 100], [10, 0, 0, 101]], TENTH, 2, 1),
    ] {
        let sender = VirtualRouter::new(Settings {
            interval,
            vips: Vips::V4(vips),
            ..settings(200)
        });
        let message = sender.write(200, &endpoints, &mut buffer).unwrap();
        receive(&mut router, message, &endpoints, HOP_LIMIT);
        assert_eq!(router.counters().differing_addresses, addresses);
        assert_eq!(router.counters().differing_interval, intervals);
    }
    assert_eq!(router.counters().received, 3);
}

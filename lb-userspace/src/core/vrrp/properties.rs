//! Whatever happens, in whatever order.

use std::net::IpAddr;

use lb_common::wire::vrrp::{GROUP_V4, HOP_LIMIT};
use proptest::prelude::*;

use super::*;

fn interval() -> impl Strategy<Value = Interval> {
    (1..=4095_u16).prop_filter_map("in range", Interval::from_centiseconds)
}

fn preempt() -> impl Strategy<Value = Preempt> {
    prop_oneof![
        Just(Preempt::Never),
        (0..20_000_u64).prop_map(|ms| Preempt::After(Duration::from_millis(ms))),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (1..=255_u8, interval(), preempt()).prop_map(|(priority, interval, preempt)| Settings {
        vrid: 7,
        priority,
        interval,
        preempt,
        down_adverts: DOWN_ADVERTS,
        takeover: Takeover::AtOnce,
        peers: Vec::new(),
        primary: IpAddr::from([10, 0, 0, 2]),
        vips: Vips::V4(vec![[10, 0, 0, 100]]),
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Start),
        1 => prop::sample::select(vec![StopCause::Shutdown, StopCause::LinkDown]).prop_map(Event::Stop),
        6 => Just(Event::Tick),
        1 => prop::sample::select(vec![
            Event::Take(Cause::Ordered),
            Event::Yield(Cause::GaveUp),
            Event::Lapse,
        ]),
        6 => (1..5_u8, any::<u8>(), interval(), any::<bool>(), preempt()).prop_map(
            |(host, priority, interval, wins_tie, preempt)| {
                let source = IpAddr::from([10, 0, 0, host]);
                let heard = Heard { source, priority, interval };
                Event::Advertisement(heard, Standing { wins_tie, preempt })
            }
        ),
    ]
}

proptest! {
    #[test]
    fn vips_are_held_exactly_while_active(
        settings in settings(),
        events in prop::collection::vec((event(), 0..60_000_u64), 1..80),
    ) {
        let mut router = VirtualRouter::new(settings);
        let mut now = Duration::ZERO;
        let mut holds = false;
        for (event, wait) in events {
            now += Duration::from_millis(wait);
            let before = router.role();
            router.handle(event, now);
            let outputs: Vec<_> = std::iter::from_fn(|| router.poll_output()).collect();
            prop_assert!(outputs.len() <= 4);
            let transitions = outputs.iter().filter_map(|output| match output {
                Output::Changed(transition) => Some(*transition),
                Output::Advertise { .. } | Output::Acquire | Output::Announce | Output::Release => None,
            });
            let transitions: Vec<_> = transitions.collect();
            if before == router.role() {
                prop_assert_eq!(&transitions[..], &[]);
            } else {
                let [only] = transitions[..] else {
                    return Err(TestCaseError::fail("one change, one word of it"));
                };
                prop_assert_eq!((only.from, only.to, only.at), (before, router.role(), now));
                prop_assert_eq!(router.last_transition(), Some(only));
            }
            for output in outputs {
                match output {
                    Output::Acquire => {
                        prop_assert!(!holds);
                        holds = true;
                    }
                    Output::Release => {
                        prop_assert!(holds);
                        holds = false;
                    }
                    // Only the holder speaks, but for its last word.
                    Output::Advertise { priority } => prop_assert!(
                        priority == YIELD || router.role() == Role::Active
                    ),
                    Output::Announce => prop_assert!(holds),
                    Output::Changed(_) => {}
                }
            }
            prop_assert_eq!(holds, router.role() == Role::Active);
        }
    }

    #[test]
    fn there_is_always_a_next_time_and_it_is_in_the_future(
        settings in settings(),
        events in prop::collection::vec((event(), 0..60_000_u64), 1..80),
    ) {
        let mut router = VirtualRouter::new(settings);
        let mut now = Duration::ZERO;
        for (event, wait) in events {
            now += Duration::from_millis(wait);
            router.handle(Event::Tick, now);
            router.handle(event, now);
            router.handle(Event::Tick, now);
            match (router.role(), router.next_deadline()) {
                (Role::Initialize, None) => {}
                (Role::Backup | Role::Active, Some(deadline)) => {
                    prop_assert!(deadline > now);
                    // No longer than the longest Active_Down_Interval that fits the wire.
                    prop_assert!(deadline - now < Duration::from_secs(164));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_move(settings in settings(), message: Vec<u8>, source: [u8; 4]) {
        let endpoints = Endpoints::V4 { source: source.into(), destination: GROUP_V4 };
        let mut router = VirtualRouter::new(settings);
        router.handle(Event::Start, Duration::ZERO);
        let before = router.state;
        let standing = router.standing(endpoints.source());
        router.receive(&message, &endpoints, HOP_LIMIT, standing, Duration::ZERO);
        let refused: u64 = Refusal::ALL.iter().map(|refusal| router.counters().refused(*refusal)).sum();
        prop_assert_eq!(refused + router.counters().received, 1);
        prop_assert!(refused == 0 || router.state == before);
    }
}

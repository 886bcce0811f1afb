//! The benchmark's own arithmetic, and that it refuses what it does not measure.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lb_common::{flow_state::FlowState, reason::Reason};
use lb_tests::{
    bench::{
        connections, fastpath,
        front::{Floor, Front, Target, Wire, Wrapping},
        latency,
        line::{Cpus, VIP as THROUGH},
        measure::{Case, Effort, Expected, Scene, Subject, measure},
        picture::{Bar, Picture, png},
        scale::pressure::Pressure,
        subject::{self, Task},
        template::{Family, Order, Payload, Template},
        throughput::{self, Frames, Kind, stage::Stage},
        world::{World, frontends},
    },
    prog_run::SIZES,
};
use lb_userspace::{bench::generator::Pace, core::model::Forward};

/// Paths have CPUs of their own, which two of them would take from each other.
static PATHS: Mutex<()> = Mutex::new(());

const VIP: [u8; 4] = [192, 0, 2, 10];

fn clients() -> Template {
    Template::v4([198, 18], VIP, Payload::TcpAck(80)).unwrap()
}

/// The least CPU time that a packet takes behind the front, in nanoseconds.
fn cost(floors: &[Floor], packets: u32) -> Vec<f64> {
    let mut fronts: Vec<_> = floors
        .iter()
        .map(|&floor| {
            Front::new(
                &clients(),
                1,
                Order::Random,
                &Target::Floor(floor),
                Wrapping::Bare,
            )
            .unwrap()
        })
        .collect();
    let mut least = vec![f64::INFINITY; floors.len()];
    for _ in 0..9 {
        for (front, least) in fronts.iter_mut().zip(&mut least) {
            let run = front.run(packets).unwrap();
            *least = least.min(run.nanoseconds / f64::from(packets));
        }
    }
    least
}

#[test]
fn twice_the_work_costs_twice_as_much() {
    let costs = cost(
        &[Floor::Empty, Floor::KnownCost(1000), Floor::KnownCost(2000)],
        10_000,
    );
    let (once, twice) = (costs[1] - costs[0], costs[2] - costs[0]);
    assert!((1.8..2.2).contains(&(twice / once)), "{costs:?}");
}

#[test]
fn the_front_makes_the_packets_that_the_template_promises() {
    let vip6 = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
    let templates = [
        clients(),
        clients().with_services(64),
        Template::v4([198, 18], VIP, Payload::Udp(53)).unwrap(),
        Template::v4([198, 18], VIP, Payload::Echo).unwrap(),
        Template::v6(0xC, vip6, Payload::TcpSyn(80)).unwrap(),
        Template::v6(0xC, vip6, Payload::Echo).unwrap(),
    ];
    for template in templates {
        let mut front = Front::new(
            &template,
            1,
            Order::Rising,
            &Target::Floor(Floor::Empty),
            Wrapping::Bare,
        )
        .unwrap();
        for flow in 1..=3 {
            assert_eq!(front.run(1).unwrap().packet, template.packet(flow));
        }
        front.run(40_000).unwrap();
        assert_eq!(front.run(1).unwrap().packet, template.packet(40_004));
    }
}

#[test]
fn the_swap_and_the_tunnel_do_what_they_are_called() {
    let template = clients();
    let mut front = Front::new(
        &template,
        1,
        Order::Random,
        &Target::Floor(Floor::Swap),
        Wrapping::Bare,
    )
    .unwrap();
    let swapped = front.run(1001).unwrap().packet;
    let original = template.first_packet();
    assert_eq!(
        (&swapped[..6], &swapped[6..12], &swapped[12..]),
        (&original[6..12], &original[..6], &original[12..])
    );
    let mut front = Front::new(
        &template,
        1,
        Order::Random,
        &Target::Floor(Floor::Ipip),
        Wrapping::Ipip,
    )
    .unwrap();
    for packets in [1, 2, 1000] {
        let tunnelled = front.run(packets).unwrap().packet;
        assert_eq!(tunnelled[34..], original[14..]);
        assert_eq!(tunnelled[12..15], [0x08, 0x00, 0x45]);
        // The inner protocol is IPv4, and the outer length fits.
        assert_eq!(tunnelled[23], 4);
        assert_eq!(
            usize::from(u16::from_be_bytes([tunnelled[16], tunnelled[17]])),
            tunnelled.len() - 14
        );
    }
}

#[test]
fn a_case_that_is_not_what_it_claims_is_refused() {
    let template = clients();
    let mut world = World::new(&SIZES, &[frontends(&template, 1).unwrap()], 2, Forward::Dr).unwrap();
    world.inhabit(&template, 100, FlowState::Established).unwrap();
    let mut worlds = BTreeMap::from([(Scene::Small, world)]);
    let effort = Effort {
        rounds: 1,
        turn: 2e7,
        new_flows: 50,
    };
    let mut try_as = |expected, flows| {
        let case = Case {
            name: "case".to_owned(),
            subject: Subject::Director(Scene::Small),
            wrapping: Wrapping::Bare,
            template: template.clone(),
            flows,
            expected,
            floor: None,
            target: None,
            small: None,
        };
        measure(vec![case], &mut worlds, &effort, |_| ())
    };
    let honest = try_as(Expected::Forwarded, 100).unwrap();
    assert!(honest[0].samples[0].nanoseconds > 0.0);
    // The flows are known; they are no strangers; and of 200, half are not in the table.
    for (claim, flows) in [
        (Expected::Scheduled, 100),
        (Expected::Refused(Reason::NotVip), 100),
        (Expected::Forwarded, 200),
    ] {
        let error = try_as(claim, flows).unwrap_err().to_string();
        assert!(error.contains("is not what it claims to be"), "{error}");
    }
}

#[test]
fn every_case_of_the_fast_path_is_what_it_claims() {
    let options = fastpath::Options {
        flows: fastpath::MIN_FLOWS,
        services: 4,
        rounds: 1,
        filter: None,
        cpu: None,
    };
    let mut said = Vec::new();
    let report = fastpath::run(&options, |doing| said.push(doing.to_owned())).unwrap();
    assert_eq!(said.last().map(String::as_str), Some("round 1 of 1"));
    assert!(report.rows.iter().all(|row| row.nanoseconds.median > 0.0));
    let memory = report.memory.unwrap();
    assert_eq!(memory.places, 131_072);
    assert!(
        memory.bytes >= 131_072 * 32 && memory.bytes < 131_072 * 40,
        "{memory:?}"
    );
}

/// At a rate that everybody can follow: as many packets come as were sent, if the machine gives its CPUs at all.
#[test]
fn what_a_generator_sends_comes_to_the_sink() {
    let _alone = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    let cpus = Cpus::choose().unwrap();
    let mut stage = Stage::build(cpus, Family::V4, 1514).unwrap();
    let task = Task {
        protocol: "udp",
        port: 53,
        flows: 100,
        family: Family::V4,
    };
    let _at_work = subject::Subject::Redirect
        .put_to_work(&stage.line, task, cpus)
        .unwrap();
    stage.poll_apart().unwrap();
    for length in [64, 1514] {
        let mix = [(
            Template::datagrams([198, 18], THROUGH.octets(), 53, length).unwrap(),
            1,
        )];
        let mut generator = stage.generator(&mix, 100, Wire::Plain).unwrap();
        let mut trial = || {
            let pace = Pace::Rate(20_000.0);
            stage
                .trial(&mut generator, pace, Duration::from_millis(200))
                .unwrap()
        };
        let trials: Vec<_> = (0..5).map(|_| trial()).collect();
        assert!(
            trials
                .iter()
                .all(|trial| trial.passage.sent >= 4000 && trial.passage.received <= trial.passage.sent),
            "{trials:?}"
        );
        assert!(
            trials
                .iter()
                .any(|trial| trial.passage.received == trial.passage.sent),
            "{trials:?}"
        );
    }
    let mix = [(
        Template::datagrams([198, 18], THROUGH.octets(), 53, 64).unwrap(),
        1,
    )];
    let mut stamping = stage.generator(&mix, 100, Wire::Stamped).unwrap();
    stage.sink().note_delays(true).unwrap();
    stage
        .trial(&mut stamping, Pace::Rate(10_000.0), Duration::from_millis(200))
        .unwrap();
    let delays = stage.sink().delays().unwrap();
    let (least, most) = (delays.at(0.0).unwrap(), delays.at(1.0).unwrap());
    assert!(Duration::ZERO < least && least <= most, "{least:?} {most:?}");
}

#[test]
fn packets_and_connections_go_through_a_director() {
    let _alone = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    let report = throughput::run(
        &throughput::Options {
            flows: 1000,
            new: None,
            family: Family::V4,
            frames: Frames::Mix,
            rounds: 1,
            turn: Duration::from_millis(100),
            tolerated: 0.5,
            delays: true,
            by_flows: vec![1, 20_000],
            filter: Some("Tandem".to_owned()),
        },
        |_| (),
    )
    .unwrap();
    assert!(report.rows.len() >= 4, "{report}");
    assert!(report.rows.iter().all(|row| row.mpps.median > 0.0), "{report}");
    let by_flows = report.by_flows.unwrap();
    let flows: Vec<_> = by_flows.rows.iter().map(|row| row.flows).collect();
    assert_eq!(flows, [1, 20_000], "{by_flows}");
    assert!(
        by_flows
            .rows
            .iter()
            .all(|row| row.mpps.median > 0.0 && row.times > 0.0),
        "{by_flows}"
    );
    let report = throughput::run(
        &throughput::Options {
            flows: 1000,
            new: None,
            family: Family::V6,
            frames: Frames::Of(100),
            rounds: 1,
            turn: Duration::from_millis(100),
            tolerated: 0.5,
            delays: false,
            by_flows: Vec::new(),
            filter: Some("Tandem".to_owned()),
        },
        |_| (),
    )
    .unwrap();
    assert!(report.rows.len() >= 4, "{report}");
    assert!(report.rows.iter().all(|row| row.mpps.median > 0.0), "{report}");
    let report = connections::run(
        &connections::Options {
            clients: 8,
            rounds: 1,
            turn: Duration::from_millis(100),
            filter: Some("Tandem".to_owned()),
        },
        |_| (),
    )
    .unwrap();
    assert_eq!(report.rows.len(), 2, "{report}");
    // A question and its answer, and sometimes an acknowledgement by itself.
    assert!(
        report.rows.iter().all(|row| row.packets_per_request >= 1.9),
        "{report}"
    );
}

#[test]
fn a_picture_is_drawn_as_png_with_its_letters() {
    let renderer = png::renderer().unwrap();
    let draw = |title: &str| {
        let bars = vec![
            Bar::value("Tandem", 2.0, 2).own(true),
            Bar::value("other", 1.0, 2),
        ];
        let svg = Picture::new(title).panel("Mpps", bars).svg();
        png::rasterised(&renderer, &svg).unwrap()
    };
    let png = draw("packets");
    // A signature, and the header with width and height (PNG, sections 5.2 and 11.2.2): twice those of the picture.
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    assert_eq!(png[12..16], *b"IHDR");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20)), (1520, 288));
    assert_ne!(draw(""), png, "the title is not on it");
    let error = png::rasterised(&renderer, "no picture").unwrap_err().to_string();
    assert!(error.contains("draws no PNG"), "{error}");
}

/// One short round with packets of this length, without delays.
fn briefly(length: usize) -> throughput::Options {
    throughput::Options {
        flows: 100,
        new: None,
        family: Family::V4,
        frames: Frames::Of(length),
        rounds: 1,
        turn: Duration::from_millis(100),
        tolerated: 0.5,
        delays: false,
        by_flows: Vec::new(),
        filter: None,
    }
}

/// Each packet another flow, of which there come more than tables have places.
#[test]
fn new_flows_go_through_a_director() {
    let _alone = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    for (kind, length) in [(Kind::Datagrams, 64), (Kind::Syns, 76)] {
        let report = throughput::run(
            &throughput::Options {
                flows: 1000,
                new: Some(kind),
                ..briefly(length)
            },
            |_| (),
        )
        .unwrap();
        let text = report.to_string();
        let names: Vec<_> = report.rows.iter().map(|row| row.name.as_str()).collect();
        for name in [
            "Tandem, direct routing",
            "Tandem, IPIP",
            "kernel routing, no balancing",
            "nftables DNAT map",
        ] {
            assert!(names.contains(&name), "{name}: {text}");
        }
        assert!(report.rows.iter().all(|row| row.mpps.median > 0.0), "{text}");
        assert!(
            text.contains("each a new flow") && text.contains("left out: Tandem, NAT"),
            "{text}"
        );
    }
}

/// A frame in several buffers, which a socket sends, and one that just fits into a page.
#[test]
fn jumbo_frames_go_through_every_subject() {
    let _alone = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    let tandem = Some("Tandem, IPIP".to_owned());
    for (length, source, filter, rows) in [
        (9014, "a packet socket", None, 8),
        (3000, "XDP", tandem.clone(), 2),
        (1514, "XDP", tandem, 2),
    ] {
        let report = throughput::run(
            &throughput::Options {
                filter,
                ..briefly(length)
            },
            |_| (),
        )
        .unwrap();
        assert_eq!(report.settings.source, source, "{report}");
        assert!(report.rows.len() >= rows, "{report}");
        assert!(report.rows.iter().all(|row| row.mpps.median > 0.0), "{report}");
    }
}

/// Whoever has a place keeps its backend; whoever has none goes where the schedule says.
#[test]
fn connections_without_a_place_follow_the_schedule() {
    let roomy = Pressure::measure(4096, 0.25).unwrap();
    assert!(roomy.without_place < 0.01, "{roomy:?}");
    assert!(roomy.broken_by_change < 0.01, "{roomy:?}");
    // One of four backends is new, and nearly all that moves, moves there.
    assert!((0.15..0.45).contains(&roomy.broken_without_memory), "{roomy:?}");
    let full = Pressure::measure(4096, 3.0).unwrap();
    assert!((0.6..0.75).contains(&full.without_place), "{full:?}");
    assert!(full.evictions >= 2 * 4096, "{full:?}");
    assert!(
        full.broken_by_change > 0.05 && full.broken_by_change <= full.broken_without_memory,
        "{full:?}"
    );
    for pressure in [roomy, full] {
        assert!((pressure.same_backend - 1.0).abs() < 1e-9, "{pressure:?}");
    }
}

#[test]
fn requests_are_timed_while_the_director_is_changed() {
    let _alone = PATHS.lock().unwrap_or_else(PoisonError::into_inner);
    let report = latency::run(
        &latency::Options {
            rate: 50.0,
            rounds: 1,
            turn: Duration::from_millis(500),
        },
        |_| (),
    )
    .unwrap();
    assert_eq!(report.rows.len(), latency::Situation::ALL.len(), "{report}");
    for row in &report.rows {
        assert_eq!((row.requests, row.failed), (25, 0), "{report}");
        assert!(0.0 < row.median_us && row.median_us <= row.max_us, "{report}");
    }
    let changes: Vec<_> = report.rows.iter().map(|row| row.changes > 0).collect();
    assert_eq!(changes, [false, false, true, true, true, true], "{report}");
}

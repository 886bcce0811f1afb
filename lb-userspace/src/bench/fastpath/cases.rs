//! What is measured of them.

use lb_common::reason::Reason;

use super::{
    Options,
    measure::{Case, Expected, Scene, Subject},
    scenes::Templates,
};
use crate::bench::{
    front::{Floor, Wrapping},
    template::Template,
};

/// Flows that the caches of a CPU hold, but not its first-level cache.
const SOME_FLOWS: u32 = 10_000;

/// The floors' names.
pub(super) const EMPTY: &str = "empty program";
pub(super) const SWAP: &str = "MAC swap + TX";
pub(super) const SWAP6: &str = "MAC swap + TX, IPv6";
pub(super) const IPIP: &str = "bare IPIP encapsulation";

/// Names of the cases that a large director is compared by.
const HOT: &str = "established, 1 flow";
const NEW_FLOW: &str = "new flow";

/// All cases. Those that make flows come last: the residents that they evict are entered again once a round.
pub(super) fn all_cases(templates: &Templates, options: &Options) -> Vec<Case> {
    let mut cases = floor_cases(templates, options.flows);
    cases.extend(small_cases(templates, options.flows));
    cases.extend(other_ways(templates, options.flows));
    cases.extend(large_cases(templates, options.services));
    cases.sort_by_key(|case| case.expected == Expected::Scheduled);
    cases
}

fn floor_cases(templates: &Templates, flows: u32) -> Vec<Case> {
    vec![
        floor(EMPTY, Floor::Empty, &templates.known, flows),
        floor(SWAP, Floor::Swap, &templates.known, flows),
        floor(SWAP6, Floor::Swap, &templates.known6, flows),
        floor(IPIP, Floor::Ipip, &templates.known, flows),
    ]
}

/// A floor with these packets.
pub(super) fn floor(name: &str, floor: Floor, template: &Template, flows: u32) -> Case {
    Case {
        name: name.to_owned(),
        subject: Subject::Floor(floor),
        wrapping: match floor {
            Floor::Ipip => Wrapping::Ipip,
            Floor::Empty | Floor::Swap | Floor::KnownCost(_) => Wrapping::Bare,
        },
        template: template.clone(),
        flows,
        expected: Expected::Forwarded,
        floor: None,
        target: None,
        small: None,
    }
}

fn small_cases(templates: &Templates, flows: u32) -> Vec<Case> {
    use Expected::{Forwarded, Refused, Scheduled};
    let case = |name: &str, template: &Template, flows, expected, floor, target| Case {
        name: name.to_owned(),
        subject: Subject::Director(Scene::Small),
        wrapping: Wrapping::Bare,
        template: template.clone(),
        flows,
        expected,
        floor: Some(floor),
        target,
        small: None,
    };
    let Templates {
        known,
        new,
        syn,
        udp,
        stranger,
        echo,
        known6,
        new6,
        echo6,
        ..
    } = templates;
    let some = SOME_FLOWS.min(flows);
    let established = |family: &str, flows| format!("{family}established, {} flows", in_words(flows));
    let (some4, all4, all6) = (
        established("", some),
        established("", flows),
        established("IPv6, ", flows),
    );
    let answered = Refused(Reason::EchoAnswered);
    let not_vip = Refused(Reason::NotVip);
    vec![
        case(HOT, known, 1, Forwarded, SWAP, Some(25.0)),
        case(&some4, known, some, Forwarded, SWAP, None),
        case(&all4, known, flows, Forwarded, SWAP, Some(120.0)),
        case(NEW_FLOW, new, 1, Scheduled, SWAP, Some(150.0)),
        case("SYN again", syn, 1, Forwarded, SWAP, None),
        case("UDP, 1 flow", udp, 1, Forwarded, SWAP, None),
        case("ping", echo, 1, answered, SWAP, None),
        case("for nobody", stranger, flows, not_vip, EMPTY, Some(12.0)),
        case(
            "IPv6, established, 1 flow",
            known6,
            1,
            Forwarded,
            SWAP6,
            Some(35.0),
        ),
        case(&all6, known6, flows, Forwarded, SWAP6, Some(160.0)),
        case("IPv6, new flow", new6, 1, Scheduled, SWAP6, None),
        case("IPv6, ping", echo6, 1, answered, SWAP6, None),
    ]
}

/// Tunnels and translation.
fn other_ways(templates: &Templates, flows: u32) -> Vec<Case> {
    let case = |name: &str, (scene, wrapping), template: &Template, flows, floor, target| Case {
        name: name.to_owned(),
        subject: Subject::Director(scene),
        wrapping,
        template: template.clone(),
        flows,
        expected: Expected::Forwarded,
        floor: Some(floor),
        target: Some(target),
        small: None,
    };
    let all = format!("IPIP, {} flows", in_words(flows));
    let (ipip, gue, nat) = (
        (Scene::Ipip, Wrapping::Ipip),
        (Scene::Gue, Wrapping::Gue),
        (Scene::Nat, Wrapping::Bare),
    );
    vec![
        case("IPIP, 1 flow", ipip, &templates.known, 1, IPIP, 35.0),
        case(&all, ipip, &templates.known, flows, IPIP, 140.0),
        case("GUE, 1 flow", gue, &templates.known, 1, IPIP, 45.0),
        case("NAT, 1 flow", nat, &templates.known, 1, SWAP, 60.0),
        Case {
            expected: Expected::Returned,
            ..case("NAT, reply", nat, &templates.reply, 1, SWAP, 60.0)
        },
    ]
}

fn large_cases(templates: &Templates, services: u16) -> Vec<Case> {
    let case = |small, template: &Template, expected| Case {
        name: format!("{services} services, {small}"),
        subject: Subject::Director(Scene::Large),
        wrapping: Wrapping::Bare,
        template: template.clone(),
        flows: 1,
        expected,
        floor: Some(SWAP),
        target: None,
        small: Some(small),
    };
    vec![
        case(HOT, &templates.large_known, Expected::Forwarded),
        case(NEW_FLOW, &templates.large_new, Expected::Scheduled),
    ]
}

/// A number of flows, as short as may be.
#[must_use]
pub fn in_words(flows: u32) -> String {
    const MILLION: u32 = 1_000_000;
    match flows {
        MILLION.. if flows.is_multiple_of(MILLION) => format!("{} M", flows / MILLION),
        MILLION.. => format!("{:.1} M", f64::from(flows) / 1e6),
        1000.. if flows.is_multiple_of(1000) => format!("{} k", flows / 1000),
        _ => flows.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::selected, *};
    use std::collections::BTreeSet;

    fn cases() -> Vec<Case> {
        let options = Options {
            flows: 1_000_000,
            services: 512,
            rounds: 1,
            filter: None,
            cpu: None,
        };
        all_cases(&Templates::new(options.services).unwrap(), &options)
    }

    #[test]
    fn every_case_has_a_name_of_its_own_and_a_floor() {
        let cases = cases();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            let others = [case.floor, case.small].into_iter().flatten();
            for other in others {
                assert!(names.contains(other), "{}: {other}", case.name);
            }
            assert_eq!(
                case.floor.is_none(),
                matches!(case.subject, Subject::Floor(_)),
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn a_filter_keeps_what_a_case_is_compared_with() {
        let of = |filter| {
            let cases = selected(cases(), filter).into_iter();
            cases.map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("nobody")), [EMPTY, "for nobody"]);
        assert_eq!(
            of(Some("services, new")),
            [SWAP, NEW_FLOW, "512 services, new flow"]
        );
        assert_eq!(of(Some("no such case")), [""; 0]);
        assert_eq!(of(None).len(), 23);
    }

    #[test]
    fn numbers_of_flows_are_short() {
        let cases = [
            (1, "1"),
            (1500, "1500"),
            (10_000, "10 k"),
            (1_000_000, "1 M"),
            (1 << 21, "2.1 M"),
        ];
        for (flows, words) in cases {
            assert_eq!(in_words(flows), words);
        }
    }
}

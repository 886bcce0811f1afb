//! Any checks there may be.

use std::time::Duration;

use crate::core::health::{
    Agent, AgentForm, BodyMatch, Check, Dns, Grpc, Health, Http, Judge, Policy, Probe, RecordType, Require,
    Script, Smtp, Start, Target, Timing, Tls, Trust, Udp, Weights,
};
use crate::core::model::Forward;

/// One for each number, all kinds among them.
pub(super) fn health(service: usize, number: u64, forward: Forward) -> Health {
    let checks: Vec<Check> = (0..number % 4)
        .map(|index| check(number.wrapping_add(index), forward))
        .collect();
    Health {
        require: match number % 3 {
            0 => Require::All,
            1 => Require::Any,
            _ if checks.is_empty() => Require::All,
            _ => Require::AtLeast(1),
        },
        start: if number.is_multiple_of(2) {
            Start::Down
        } else {
            Start::Up
        },
        quorum: service as u32,
        hysteresis: (number % 7) as u32,
        policy: if number.is_multiple_of(5) {
            Policy::All
        } else {
            Policy::Fail
        },
        weights: if number.is_multiple_of(2) {
            Weights::Agent
        } else {
            Weights::Latency
        },
        eject: (number % 101) as u32,
        checks,
    }
}

fn tls(number: u64) -> Tls {
    Tls {
        name: (number.is_multiple_of(2)).then(|| "www.example.net".to_owned()),
        trust: match number % 4 {
            0 => Trust::System,
            1 => Trust::File("/etc/ca.pem".into()),
            2 => Trust::Pin([number as u8; 32]),
            _ => Trust::Anybody,
        },
        warn_days: (number % 100) as u32,
    }
}

fn http(number: u64, tls: Option<Tls>) -> Http {
    Http {
        tls,
        method: "HEAD".to_owned(),
        path: "/healthz?x=1".to_owned(),
        host: (number.is_multiple_of(3)).then(|| "www.example.net".to_owned()),
        headers: if number.is_multiple_of(2) {
            vec![("x-check".to_owned(), "yes".to_owned())]
        } else {
            Vec::new()
        },
        statuses: vec![(200, 204), (401, 401)],
        body: match number % 4 {
            0 => None,
            1 => Some(BodyMatch::Contains("\"fine\"\n".to_owned())),
            2 => Some(BodyMatch::Regex("^a.*[b-c]$".to_owned())),
            _ => Some(BodyMatch::Sha256([number as u8; 32])),
        },
    }
}

fn check(number: u64, forward: Forward) -> Check {
    let interval = Duration::from_millis(1000 + number % 5000);
    let probe = match number % 13 {
        0 => Probe::Tcp,
        1 => Probe::Http(http(number, None)),
        2 => Probe::Http(http(number, Some(tls(number)))),
        3 => Probe::Tls(tls(number)),
        4 => Probe::Icmp,
        5 => Probe::Udp(Udp {
            payload: vec![0, 255, number as u8],
            reply: (number.is_multiple_of(2)).then(|| vec![7]),
        }),
        6 => Probe::Dns(Dns {
            name: "example.net".to_owned(),
            record: RecordType::Txt,
            rcode: (number % 16) as u8,
            answer: (number.is_multiple_of(2)).then(|| "192.0.2.1".to_owned()),
        }),
        7 => Probe::Smtp(Smtp {
            helo: "lb.example.net".to_owned(),
        }),
        8 => Probe::Grpc(Grpc {
            service: "web".to_owned(),
            tls: None,
        }),
        9 => Probe::Grpc(Grpc {
            service: String::new(),
            tls: Some(tls(number)),
        }),
        10 => Probe::Script(Script {
            command: vec!["/bin/true".to_owned(), "an argument".to_owned()],
            dynamic: number.is_multiple_of(2),
        }),
        11 => Probe::Agent(Agent {
            form: AgentForm::Line,
        }),
        _ => Probe::Agent(Agent {
            form: AgentForm::Http {
                path: "/load".to_owned(),
            },
        }),
    };
    Check {
        port: (number.is_multiple_of(2)).then_some(8080),
        target: match &probe {
            Probe::Icmp | Probe::Script(_) | Probe::Agent(_) => Target::Backend,
            _ if number.is_multiple_of(5) || matches!(forward, Forward::Nat | Forward::FullNat) => {
                Target::Backend
            }
            _ => Target::Vip,
        },
        probe,
        timing: Timing {
            interval,
            fast_interval: Duration::from_millis(900),
            timeout: Duration::from_millis(10 + number % 900),
        },
        judge: Judge {
            rise: 1 + (number % 9) as u32,
            fall: 1 + (number % 7) as u32,
            damping: Duration::from_secs(number % 100),
        },
    }
}

//! Services.

use super::{Section, gauge};

const SERVICE: &[&str] = &["service"];

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Services",
    metrics: &[
        gauge(
            "tandem_service_frontend_info",
            &["service", "frontend"],
            "1 for each VIP, port and protocol of a service.",
            |from, to| {
                for service in &from.services {
                    for frontend in &service.frontends {
                        to.add(&[&service.name, frontend], 1_u32);
                    }
                }
            },
        ),
        gauge(
            "tandem_service_backends",
            SERVICE,
            "Backends that are configured.",
            |from, to| {
                for service in &from.services {
                    to.add(&[&service.name], service.backends);
                }
            },
        ),
        gauge(
            "tandem_service_backends_ready",
            SERVICE,
            "Backends that take new flows. At 0 the service is down.",
            |from, to| {
                for service in &from.services {
                    to.add(&[&service.name], service.backends_ready);
                }
            },
        ),
    ],
};

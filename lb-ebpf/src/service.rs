//! Who listens on this VIP, port and protocol?

use lb_common::abi::{FrontendEntry, find, places};

use crate::{area, family::Family, maps::RUNTIME, settings::settings};

/// Number of the service that listens there, in the generation in force.
#[inline(always)]
pub(crate) fn find_service<F: Family>(frontend: &<F::Frontend as FrontendEntry>::Key) -> Option<u32> {
    let settings = settings();
    let mask = settings.frontend_mask;
    let generation = RUNTIME.get(0)?.generation.load() as u32 & 1;
    let base = generation * (mask + 1);
    let (first, second) = places(F::Frontend::hash(frontend, &settings.flow_seed), mask);
    match find(F::frontends(base + first)?, frontend) {
        Some(service) => Some(service),
        None => find(F::frontends(base + second)?, frontend),
    }
}

/// Number of the service that a flow of this key comes in by: at its address and port, or else in an area.
#[inline(always)]
pub(crate) fn service_of<F: Family>(key: &F::Key) -> Option<u32> {
    match find_service::<F>(&F::frontend(key)) {
        Some(service) => Some(service),
        None => area::find(&F::destination(key)),
    }
}

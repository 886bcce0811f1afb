//! ICMP errors about a backend's replies: they go where the flow is.

use lb_common::{flow_table, reason::Reason};

use crate::{family::Family, schedule, service::find_service, settings::settings};

/// The backend that holds the flow, or that would get it: a director that has just taken over knows few flows yet.
///
/// An error is no sign of life from the client, and anybody can make one up: it neither makes nor prolongs a flow.
#[inline(always)]
pub(crate) fn holder<F: Family>(key: &F::Key) -> Result<u32, Reason> {
    let hash = F::hash(key, &settings().flow_seed);
    if let Some(hit) = flow_table::lookup(&F::flows(), key, hash) {
        return Ok(hit.control.backend());
    }
    let service = find_service::<F>(&F::frontend(key)).ok_or(Reason::NoService)?;
    schedule::choose(service, F::hash(key, &settings().schedule_seed))
}

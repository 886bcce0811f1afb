//! What would make a director fail or be slow.
//!
//! [`gather`] looks at the machine and draws no conclusions; [`examine`] draws them and looks at nothing: [`Facts`] in,
//! [`Finding`]s out.

mod daemon;
mod facts;
mod finding;
mod gather;
mod interface;
mod machine;
mod tables;
#[cfg(test)]
mod tests;

pub use facts::{BpfFs, Daemon, Facts, Interface, Running};
pub use finding::{Finding, Level};
pub use gather::{Scope, gather};

/// Everything there is to say about a machine, good or bad.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let interfaces = facts
        .interfaces
        .iter()
        .flat_map(|interface| interface::examine(interface, &facts.daemon));
    machine::examine(facts)
        .into_iter()
        .chain(interface::any(&facts.interfaces))
        .chain(interfaces)
        .chain(daemon::examine(&facts.daemon))
        .collect()
}

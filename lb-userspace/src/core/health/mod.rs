//! Health: from the outcomes of single probes to what a backend, and then a service, can be trusted with.
//!
//! ```text
//!  outcomes ──▶ Tracker ──▶ verdict of a check ──▶ compose ──▶ health of a backend ──▶ Pool ──▶ quorum of a service
//!             rise, fall,                       all, any,                          hysteresis,
//!             damping                           at least n                         fail, all, sorry
//! ```
//!
//! [`Outliers`] finds backends that leave connections unanswered or refuse them, whatever their checks say.
//!
//! [`Hearsay`] is what other directors have found, which counts until there is an own outcome.
//!
//! [`Monitor`] says when which probe is to be run and what its outcome means: one probe for a target, however many services
//! watch it. It does no I/O and knows no clock: `now` is monotonic, counted from any fixed point.

mod compose;
mod hearsay;
mod monitor;
mod outlier;
mod pool;
mod recent;
mod schedule;
mod settings;
#[cfg(test)]
mod simulator;
mod target;
mod tracker;

pub use self::{
    compose::{Finding, compose},
    hearsay::{Found, Hearsay, Like, Saying},
    monitor::{Input, Monitor, Output, Report, Watch, WatchKey},
    outlier::{Lately, Outliers},
    pool::{Pool, Standing},
    recent::Recent,
    settings::{
        Agent, AgentForm, BodyMatch, Check, Dns, Grpc, Health, Http, Judge, Policy, Probe, RecordType,
        Require, Script, Smtp, Start, Target, Timing, Tls, Trust, Udp, Weights,
    },
    target::{Outcome, ProbeTarget, Route, Share, Success},
    tracker::{Tracker, Verdict},
};

//! Health checks: runs probes on a thread of its own, and tells what becomes of them.
//!
//! `core::health` decides which probe is run when and what its outcome means; here it is run. A file for each kind of
//! probe. Each is bounded in time (by its caller) and in what it reads; what comes from the other end is never trusted.

mod agent;
mod dns;
mod grpc;
mod http;
mod icmp;
mod marks;
mod peer;
mod runner;
mod script;
mod smtp;
mod tcp;
#[cfg(test)]
mod tests;
mod thread;
mod tls;
mod udp;

pub(crate) use self::http::regex;
pub use self::{
    marks::Marks,
    thread::{News, Prober, Watches},
};

//! What decides: pure functions and state machines, with no I/O and with the clock passed in.
//!
//! # Architecture invariant
//! Nothing in here imports `config`, `datapath`, `net`, `probe`, `api`, `cli` or `daemon`, and nothing reads a clock,
//! a random source, a file or a socket.

// What the clippy.toml of the workspace forbids, it forbids here alone.
#![warn(clippy::disallowed_methods)]

pub mod backend;
pub mod drain;
pub mod event;
pub mod fragments;
pub mod frame;
pub mod ha;
pub mod health;
pub mod load;
pub mod model;
pub mod neighbour;
pub mod order;
pub mod plan;
pub mod schedule;
pub mod seal;
pub mod serial;
pub mod slots;
pub mod sync;
pub mod timeouts;
pub mod vrrp;
pub mod way;

//! Tandem's daemon and command line, as a library.
//!
//! Arrows run one way: `core` decides and knows nothing of I/O; `config`, `datapath`, `net` and `notify` know `core`;
//! `daemon` ties them; `api` is what the daemon tells, and `cli` shows it. `bench` measures, and nobody but `cli` knows it.

pub mod api;
#[cfg(test)]
mod awaited;
pub mod bench;
mod capability;
pub mod cli;
pub mod config;
pub mod core;
pub mod daemon;
pub mod datapath;
pub mod doctor;
mod io;
pub mod metrics;
pub mod net;
pub mod notify;
pub mod probe;

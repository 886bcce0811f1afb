//! Measurements: `cargo xtask bench`, the quick set of the [`page`] unless something else is asked for.
//!
//! What `tandem bench` measures with is `lb_userspace::bench`; here are the lab around it, and those beside whom Tandem is measured.
//!
//! A *case* is a program behind a [`front`], with a [`template`] of its packets and what must happen to them.
//! [`measure`] runs all cases in turn, again and again, and checks the counters; [`fastpath`] says which cases there
//! are, [`report`] shows what came out.

pub mod compare;
pub mod connections;
pub mod csv;
pub mod fastpath;
pub mod ha;
pub mod health;
pub mod latency;
pub mod line;
pub mod measure;
pub mod memory;
pub mod page;
pub mod picture;
pub mod reaction;
pub mod report;
pub mod scale;
pub mod subject;
pub mod sync;
pub mod throughput;
pub mod world;

#[path = "../../../lb-ebpf/src/bin/bench_xdp/choice.rs"]
mod choice;

pub use lb_userspace::bench::{front, machine, stats, template};

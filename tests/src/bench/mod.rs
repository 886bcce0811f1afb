//! Measurements: `cargo xtask bench`, the quick set of the [`page`] unless something else is asked for.
//!
//! What `tandem bench` measures with is `lb_userspace::bench`; here are the lab around it, and those beside whom Tandem is measured.

pub mod connections;
pub mod ha;
pub mod health;
pub mod latency;
pub mod line;
pub mod page;
pub mod reaction;
pub mod scale;
pub mod slide;
pub mod subject;
pub mod sync;
pub mod throughput;

#[path = "../../../lb-ebpf/src/bin/bench_xdp/choice.rs"]
mod choice;

pub use lb_userspace::bench::{
    fastpath::{self, measure, memory, report, world},
    front, machine, picture, result, stats, template,
};

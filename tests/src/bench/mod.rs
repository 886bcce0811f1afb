//! Measurements: `cargo xtask bench`, the quick set of the [`page`] unless something else is asked for.
//!
//! A *case* is a program behind a [`front`], with a [`template`] of its packets and what must happen to them.
//! [`measure`] runs all cases in turn, again and again, and checks the counters; [`fastpath`] says which cases there
//! are, [`report`] shows what came out.

pub mod compare;
pub mod connections;
pub mod csv;
pub mod fastpath;
pub mod front;
pub mod ha;
pub mod health;
pub mod line;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod page;
pub mod picture;
pub mod report;
pub mod stats;
pub mod subject;
pub mod sync;
pub mod template;
pub mod throughput;
pub mod world;

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the sink looks for buckets, and tests look where it finds them"
    )
)]
#[path = "../../../lb-ebpf/src/bin/bench_xdp/histogram.rs"]
mod histogram;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the front draws, and tests look at what it draws")
)]
#[path = "../../../lb-ebpf/src/bin/bench_xdp/packet_source.rs"]
mod packet_source;
#[path = "../../../lb-ebpf/src/bin/bench_xdp/path.rs"]
mod path;

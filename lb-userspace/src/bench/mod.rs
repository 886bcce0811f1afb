//! What measures: packets in memory, packets out of one interface and into another; the arithmetic of results, and how they are kept.
//!
//! `tandem bench` measures with it in memory ([`fastpath`]), on [`interfaces`] and on a [`live`] director; the project's own
//! benchmarks (package `lb-tests`) measure with it in memory and in the lab. What came out is kept, compared and drawn by [`result`] and
//! [`picture`]. Nothing here changes anything that would outlive the process: programs are attached by links
//! that go with it, and the kernel's stopwatch stops with it, however it ends.

pub mod fastpath;
pub mod frames;
pub mod front;
pub mod generator;
pub mod interfaces;
pub mod live;
pub mod machine;
pub mod picture;
pub mod result;
pub mod search;
pub mod sink;
mod socket;
pub mod stats;
pub mod template;
pub mod trial;

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the sink looks for buckets, and tests look where it finds them"
    )
)]
#[path = "../../../lb-ebpf/src/bin/bench_xdp/histogram.rs"]
mod histogram;
#[path = "../../../lb-ebpf/src/bin/bench_xdp/packet_source.rs"]
mod packet_source;
#[path = "../../../lb-ebpf/src/bin/bench_xdp/path.rs"]
mod path;

//! The real `tandem`, against the real API server and on real interfaces.

mod answers;
mod bench;
mod bench_results;
mod canned;
mod doctor;
mod exit;
mod import;
mod packaging;

//! Any frame at all, against the parser that the XDP program runs.
//!
//! `cargo +nightly fuzz run parse` (with a compiler that has no sanitizer runtime: `-s none`). What it finds worth
//! keeping goes into `corpus/parse`, which the ordinary tests replay.
#![no_main]

#[path = "../oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|frame: &[u8]| oracle::check(frame));

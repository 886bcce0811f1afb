//! Any payload of a sync datagram: read in full, or refused.
#![no_main]

#[path = "../sync_oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let _ = oracle::read(payload);
});

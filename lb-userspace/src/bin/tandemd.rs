//! The `tandemd` binary.
fn main() {}

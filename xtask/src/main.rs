//! The project's own commands: `cargo xtask setup|build|test|demo|bench|lint`.
fn main() {}

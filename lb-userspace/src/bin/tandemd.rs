//! The daemon's binary.

fn main() -> std::process::ExitCode {
    lb_userspace::daemon::main()
}

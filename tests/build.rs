//! Builds the XDP programs that the benchmarks run beside the daemon's.

fn main() {
    lb_ebpf_builder::build_or_exit(&["bench-xdp"]);
}

//! Builds the programs that the daemon and the command line embed.

fn main() {
    lb_ebpf_builder::build_or_exit(&["tandem-xdp", "decap-xdp", "check-path", "bench-xdp"]);
}

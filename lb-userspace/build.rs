//! Builds the programs that the daemon embeds.

fn main() {
    lb_ebpf_builder::build_or_exit(&["tandem-xdp", "decap-xdp", "check-path"]);
}

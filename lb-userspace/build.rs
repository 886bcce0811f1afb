//! Builds the XDP program that the daemon embeds.

fn main() {
    lb_ebpf_builder::build_or_exit(&["tandem-xdp"]);
}

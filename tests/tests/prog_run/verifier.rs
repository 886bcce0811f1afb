//! How much work the programs are to the kernel's verifier, which gives up at a million instructions.

use lb_common::abi::{WatchFilter, names};
use lb_tests::prog_run::{Rig, SIZES};

/// Above this, what is seldom run has to move into functions of its own: see `lb_ebpf`'s `outcome.rs`. Older kernels take
/// several times as many steps for the same program as new ones.
const MOST: u32 = 300_000;

fn assert_modest(name: &str, program: &aya::programs::Xdp) {
    let facts = program.info().expect("the kernel tells of its programs");
    let verified = facts
        .verified_instruction_count()
        .expect("since Linux 5.16 the kernel tells");
    let jited = facts.size_jitted();
    println!("{name}: {verified} instructions verified, {jited} bytes of machine code");
    assert!(
        (1..=MOST).contains(&verified),
        "the verifier goes through {verified} instructions of `{name}`, and {MOST} are to be the most"
    );
}

#[test]
fn no_program_asks_too_much_of_the_verifier() {
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    assert_modest(names::PROGRAM, rig.kernel.program().expect("it was loaded"));
    let plan = rig.kernel.watch_plan(&SIZES);
    let (mut watch, _) = plan
        .load(&WatchFilter::default())
        .expect("the form that tells of packets");
    assert_modest(names::WATCHED_PROGRAM, watch.program().expect("it was loaded"));
}

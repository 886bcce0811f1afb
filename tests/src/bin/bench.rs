//! `cargo xtask bench`.

use lb_tests::bench::{fastpath, machine, measure, report};

fn main() -> anyhow::Result<()> {
    machine::pin(None)?;
    let (mut worlds, cases) = fastpath::prepare(&fastpath::Plan {
        flows: 1_000_000,
        scale: true,
    })?;
    let effort = measure::Effort {
        rounds: 5,
        turn: 60e6,
        new_flows: 1 << 16,
    };
    let out = measure::measure(cases, &mut worlds, &effort, |n| eprintln!("round {n}"))?;
    report::print(&out);
    Ok(())
}

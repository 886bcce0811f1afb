//! The demonstration's acts of the pair, by themselves.

use anyhow::{Result, ensure};
use lb_tests::demo::{Screen, pair};

#[test]
fn the_pair_of_the_demonstration_loses_nothing() -> Result<()> {
    let (failover, handover) = pair::run(&mut Screen::new())?;
    println!("{failover:?} {handover:?}");
    ensure!(
        handover.packets > 1000 && handover.lost_packets == 0,
        "{handover:?}"
    );
    ensure!(
        failover.reset == 0 && failover.kept == failover.held && failover.known == failover.held,
        "{failover:?}"
    );
    // Noise apart, it is some 50 ms.
    ensure!(failover.gap_ms < 5000.0, "{failover:?}");
    Ok(())
}

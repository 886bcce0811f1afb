//! Who is what.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use lb_tests::{Host, Tandem, wait_for};
use serde_json::Value;

/// For what ought to happen within a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the director is in its first instance.
pub(crate) fn role(tandem: &Tandem) -> Option<String> {
    let view = tandem.ask(&["ha"]).ok()?;
    Some(view["instances"][0]["role"].as_str()?.to_owned())
}

/// Waits until the director is this.
pub(crate) fn expect_role(tandem: &Tandem, expected: &str) -> Result<()> {
    let reached = wait_for(PATIENCE, format!("the director to be {expected}"), || {
        role(tandem).as_deref() == Some(expected)
    });
    reached.map_err(|timeout| {
        anyhow::anyhow!(
            "{timeout}; it says:\n{}",
            tandem.show(&["ha"]).unwrap_or_default()
        )
    })
}

/// Waits until the host has this address, or has it no more.
pub(crate) fn expect_holds(host: &Host, vip: impl Into<IpAddr>, expected: bool) -> Result<()> {
    let vip: IpAddr = vip.into();
    let what = if expected { "hold" } else { "give up" };
    wait_for(PATIENCE, format!("{} to {what} {vip}", host.name()), || {
        host.has_address(vip).is_ok_and(|has| has == expected)
    })?;
    Ok(())
}

/// Waits until the director hears all others, and they have proven who they are.
pub(crate) fn expect_peers(tandem: &Tandem, count: usize) -> Result<()> {
    let proven = |peer: &Value| peer["alive"] == true && peer["proven"] == true;
    wait_for(PATIENCE, format!("{count} other directors"), || {
        let peers = tandem
            .ask(&["ha"])
            .ok()
            .and_then(|view| view["peers"].as_array().cloned());
        peers.is_some_and(|peers| peers.iter().filter(|peer| proven(peer)).count() == count)
    })?;
    Ok(())
}

/// Events of this kind so far.
pub(crate) fn count(tandem: &Tandem, kind: &str) -> Result<usize> {
    let events = tandem.ask(&["events", "--kind", kind])?;
    Ok(events.as_array().map_or(0, Vec::len))
}

pub(crate) fn expect_events(tandem: &Tandem, kind: &str, expected: usize) -> Result<()> {
    wait_for(PATIENCE, format!("{expected} events {kind}"), || {
        count(tandem, kind).is_ok_and(|count| count >= expected)
    })?;
    Ok(())
}

//! With real keepalived on the other side, in every role.

use std::net::IpAddr;

use anyhow::Result;
use lb_tests::{
    Keepalived, Tandem,
    topology::{Pair, VIP4, VIP6},
};

use crate::roles::{PATIENCE, expect_holds, expect_role};

/// Two virtual routers of keepalived, one for each family, that move together as our instance's do.
pub(crate) fn keepalived(priority: u8, more: [&str; 2]) -> String {
    let instance = |name: &str, vip: IpAddr, more: &str| {
        format!(
            "vrrp_instance {name} {{\n  state BACKUP\n  interface eth0\n  virtual_router_id 51\n  priority {priority}\n  \
             advert_int 0.1\n  {more}\n  virtual_ipaddress {{\n    {vip}\n  }}\n}}\n"
        )
    };
    let [more4, more6] = more;
    format!(
        "global_defs {{\n  vrrp_version 3\n}}\nvrrp_sync_group pair {{\n  group {{\n    front4\n    front6\n  }}\n}}\n{}{}",
        instance("front4", VIP4.into(), more4),
        instance("front6", VIP6.into(), more6)
    )
}

/// The holder of both VIPs is the first director, or the second.
pub(crate) fn expect_holder(pair: &Pair, holder: usize) -> Result<()> {
    for (number, host) in pair.directors.iter().enumerate() {
        for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
            expect_holds(host, vip, number == holder)?;
        }
    }
    Ok(())
}

pub(crate) fn tandem(pair: &Pair, priority: u8, more: &str) -> String {
    let more = format!("advert_interval = \"100ms\"\nfailback = \"immediate\"\n{more}");
    pair.config(0, &Pair::front(priority, &more))
}

#[test]
fn keepalived_and_tandem_stand_in_for_each_other() -> Result<()> {
    let pair = Pair::build("ha-keepalived", 0, 1)?;
    let [ours, theirs] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    // We are Active, and it is Backup.
    let a = Tandem::start(ours, &tandem(&pair, 150, ""))?;
    expect_role(&a, "active")?;
    let b = Keepalived::start(theirs, &keepalived(100, ["", ""]))?;
    expect_holder(&pair, 0)?;
    // We say goodbye; it takes over.
    a.process().terminate(PATIENCE)?;
    expect_holder(&pair, 1)?;
    // We come back and preempt.
    let a = Tandem::start_again(ours)?;
    expect_role(&a, "active")?;
    expect_holder(&pair, 0)?;
    // We are killed; it takes over.
    a.process().kill()?;
    for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
        expect_holds(theirs, vip, true)?;
    }
    // We are back with a lower priority, and are Backup.
    let a = Tandem::start(ours, &tandem(&pair, 50, ""))?;
    expect_role(&a, "backup")?;
    expect_holder(&pair, 1)?;
    // It gets a lower priority still; we take over.
    b.reload(&keepalived(20, ["", ""]))?;
    expect_role(&a, "active")?;
    expect_holder(&pair, 0)?;
    // And a higher one again.
    b.reload(&keepalived(200, ["", ""]))?;
    expect_role(&a, "backup")?;
    expect_holder(&pair, 1)?;
    // It says goodbye; we take over.
    b.process().terminate(PATIENCE)?;
    expect_role(&a, "active")?;
    expect_holder(&pair, 0)?;
    // It comes back, and is killed.
    let b = Keepalived::start(theirs, &keepalived(200, ["", ""]))?;
    expect_role(&a, "backup")?;
    expect_holder(&pair, 1)?;
    b.kill()?;
    expect_role(&a, "active")?;
    println!("{}", a.show(&["ha"])?);
    Ok(())
}

#[test]
fn both_speak_unicast() -> Result<()> {
    let pair = Pair::build("ha-unicast", 0, 1)?;
    let [ours, theirs] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    let link_local = |host: &lb_tests::Host| -> Result<String> {
        let output = host
            .command("ip")?
            .args(["-o", "-6", "address", "show", "dev", "eth0", "scope", "link"])
            .output()?;
        let shown = String::from_utf8(output.stdout)?;
        let address = shown
            .split_whitespace()
            .find(|word| word.starts_with("fe80"))
            .unwrap_or_default();
        Ok(address.trim_end_matches("/64").to_owned())
    };
    let (ours6, theirs6) = (link_local(ours)?, link_local(theirs)?);
    let peers = format!("peers = [\"192.0.2.3\", \"{theirs6}\"]");
    let a = Tandem::start(ours, &tandem(&pair, 150, &peers))?;
    expect_role(&a, "active")?;
    let unicast =
        |source: &str, peer: &str| format!("unicast_src_ip {source}\n  unicast_peer {{\n    {peer}\n  }}");
    let more = [unicast("192.0.2.3", "192.0.2.2"), unicast(&theirs6, &ours6)];
    let b = Keepalived::start(theirs, &keepalived(100, [&more[0], &more[1]]))?;
    expect_holder(&pair, 0)?;
    a.process().terminate(PATIENCE)?;
    expect_holder(&pair, 1)?;
    let a = Tandem::start(ours, &tandem(&pair, 50, &peers))?;
    expect_role(&a, "backup")?;
    b.process().terminate(PATIENCE)?;
    expect_role(&a, "active")?;
    expect_holder(&pair, 0)
}

//! The test that matters: slow transfers go on while their directors die one after the other, and every byte is compared.

use std::{env, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    client::{Course, Transfers},
    topology::{VIP4, VIP6},
    wait_for,
};

use crate::{
    roles::expect_role,
    sync::{Cluster, SYNC, expect_in_sync},
};

/// Transfers of each family, and bytes of each, at a kilobyte a second.
const USUAL: (usize, usize) = (300, 20_000);
/// The same at full size, where the environment has `TANDEM_FULL`: ten thousand connections.
const FULL: (usize, usize) = (5_000, 75_000);
/// For all of them to begin.
const BEGINNING: Duration = Duration::from_secs(60);

/// How a director dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// Its cables are cut, and its daemon is killed.
    Power,
    /// Its daemon is killed; its kernel goes on forwarding.
    Kill,
}

fn kill(cluster: &Cluster, director: usize, tandem: &Tandem, death: Death) -> Result<()> {
    match death {
        Death::Power => cluster.cut_power(director, tandem),
        Death::Kill => {
            tandem.process().kill()?;
            Ok(())
        }
    }
}

/// Transfers run; the backends' weights change, so that hashing would send half of the connections elsewhere; the Active
/// dies; it returns with empty tables; and the other one dies.
fn outlive(name: &str, method: &'static str, deaths: [Death; 2]) -> Result<()> {
    let (number, length) = if env::var_os("TANDEM_FULL").is_some() {
        FULL
    } else {
        USUAL
    };
    let mut cluster = Cluster::build(name, 1, 2)?;
    cluster.method = method;
    let _servers = cluster.pair.serve_http_everywhere()?;
    if method.contains("tunnel") {
        for backend in &cluster.pair.backends {
            Tandem::decap(backend, &["--from", "192.0.2.0/24", "--from", "2001:db8::/64"])?;
        }
    }
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_role(&a, "active")?;
    expect_in_sync(&a)?;
    expect_in_sync(&b)?;

    let client = &cluster.pair.clients[0];
    let transfers = [VIP4.into(), VIP6.into()]
        .map(|vip: std::net::IpAddr| Transfers::start(client, (vip, 80).into(), number, length));
    let transfers: Vec<Transfers> = transfers.into_iter().collect::<Result<_, _>>()?;
    let courses = || -> Vec<Course> { transfers.iter().map(Transfers::course).collect() };
    let open = || courses().iter().map(Course::open).sum::<u64>();
    let all = 2 * number as u64;
    wait_for(BEGINNING, "all transfers to be under way", || open() == all)
        .with_context(|| format!("{:?}", courses()))?;
    let doomed: u64 = courses()
        .iter()
        .filter_map(|course| course.under_way.get("backend1"))
        .sum();
    ensure!(doomed > all / 4, "{:?}", courses());
    for (director, tandem) in [&a, &b].into_iter().enumerate() {
        tandem.reload(&cluster.config(director, SYNC, 0))?;
    }

    kill(&cluster, 0, &a, deaths[0])?;
    expect_role(&b, "active")?;
    cluster.forget(0)?;
    cluster.pair.reconnect(0)?;
    let a = cluster.start(0, SYNC, 0)?;
    expect_in_sync(&a)?;
    expect_role(&a, "backup")?;
    println!(
        "{}",
        b.show(&["sync", "verify"])
            .unwrap_or_else(|error| error.to_string())
    );
    ensure!(open() > 0, "the transfers are over too soon: {:?}", courses());
    kill(&cluster, 1, &b, deaths[1])?;
    expect_role(&a, "active")?;
    let at_the_end = open();

    for transfers in transfers {
        let course = transfers.finish()?;
        ensure!(
            course.complete == number as u64 && course.failures() == 0,
            "{course:?}\n{}",
            a.show(&["sync"])?
        );
    }
    println!(
        "{name}: {all} transfers, {at_the_end} of them under way when the second director died: all complete"
    );
    Ok(())
}

#[test]
fn transfers_outlive_both_directors() -> Result<()> {
    outlive("sync-power", "", [Death::Power, Death::Power])
}

#[test]
fn transfers_through_tunnels_outlive_both_directors() -> Result<()> {
    outlive("sync-tunnel", "forward = \"tunnel\"", [Death::Power, Death::Kill])
}

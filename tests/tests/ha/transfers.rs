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
    handover::expect_proven,
    roles::expect_role,
    sync::{Cluster, SYNC, expect_in_sync},
    translated::Translation,
};

/// Transfers of each family, and bytes of each, at a kilobyte a second.
const USUAL: (usize, usize) = (300, 20_000);
/// The same at full size, where the environment has `TANDEM_FULL`: ten thousand connections.
const FULL: (usize, usize) = (5_000, 75_000);
/// For all of them to begin.
const BEGINNING: Duration = Duration::from_secs(60);

/// How a director ceases to be Active.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Its cables are cut, and its daemon is killed.
    Power,
    /// Its daemon is killed; its kernel goes on forwarding.
    Kill,
    /// An operator hands the VIPs over.
    Handover,
}

fn end(cluster: &Cluster, director: usize, tandem: &Tandem, how: End) -> Result<()> {
    match how {
        End::Power => cluster.cut_power(director, tandem),
        End::Kill => {
            tandem.process().kill()?;
            Ok(())
        }
        End::Handover => {
            expect_proven(tandem)?;
            println!("{}", tandem.ask(&["ha", "handover"])?["handover"]);
            Ok(())
        }
    }
}

/// How packets reach the backends.
#[derive(Debug, Clone, Copy)]
enum Way {
    Direct,
    Tunnel,
    Translated(Translation),
}

/// Transfers run; the backends' weights change, so that hashing would send half of the connections elsewhere; the Active
/// dies; it returns with empty tables; and the other one dies, or gives the VIPs up.
fn outlive(name: &str, way: Way, ends: [End; 2]) -> Result<()> {
    let (number, length) = if env::var_os("TANDEM_FULL").is_some() {
        FULL
    } else {
        USUAL
    };
    let mut cluster = Cluster::build(name, 1, 2)?;
    let _servers = match way {
        Way::Direct => cluster.pair.serve_http_everywhere()?,
        Way::Tunnel => {
            cluster.method = "forward = \"tunnel\"";
            for backend in &cluster.pair.backends {
                Tandem::decap(backend, &["--from", "192.0.2.0/24", "--from", "2001:db8::/64"])?;
            }
            cluster.pair.serve_http_everywhere()?
        }
        Way::Translated(translation) => {
            cluster.translation = Some(translation);
            translation.serve(&cluster.pair)?
        }
    };
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

    end(&cluster, 0, &a, ends[0])?;
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
    end(&cluster, 1, &b, ends[1])?;
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
        "{name}: {all} transfers, {at_the_end} of them under way when the second director was Active no more: all complete"
    );
    Ok(())
}

#[test]
fn transfers_outlive_both_directors() -> Result<()> {
    outlive("sync-power", Way::Direct, [End::Power, End::Power])
}

#[test]
fn transfers_through_tunnels_outlive_both_directors() -> Result<()> {
    outlive("sync-tunnel", Way::Tunnel, [End::Power, End::Kill])
}

/// The backends' way back moves with the VIPs.
#[test]
fn transfers_through_nat_outlive_both_directors() -> Result<()> {
    let nat = Way::Translated(Translation::Nat);
    outlive("sync-nat", nat, [End::Power, End::Handover])
}

/// So do the addresses of the pool, of whose ports each director gives out its half.
#[test]
fn transfers_through_full_nat_outlive_both_directors() -> Result<()> {
    let full = Way::Translated(Translation::FullNat);
    outlive("sync-full-nat", full, [End::Kill, End::Power])
}

//! People are told by mail of VIPs that come and go, and of what is wrong between directors.

use anyhow::{Context as _, Result, ensure};
use lb_tests::{Tandem, server::MailServer, topology::Pair, wait_for};

use crate::roles::{PATIENCE, expect_peers, expect_role};

#[test]
fn takeovers_releases_and_anomalies_are_mailed() -> Result<()> {
    let pair = Pair::build("ha-mail", 1, 1)?;
    let client = &pair.clients[0];
    let address = client.ipv4().context("an address")?;
    let mail = MailServer::start(client, (address, 25).into(), None)?;
    let more = Pair::cluster(&pair.make_key()?, "");
    let start = |director: usize, priority: u8| {
        let receiver = format!(
            "[[events.mail]]\nfrom = \"tandem@example.net\"\nto = [\"ops@example.net\"]\nserver = \"{address}\"\n\
             security = \"none\"\ninterval = \"1s\"\nseverity = \"notice\"\nkinds = [\"ha.*\"]\n\n"
        );
        let front = Pair::front(priority, "advert_interval = \"100ms\"\nfailback = \"never\"");
        let config = pair.config(director, &(more.clone() + &receiver + &front));
        Tandem::start(&pair.directors[director], &config)
    };
    let a = start(0, 150)?;
    expect_role(&a, "active")?;
    let b = start(1, 100)?;
    for director in [&a, &b] {
        expect_peers(director, 1)?;
    }
    let expect = |director: &str, severity: &str, what: &str| -> Result<()> {
        wait_for(PATIENCE, format!("{director}'s mail of {what}"), || {
            let received = mail.received();
            let mut mails = received
                .split("Director ")
                .filter(|mail| mail.starts_with(director));
            mails.any(|mail| {
                let mut lines = mail.lines();
                lines.any(|line| line.contains(severity) && line.contains(what))
            })
        })
        .with_context(|| mail.received())
    };
    expect("a tells", "warning", "front: backup -> active")?;

    // A path is silent, and nobody takes over for it.
    pair.part("eth0", true)?;
    expect("b tells", "critical", "front: ")?;
    pair.part("eth0", false)?;

    a.ask(&["ha", "handover"])?;
    expect_role(&b, "active")?;
    expect("b tells", "warning", "front: backup -> active")?;
    expect("a tells", "notice", "front: active -> backup")?;
    let receivers = b.ask(&["events", "receivers"])?;
    ensure!(receivers[0]["failed"] == 0, "{receivers}");
    Ok(())
}

//! What happens is told: to whoever follows, to a program, by mail.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    certificate::{Authority, Validity},
    server::MailServer,
    topology::OneDirector,
    wait_for,
};
use serde_json::Value;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_happens_is_told_to_followers_programs_and_people() -> Result<()> {
    let lab = OneDirector::build("e2e-events", 1, 2)?;
    let directory = lab.director.run_dir().to_owned();
    let authority = Authority::new(&directory.join("tls"))?;
    let address = lab.clients[0].ipv4().context("an address")?;
    let certificate = authority.issue(&[&address.to_string()], Validity::Long)?;
    let mail = MailServer::start(&lab.clients[0], (address, 587).into(), Some(&certificate))?;
    let told = directory.join("told");
    let receivers = format!(
        "\n[[events.hook]]\ncommand = [\"/bin/sh\", \"-c\", \"echo $TANDEM_EVENT $TANDEM_OBJECT >> {}\"]\nkinds = [\"address.*\"]\n\
         [[events.mail]]\nfrom = \"Tandem <tandem@example.net>\"\nto = [\"ops@example.net\"]\nserver = \"{address}\"\n\
         interval = \"1s\"\nca_file = \"{}\"\n",
        told.display(),
        authority.file().display()
    );
    let tandem = Tandem::start(&lab.director, &(config::web(&lab, &[100, 100]) + &receivers))?;

    let mut follower = tandem
        .tandem(&["events", "-f", "-j", "--kind", "address.*"])?
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(follower.stdout.take().context("it is piped")?).lines();
    let (heard, hear) = mpsc::channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| heard.send(line)));
    let backend = lab.backends[0].ipv4().context("an address")?.to_string();
    lab.backends[0].link_down("eth0")?;
    let mut events = Vec::new();
    loop {
        let line = hear
            .recv_timeout(PATIENCE)
            .with_context(|| format!("no such event among {events:?}"))?;
        let event: Value = serde_json::from_str(&line)?;
        let done = event["kind"] == "address.unreachable" && event["object"] == *backend;
        events.push(event);
        if done {
            break;
        }
    }
    follower.kill()?;
    follower.wait()?;

    let line = format!("address.unreachable {backend}");
    wait_for(PATIENCE, "the program to be told", || {
        fs::read_to_string(&told).is_ok_and(|text| text.lines().any(|found| found == line))
    })?;
    wait_for(PATIENCE, "the mail", || {
        mail.received()
            .contains(&format!("{backend}: backend not reachable"))
    })?;
    ensure!(
        mail.received().contains("To: ops@example.net"),
        "{}",
        mail.received()
    );
    let receivers = tandem.ask(&["events", "receivers"])?;
    ensure!(
        receivers[1]["kind"] == "mail" && receivers[1]["failed"] == 0,
        "{receivers}"
    );
    let shown = tandem.show(&["events", "--severity", "warning"])?;
    ensure!(shown.contains(&backend), "{shown}");
    Ok(())
}

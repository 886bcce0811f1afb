//! What the documents tell people to type does what they promise, run as it stands there.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Keepalived, Tandem,
    bench::page::documents,
    client::{Crowd, Dial, Greeting},
    server::Nginx,
    topology::{OneDirector, Pair, VIP4, VIP6},
    wait_for,
};

const CONNECTIONS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(5);

fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The first fenced block of `language` behind `heading`.
fn block<'a>(text: &'a str, heading: &str, language: &str) -> Result<&'a str> {
    let (_, section) = text
        .split_once(heading)
        .with_context(|| format!("no {heading}"))?;
    let (_, block) = section
        .split_once(&format!("```{language}\n"))
        .context("no block")?;
    Ok(block.split("```").next().unwrap_or_default())
}

/// A director, a client, and two servers that were told what a document says, and nothing else.
struct Place {
    servers: Vec<(Host, Nginx)>,
    lab: OneDirector,
}

impl Place {
    fn build(name: &str, commands: &str, vips: &[IpAddr]) -> Result<Self> {
        let listen: Vec<SocketAddr> = vips.iter().map(|&vip| (vip, 80).into()).collect();
        Self::of_servers(name, commands, &listen)
    }

    fn of_servers(name: &str, commands: &str, listen: &[SocketAddr]) -> Result<Self> {
        let lab = OneDirector::build(name, 1, 0)?;
        let server = |number: u8| -> Result<(Host, Nginx)> {
            let host = lab.lab.host(&format!("backend{number}"))?;
            let addresses = [
                format!("192.0.2.{}/24", 20 + number),
                format!("2001:db8::b:{number}/64"),
            ];
            host.connect(&lab.switch, &addresses.each_ref().map(String::as_str))?;
            tell(&host, commands)?;
            let nginx = Nginx::start(&host, listen, None)?;
            Ok((host, nginx))
        };
        let servers = [1, 2].map(server).into_iter().collect::<Result<_>>()?;
        Ok(Self { servers, lab })
    }

    /// Two of three connections reach the first backend, whose weight is twice the other's.
    fn expect_shares(&self, vip: IpAddr) -> Result<()> {
        self.expect_shares_of(vip, 2, 3)
    }

    /// So many of so many connections reach the first backend.
    fn expect_shares_of(&self, vip: IpAddr, part: u64, whole: u64) -> Result<()> {
        let dial = Dial::new((vip, 80).into(), Greeting::Http);
        let crowd = Crowd::open(&self.lab.clients[0], &dial, CONNECTIONS)?;
        ensure!(crowd.len() == CONNECTIONS, "{:?}", crowd.failures());
        let shares = crowd.by_backend();
        ensure!(shares.len() == self.servers.len(), "{shares:?}");
        // Binomial: the standard deviation is 8; five of them are out of reach for a fair hash.
        let got = shares.get("backend1").copied().unwrap_or(0);
        ensure!(
            got.abs_diff(CONNECTIONS as u64 * part / whole) <= 45,
            "{shares:?}"
        );
        Ok(())
    }
}

fn tell(host: &Host, commands: &str) -> Result<()> {
    let installed = lb_tests::tandem::binary("tandemd")?;
    let mut path = installed
        .parent()
        .context("it lies in a directory")?
        .as_os_str()
        .to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = host.command("sh")?;
    let output = shell.args(["-ec", commands]).env("PATH", path).output()?;
    ensure!(
        output.status.success(),
        "{commands}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Words with one blank between them.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_try_of_the_readme_balances_and_shows_what_it_says() -> Result<()> {
    let readme = read("README.md")?;
    let place = Place::build(
        "docs-try",
        block(&readme, "## A first try", "sh")?,
        &[VIP4.into()],
    )?;
    let command = readme
        .lines()
        .find(|line| line.contains("tandemd --interface"))
        .context("no line that starts the daemon")?;
    let arguments = command
        .split_whitespace()
        .skip_while(|word| !word.starts_with("--"));
    let tandem = Tandem::start_with(&place.lab.director, arguments.map(OsString::from))?;
    place.expect_shares(VIP4.into())?;
    wait_for(PATIENCE, "a census that has seen all flows", || {
        tandem
            .ask(&["service"])
            .is_ok_and(|services| services[0]["flows"] == CONNECTIONS)
    })?;
    for object in ["service", "backend"] {
        let shown = tandem.show(&[object])?;
        println!("{shown}");
        let columns = squeezed(shown.lines().next().unwrap_or_default());
        ensure!(
            readme.lines().any(|line| squeezed(line) == columns),
            "README.md shows other columns of `tandem {object}`: {columns}"
        );
    }
    Ok(())
}

/// Every command of the runbook, in its order, as an operator would paste it.
#[test]
fn the_runbook_for_draining_works_as_it_stands() -> Result<()> {
    let page = read("docs/draining.md")?;
    let place = Place::build(
        "docs-drain",
        block(&read("README.md")?, "## A first try", "sh")?,
        &[VIP4.into()],
    )?;
    let config = block(&page, "## What an order is", "toml")?;
    let tandem = Tandem::start(&place.lab.director, config)?;
    let commands: Vec<&str> = page
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .flat_map(str::lines)
        .collect();
    ensure!(commands.len() >= 15, "{commands:?}");
    let binary = lb_tests::tandem::binary("tandem")?;
    for line in commands {
        // A shell takes the quotes apart, as the operator's would.
        let mut shell = place.lab.director.command("sh")?;
        shell
            .args(["-c", &line.replacen("tandem", "\"$0\"", 1)])
            .arg(&binary)
            .env("TANDEM_SOCKET", tandem.socket());
        let output = shell.output()?;
        ensure!(
            output.status.success(),
            "{line}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    ensure!(
        tandem.ask(&["order"])? == serde_json::json!([]),
        "the runbook leaves nothing behind"
    );
    place.expect_shares_of(VIP4.into(), 1, 2)
}

#[test]
fn the_example_of_direct_routing_serves_both_families() -> Result<()> {
    const HEADING: &str = "## What a backend must be told";
    let page = read("docs/direct-routing.md")?;
    let vips = [VIP4.into(), VIP6.into()];
    let place = Place::build("docs-dr", block(&page, HEADING, "sh")?, &vips)?;
    let _tandem = Tandem::start(&place.lab.director, block(&page, HEADING, "toml")?)?;
    for vip in vips {
        place.expect_shares(vip)?;
    }
    Ok(())
}

#[test]
fn the_example_of_tunnels_serves_both_families() -> Result<()> {
    let page = read("docs/forwarding.md")?;
    let vips = [VIP4.into(), VIP6.into()];
    let place = Place::build("docs-tunnel", block(&page, "## Tunnels", "sh")?, &vips)?;
    let config = block(&page, "## Tunnels", "toml")?;
    let _tandem = Tandem::start(&place.lab.director, config)?;
    for vip in vips {
        place.expect_shares(vip)?;
    }
    Ok(())
}

/// The client is behind the director, as the document has it: replies find their way there alone.
#[test]
fn the_example_of_nat_serves() -> Result<()> {
    let page = read("docs/forwarding.md")?;
    let servers = [(Ipv4Addr::UNSPECIFIED, 8080).into()];
    let place = Place::of_servers("docs-nat", block(&page, "## NAT", "sh")?, &servers)?;
    let (director, client) = (&place.lab.director, &place.lab.clients[0]);
    director
        .namespace()
        .ip(&["address add 198.51.100.1/24 dev eth0".to_owned()])?;
    client.namespace().ip(&[
        "address flush dev eth0".to_owned(),
        "address add 198.51.100.2/24 dev eth0".to_owned(),
        "route add default via 198.51.100.1".to_owned(),
    ])?;
    let _tandem = Tandem::start(director, block(&page, "## NAT", "toml")?)?;
    place.expect_shares(VIP4.into())
}

#[test]
fn the_example_of_full_nat_serves() -> Result<()> {
    let page = read("docs/forwarding.md")?;
    let servers = [(Ipv4Addr::UNSPECIFIED, 8080).into()];
    let place = Place::of_servers("docs-full-nat", "", &servers)?;
    let config = block(&page, "## Full NAT", "toml")?;
    let _tandem = Tandem::start(&place.lab.director, config)?;
    place.expect_shares(VIP4.into())
}

/// What was measured is a file, and the documents show that file. TANDEM_BLESS=1 has them show it.
#[test]
fn the_documents_show_the_figures_that_are_kept() -> Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = documents::read(&repository.join(documents::RESULT))?;
    if std::env::var_os("TANDEM_BLESS").is_some() {
        documents::show(&page, &repository)?;
    }
    for (path, wanted) in documents::showing(&page, &repository)? {
        ensure!(
            read(path)? == wanted,
            "{path} shows other figures than {}: `cargo xtask bench page {0} --write .` mends it",
            documents::RESULT
        );
    }
    Ok(())
}

/// The director and the keepalived of the document stand in for each other.
#[test]
fn the_pair_of_the_documents_is_one() -> Result<()> {
    let page = read("docs/ha.md")?;
    let pair = Pair::build("docs-ha", 0, 2)?;
    let [ours, theirs] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    let holds = |host: &Host, vip: IpAddr| -> Result<()> {
        wait_for(PATIENCE, format!("{} to hold {vip}", host.name()), || {
            host.has_address(vip).unwrap_or(false)
        })?;
        Ok(())
    };
    let tandem = Tandem::start(ours, block(&page, "# Two directors", "toml")?)?;
    let _keepalived = Keepalived::start(theirs, block(&page, "## Coming from keepalived", "keepalived")?)?;
    for vip in [VIP4.into(), VIP6.into()] {
        holds(ours, vip)?;
    }
    let shown = tandem.show(&["ha"])?;
    println!("{shown}");
    for line in ["director", "INSTANCE", "front"] {
        ensure!(shown.lines().any(|shown| shown.starts_with(line)), "{shown}");
    }
    let columns = squeezed(
        shown
            .lines()
            .find(|line| line.starts_with("INSTANCE"))
            .unwrap_or_default(),
    );
    ensure!(
        page.lines().any(|line| squeezed(line) == columns),
        "docs/ha.md shows other columns of `tandem ha`: {columns}"
    );
    tandem.process().terminate(PATIENCE)?;
    for vip in [VIP4.into(), VIP6.into()] {
        holds(theirs, vip)?;
    }
    Ok(())
}

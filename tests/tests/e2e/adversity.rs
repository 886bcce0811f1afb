//! Whatever is missing to the daemon or to the command line, it is said in a sentence, and packets go on.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Process, Tandem,
    client::{Crowd, Dial, Greeting},
    tandem::binary,
    topology::{OneDirector, VIP4},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon whose state is on a small disk of its own.
struct SmallDisk {
    process: Process,
    state: PathBuf,
    socket: PathBuf,
}

impl SmallDisk {
    fn start(lab: &OneDirector) -> Result<Self> {
        let director = &lab.director;
        let state = director.run_dir().join("small");
        fs::create_dir_all(&state)?;
        Tandem::write_config(director, &config::web(lab, &[100, 100]))?;
        let socket = director.run_dir().join("tandem.sock");
        let mut command = director.command("sh")?;
        command
            .args([
                "-c",
                "mount -t tmpfs -o size=64k small \"$STATE_DIRECTORY\" && exec \"$0\" \"$@\"",
            ])
            .arg(binary("tandemd")?)
            .arg("--config")
            .arg(director.run_dir().join("tandem.toml"))
            .arg("--socket")
            .arg(&socket)
            .env("STATE_DIRECTORY", &state);
        let process = director.spawn("tandemd", command)?;
        wait_for(PATIENCE, "the daemon", || {
            process.log().contains("configuration in force")
        })?;
        // The disk is mounted where the daemon is, and nowhere else.
        let root = Path::new("/proc").join(process.id().to_string()).join("root");
        let state = root.join(state.strip_prefix("/").unwrap_or(&state));
        Ok(Self {
            process,
            state,
            socket,
        })
    }

    fn run(&self, lab: &OneDirector, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = lab.director.command(binary("tandem")?)?;
        let output = command
            .env("TANDEM_SOCKET", &self.socket)
            .args(arguments)
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
    }
}

#[test]
fn on_a_full_disk_an_order_counts_and_says_that_it_is_not_kept() -> Result<()> {
    let lab = OneDirector::build("e2e-full", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let daemon = SmallDisk::start(&lab)?;
    let filler = daemon.state.join("filler");
    let mut file = File::create(&filler)?;
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0; 1]).is_ok() {}
    drop(file);

    let (code, said) = daemon.run(&lab, &["backend", "drain", "backend1"])?;
    ensure!(
        code == Some(0)
            && said.contains("a restart of the daemon would forget it")
            && said.contains("No space left"),
        "{code:?} {said}"
    );
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let met = Crowd::open(&lab.clients[0], &dial, 30)?.by_backend();
    ensure!(met.get("backend2") == Some(&30), "{met:?}");
    // Another configuration is adopted all the same.
    let (code, said) = daemon.run(&lab, &["config", "apply"])?;
    ensure!(code == Some(0), "{code:?} {said}");

    fs::remove_file(filler)?;
    wait_for(PATIENCE, "the order to be kept", || {
        daemon
            .run(&lab, &["events", "--kind", "order.saved"])
            .is_ok_and(|(_, said)| said.contains("order.saved"))
    })?;
    let kept = fs::read_to_string(daemon.state.join("orders.json"))?;
    ensure!(kept.contains("drain"), "{kept}");
    daemon.process.ensure_running()?;
    Ok(())
}

#[test]
fn output_that_cannot_be_written_is_a_failure_that_says_so() -> Result<()> {
    let lab = OneDirector::build("e2e-output", 0, 1)?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100]))?;
    for arguments in [
        &["status"][..],
        &["backend", "-j"],
        &["config"],
        &["stats", "--all"],
        &["flow"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full")?;
        let output = tandem.tandem(arguments)?.stdout(full).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A list of nothing writes its header.
        ensure!(
            output.status.code() == Some(1) && said.contains("cannot write: No space left"),
            "{arguments:?}: {:?} {said}",
            output.status
        );
    }
    // By a link, so that the device would survive if it were replaced.
    let full = lab.director.run_dir().join("full");
    std::os::unix::fs::symlink("/dev/full", &full)?;
    let rules = lab.director.run_dir().join("rules");
    fs::write(&rules, "-A -t 192.0.2.10:80 -s rr\n")?;
    let output = tandem
        .tandem(&["import", "ipvsadm"])?
        .arg(&rules)
        .args(["--force", "--output"])
        .arg(&full)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1) && said.contains("No space left"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_socket_that_cannot_be_made_and_a_daemon_that_hangs_are_said_to_be() -> Result<()> {
    let lab = OneDirector::build("e2e-hang", 1, 1)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    Tandem::write_config(director, &config::web(&lab, &[100]))?;
    let mut command = director.command("sh")?;
    command
        .args(["-c", "mount -t tmpfs -o ro run /mnt && exec \"$0\" \"$@\""])
        .arg(binary("tandemd")?)
        .arg("--config")
        .arg(director.run_dir().join("tandem.toml"))
        .args(["--socket", "/mnt/tandem/tandem.sock"])
        .env("STATE_DIRECTORY", director.run_dir().join("state"));
    let ending = Tandem::end_of(director, command)?;
    ensure!(
        ending.code == Some(1)
            && ending.said.contains("/mnt/tandem")
            && ending.said.contains("Read-only file system"),
        "{ending:?}"
    );
    ensure!(!director.has_address(VIP4)?, "a start that fails holds no VIP");

    let tandem = Tandem::start_again(director)?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut held = Crowd::open(&lab.clients[0], &dial, 20)?;
    tandem.process().pause()?;
    for arguments in [
        &["status"][..],
        &["backend"],
        &["flow"],
        &["stats"],
        &["events"],
        &["config"],
        &["config", "apply"],
        &["backend", "drain", "backend1", "--force"],
        &["director", "drain", "--exit"],
    ] {
        let begun = Instant::now();
        let output = tandem
            .tandem(&[arguments, &["--timeout", "0.3"]].concat())?
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(5) && said.contains("did not answer within 0.3 seconds"),
            "{arguments:?}: {:?} {said}",
            output.status
        );
        ensure!(
            begun.elapsed() < PATIENCE,
            "{arguments:?} took {:?}",
            begun.elapsed()
        );
    }
    ensure!(held.ask().kept == 20, "packets need no daemon");
    ensure!(Crowd::open(&lab.clients[0], &dial, 10)?.len() == 10);
    tandem.process().resume()?;
    wait_for(PATIENCE, "the daemon to answer again", || {
        tandem.ask(&["status"]).is_ok()
    })?;
    // Whatever was ordered by those who gave up: it answers, and says what stands.
    let orders = tandem.ask(&["order"])?;
    ensure!(orders.is_array(), "{orders}");
    tandem.process().ensure_running().context("after all that")?;
    Ok(())
}

//! The API does what its OpenAPI document says, whatever it is asked.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4},
    wait_for,
};

use crate::config;

const PORT: &str = "8080";
/// What would not come to an end, or end the daemon.
const EXCEPT: &str = "^/v1/(events|packets|exit)$";
/// Requests of each kind.
const EXAMPLES: &str = "15";
/// What is held against the document, and against reason.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method";

/// Requests that are generated from the document: good ones, and such that are not quite.
#[test]
fn generated_requests_get_the_answers_that_the_document_promises() -> Result<()> {
    let schemathesis =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/schemathesis/bin/schemathesis");
    if !schemathesis.is_file() {
        println!("schemathesis is not installed: `cargo xtask setup` does it; nothing was tested");
        return Ok(());
    }
    let lab = OneDirector::build("e2e-openapi", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let mut held = Crowd::open(&lab.clients[0], &Dial::new((VIP4, 80).into(), Greeting::Http), 20)?;
    let mut gateway = lab.director.command("socat")?;
    gateway
        .arg(format!(
            "TCP-LISTEN:{PORT},bind=127.0.0.1,fork,reuseaddr,backlog=64"
        ))
        .arg(format!("UNIX-CONNECT:{}", tandem.socket().display()));
    let gateway = lab.director.spawn("gateway", gateway)?;
    let url = format!("http://127.0.0.1:{PORT}");
    wait_for(Duration::from_secs(10), "the gateway", || {
        let asked = lab.director.command("curl").map(|mut curl| {
            curl.args(["-sf", "-o", "/dev/null"])
                .arg(format!("{url}/v1/status"))
                .status()
        });
        asked.is_ok_and(|status| status.is_ok_and(|status| status.success()))
    })?;
    let work = lab.director.run_dir().join("schemathesis");
    std::fs::create_dir_all(&work)?;
    let mut command: Command = lab.director.command(&schemathesis)?;
    command
        .current_dir(&work)
        .args(["run", &format!("{url}/v1/openapi.json"), "--url", &url])
        .args(["--exclude-path-regex", EXCEPT, "--checks", CHECKS])
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
        ])
        .args([
            "--generation-deterministic",
            "--no-shrink",
            "--no-color",
            "--request-timeout",
            "30",
        ])
        .args(["--warnings", "off"]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    gateway.ensure_running()?;
    // Whatever was ordered meanwhile: the daemon is as well as before, and so are those whom nobody cut off.
    tandem.process().ensure_running()?;
    tandem.ask(&["director", "ready"])?;
    tandem.ask(&["status"])?;
    println!("{:?} after all requests", held.ask());
    Ok(())
}

//! How commands end when something is wrong.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::tandem::binary;

use crate::canned::{Directory, PATIENCE, Said, Server, example, tandem};

/// What asks the daemon.
const ASKING: [&str; 5] = ["status", "service", "backend", "flow", "stats"];

#[test]
fn without_a_daemon_it_is_3() -> Result<()> {
    let directory = Directory::new()?;
    let missing = directory.path().join("missing.sock");
    let dead = directory.path().join("dead.sock");
    drop(UnixListener::bind(&dead)?);
    for socket in [&missing, &dead] {
        for object in ASKING {
            let said = Said::by(&mut tandem(socket, &[object])?)?;
            assert_eq!((said.code, &*said.out), (Some(3), ""), "{said:?}");
            let path = socket.to_str().context("a plain path")?;
            ensure!(
                said.err.starts_with("tandem: tandemd is not running") && said.err.contains(path),
                "{said:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn without_permission_it_is_4() -> Result<()> {
    const NOBODY: u32 = 65_534;
    let server = Server::start()?;
    // Neither this tree nor a private directory need be open to others.
    let directory = Directory::new()?;
    let copy = directory.path().join("tandem");
    fs::copy(binary("tandem")?, &copy)?;
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    open(&copy)?;
    open(directory.path())?;
    open(server.socket().parent().context("a directory")?)?;
    let ask = |socket: &Path, object: &str| {
        let mut command = Command::new(&copy);
        command
            .uid(NOBODY)
            .gid(NOBODY)
            .env("TANDEM_SOCKET", socket)
            .arg(object);
        Said::by(&mut command)
    };
    for object in ASKING {
        let said = ask(&server.socket(), object)?;
        assert_eq!((said.code, &*said.out), (Some(4), ""), "{said:?}");
        ensure!(said.err.starts_with("tandem: no permission to use "), "{said:?}");
    }
    // The mode of the socket is what kept it out.
    fs::set_permissions(server.socket(), fs::Permissions::from_mode(0o666))?;
    assert_eq!(ask(&server.socket(), "status")?.expect()?, example("status.txt")?);
    Ok(())
}

#[test]
fn without_an_answer_it_is_5() -> Result<()> {
    let directory = Directory::new()?;
    // The kernel accepts for it; nobody ever answers.
    let _listener = UnixListener::bind(directory.socket())?;
    for object in ASKING {
        let started = Instant::now();
        let said = Said::by(&mut tandem(&directory.socket(), &[object, "--timeout", "0.2"])?)?;
        assert_eq!((said.code, &*said.out), (Some(5), ""), "{said:?}");
        ensure!(said.err.contains("did not answer within 0.2 seconds"), "{said:?}");
        let waited = started.elapsed();
        ensure!(
            waited >= Duration::from_millis(200) && waited < PATIENCE,
            "{waited:?}"
        );
    }
    Ok(())
}

#[test]
fn a_wrong_command_line_is_2() -> Result<()> {
    let nowhere = Path::new("/nonexistent");
    for arguments in [
        &[][..],
        &["s"],
        &["nothing"],
        &["service", "web"],
        &["service", "list", "a", "b"],
        &["backend", "--colour"],
        &["flow", "--client", "somebody"],
        &["flow", "--state", "tired"],
        &["flow", "--limit", "-1"],
        &["check"],
        &["doctor", "--config", "a", "--interface", "b"],
        &["status", "--timeout", "0"],
    ] {
        let said = Said::by(&mut tandem(nowhere, arguments)?)?;
        assert_eq!((said.code, &*said.out), (Some(2), ""), "{said:?}");
        ensure!(!said.err.is_empty());
    }
    Ok(())
}

#[test]
fn check_says_whether_a_file_is_valid() -> Result<()> {
    let directory = Directory::new()?;
    let file = directory.path().join("tandem.toml");
    let path = file.to_str().context("a plain path")?;
    let check = |more: &[&str]| {
        let arguments = [&["check", path][..], more].concat();
        Said::by(&mut tandem(Path::new("/nonexistent"), &arguments)?)
    };
    assert_eq!(check(&[])?.code, Some(1), "there is no file yet");
    for (text, code, words) in [
        (
            "[director]\ninterfaces = [\"eth0\"]\n[[service]]\nname = \"web\"\nlisten = [\"192.0.2.10:80\"]\n\
             [[service.backend]]\naddress = \"10.0.0.11\"\n",
            0,
            ": valid, 1 service with 1 backend\n",
        ),
        ("[director]\ninterfaces = 7\n", 1, ":2:14"),
    ] {
        fs::write(&file, text)?;
        let said = check(&[])?;
        assert_eq!((said.code, &*said.err), (Some(code), ""), "{said:?}");
        ensure!(said.out.contains(words), "{said:?}");
        let said = check(&["-j"])?;
        assert_eq!(said.code, Some(code), "{said:?}");
        assert_eq!(said.json()?["valid"], code == 0);
    }
    Ok(())
}

#[test]
fn every_command_explains_itself_and_the_documentation_knows_every_option() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    // Options of one command alone stand on the page of what it is for.
    let page =
        fs::read_to_string(docs.join("cli.md"))? + &fs::read_to_string(docs.join("coming-from-lvs.md"))?;
    for arguments in [
        &["--help"][..],
        &["status", "--help"],
        &["service", "--help"],
        &["service", "list", "--help"],
        &["backend", "--help"],
        &["backend", "list", "--help"],
        &["flow", "--help"],
        &["flow", "list", "--help"],
        &["stats", "--help"],
        &["top", "--help"],
        &["config", "--help"],
        &["config", "diff", "--help"],
        &["import", "--help"],
        &["import", "keepalived", "--help"],
        &["import", "ipvsadm", "--help"],
        &["check", "--help"],
        &["doctor", "--help"],
    ] {
        let help = Said::by(&mut tandem(Path::new("/nonexistent"), arguments)?)?.expect()?;
        let words: Vec<_> = arguments.iter().filter(|word| **word != "--help").collect();
        let usage = words.iter().fold("Usage: tandem".to_owned(), |usage, word| {
            format!("{usage} {word}")
        });
        ensure!(help.contains(&usage), "{help}");
        let options = help.split_whitespace().filter(|word| word.starts_with("--"));
        for option in options {
            let option = option.trim_end_matches(|c: char| !c.is_ascii_lowercase());
            ensure!(
                page.contains(option),
                "the documentation lacks {option} of {arguments:?}"
            );
        }
    }
    let version = Said::by(&mut tandem(Path::new("/nonexistent"), &["--version"])?)?.expect()?;
    assert_eq!(version, format!("tandem {}\n", env!("CARGO_PKG_VERSION")));
    Ok(())
}

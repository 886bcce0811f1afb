//! From LVS to Tandem with the real command line: real files of keepalived, and what keepalived itself says of ours.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::Lab;

use crate::canned::{Directory, Said, tandem};

const NOWHERE: &str = "/nonexistent";

fn run(arguments: &[&str]) -> Result<Said> {
    Said::by(&mut tandem(Path::new(NOWHERE), arguments)?)
}

/// Files of a directory whose names end like this.
fn files(directory: impl AsRef<Path>, belongs: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let directory = directory.as_ref();
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        if belongs(&entry.file_name().to_string_lossy()) {
            paths.push(entry.path());
        }
    }
    ensure!(paths.len() >= 3, "only {paths:?}");
    Ok(paths)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a plain path")
}

#[test]
fn the_samples_of_keepalived_are_imported_and_what_comes_of_them_is_valid() -> Result<()> {
    let directory = Directory::new()?;
    let output = directory.path().join("tandem.toml");
    let output = text(&output)?;
    for sample in files("/usr/share/doc/keepalived/samples", |name| {
        name.starts_with("keepalived.conf.")
    })? {
        let said = run(&["import", "keepalived", text(&sample)?, "-o", output, "--force"])?;
        ensure!(said.code == Some(0) && said.err.is_empty(), "{said:?}");
        ensure!(
            said.out
                .ends_with(&format!("{output}: written; next: tandem check {output}\n")),
            "{said:?}"
        );
        let check = run(&["check", output])?;
        ensure!(check.code == Some(0), "{}: {check:?}", sample.display());
    }
    Ok(())
}

/// Otherwise the goldens of the unit tests would show how something is translated that nobody can have.
#[test]
fn keepalived_takes_the_files_that_our_own_tests_import() -> Result<()> {
    let goldens =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../lb-userspace/src/config/import/testdata/keepalived");
    let lab = Lab::new("import")?;
    let host = lab.host("lvs")?;
    let switch = lab.switch("switch")?;
    for number in 1..=3 {
        host.connect(&switch, &[&format!("198.51.100.{number}/24")])?;
    }
    for file in files(goldens, |name| name.ends_with(".conf"))? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let expected = match &*name {
            // keepalived reads the rest of those for ever.
            "circle" | "itself" => continue,
            // Of another keepalived.
            "dpvs" => continue,
            // What it takes where nothing is said.
            "unsaid" => vec!["no protocol set - defaulting to UDP", "setting default NAT"],
            "open" => vec!["missing '}'"],
            "closed" => vec!["Extra '}'"],
            _ => Vec::new(),
        };
        let output = host
            .command("keepalived")?
            .args([
                "--config-test",
                "--log-console",
                "--config-id",
                "main",
                "--use-file",
            ])
            .arg(&file)
            .output()?;
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success() == expected.is_empty()
                && expected.iter().all(|words| complaints.contains(words)),
            "{name}: {}: {complaints}",
            output.status
        );
    }
    Ok(())
}

#[test]
fn a_file_that_is_there_is_not_replaced_unless_asked() -> Result<()> {
    let directory = Directory::new()?;
    let [rules, output] = ["rules", "tandem.toml"].map(|name| directory.path().join(name));
    fs::write(
        &rules,
        "-A -t 192.0.2.10:80 -s mh\n-a -t 192.0.2.10:80 -r 10.0.0.11:80 -g -w 3\n",
    )?;
    fs::write(&output, "mine")?;
    let import = |more: &[&str]| {
        let arguments = [
            &["import", "ipvsadm", text(&rules)?, "-o", text(&output)?][..],
            more,
        ]
        .concat();
        run(&arguments)
    };
    let said = import(&[])?;
    assert_eq!(
        (said.code, fs::read_to_string(&output)?),
        (Some(1), "mine".to_owned()),
        "{said:?}"
    );
    ensure!(said.err.contains("File exists"), "{said:?}");
    let said = import(&["--force", "--all", "--interface", "bond0"])?;
    assert_eq!(said.code, Some(0), "{said:?}");
    ensure!(
        said.out
            .contains("2 statements translated, 0 approximated, 0 ignored; nothing needs a look"),
        "{said:?}"
    );
    ensure!(fs::read_to_string(&output)?.contains("interfaces = [\"bond0\"]"));
    ensure!(
        directory.path().read_dir()?.count() == 2,
        "nothing else is left behind"
    );
    Ok(())
}

#[test]
fn rules_come_from_a_pipe_and_json_goes_into_one() -> Result<()> {
    let mut command = tandem(Path::new(NOWHERE), &["import", "ipvsadm", "-j"])?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("it is piped")?;
    stdin.write_all(b"-A -t 192.0.2.10:80 -s fastest\n-a -t 192.0.2.10:80 -r 10.0.0.11:80 -g -w 3\n")?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(json["translated"], 1);
    assert_eq!(json["attention"], 1);
    assert_eq!(json["report"][0]["file"], "standard input");
    assert_eq!(json["report"][0]["line"], 1);
    assert_eq!(json["report"][0]["fate"], "ignored");
    ensure!(
        json["toml"]
            .as_str()
            .is_some_and(|toml| toml.contains("10.0.0.11")),
        "{json}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_imported_is_said() -> Result<()> {
    let directory = Directory::new()?;
    let file = directory.path().join("x.conf");
    let path = text(&file)?;
    let said = run(&["import", "keepalived", path])?;
    assert_eq!((said.code, &*said.out), (Some(1), ""), "{said:?}");
    ensure!(
        said.err.contains("cannot read") && said.err.contains(path),
        "{said:?}"
    );
    fs::write(&file, "virtual_server 192.0.2.10 80 {\n")?;
    let said = run(&["import", "keepalived", path])?;
    assert_eq!((said.code, &*said.out), (Some(1), ""), "{said:?}");
    ensure!(said.err.contains(":1: 1 `}` missing"), "{said:?}");
    assert_eq!(run(&["import"])?.code, Some(2));
    assert_eq!(run(&["import", "keepalived"])?.code, Some(2));
    assert_eq!(run(&["import", "ipvsadm", path, "--force"])?.code, Some(2));
    Ok(())
}

//! `cargo xtask test`: every test there is, and one line at the end that says how it went.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, executables};
use crate::miri;
use crate::program::Root;
use crate::setup::{self, Purpose};
use crate::tally::Tally;

/// The package whose tests build networks, and so need root.
const LAB: &str = "lb-tests";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the tests that need no root.
    #[arg(long)]
    quick: bool,
    /// Passed on to the test harnesses: a part of the tests' names, --nocapture and the like.
    #[arg(last = true, value_name = "FILTER")]
    harness: Vec<String>,
}

/// Runs the tests of an ordinary user and, unless told otherwise, those that need root.
///
/// # Errors
/// Something failed, or no test ran at all.
pub(crate) fn test(arguments: &Arguments) -> Result<()> {
    let mut session = Session::new(&arguments.harness, io::stdout().lock());
    if arguments.quick {
        setup::ensure(&[Purpose::Build])?;
        session.run_ordinary()?;
    } else {
        let root = Root::find("running the tests of the lab (--quick leaves them out)")?;
        setup::ensure(&[Purpose::Test])?;
        session.run_ordinary()?;
        session.run_miri()?;
        session.run_lab(root)?;
    }
    session.close(if arguments.quick {
        "; the tests that need root were not run"
    } else {
        ""
    })
}

struct Session<'a, W> {
    out: W,
    harness: &'a [String],
    started: Instant,
    tally: Tally,
    /// What did not end well, a failed test or not.
    failed: Vec<String>,
}

impl<'a, W: Write> Session<'a, W> {
    fn new(harness: &'a [String], out: W) -> Self {
        Self {
            out,
            harness,
            started: Instant::now(),
            tally: Tally::default(),
            failed: Vec::new(),
        }
    }

    fn run_ordinary(&mut self) -> Result<()> {
        let mut command = cargo("test");
        command.args(["--workspace", "--exclude", LAB, "--no-fail-fast", "--"]);
        self.run("the ordinary tests", command.args(self.harness))
    }

    fn run_miri(&mut self) -> Result<()> {
        match miri::find() {
            // Its choice of tests is its own.
            Some(_) if !self.harness.is_empty() => Ok(()),
            Some(nightly) => self.run("the flow table under miri", &mut miri::tests(&nightly)),
            None => {
                let remark = "miri is not installed: the flow table's writers were tested natively alone";
                writeln!(self.out, "\n{remark}").context("cannot write to standard output")
            }
        }
    }

    /// Builds the lab's tests as the user, and runs them as root.
    fn run_lab(&mut self, root: Root) -> Result<()> {
        // The daemon and the command line, which the tests run as programs.
        let mut binaries = cargo("build");
        binaries.args(["--bins", "--package", "lb-userspace", "--package", LAB]);
        executables(&mut binaries)?;
        for executable in executables(cargo("test").args(["--package", LAB, "--no-run"]))? {
            if !executable.is_test {
                continue;
            }
            writeln!(self.out, "\n     Running {LAB} {} as root", executable.name)?;
            let mut command = root.command(&executable.path);
            command.current_dir(&executable.package).args(self.harness);
            if !self
                .harness
                .iter()
                .any(|argument| argument.starts_with("--test-threads"))
            {
                // The tests share the machine's few processors with the daemons that they time.
                command.arg("--test-threads=1");
            }
            self.run(&format!("{LAB} {}", executable.name), &mut command)?;
        }
        Ok(())
    }

    /// Runs `command`, passes on what it says and counts the results in it.
    fn run(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        if let Some(output) = child.stdout.take() {
            self.tally += relay(BufReader::new(output), &mut self.out)
                .with_context(|| format!("cannot pass on the output of {name}"))?;
        }
        let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
        if !status.success() {
            self.failed.push(format!("{name} ({status})"));
        }
        Ok(())
    }

    fn close(self, remark: &str) -> Result<()> {
        let Self {
            mut out,
            tally,
            failed,
            started,
            ..
        } = self;
        writeln!(
            out,
            "\ntests: {tally} in {} s{remark}",
            started.elapsed().as_secs()
        )?;
        if !failed.is_empty() || tally.failed > 0 {
            bail!("failed: {}", failed.join(", "));
        }
        if tally.passed == 0 {
            bail!("no test ran; no test has such a name");
        }
        Ok(())
    }
}

fn relay(from: impl BufRead, mut to: impl Write) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for line in from.split(b'\n') {
        let line = line?;
        to.write_all(&line)?;
        to.write_all(b"\n")?;
        // A test may print what is no text.
        if let Some(result) = Tally::of_line(&String::from_utf8_lossy(&line)) {
            tally += result;
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::process::Command;

    use super::{Session, relay};
    use crate::tally::Tally;

    const OUTPUT: &[u8] = b"running 2 tests\n\xff no text\n\
        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const ONE_PASSED: &str = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured'";

    #[test]
    fn output_is_passed_on_unchanged_and_counted() {
        let mut passed_on = Vec::new();
        let tally = relay(OUTPUT, &mut passed_on).expect("memory takes everything");
        assert_eq!(passed_on, OUTPUT);
        assert_eq!(
            tally,
            Tally {
                passed: 3,
                failed: 1,
                ignored: 0
            }
        );
    }

    #[test]
    fn passed_tests_are_a_success() {
        let mut session = Session::new(&[], io::sink());
        session.run("good", &mut shell(ONE_PASSED)).expect("sh starts");
        session.close("").expect("nothing failed");
    }

    #[test]
    fn a_harness_that_dies_is_a_failure_even_without_a_failed_test() {
        let mut session = Session::new(&[], io::sink());
        session.run("good", &mut shell(ONE_PASSED)).expect("sh starts");
        session.run("bad", &mut shell("kill -9 $$")).expect("sh starts");
        let error = session.close("").expect_err("a harness was killed").to_string();
        assert!(error.contains("bad") && !error.contains("good"), "{error}");
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        let mut session = Session::new(&[], io::sink());
        session.run("empty", &mut shell("true")).expect("sh starts");
        assert!(session.close("").is_err());
    }
}

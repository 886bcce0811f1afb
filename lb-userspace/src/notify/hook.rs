//! A hook: a program that is run once for each event.

use crate::{
    core::event::{Batch, Hook},
    io::{one_line, program::Program},
};

/// Most bytes of what a hook says that are kept, to quote it when it fails.
const MOST_OUTPUT: usize = 1000;

/// Runs the program for the one event of the batch. docs/events.md describes its environment.
pub(super) async fn run(hook: &Hook, director: &str, batch: &Batch) -> Result<(), String> {
    let Some(event) = batch.events.first() else {
        return Ok(());
    };
    let known = |value: &Option<String>| value.clone().unwrap_or_default();
    let environment = [
        ("TANDEM_DIRECTOR", director.to_owned()),
        ("TANDEM_EVENT", event.kind.clone()),
        ("TANDEM_NUMBER", event.number.to_string()),
        ("TANDEM_TIME", event.time.to_string()),
        ("TANDEM_SEVERITY", event.severity.to_string()),
        ("TANDEM_SERVICE", known(&event.subject.service)),
        ("TANDEM_BACKEND", known(&event.subject.backend)),
        ("TANDEM_OBJECT", known(&event.subject.object)),
        ("TANDEM_FROM", known(&event.from)),
        ("TANDEM_TO", known(&event.to)),
        ("TANDEM_REASON", one_line(&event.reason)),
        ("TANDEM_TEXT", one_line(&event.text)),
        ("TANDEM_LOST", batch.lost.to_string()),
    ];
    let mut input = serde_json::to_vec(&**event).map_err(|error| error.to_string())?;
    input.push(b'\n');
    let program = Program {
        command: &hook.command,
        environment: &environment,
        input: &input,
        timeout: hook.timeout,
        most_output: MOST_OUTPUT,
    };
    let ended = program.run().await.map_err(|error| error.to_string())?;
    if ended.code == Some(0) {
        return Ok(());
    }
    let how = match ended.code {
        Some(code) => format!("exit code {code}"),
        None => "killed by a signal".to_owned(),
    };
    let said = one_line(&String::from_utf8_lossy(&ended.output));
    Err(format!("{}: {how}; it said: {said}", hook.command.join(" ")))
}

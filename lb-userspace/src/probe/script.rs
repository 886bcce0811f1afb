//! A program says so.

use std::{net::SocketAddr, time::Duration};

use super::runner::Found;
use crate::{
    core::health::{Script, Share},
    io::{
        one_line,
        program::{Program, ProgramError},
    },
};

/// Most bytes of what it says that are kept, to quote them when it fails.
const MOST_OUTPUT: usize = 500;

/// docs/health.md describes its environment and its exit codes.
pub(super) async fn probe(at: SocketAddr, script: &Script, patience: Duration) -> Result<Found, String> {
    let environment = [
        ("TANDEM_ADDRESS", at.ip().to_string()),
        ("TANDEM_PORT", at.port().to_string()),
        ("TANDEM_TIMEOUT", patience.as_secs_f64().to_string()),
    ];
    let program = Program {
        command: &script.command,
        environment: &environment,
        input: &[],
        timeout: patience,
        most_output: MOST_OUTPUT,
    };
    let ended = program
        .run()
        .await
        .map_err(|error: ProgramError| error.to_string())?;
    match ended.code {
        Some(0) => Ok(Found::WELL),
        Some(code @ 2..=255) if script.dynamic => Ok(Found {
            weight: Share::Weight(code as u32 - 2),
            ..Found::WELL
        }),
        code => {
            let how = code.map_or_else(
                || "killed by a signal".to_owned(),
                |code| format!("exit code {code}"),
            );
            let said = one_line(&String::from_utf8_lossy(&ended.output));
            let said = if said.is_empty() {
                said
            } else {
                format!(": {said}")
            };
            Err(format!("{how}{said}"))
        }
    }
}

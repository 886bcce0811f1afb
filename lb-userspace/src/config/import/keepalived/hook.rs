//! Scripts that keepalived runs at a change, as hooks for events.

use super::line::words;
use crate::config::import::report::Outcome;

/// A program, and the kind of events that it is for.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) command: Vec<String>,
    pub(super) kind: &'static str,
}

/// What a `notify…` of an instance becomes.
pub(super) fn at(keyword: &str, script: &str) -> Result<(Hook, Outcome), Outcome> {
    let kind = match keyword {
        "notify_master" => "ha.active",
        "notify_backup" => "ha.backup",
        "notify_fault" | "notify_stop" => "ha.out",
        _ => "ha.*",
    };
    let command = words(script).unwrap_or_default();
    match command.first() {
        Some(program)
            if program.starts_with('/') && program.len() > 1 && command.iter().all(|word| is_plain(word)) => {
        }
        _ => {
            return Err(Outcome::missing(
                "a hook is a program by its whole path, and its arguments",
            ));
        }
    }
    let outcome = Outcome::approximated(format!(
        "[[events.hook]] for `{kind}` of all instances; it learns from its environment (TANDEM_OBJECT, TANDEM_TO), not from \
         arguments, which instance it is and what became of it"
    ));
    Ok((Hook { command, kind }, outcome))
}

fn is_plain(word: &str) -> bool {
    !word.contains('\0')
}

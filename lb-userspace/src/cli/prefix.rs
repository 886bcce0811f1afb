//! Shortened words: clap takes those that are unique; this says why it did not take another.

use clap::{
    CommandFactory as _, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Cli, Exit};

/// Shows help, version or what is wrong with the command line.
pub(super) fn explain(error: Error) -> Exit {
    let error = match ambiguous(&error) {
        Some(message) => Cli::command().error(ErrorKind::InvalidSubcommand, message),
        None => error,
    };
    // Nobody is left to hear of it when this cannot be written.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Success
    }
}

/// If the word that clap did not know begins several that it knows.
fn ambiguous(error: &Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let command = Cli::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let candidates: Vec<_> = names.filter(|name| name.starts_with(word.as_str())).collect();
    if candidates.len() < 2 {
        return None;
    }
    Some(format!("`{word}` is ambiguous: {}", candidates.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_prefix_is_taken_if_it_is_unique() {
        for (words, accepted) in [
            (&["service"][..], true),
            (&["se"], true),
            (&["b"], true),
            (&["f", "--count"], true),
            (&["b", "l", "web1"], true),
            (&["b", "sh", "web1"], true),
            (&["s"], false),
            (&["st"], false),
            (&["serviced"], false),
            (&["x"], false),
            (&[], false),
        ] {
            let words = ["tandem"].into_iter().chain(words.iter().copied());
            assert_eq!(Cli::try_parse_from(words.clone()).is_ok(), accepted, "{words:?}");
        }
    }

    #[test]
    fn an_ambiguous_prefix_is_said_to_be() {
        let message = |word| ambiguous(&Cli::try_parse_from(["tandem", word]).unwrap_err());
        assert_eq!(
            message("s").unwrap(),
            "`s` is ambiguous: status, service, sync, stats"
        );
        assert_eq!(message("sta").unwrap(), "`sta` is ambiguous: status, stats");
        assert_eq!(message("x"), None);
        assert_eq!(message("--x"), None);
    }
}

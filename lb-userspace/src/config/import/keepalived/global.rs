//! `global_defs`

use lettre::message::Mailbox;

use super::{Notes, needless, statement::Statement};
use crate::{
    config::{
        import::{
            document::{Document, Table},
            lvs,
            report::Outcome,
        },
        validate::is_interface_name,
    },
    core::event::Url,
};

/// What the whole configuration shares.
#[derive(Debug, Default)]
pub(super) struct Global {
    pub(super) router_id: Option<String>,
    pub(super) default_interface: Option<String>,
    to: Vec<String>,
    from: Option<String>,
    server: Option<String>,
}

impl Global {
    pub(super) fn translate(blocks: &[&Statement], notes: &mut Notes) -> Self {
        let mut global = Self::default();
        for block in blocks {
            notes.enter(block, Outcome::translated("[director] and [events]"));
            for statement in block.inner() {
                global.statement(statement, notes);
            }
        }
        global
    }

    fn statement(&mut self, statement: &Statement, notes: &mut Notes) {
        let argument = statement.argument();
        let outcome = match statement.keyword() {
            "router_id" | "lvs_id" => {
                let name = lvs::name(argument);
                let outcome = if name == argument {
                    Outcome::translated("`name` of [director]")
                } else {
                    Outcome::approximated(format!(
                        "`name` of [director], as `{name}`: a name has no other characters"
                    ))
                };
                self.router_id = Some(name);
                outcome
            }
            "default_interface" if !is_interface_name(argument) => {
                Outcome::missing("no name of an interface")
            }
            "default_interface" => {
                self.default_interface = Some(argument.to_owned());
                Outcome::translated("`interfaces` of [director], unless VRRP instances have others")
            }
            "notification_email" => {
                notes.enter(statement, Outcome::translated("`to` of [[events.mail]]"));
                for inner in statement.inner() {
                    let outcome = match mailbox(inner.keyword()) {
                        Ok((mailbox, outcome)) => {
                            self.to.push(mailbox);
                            outcome
                        }
                        Err(outcome) => outcome,
                    };
                    notes.enter(inner, outcome);
                }
                return;
            }
            "notification_email_from" => match mailbox(argument) {
                Ok((mailbox, outcome)) => {
                    self.from = Some(mailbox);
                    outcome
                }
                Err(outcome) => outcome,
            },
            "smtp_server" => {
                let port = statement.words.get(2).map_or("25", String::as_str);
                match server(argument, port) {
                    Some(server) => {
                        self.server = Some(server);
                        Outcome::translated(
                            "`server` of [[events.mail]], without TLS as keepalived speaks to it",
                        )
                    }
                    None => Outcome::missing("no mail server"),
                }
            }
            "smtp_alert" | "smtp_alert_vrrp" | "smtp_alert_checker" => Outcome::approximated(
                "mail is sent about every event of severity `warning` and above; `kinds` of [[events.mail]] narrows that",
            ),
            _ => return notes.whole(statement, needless::GLOBAL),
        };
        notes.enter(statement, outcome);
    }

    /// `[[events.mail]]`, if anybody gets mail.
    pub(super) fn events(&self, document: &mut Document) {
        let Some(server) = self.server.as_ref().filter(|_| !self.to.is_empty()) else {
            return;
        };
        let mut table = Table::new("[[events.mail]]");
        let from = self.from.clone().unwrap_or_else(|| "tandem@localhost".to_owned());
        table
            .set("from", from)
            .set("to", self.to.clone())
            .set("server", server.as_str())
            .set("security", "none");
        document.tables.push(table);
    }
}

/// A mail address as we have it: keepalived hands also the name of a mailbox alone to its server.
fn mailbox(text: &str) -> Result<(String, Outcome), Outcome> {
    let whole = format!("{text}@localhost");
    if text.parse::<Mailbox>().is_ok() {
        Ok((text.to_owned(), Outcome::translated("[[events.mail]]")))
    } else if whole.parse::<Mailbox>().is_ok() {
        let outcome = Outcome::approximated(format!("{whole} in [[events.mail]]: an address names a host"));
        Ok((whole, outcome))
    } else {
        Err(Outcome::missing("no mail address"))
    }
}

fn server(host: &str, port: &str) -> Option<String> {
    let server = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let url: Url = format!("http://{server}").parse().ok()?;
    (url.path == "/").then_some(server)
}

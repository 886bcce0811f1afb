//! `global_defs`

use std::time::Duration;

use lettre::message::Mailbox;

use super::{Notes, instance::Announce, needless, statement::Statement};
use crate::{
    config::{
        duration::Time,
        import::{
            document::{Document, Table},
            lvs,
            report::Outcome,
        },
        validate::is_interface_name,
    },
    core::{event::Url, timeouts::Timeouts},
};

/// The longest timeout that there is.
const MOST_SECONDS: u64 = Timeouts::LONGEST.as_secs();

/// What the whole configuration shares.
#[derive(Debug, Default)]
pub(super) struct Global {
    pub(super) router_id: Option<String>,
    pub(super) default_interface: Option<String>,
    /// Of VRRP.
    pub(super) version: Option<String>,
    pub(super) announce: Announce,
    /// `timeouts` of every service.
    pub(super) timeouts: toml::Table,
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
            "vrrp_version" => {
                self.version = Some(argument.to_owned());
                match argument {
                    "3" => Outcome::translated("VRRP version 3 is the one that is spoken"),
                    _ => Outcome::needless("see the instances"),
                }
            }
            "lvs_timeouts" => self.timeouts(statement),
            "smtp_alert" | "smtp_alert_vrrp" | "smtp_alert_checker" => Outcome::approximated(
                "mail is sent about every event of severity `warning` and above; `kinds` of [[events.mail]] narrows that",
            ),
            keyword => {
                let of_instances = keyword.strip_prefix("vrrp_");
                match of_instances.and_then(|keyword| self.announce.take(keyword, statement)) {
                    Some(outcome) => outcome,
                    None => return notes.whole(statement, needless::GLOBAL),
                }
            }
        };
        notes.enter(statement, outcome);
    }

    /// `tcp SECS`, `tcpfin SECS`, `udp SECS`; 0 leaves a timeout as it is.
    fn timeouts(&mut self, statement: &Statement) -> Outcome {
        for pair in statement.arguments().chunks(2) {
            let [name, value] = pair else {
                return Outcome::missing("expected a number of seconds after each name");
            };
            let key = match name.as_str() {
                "tcp" => "established",
                "tcpfin" => "fin_wait",
                "udp" => "udp",
                other => return Outcome::missing(format!("there is no timeout called `{other}`")),
            };
            match value.parse::<u64>() {
                Ok(0) => {}
                Ok(seconds @ 1..=MOST_SECONDS) => {
                    self.timeouts.insert(
                        key.to_owned(),
                        Time(Duration::from_secs(seconds)).to_string().into(),
                    );
                }
                _ => return Outcome::missing(format!("expected 1 to {MOST_SECONDS} seconds")),
            }
        }
        Outcome::translated("`timeouts` of every service")
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

//! `vrrp_instance` and `vrrp_sync_group`: for now only where they say that clients come in.

use std::net::IpAddr;

use super::{Notes, global::Global, needless, statement::Statement};
use crate::config::{import::report::Outcome, validate::is_interface_name};

/// What VRRP instances have that concerns a director that works alone.
#[derive(Debug, Default)]
pub(super) struct Instances {
    /// Interfaces in the order of the file.
    pub(super) interfaces: Vec<String>,
}

impl Instances {
    pub(super) fn translate(blocks: &[&Statement], global: &Global, notes: &mut Notes) -> Self {
        let mut instances = Self::default();
        for block in blocks {
            notes.enter(block, needless::why(needless::INSTANCE, "state"));
            for statement in block.inner() {
                instances.statement(statement, notes);
            }
        }
        if instances.interfaces.is_empty() && !blocks.is_empty() {
            instances.interfaces.extend(global.default_interface.clone());
        }
        instances
    }

    fn statement(&mut self, statement: &Statement, notes: &mut Notes) {
        match statement.keyword() {
            "interface" => {
                let outcome = self.interface(statement.argument());
                notes.enter(statement, outcome);
            }
            "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
                notes.enter(
                    statement,
                    Outcome::needless("the director holds the addresses that services listen at"),
                );
                for address in statement.inner() {
                    self.address(address, notes);
                }
            }
            _ => notes.whole(statement, needless::INSTANCE),
        }
    }

    fn interface(&mut self, name: &str) -> Outcome {
        if !is_interface_name(name) {
            return Outcome::missing("no name of an interface");
        }
        if !self.interfaces.iter().any(|known| known == name) {
            self.interfaces.push(name.to_owned());
        }
        Outcome::translated("`interfaces` of [director]")
    }

    fn address(&mut self, statement: &Statement, notes: &mut Notes) {
        let words = &statement.words;
        let address = words[0].split('/').next().unwrap_or_default();
        let device = words
            .iter()
            .position(|word| word == "dev")
            .and_then(|at| words.get(at + 1));
        let outcome = match (
            address.parse::<IpAddr>(),
            device.map(|device| self.interface(device)),
        ) {
            (Err(_), _) => Outcome::missing("no address"),
            (Ok(_), Some(outcome)) if outcome.attention => outcome,
            (Ok(_), _) => Outcome::needless(
                "the director holds it on its first interface as soon as a service listens at it",
            ),
        };
        notes.enter(statement, outcome);
    }
}

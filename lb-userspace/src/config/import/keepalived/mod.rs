//! keepalived.conf (keepalived 2.x) → our configuration.
//!
//! [`source`] turns files into statements. The rest goes through them block by block; each statement gets a note.

mod checker;
mod global;
mod hook;
mod instance;
mod line;
mod needless;
mod sequence;
mod server;
mod source;
mod statement;
mod virtual_server;

use std::{borrow::Cow, path::Path, time::Duration};

use self::{
    global::Global,
    instance::Instances,
    statement::Statement,
    virtual_server::{Groups, Pools, Translation},
};
use super::{
    ImportError, Imported, Place, Report,
    document::{Document, Table},
    lvs::Register,
    report::{Comments, Outcome},
};

/// What the file does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What lines that begin with `@` are compared with; keepalived's `--config-id`.
    pub config_id: String,
    /// Interfaces that clients come in by; if none are given, those of the VRRP instances.
    pub interfaces: Vec<String>,
}

/// Imports the file at `path` and what it includes.
///
/// # Errors
/// It cannot be read, is broken, or has nothing in it that concerns a load balancer.
pub fn import(path: &Path, options: &Options) -> Result<Imported, ImportError> {
    let source = source::read(path, options)?;
    let mut notes = Notes::default();
    for (place, text, outcome) in source.notes {
        notes.enter_text(&place, &text, outcome);
    }
    let sorted = Sorted::new(&source.statements, &mut notes);
    if sorted.servers.is_empty() && sorted.instances.is_empty() {
        return Err(ImportError::Nothing {
            what: format!(
                "there is neither a virtual server nor a VRRP instance in {}",
                path.display()
            ),
        });
    }

    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut document = Document {
        comments: vec![format!("Made of {name} by `tandem import keepalived`.")],
        ..Document::default()
    };
    let global = Global::translate(&sorted.global, &mut notes);
    let instances = Instances::translate(&sorted.instances, &global, &mut notes);
    let groups = Groups::new(&sorted.groups, &mut notes);
    let pools = Pools::new(&sorted.pools, &mut notes);
    let mut register = Register::default();
    for server in &sorted.servers {
        virtual_server::note_vips(server, &groups, &mut register);
    }
    let services: Vec<Translation> = sorted
        .servers
        .iter()
        .filter_map(|server| Translation::of(server, &groups, &pools, &mut register, &mut notes))
        .collect();

    document
        .tables
        .push(director(&global, &instances, options, &mut notes));
    super::lvs::limits(services.iter().map(|service| &service.service), &mut document);
    global.events(&mut document);
    instances.write_hooks(&mut document);
    instances.write(&mut document);
    for service in services {
        service.write(&global.timeouts, &mut document);
    }
    notes.report.sort();
    Ok(Imported {
        toml: document.to_toml(),
        report: notes.report,
    })
}

/// The statements at the top by what they are about.
#[derive(Default)]
struct Sorted<'a> {
    global: Vec<&'a Statement>,
    instances: Vec<&'a Statement>,
    groups: Vec<&'a Statement>,
    pools: Vec<&'a Statement>,
    servers: Vec<&'a Statement>,
}

impl<'a> Sorted<'a> {
    fn new(statements: &'a [Statement], notes: &mut Notes) -> Self {
        let mut sorted = Self::default();
        for statement in statements {
            match statement.keyword() {
                "global_defs" => sorted.global.push(statement),
                "vrrp_instance" | "vrrp_sync_group" => sorted.instances.push(statement),
                "virtual_server_group" => sorted.groups.push(statement),
                "local_address_group" => sorted.pools.push(statement),
                "virtual_server" => sorted.servers.push(statement),
                _ => notes.whole(statement, needless::AT_TOP),
            }
        }
        sorted
    }
}

/// `[director]`
fn director(global: &Global, instances: &Instances, options: &Options, notes: &mut Notes) -> Table {
    let mut table = Table::new("[director]");
    if let Some(name) = &global.router_id {
        table.set("name", name.as_str());
    }
    let mut interfaces = options.interfaces.clone();
    if interfaces.is_empty() {
        interfaces = instances.interfaces();
    }
    if interfaces.is_empty() {
        table.comment("keepalived.conf does not say where clients come in: name the interface.");
        interfaces.push(
            global
                .default_interface
                .clone()
                .unwrap_or_else(|| "eth0".to_owned()),
        );
    }
    table.set("interfaces", interfaces);
    for comment in notes.take_comments().lines() {
        table.comment(comment);
    }
    table
}

/// Collects what became of statements, and the comments for the table that is being made.
#[derive(Debug, Default)]
struct Notes {
    report: Report,
    /// Of what needs attention, since the last time that they were taken.
    comments: Comments,
}

impl Notes {
    fn enter(&mut self, statement: &Statement, outcome: Outcome) {
        self.enter_text(&statement.place, &shown(statement), outcome);
    }

    fn enter_text(&mut self, place: &Place, text: &str, outcome: Outcome) {
        self.comments.add(place, text, &outcome);
        self.report.enter(place, text, outcome);
    }

    fn take_comments(&mut self) -> Comments {
        std::mem::take(&mut self.comments)
    }

    /// A statement and all in it, of which nothing is made; `table` says why.
    fn whole(&mut self, statement: &Statement, table: needless::Table) {
        self.nothing(statement, needless::why(table, statement.keyword()));
    }

    /// A statement and all in it, of which nothing is made for the reason that is given.
    fn nothing(&mut self, statement: &Statement, outcome: Outcome) {
        self.enter(statement, outcome);
        for inner in statement.inner() {
            self.within(inner, statement.keyword());
        }
    }

    fn within(&mut self, statement: &Statement, outer: &str) {
        self.enter(statement, Outcome::needless(format!("as all of `{outer}`")));
        for inner in statement.inner() {
            self.within(inner, outer);
        }
    }
}

/// The statement without its secret, if it has one.
fn shown(statement: &Statement) -> Cow<'_, str> {
    match statement.keyword() {
        keyword @ ("auth_pass" | "password") => format!("{keyword} …").into(),
        _ => statement.text.as_str().into(),
    }
}

/// A time in seconds, which may have a fraction.
fn seconds(text: &str) -> Option<Duration> {
    /// What no time here may exceed: a day.
    const MOST: f64 = 86_400.0;
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=MOST).contains(seconds))?;
    Some(Duration::from_millis((seconds * 1000.0).round() as u64))
}

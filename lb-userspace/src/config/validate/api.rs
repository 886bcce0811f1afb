//! Who may use the daemon's socket.

use crate::config::Spanned;

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file,
    },
    core::model::Api,
};

/// Longest name of a group: what shadow-utils allow.
const MAX_GROUP: usize = 32;

impl Validator<'_> {
    pub(super) fn api(&mut self, table: &file::Api) -> Api {
        Api {
            read_group: table
                .read_group
                .as_ref()
                .and_then(|name| self.group_of_users(name)),
            write_group: table
                .write_group
                .as_ref()
                .and_then(|name| self.group_of_users(name)),
        }
    }

    fn group_of_users(&mut self, name: &Spanned<String>) -> Option<String> {
        let text = name.get_ref();
        let good = |c: char| c.is_ascii_alphanumeric() || "_-.$".contains(c);
        if !text.is_empty() && text.len() <= MAX_GROUP && text.chars().all(good) {
            return Some(text.clone());
        }
        let what = quote(text);
        self.report(
            Diagnostic::error(format!("{what} is not the name of a group")).at(
                name.span(),
                format!("expected a name as in /etc/group, of up to {MAX_GROUP} letters, digits and `_-.$`"),
            ),
        );
        None
    }
}

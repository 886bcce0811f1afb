//! The cluster and its keys.

use std::path::PathBuf;

use super::{FirstSeen, Validator};
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file,
    },
    core::{
        model::Cluster,
        seal::{Authentication, MAX_KEYS},
    },
};

impl Validator<'_> {
    pub(super) fn cluster(&mut self, table: &file::Cluster) -> Cluster {
        self.name("cluster", &table.name);
        let key_files = self.key_files(table);
        if key_files.is_empty() {
            if let Some(authentication) = &table.authentication {
                self.report(
                    Diagnostic::error("the cluster has no key, so nothing can be authenticated")
                        .at(authentication.span(), "expected `key_files` beside it"),
                );
            } else if table.key_files.is_none() {
                self.report(
                    Diagnostic::warning(
                        "the cluster has no key: whoever reaches its networks can move VIPs and enter connections",
                    )
                    .at(
                        table.name.span(),
                        "expected `key_files`; `tandem key new FILE` makes one, which all directors get",
                    ),
                );
            }
        }
        Cluster {
            name: table.name.get_ref().clone(),
            key_files,
            authentication: table
                .authentication
                .as_ref()
                .map_or(Authentication::Enforce, |given| *given.get_ref()),
        }
    }

    fn key_files(&mut self, table: &file::Cluster) -> Vec<PathBuf> {
        let Some(given) = &table.key_files else {
            return Vec::new();
        };
        let count = given.get_ref().len();
        if !(1..=MAX_KEYS).contains(&count) {
            let error = Diagnostic::error(format!("there are {count} key files"));
            self.report(error.at(given.span(), format!("expected 1 to {MAX_KEYS}")));
        }
        let mut seen = FirstSeen::new();
        let mut files = Vec::new();
        for file in given.get_ref() {
            let path = PathBuf::from(file.get_ref());
            if !path.is_absolute() {
                self.report(
                    Diagnostic::error(format!("the key file {} has no place", quote(file.get_ref()))).at(
                        file.span(),
                        "expected an absolute path, such as \"/etc/tandem/cluster.key\"",
                    ),
                );
            } else if self.once(&mut seen, path.clone(), &file.span(), || {
                Diagnostic::error(format!("the key file {} is given twice", quote(file.get_ref())))
                    .at(file.span(), "once is enough")
            }) {
                files.push(path);
            }
        }
        files
    }
}

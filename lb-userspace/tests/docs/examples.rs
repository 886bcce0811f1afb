//! Every TOML example is a configuration that the daemon takes without a word.

use lb_userspace::config;

use crate::{blocks, documents, read};

#[test]
fn configurations_are_valid() {
    let mut examples = 0;
    for path in documents() {
        let text = read(&path);
        for example in blocks(&text, "toml") {
            match config::parse(&path, example.to_owned(), "lb1") {
                Ok(loaded) => assert!(loaded.warnings.is_empty(), "{path}: {}", loaded.warnings),
                Err(error) => panic!("{}", error.render()),
            }
            examples += 1;
        }
    }
    assert!(examples >= 2, "only {examples} examples found");
}

//! The tables of kinds in docs/events.md are what the code says.

use std::{env, fmt::Write as _, fs};

use lb_userspace::core::event;

use crate::{read, root};

const PATH: &str = "docs/events.md";
const BLESS: &str = "TANDEM_BLESS";
/// What is in front of the tables.
const END_OF_TEXT: &str = "--test docs`. -->\n";

fn tables() -> String {
    let mut tables = String::new();
    let mut family = "";
    for kind in event::kinds() {
        let (of, _) = kind.name.split_once('.').expect("kinds have a family");
        if of != family {
            let _ = write!(
                tables,
                "\n### `{of}.*`\n\n| kind | severity | meaning |\n|---|---|---|\n"
            );
            family = of;
        }
        let _ = writeln!(
            tables,
            "| `{}` | {} | {} |",
            kind.name, kind.severity, kind.meaning
        );
    }
    tables
}

#[test]
fn every_kind_of_event_is_explained() {
    let page = read(PATH);
    let at = page.find(END_OF_TEXT).expect("the mark before the tables") + END_OF_TEXT.len();
    let wanted = format!("{}{}", &page[..at], tables());
    if env::var_os(BLESS).is_some_and(|value| value == "1") {
        fs::write(root().join(PATH), &wanted).expect("the page can be written");
    }
    assert!(
        read(PATH) == wanted,
        "{PATH} is not what the code says: run this test again with {BLESS}=1, and commit what it writes"
    );
}

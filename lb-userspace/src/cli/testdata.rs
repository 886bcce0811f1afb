//! Views and how they look, in files that the tests of the whole binary use too.

use std::{fs, io, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn path(name: &str, extension: &str) -> PathBuf {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/testdata");
    PathBuf::from(directory).join(format!("{name}.{extension}"))
}

fn read(name: &str, extension: &str) -> String {
    let path = path(name, extension);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The view of this name.
pub(super) fn view<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&read(name, "json")).unwrap()
}

/// Asserts that a view looks as it should, and that its JSON has exactly what its file has.
pub(super) fn golden<T: DeserializeOwned + Serialize>(
    name: &str,
    render: impl FnOnce(&T, &mut Vec<u8>) -> io::Result<()>,
) {
    let view = view::<T>(name);
    let mut out = Vec::new();
    render(&view, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), read(name, "txt"), "{name}");
    assert_eq!(
        serde_json::to_value(&view).unwrap(),
        self::view::<Value>(name),
        "{name}"
    );
}

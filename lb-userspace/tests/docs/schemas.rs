//! The schemas that are shipped are what the code says, and what is documented fits them.

use std::{env, fs};

use lb_userspace::{api::openapi, config};
use serde_json::Value;

use crate::{blocks, documents, read, root};

const BLESS: &str = "TANDEM_BLESS";

#[test]
fn the_schemas_are_what_the_code_says() {
    for (path, wanted) in [
        ("docs/openapi.json", openapi::document().to_owned()),
        ("docs/tandem.schema.json", config::schema()),
    ] {
        if env::var_os(BLESS).is_some_and(|value| value == "1") {
            fs::write(root().join(path), &wanted).expect("the file can be written");
        }
        assert!(
            read(path) == wanted,
            "{path} is not what the code says: run this test again with {BLESS}=1, and commit what it writes"
        );
    }
}

fn json(name: &str, toml: &str) -> Value {
    let table: toml::Table = toml.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::to_value(table).expect("TOML without dates has a JSON form")
}

#[test]
fn every_example_fits_the_schema_and_nonsense_does_not() {
    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut examples = vec![("packaging/tandem.toml".to_owned(), read("packaging/tandem.toml"))];
    for path in documents() {
        let text = read(&path);
        examples.extend(blocks(&text, "toml").map(|example| (path.clone(), example.to_owned())));
    }
    assert!(examples.len() >= 10, "only {}", examples.len());
    for (path, example) in &examples {
        let instance = json(path, example);
        let errors: Vec<String> = validator
            .iter_errors(&instance)
            .map(|error| format!("{}: {error}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:?}\n{example}");
        // What the daemon says of it, with every default written out.
        let Ok(loaded) = config::parse(path, example.clone(), "lb1") else {
            continue;
        };
        let whole = json(path, &config::to_toml(&loaded.config));
        let errors: Vec<String> = validator
            .iter_errors(&whole)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
    }
    for wrong in [
        "[directors]\n",
        "[director]\ninterfaces = 7\n",
        "[[service]]\nname = \"web\"\nlisten = [\"192.0.2.10:80\"]\nscheduler = \"best\"\n",
        "[[service]]\nname = \"web\"\nlisten = [\"192.0.2.10:80\"]\ncheck = { type = \"tcp\", interval = 2 }\n",
        "[[service]]\nlisten = [\"192.0.2.10:80\"]\n",
        "[limits]\nflows_v4 = \"many\"\n",
    ] {
        assert!(!validator.is_valid(&json("wrong", wrong)), "{wrong}");
    }
}

//! The JSON schema of the configuration file, for editors and for whoever makes configurations.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::file::File;

/// The schema (draft 2020-12), as it is shipped: which keys there are, and what form their values have. What else must hold,
/// `tandem check` says.
#[must_use]
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    schema["title"] = json!("Tandem");
    schema["description"] = json!("Configuration of tandemd.");
    if let Value::Object(fields) = &mut schema {
        fields.insert("$id".to_owned(), json!("tandem.schema.json"));
    }
    format!("{schema:#}\n")
}

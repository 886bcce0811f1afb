//! Any result as CSV (RFC 4180), a value a line: `table,row,quantity,sample,value`.
//!
//! It is made of the JSON, so that nothing is in the one and missing in the other.

use serde_json::Value;

const HEADER: &str = "table,row,quantity,sample,value\n";

/// The result in lines. An element of a list that has a `name` is a row; what stands in other lists is numbered from 0.
#[must_use]
pub fn of(result: &Value) -> String {
    let mut text = HEADER.to_owned();
    Place::default().write(result, &mut text);
    text
}

/// Where in the result a value is.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Names of the objects around it, down to the row if there is one.
    path: Vec<String>,
    row: Option<String>,
    /// Names within the row.
    quantity: Vec<String>,
    sample: Option<usize>,
}

impl Place {
    fn write(&self, value: &Value, text: &mut String) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.row.is_none() || name != "name" || !self.quantity.is_empty() {
                        self.within(name).write(value, text);
                    }
                }
            }
            Value::Array(values) => {
                for (number, value) in values.iter().enumerate() {
                    self.element(number, value).write(value, text);
                }
            }
            Value::Null => {}
            Value::String(value) => self.line(value, text),
            Value::Bool(_) | Value::Number(_) => self.line(&value.to_string(), text),
        }
    }

    fn within(&self, name: &str) -> Self {
        let mut place = self.clone();
        let names = match place.row {
            Some(_) => &mut place.quantity,
            None => &mut place.path,
        };
        names.push(name.to_owned());
        place
    }

    fn element(&self, number: usize, value: &Value) -> Self {
        let mut place = self.clone();
        match value["name"].as_str() {
            Some(name) if place.row.is_none() => {
                place.row = Some(name.to_owned());
                place.path.retain(|part| part != "rows");
            }
            _ => place.sample = Some(number),
        }
        place
    }

    fn line(&self, value: &str, text: &mut String) {
        let (table, quantity) = match (&self.row, self.path.split_last()) {
            (None, Some((last, around))) => (around.join("."), last.clone()),
            _ => (self.path.join("."), self.quantity.join(".")),
        };
        let row = self.row.as_deref().unwrap_or_default();
        let sample = self.sample.map_or_else(String::new, |sample| sample.to_string());
        let fields = [&table, row, &quantity, &sample, value].map(quoted);
        text.push_str(&fields.join(","));
        text.push('\n');
    }
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_has_its_line() {
        let result = json!({
            "machine": { "cpu": "A \"fast\", new one", "cpus": 2 },
            "rows": [
                { "name": "one", "mpps": { "median": 1.5 }, "samples": [1, 2], "target": null },
                { "name": "two", "samples": [{ "ns": 3.5, "still": true }], "noisy": false },
            ],
            "left_out": ["a reason"],
            "deep": { "rows": [{ "name": "three", "how": "line\nline" }] },
        });
        let text = of(&result);
        let mut lines: Vec<_> = text.split_terminator('\n').collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                ",,left_out,0,a reason",
                ",one,mpps.median,,1.5",
                ",one,samples,0,1",
                ",one,samples,1,2",
                ",two,noisy,,false",
                ",two,samples.ns,0,3.5",
                ",two,samples.still,0,true",
                "deep,three,how,,\"line",
                "line\"",
                "machine,,cpu,,\"A \"\"fast\"\", new one\"",
                "machine,,cpus,,2",
                "table,row,quantity,sample,value",
            ]
        );
    }
}

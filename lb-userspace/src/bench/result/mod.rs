//! Results that are kept: as JSON, as a table of values ([`csv`]), as a picture; and two of them beside each other ([`compare`]).

pub mod compare;
pub mod csv;
pub mod files;

use serde::Serialize;

/// Version of the form of results. It is raised when a field that is compared gets another name, unit or meaning.
pub const FORMAT: u32 = 1;

/// A result with what it is a result of, so that nobody compares it with another kind.
#[derive(Debug, Clone, Serialize)]
pub struct Kept<'a, R> {
    benchmark: &'a str,
    format: u32,
    #[serde(flatten)]
    result: &'a R,
}

impl<'a, R: Serialize> Kept<'a, R> {
    /// A result of the benchmark of this name. It must be an object in JSON.
    pub const fn new(benchmark: &'a str, result: &'a R) -> Self {
        Self {
            benchmark,
            format: FORMAT,
            result,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_says_first_what_it_is() {
        let result = json!({ "rows": [1] });
        let text = serde_json::to_string(&Kept::new("live", &result)).unwrap();
        assert_eq!(
            text,
            format!("{{\"benchmark\":\"live\",\"format\":{FORMAT},\"rows\":[1]}}")
        );
    }
}

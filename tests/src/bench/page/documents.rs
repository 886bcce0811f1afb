//! A kept result, and the documents that show it.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{Page, markdown};

/// Where the result is kept, in the repository.
pub const RESULT: &str = "docs/benchmarks.json";
const PICTURE: &str = "docs/throughput.svg";
const BEGIN: &str = "<!-- What `cargo xtask bench` measured, from docs/benchmarks.json: do not edit. -->\n";
const END: &str = "<!-- End of what was measured. -->\n";

/// Reads the result that is kept in this repository, or another in the same form.
///
/// # Errors
/// When there is none, or it is of another form.
pub fn read(path: &Path) -> Result<Page> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| {
        format!(
            "{} is no result of `cargo xtask bench --json` by this version",
            path.display()
        )
    })
}

/// The files that show a result, by their paths in the repository, as they should be.
///
/// # Errors
/// When a document is missing, or says nowhere where the result goes.
pub fn showing(page: &Page, repository: &Path) -> Result<Vec<(&'static str, String)>> {
    let document = |path: &'static str, section: &str| -> Result<_> {
        let full = repository.join(path);
        let text = fs::read_to_string(&full).with_context(|| format!("cannot read {}", full.display()))?;
        let text = replaced(&text, section)
            .with_context(|| format!("{path} does not say where figures begin and end: {BEGIN}{END}"))?;
        Ok((path, text))
    };
    Ok(vec![
        document("README.md", &markdown::short(page))?,
        document("docs/benchmarks.md", &markdown::full(page))?,
        (PICTURE, page.picture().svg()),
    ])
}

/// Writes them.
///
/// # Errors
/// Those of [`showing`], and when a file cannot be written.
pub fn show(page: &Page, repository: &Path) -> Result<()> {
    for (path, text) in showing(page, repository)? {
        let full = repository.join(path);
        fs::write(&full, text).with_context(|| format!("cannot write {}", full.display()))?;
    }
    Ok(())
}

/// The text with another section between both marks.
fn replaced(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{section}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_what_is_around_it_stays() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let replaced = replaced(&text, "new\n").unwrap();
        assert_eq!(replaced, format!("before\n{BEGIN}\nnew\n\n{END}after\n"));
        assert_eq!(super::replaced(&replaced, "new\n").unwrap(), replaced);
        assert_eq!(super::replaced("no marks", "new"), None);
    }
}

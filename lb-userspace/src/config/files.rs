//! The configuration file, and those below `conf.d` beside it.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::{ConfigError, MAX_FILE_SIZE, Report, diagnostic::Source, syntax};

/// Directory beside the file, for files that belong to it.
const DIRECTORY: &str = "conf.d";

/// The file at `path`, and behind it, in the order of their names, those of `conf.d` that end in `.toml`.
///
/// Each of these has to make sense by itself, so that none continues what the one before has begun.
pub(super) fn read(path: &Path) -> Result<Source, ConfigError> {
    let mut source = Source::file(path.display().to_string(), text(path)?);
    let mut left = MAX_FILE_SIZE - source.text.len() as u64;
    for path in parts(path)? {
        let part = Source::file(path.display().to_string(), text(&path)?);
        left = left
            .checked_sub(part.text.len() as u64)
            .ok_or(ConfigError::TooLarge(path))?;
        if let Err(error) = syntax::read(&part.text) {
            return Err(ConfigError::Invalid(Report::new(part, vec![*error])));
        }
        source.append(part);
    }
    Ok(source)
}

fn parts(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = path.with_file_name(DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(&directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(&directory, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What editors leave behind is none of ours.
        if name.ends_with(".toml") && !name.starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(ConfigError::TooLarge(path.into()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        ConfigError::NotUtf8 {
            path: path.into(),
            line: 1 + good.iter().filter(|byte| **byte == b'\n').count(),
        }
    })
}

pub(super) fn unreadable(path: &Path, source: io::Error) -> ConfigError {
    match source.kind() {
        io::ErrorKind::NotFound => ConfigError::NotFound(path.into()),
        io::ErrorKind::PermissionDenied => ConfigError::PermissionDenied(path.into()),
        io::ErrorKind::IsADirectory => ConfigError::IsDirectory(path.into()),
        _ => ConfigError::Unreadable {
            path: path.into(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    const MAIN: &str = "[director]\ninterfaces = [\"eth0\"]\n";

    fn service(name: &str, port: u16) -> String {
        format!(
            "[[service]]\nname = \"{name}\"\nlisten = [\"192.0.2.10:{port}\"]\n[[service.backend]]\naddress = \"10.0.0.11\""
        )
    }

    fn directory(parts: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(DIRECTORY)).unwrap();
        fs::write(directory.path().join("tandem.toml"), MAIN).unwrap();
        for (name, text) in parts {
            fs::write(directory.path().join(DIRECTORY).join(name), text).unwrap();
        }
        directory
    }

    fn error(parts: &[(&str, &str)]) -> String {
        let directory = directory(parts);
        let text = load(&directory.path().join("tandem.toml")).unwrap_err().render();
        text.replace(&directory.path().display().to_string(), "DIR")
    }

    #[test]
    fn parts_are_taken_in_the_order_of_their_names() {
        let directory = directory(&[
            ("20-b.toml", &service("b", 81)),
            ("10-a.toml", &service("a", 80)),
            (".hidden.toml", "nonsense"),
            ("30-c.toml~", "nonsense"),
            ("40-empty.toml", ""),
            ("50-limits.toml", "[limits]\nflows_v4 = \"64k\"\n"),
        ]);
        let config = load(&directory.path().join("tandem.toml")).unwrap().config;
        let names: Vec<_> = config.services.iter().map(|service| &*service.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(config.limits.flows_v4, 64 << 10);
    }

    #[test]
    fn errors_name_the_part_and_its_line() {
        let a = service("a", 80);
        let wrong = a.replace("10.0.0.11", "10.0.0.256");
        let said = error(&[("10-a.toml", &a), ("20-b.toml", &wrong.replace("\"a\"", "\"b\""))]);
        assert!(said.contains("DIR/conf.d/20-b.toml:5:"), "{said}");
        // Two that say the same: the other place is named, too.
        let said = error(&[("10-a.toml", &a), ("20-b.toml", &a)]);
        assert!(said.contains("--> DIR/conf.d/20-b.toml:2:"), "{said}");
        assert!(said.contains("DIR/conf.d/10-a.toml:2"), "{said}");
        let said = error(&[("10-a.toml", &a), ("20-b.toml", MAIN)]);
        assert!(said.contains("20-b.toml") && said.contains("duplicate"), "{said}");
    }

    #[test]
    fn a_part_does_not_continue_what_another_began() {
        for part in ["[[service.backend]]\naddress = \"10.0.0.12\"\n", "weight = 3\n"] {
            let said = error(&[("10-a.toml", &service("a", 80)), ("20-b.toml", part)]);
            assert!(said.contains("DIR/conf.d/20-b.toml:1:"), "{said}");
        }
    }
}

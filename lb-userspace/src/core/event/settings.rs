//! Who is told of events, as the operator set it.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Filter;

/// `[events]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many events are kept.
    pub keep: usize,
    /// Who is told; their names are unique.
    pub receivers: Vec<Receiver>,
}

impl Settings {
    /// How many events are kept unless the operator says otherwise.
    pub const DEFAULT_KEEP: usize = 4096;
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep: Self::DEFAULT_KEEP,
            receivers: Vec::new(),
        }
    }
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receiver {
    /// A program.
    Hook(Hook),
    /// People.
    Mail(Mail),
    /// Another system.
    Webhook(Webhook),
}

impl Receiver {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Hook(hook) => &hook.name,
            Self::Mail(mail) => &mail.name,
            Self::Webhook(webhook) => &webhook.name,
        }
    }

    /// What it wants to hear of.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        match self {
            Self::Hook(hook) => &hook.filter,
            Self::Mail(mail) => &mail.filter,
            Self::Webhook(webhook) => &webhook.filter,
        }
    }
}

/// A program that is run once for each event, without a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Unique among the receivers.
    pub name: String,
    /// What it wants to hear of.
    pub filter: Filter,
    /// The program, by its absolute path, and its arguments.
    pub command: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
    /// How many may run at the same time; with one, they run in the order of the events.
    pub at_once: u32,
    /// Most runs a minute in the long run.
    pub per_minute: u32,
}

/// Mail to people: events that come together are one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Unique among the receivers.
    pub name: String,
    /// What they want to hear of.
    pub filter: Filter,
    /// Sender, as in a `From:` header.
    pub from: String,
    /// At least one, as in a `To:` header.
    pub to: Vec<String>,
    /// Who passes it on.
    pub smtp: Smtp,
    /// Time between two messages.
    pub interval: Duration,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smtp {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is secured.
    pub security: SmtpSecurity,
    /// User name, and the file whose first line is the password.
    pub login: Option<(String, PathBuf)>,
    /// File of certificates (PEM) of those who may vouch for the server; the system's where there is none.
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// By STARTTLS (RFC 3207), or not at all: without it nothing is sent.
    StartTls,
    /// From the first byte (RFC 8314).
    Tls,
    /// In clear text.
    None,
}

/// JSON to another system by HTTP POST: events that come together are one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Unique among the receivers.
    pub name: String,
    /// What it wants to hear of.
    pub filter: Filter,
    /// Where to.
    pub url: Url,
    /// File whose first line goes into an `Authorization: Bearer` header.
    pub token_file: Option<PathBuf>,
    /// File of certificates (PEM) of those who may vouch for the server; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Most requests a minute in the long run.
    pub per_minute: u32,
}

/// An `http` or `https` URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// Name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query; begins with a slash.
    pub path: String,
}

/// The text is no URL that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a URL: expected http://HOST[:PORT][/PATH] or https://…, without blanks, user or fragment")]
pub struct UrlError;

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.contains('#') {
            return Err(UrlError);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError)?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(UrlError),
        };
        let authority = uri.authority().ok_or(UrlError)?;
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains(['[', ']']),
        };
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => Some(if tls { 443 } else { 80 }),
            Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()),
            // A user, whom nobody would see used.
            None => None,
        };
        let port = port.filter(|&port| good && port != 0).ok_or(UrlError)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            tls,
            host: bare.unwrap_or(host).to_owned(),
            port,
            path: format!("{slash}{path}"),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]", self.host)?;
        } else {
            write!(f, "{scheme}://{}", self.host)?;
        }
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

impl Serialize for Url {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls() {
        for (text, whole, host, port) in [
            ("http://a", "http://a/", "a", 80),
            (
                "https://a.example/x?y=1",
                "https://a.example/x?y=1",
                "a.example",
                443,
            ),
            ("http://a?y", "http://a/?y", "a", 80),
            (
                "http://192.0.2.1:8080/",
                "http://192.0.2.1:8080/",
                "192.0.2.1",
                8080,
            ),
            (
                "https://[2001:db8::1]:443",
                "https://[2001:db8::1]/",
                "2001:db8::1",
                443,
            ),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!(
                (url.to_string().as_str(), url.host.as_str(), url.port),
                (whole, host, port),
                "{text}"
            );
        }
        for text in [
            "",
            "a",
            "ftp://a",
            "http://",
            "http://:80",
            "http://a:0",
            "http://a:99999",
            "http://a b",
            "http://u@a",
            "http://a/#x",
            "http://[a]",
            "http://[::1",
            "http://[::1]x",
            "http://a:b:c",
        ] {
            assert_eq!(text.parse::<Url>(), Err(UrlError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in r"https?://(\[[:0-9a-f]{2,9}\]|[a-z0-9.]{1,9})(:[0-9]{1,5})?(/[a-z?=/]{0,9})?") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert_eq!(url.to_string().parse(), Ok(url));
            }
        }
    }
}

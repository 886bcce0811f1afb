//! Who is told of events.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::config::Spanned;
use lettre::message::Mailbox;

use super::{FirstSeen, Validator};
use crate::{
    config::{
        diagnostic::{Diagnostic, NOWHERE, quote},
        duration::Time,
        file,
        size::Size,
    },
    core::event::{Filter, Hook, Mail, Receiver, Settings, Severity, Smtp, SmtpSecurity, Webhook},
};

/// Fewest and most events that are kept; a kept event takes about half a kilobyte.
const KEEP: RangeInclusive<u64> = 16..=1 << 20;
/// Most of anything that is counted by the minute.
const PER_MINUTE: RangeInclusive<u32> = 1..=60_000;
/// Most programs that a hook may run at the same time.
const AT_ONCE: RangeInclusive<u32> = 1..=64;
/// How long a program or an answer may take.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(100);
/// Time between two mails.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

impl Validator<'_> {
    pub(super) fn events(&mut self, table: &file::Events) -> Settings {
        let keep = table.keep.as_ref();
        let keep = keep.map_or(Settings::DEFAULT_KEEP, |keep| self.kept(keep));
        let mut names = FirstSeen::new();
        let mut receivers = Vec::new();
        for (number, hook) in (1..).zip(&table.hooks) {
            let name = self.receiver(&mut names, hook.name.as_ref(), format!("hook-{number}"));
            receivers.extend(self.hook(hook, name).map(Receiver::Hook));
        }
        for (number, mail) in (1..).zip(&table.mails) {
            let name = self.receiver(&mut names, mail.name.as_ref(), format!("mail-{number}"));
            receivers.extend(self.mail(mail, name).map(Receiver::Mail));
        }
        for (number, webhook) in (1..).zip(&table.webhooks) {
            let name = self.receiver(&mut names, webhook.name.as_ref(), format!("webhook-{number}"));
            receivers.extend(self.webhook(webhook, name).map(Receiver::Webhook));
        }
        Settings { keep, receivers }
    }

    fn kept(&mut self, keep: &Spanned<Size>) -> usize {
        let Size(number) = *keep.get_ref();
        if KEEP.contains(&number) {
            return number as usize;
        }
        let range = format!("expected {} to {}", Size(*KEEP.start()), Size(*KEEP.end()));
        self.report(Diagnostic::error("`keep` is out of range").at(keep.span(), range));
        Settings::DEFAULT_KEEP
    }

    fn receiver(
        &mut self,
        seen: &mut FirstSeen<String>,
        name: Option<&Spanned<String>>,
        default: String,
    ) -> String {
        let Some(given) = name else {
            seen.entry(default.clone()).or_insert(NOWHERE);
            return default;
        };
        self.name("receiver", given);
        self.once(seen, given.get_ref().clone(), &given.span(), || {
            Diagnostic::error(format!(
                "two receivers of events are called {}",
                quote(given.get_ref())
            ))
            .at(given.span(), "expected another name")
        });
        given.get_ref().clone()
    }

    fn filter(&mut self, kinds: Option<&Vec<Spanned<String>>>, severity: Severity) -> Filter {
        let mut filter = Filter {
            severity: Some(severity),
            ..Filter::default()
        };
        for kind in kinds.into_iter().flatten() {
            match kind.get_ref().parse() {
                Ok(pattern) => filter.kinds.push(pattern),
                Err(_) => self.report(
                    Diagnostic::error(format!("no kind of event is called {}", quote(kind.get_ref())))
                        .at(
                            kind.span(),
                            "expected one such as \"director.started\", \"director.*\" or \"*\"",
                        )
                        .note("docs/events.md lists them"),
                ),
            }
        }
        filter
    }

    fn hook(&mut self, table: &file::Hook, name: String) -> Option<Hook> {
        let filter = self.filter(table.kinds.as_ref(), table.severity.unwrap_or(Severity::Info));
        let command = self.command(&table.command);
        Some(Hook {
            name,
            filter,
            timeout: self.time(
                "timeout",
                table.timeout.as_ref(),
                Duration::from_secs(10),
                &TIMEOUT,
            ),
            at_once: self.number("at_once", table.at_once.as_ref(), 1, &AT_ONCE),
            per_minute: self.number("per_minute", table.per_minute.as_ref(), 120, &PER_MINUTE),
            command: command?,
        })
    }

    /// A program by its absolute path, and its arguments.
    pub(super) fn command(&mut self, command: &Spanned<Vec<String>>) -> Option<Vec<String>> {
        let (words, span) = (command.get_ref(), command.span());
        let wrong = match words.first() {
            None => "there is no program to run",
            Some(program) if !program.starts_with('/') => "a program must be named by its whole path",
            Some(_) if words.iter().any(|word| word.contains('\0')) => "a NUL byte cannot be an argument",
            Some(_) => return Some(words.clone()),
        };
        self.report(Diagnostic::error(wrong).at(
            span,
            "expected a program and its arguments, such as [\"/etc/tandem/notify\", \"pager\"]; there is no shell",
        ));
        None
    }

    fn mail(&mut self, table: &file::Mail, name: String) -> Option<Mail> {
        let filter = self.filter(table.kinds.as_ref(), table.severity.unwrap_or(Severity::Warning));
        let from = self.mailbox(&table.from);
        if table.to.get_ref().is_empty() {
            self.report(
                Diagnostic::error("nobody is to get the mail")
                    .at(table.to.span(), "expected at least one address"),
            );
        }
        let to: Vec<_> = table
            .to
            .get_ref()
            .iter()
            .filter_map(|to| self.mailbox(to))
            .collect();
        let security = table.security.unwrap_or(SmtpSecurity::StartTls);
        let server = self.server(&table.server, security);
        let login = match (&table.user, &table.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => Some((user.get_ref().clone(), self.path(file)?)),
            (Some(one), None) | (None, Some(one)) => {
                self.report(
                    Diagnostic::error("a user needs a password, and a password a user")
                        .at(one.span(), "expected both `user` and `password_file`, or neither"),
                );
                None
            }
        };
        if let (Some(user), SmtpSecurity::None) = (&table.user, security) {
            self.report(
                Diagnostic::error("a password must not cross the network in clear text").at(
                    user.span(),
                    "expected `security` to be \"starttls\" or \"tls\", or no user",
                ),
            );
        }
        let ca_file = self.optional_path(table.ca_file.as_ref());
        let interval = self.time(
            "interval",
            table.interval.as_ref(),
            Duration::from_secs(60),
            &INTERVAL,
        );
        let (host, port) = server?;
        Some(Mail {
            name,
            filter,
            from: from?,
            to,
            smtp: Smtp {
                host,
                port,
                security,
                login,
                ca_file,
            },
            interval,
        })
    }

    fn mailbox(&mut self, given: &Spanned<String>) -> Option<String> {
        if given.get_ref().parse::<Mailbox>().is_ok() {
            return Some(given.get_ref().clone());
        }
        self.report(
            Diagnostic::error(format!("{} is no mail address", quote(given.get_ref()))).at(
                given.span(),
                "expected one such as \"ops@example.net\" or \"Ops <ops@example.net>\"",
            ),
        );
        None
    }

    /// `HOST` or `HOST:PORT`; an IPv6 address in brackets if there is a port.
    fn server(&mut self, given: &Spanned<String>, security: SmtpSecurity) -> Option<(String, u16)> {
        // RFC 6409, RFC 8314 and RFC 5321.
        let usual = match security {
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::Tls => 465,
            SmtpSecurity::None => 25,
        };
        let text = given.get_ref();
        let url = format!("http://{text}");
        match url.parse::<crate::core::event::Url>() {
            Ok(url) if url.path == "/" => {
                let with_port = text.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(':');
                Some((url.host, if with_port { url.port } else { usual }))
            }
            Ok(_) | Err(_) => {
                self.report(
                    Diagnostic::error(format!("{} is no mail server", quote(text))).at(
                        given.span(),
                        "expected a host, and a port if it is another, such as \"smtp.example.net:587\"",
                    ),
                );
                None
            }
        }
    }

    fn webhook(&mut self, table: &file::Webhook, name: String) -> Option<Webhook> {
        let filter = self.filter(table.kinds.as_ref(), table.severity.unwrap_or(Severity::Info));
        let url = self.url(&table.url);
        let token_file = self.optional_path(table.token_file.as_ref());
        let ca_file = self.optional_path(table.ca_file.as_ref());
        let timeout = self.time(
            "timeout",
            table.timeout.as_ref(),
            Duration::from_secs(10),
            &TIMEOUT,
        );
        let per_minute = self.number("per_minute", table.per_minute.as_ref(), 60, &PER_MINUTE);
        Some(Webhook {
            name,
            filter,
            url: url?,
            token_file,
            ca_file,
            timeout,
            per_minute,
        })
    }

    fn url(&mut self, given: &Spanned<String>) -> Option<crate::core::event::Url> {
        match given.get_ref().parse() {
            Ok(url) => Some(url),
            Err(error) => {
                let error = Diagnostic::error(format!("{} is {error}", quote(given.get_ref())));
                self.report(error.at(
                    given.span(),
                    "expected one such as \"https://example.net/tandem\"",
                ));
                None
            }
        }
    }

    fn optional_path(&mut self, given: Option<&Spanned<String>>) -> Option<PathBuf> {
        given.and_then(|given| self.path(given))
    }

    /// An absolute path. Whether there is anything is seen when it is needed.
    pub(super) fn path(&mut self, given: &Spanned<String>) -> Option<PathBuf> {
        if given.get_ref().starts_with('/') && !given.get_ref().contains('\0') {
            return Some(given.get_ref().into());
        }
        self.report(
            Diagnostic::error(format!(
                "{} is not the whole path of a file",
                quote(given.get_ref())
            ))
            .at(given.span(), "expected one that begins with `/`"),
        );
        None
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        key: &str,
        given: Option<&Spanned<i64>>,
        default: u32,
        range: &RangeInclusive<u32>,
    ) -> u32 {
        let Some(given) = given else { return default };
        match u32::try_from(*given.get_ref()) {
            Ok(number) if range.contains(&number) => number,
            Ok(_) | Err(_) => {
                let expected = format!("expected {} to {}", range.start(), range.end());
                self.report(Diagnostic::error(format!("`{key}` is out of range")).at(given.span(), expected));
                default
            }
        }
    }

    /// A time within bounds.
    pub(super) fn time(
        &mut self,
        key: &str,
        given: Option<&Spanned<Time>>,
        default: Duration,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        let Some(given) = given else { return default };
        let Time(time) = *given.get_ref();
        if range.contains(&time) {
            return time;
        }
        let expected = format!("expected {} to {}", Time(*range.start()), Time(*range.end()));
        self.report(Diagnostic::error(format!("`{key}` is out of range")).at(given.span(), expected));
        default
    }
}

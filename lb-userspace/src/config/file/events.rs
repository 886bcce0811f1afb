//! `[events]` and the tables in it.

use crate::config::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Size, Time, texts, unplaced};
use crate::core::event;

/// `[events]`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Events {
    pub(in crate::config) keep: Option<Spanned<Size>>,
    #[serde(default, rename = "hook", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) hooks: Vec<Hook>,
    #[serde(default, rename = "mail", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) mails: Vec<Mail>,
    #[serde(default, rename = "webhook", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::config) webhooks: Vec<Webhook>,
}

/// `[[events.hook]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hook {
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) kinds: Option<Vec<Spanned<String>>>,
    pub(in crate::config) severity: Option<event::Severity>,
    pub(in crate::config) command: Spanned<Vec<String>>,
    pub(in crate::config) timeout: Option<Spanned<Time>>,
    pub(in crate::config) at_once: Option<Spanned<i64>>,
    pub(in crate::config) per_minute: Option<Spanned<i64>>,
}

/// `[[events.mail]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Mail {
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) kinds: Option<Vec<Spanned<String>>>,
    pub(in crate::config) severity: Option<event::Severity>,
    pub(in crate::config) from: Spanned<String>,
    pub(in crate::config) to: Spanned<Vec<Spanned<String>>>,
    pub(in crate::config) server: Spanned<String>,
    pub(in crate::config) security: Option<event::SmtpSecurity>,
    pub(in crate::config) user: Option<Spanned<String>>,
    pub(in crate::config) password_file: Option<Spanned<String>>,
    pub(in crate::config) ca_file: Option<Spanned<String>>,
    pub(in crate::config) interval: Option<Spanned<Time>>,
}

/// `[[events.webhook]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Webhook {
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) kinds: Option<Vec<Spanned<String>>>,
    pub(in crate::config) severity: Option<event::Severity>,
    pub(in crate::config) url: Spanned<String>,
    pub(in crate::config) token_file: Option<Spanned<String>>,
    pub(in crate::config) ca_file: Option<Spanned<String>>,
    pub(in crate::config) timeout: Option<Spanned<Time>>,
    pub(in crate::config) per_minute: Option<Spanned<i64>>,
}

fn kinds(filter: &event::Filter) -> Option<Vec<Spanned<String>>> {
    let kinds: Vec<_> = filter
        .kinds
        .iter()
        .map(|kind| unplaced(kind.to_string()))
        .collect();
    (!kinds.is_empty()).then_some(kinds)
}

fn path(path: &std::path::Path) -> Spanned<String> {
    unplaced(path.to_string_lossy().into_owned())
}

impl From<&event::Settings> for Events {
    fn from(settings: &event::Settings) -> Self {
        let event::Settings { keep, receivers } = settings;
        let mut events = Self {
            keep: Some(unplaced(Size(*keep as u64))),
            ..Self::default()
        };
        for receiver in receivers {
            match receiver {
                event::Receiver::Hook(hook) => events.hooks.push(hook.into()),
                event::Receiver::Mail(mail) => events.mails.push(mail.into()),
                event::Receiver::Webhook(webhook) => events.webhooks.push(webhook.into()),
            }
        }
        events
    }
}

impl From<&event::Hook> for Hook {
    fn from(hook: &event::Hook) -> Self {
        Self {
            name: Some(unplaced(hook.name.clone())),
            kinds: kinds(&hook.filter),
            severity: hook.filter.severity,
            command: unplaced(hook.command.clone()),
            timeout: Some(unplaced(Time(hook.timeout))),
            at_once: Some(unplaced(hook.at_once.into())),
            per_minute: Some(unplaced(hook.per_minute.into())),
        }
    }
}

impl From<&event::Mail> for Mail {
    fn from(mail: &event::Mail) -> Self {
        let event::Smtp {
            host,
            port,
            security,
            login,
            ca_file,
        } = &mail.smtp;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        Self {
            name: Some(unplaced(mail.name.clone())),
            kinds: kinds(&mail.filter),
            severity: mail.filter.severity,
            from: unplaced(mail.from.clone()),
            to: texts(&mail.to),
            server: unplaced(format!("{host}:{port}")),
            security: Some(*security),
            user: login.as_ref().map(|(user, _)| unplaced(user.clone())),
            password_file: login.as_ref().map(|(_, file)| path(file)),
            ca_file: ca_file.as_deref().map(path),
            interval: Some(unplaced(Time(mail.interval))),
        }
    }
}

impl From<&event::Webhook> for Webhook {
    fn from(webhook: &event::Webhook) -> Self {
        Self {
            name: Some(unplaced(webhook.name.clone())),
            kinds: kinds(&webhook.filter),
            severity: webhook.filter.severity,
            url: unplaced(webhook.url.to_string()),
            token_file: webhook.token_file.as_deref().map(path),
            ca_file: webhook.ca_file.as_deref().map(path),
            timeout: Some(unplaced(Time(webhook.timeout))),
            per_minute: Some(unplaced(webhook.per_minute.into())),
        }
    }
}

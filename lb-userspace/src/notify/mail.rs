//! Mail by SMTP.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

use crate::{
    core::event::{Batch, Mail, Record, Severity, Smtp, SmtpSecurity},
    io::one_line,
};

/// How long a step of the conversation may take.
const STEP: Duration = Duration::from_secs(20);

/// Sends one message that tells of the whole batch.
pub(super) async fn send(mail: &Mail, director: &str, batch: &Batch) -> Result<(), String> {
    let message = message(mail, director, batch)?;
    let transport = transport(&mail.smtp)?;
    let sent = transport.send(message).await;
    sent.map(drop).map_err(|error| {
        let mut text = format!("mail by {}:{}: {error}", mail.smtp.host, mail.smtp.port);
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            let _ = write!(text, ": {cause}");
            source = cause.source();
        }
        one_line(&text)
    })
}

fn message(mail: &Mail, director: &str, batch: &Batch) -> Result<Message, String> {
    let mailbox = |text: &str| -> Result<Mailbox, String> {
        text.parse()
            .map_err(|error| format!("`{text}` is no mail address: {error}"))
    };
    let mut builder = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(subject(director, batch));
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    // RFC 3834: nobody is to answer by a machine.
    let builder =
        builder
            .header(ContentType::TEXT_PLAIN)
            .raw_header(lettre::message::header::HeaderValue::new(
                lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
    builder
        .body(body(director, batch))
        .map_err(|error| error.to_string())
}

fn subject(director: &str, batch: &Batch) -> String {
    let worst = batch.events.iter().max_by_key(|event| event.severity);
    let severity = worst.map_or(Severity::Info, |event| event.severity);
    let about = worst.map_or_else(String::new, |event| line(event));
    let more = match batch.events.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    one_line(&format!("[tandem {director}] {severity}: {about}{more}"))
}

fn line(event: &Record) -> String {
    let subject = event.subject.to_string();
    let separator = if subject.is_empty() { "" } else { ": " };
    format!("{subject}{separator}{}", one_line(&event.text))
}

fn body(director: &str, batch: &Batch) -> String {
    let mut body = format!("Director {director} tells:\n\n");
    if batch.lost > 0 {
        let _ = writeln!(body, "({} earlier events were not told.)\n", batch.lost);
    }
    for event in &batch.events {
        let _ = writeln!(body, "{}  {:<8}  {}", event.time, event.severity, line(event));
    }
    body.push_str("\n`tandem events` on the director shows more; `tandem status` says how it is now.\n");
    body
}

fn transport(smtp: &Smtp) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let tls = |ca_file: Option<&Path>| -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(smtp.host.clone());
        if let Some(path) = ca_file {
            let pem = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| error.to_string())?;
            builder = builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(certificate);
        }
        builder.build().map_err(|error| error.to_string())
    };
    let ca_file = smtp.ca_file.as_deref();
    let security = match smtp.security {
        SmtpSecurity::StartTls => Tls::Required(tls(ca_file)?),
        SmtpSecurity::Tls => Tls::Wrapper(tls(ca_file)?),
        SmtpSecurity::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port)
        .tls(security)
        .timeout(Some(STEP));
    if let Some((user, password_file)) = &smtp.login {
        let password = super::webhook::secret(password_file)?;
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::event::{Filter, Subject, Timestamp};

    fn batch() -> Batch {
        let event = |number, severity, text: &str| {
            Arc::new(Record {
                number,
                time: Timestamp(1_000_000_000_000),
                kind: "backend.down".to_owned(),
                severity,
                subject: Subject::backend("web", "web1"),
                from: None,
                to: None,
                reason: String::new(),
                text: text.to_owned(),
            })
        };
        Batch {
            events: vec![
                event(1, Severity::Notice, "up"),
                event(2, Severity::Critical, "down:\r\nBcc: x@example.net"),
            ],
            lost: 3,
            next: 9,
        }
    }

    #[test]
    fn a_message_tells_of_all_and_nothing_in_it_becomes_a_header() {
        let mail = Mail {
            name: "ops".to_owned(),
            filter: Filter::default(),
            from: "Tandem <tandem@example.net>".to_owned(),
            to: vec!["ops@example.net".to_owned(), "second@example.net".to_owned()],
            smtp: Smtp {
                host: "localhost".to_owned(),
                port: 25,
                security: SmtpSecurity::None,
                login: None,
                ca_file: None,
            },
            interval: Duration::from_secs(60),
        };
        let text = message(&mail, "lb1", &batch()).unwrap().formatted();
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(
            head.contains("ops@example.net") && head.contains("Auto-Submitted: auto-generated"),
            "{head}"
        );
        for words in [
            "2001-09-09T01:46:40.000Z",
            "web/web1: up",
            "web/web1: down:",
            "3 earlier events",
        ] {
            assert!(body.contains(words), "{words} is not in: {body}");
        }
    }

    #[test]
    fn the_subject_is_about_the_worst() {
        assert_eq!(
            subject("lb1", &batch()),
            "[tandem lb1] critical: web/web1: down:  Bcc: x@example.net (and 1 more)"
        );
    }
}

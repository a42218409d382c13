//! Mail, by the operator's server.

use std::time::{Duration, SystemTime};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        client::{Certificate, Tls, TlsParameters},
        extension::ClientId,
    },
};
use url::Url;

use super::senders::{Links, signature};
use crate::ports::notify::{Attempt, Fact, Message, Notification};

/// How long the server may take at each step.
const TIMEOUT: Duration = Duration::from_secs(10);

/// And for all of them.
const DEADLINE: Duration = Duration::from_secs(20);

/// Sends mail.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why there is no mailer; never the address of the server, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailerError {
    /// It is no address of a mail server.
    #[error("`smtp_url` is no address like `smtps://user:password@mail.example.org` or `smtp://mail.example.org:587`")]
    Server,
    /// The password would be readable on its way.
    #[error("`smtp_url` has a password and `tls=none`: the password would be readable on its way")]
    Readable,
    /// It is no sender.
    #[error("`smtp_from` is no sender like `Tidegate <tidegate@example.org>`")]
    Sender,
    /// The authorities cannot be read.
    #[error("`outgoing_ca` holds no certificates for the TLS of mail")]
    Authorities,
}

impl Mailer {
    /// By the server at `url`: `smtps://…` speaks TLS from the start, `smtp://…` has to change to it, unless it ends with
    /// `?tls=none`. `authorities` are believed beside those of the web, as PEM.
    ///
    /// # Errors
    /// [`MailerError`] names the setting.
    pub fn new(url: &str, from: &str, authorities: Option<&str>) -> Result<Self, MailerError> {
        let from: Mailbox = from.parse().map_err(|_| MailerError::Sender)?;
        let url = secured(url)?;
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(|_| MailerError::Server)?;
        let parsed = Url::parse(&url).map_err(|_| MailerError::Server)?;
        let host = parsed.host_str().ok_or(MailerError::Server)?;
        let builder = match (parsed.scheme(), parsed.query()) {
            ("smtps", _) => builder.tls(Tls::Wrapper(tls(host, authorities)?)),
            (_, Some(_)) => builder.tls(Tls::Required(tls(host, authorities)?)),
            (_, None) => builder,
        };
        let hello = ClientId::Domain(from.email.domain().to_owned());
        let transport = builder.hello_name(hello).timeout(Some(TIMEOUT)).build();
        Ok(Self { transport, from })
    }

    /// Sends a message to these addresses.
    pub(super) async fn send(&self, to: &[String], message: &Message, links: &Links) -> Attempt {
        let Some(mail) = self.mail(to, message, links) else {
            return Attempt::refused(None, "an address of the channel is none that mail can be sent to");
        };
        match tokio::time::timeout(DEADLINE, self.transport.send(mail)).await {
            Ok(Ok(response)) => Attempt::delivered(Some(response.code().into())),
            Ok(Err(error)) => failure(&error),
            Err(_) => Attempt::failed(None, "no answer in time"),
        }
    }

    fn mail(&self, to: &[String], message: &Message, links: &Links) -> Option<Mail> {
        let notification = &message.notification;
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(message.at.0).unwrap_or(0));
        let by_itself = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mut builder = Mail::builder()
            .from(self.from.clone())
            .subject(subject(notification))
            .date(at)
            // The same each time, so that a repetition can be told.
            .message_id(Some(format!("<{}@{}>", message.id, self.from.email.domain())))
            // RFC 3834: nobody's machine answers.
            .raw_header(HeaderValue::new(by_itself, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN);
        for address in to {
            builder = builder.to(Mailbox::new(None, address.parse().ok()?));
        }
        builder.body(text(notification, links)).ok()
    }
}

fn tls(host: &str, authorities: Option<&str>) -> Result<TlsParameters, MailerError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = authorities {
        let certificates = Certificate::from_pem(pem.as_bytes()).map_err(|_| MailerError::Authorities)?;
        builder = builder.add_root_certificate(certificates);
    }
    builder.build_rustls().map_err(|_| MailerError::Authorities)
}

/// With TLS unless it says otherwise.
fn secured(url: &str) -> Result<String, MailerError> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let is_plain = match query {
        "" | "tls=required" => false,
        "tls=none" => true,
        _ => return Err(MailerError::Server),
    };
    match address.split_once("://") {
        Some(("smtps", rest)) if !rest.is_empty() && !is_plain => Ok(address.to_owned()),
        Some(("smtp", rest)) if rest.contains('@') && is_plain => Err(MailerError::Readable),
        Some(("smtp", rest)) if !rest.is_empty() && is_plain => Ok(address.to_owned()),
        Some(("smtp", rest)) if !rest.is_empty() => Ok(format!("{address}?tls=required")),
        _ => Err(MailerError::Server),
    }
}

/// What failed, in words of ours: the server's may repeat addresses.
fn failure(error: &lettre::transport::smtp::Error) -> Attempt {
    match error.status().map(u16::from) {
        // RFC 5321 §4.2.1, RFC 4954 §6: the mailbox is the trouble; of other refusals, the configuration, which can be repaired.
        Some(status @ (550 | 551 | 553 | 554)) => {
            Attempt::refused(Some(status), format!("the mail server refused it with {status}"))
        }
        Some(status) => Attempt::failed(Some(status), format!("the mail server answered {status}")),
        None if error.is_timeout() => Attempt::failed(None, "no answer in time"),
        None if error.is_client() => Attempt::failed(None, "the mail server cannot what is asked of it"),
        // A certificate that is not trusted ends the connection, too.
        None => Attempt::failed(None, "no connection to the mail server, or no TLS with it"),
    }
}

fn subject(notification: &Notification) -> String {
    format!("[{}] {}", notification.severity.as_str(), notification.title)
}

fn text(notification: &Notification, links: &Links) -> String {
    let Notification { title, reason, facts, .. } = notification;
    let mut parts = vec![title.clone()];
    parts.extend(Some(reason.clone()).filter(|reason| !reason.is_empty()));
    let facts = facts.iter().map(|Fact { name, value }| format!("{name}: {value}"));
    parts.extend(Some(facts.collect::<Vec<_>>().join("\n")).filter(|facts| !facts.is_empty()));
    parts.push(format!("{}\n{}", signature(notification), links.of(notification)));
    parts.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::senders::tests::{links, message};

    #[test]
    fn a_mail() {
        let mailer = Mailer::new("smtps://ada:secret@mail.example.org", "Tidegate <tidegate@example.org>", None);
        let mailer = mailer.unwrap();
        let to = ["ada@example.org".to_owned(), "ops@example.org".to_owned()];
        let mail = mailer.mail(&to, &message(), &links()).unwrap();
        insta::assert_snapshot!(String::from_utf8(mail.formatted()).unwrap().replace('\r', ""));
        assert!(mailer.mail(&["nobody".to_owned()], &message(), &links()).is_none());
    }

    #[test]
    fn a_subject_is_one_line() {
        let told = Notification { title: "a\r\nBcc: eve@example.org".to_owned(), ..message().notification };
        let mailer = Mailer::new("smtps://mail.example.org", "tidegate@example.org", None).unwrap();
        let mail = mailer.mail(&["ada@example.org".to_owned()], &Message { notification: told, ..message() }, &links());
        let head = String::from_utf8(mail.unwrap().formatted()).unwrap();
        let head = head.split("\r\n\r\n").next().unwrap();
        assert!(!head.contains("\nBcc:"), "{head}");
    }

    #[test]
    fn mail_goes_by_tls_unless_told_otherwise() {
        let check = |url: &str, expected: Result<&str, MailerError>| {
            assert_eq!(secured(url), expected.map(str::to_owned), "{url}");
        };
        check("smtps://u:p@mail", Ok("smtps://u:p@mail"));
        check("smtp://u:p@mail:587", Ok("smtp://u:p@mail:587?tls=required"));
        check("smtp://mail?tls=required", Ok("smtp://mail?tls=required"));
        check("smtp://localhost:2525?tls=none", Ok("smtp://localhost:2525"));
        check("smtp://u:p@mail?tls=none", Err(MailerError::Readable));
        for wrong in ["", "mail", "http://mail", "smtp://", "smtps://mail?tls=none", "smtp://mail?tls=maybe"] {
            check(wrong, Err(MailerError::Server));
        }
        let from = |from: &str| Mailer::new("smtps://mail.example.org", from, None).err();
        assert_eq!((from("Ada <ada@example.org>"), from("ada")), (None, Some(MailerError::Sender)));
    }
}

//! How a message is sent to each kind of channel.

use std::sync::Arc;

use async_trait::async_trait;

use super::{mail::Mailer, pager_duty, slack, webhook};
use crate::{
    app::times::rfc3339,
    ports::{
        notify::{Attempt, Message, Messenger, Notification, Target},
        outgoing::{Outgoing, Request},
    },
};

/// Sends messages to every kind of channel.
pub struct Senders {
    outgoing: Arc<dyn Outgoing>,
    /// Absent: the operator has no mail server.
    mailer: Option<Mailer>,
    links: Links,
}

/// The addresses of pages of ours.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// Where people reach the server, without a slash at the end.
    public_url: String,
}

const NO_MAIL: &str = "this server sends no mail: the operator has not set `smtp_url`";

impl Senders {
    /// By that way out and that mailer; people reach the server at `public_url`.
    pub fn new(outgoing: Arc<dyn Outgoing>, mailer: Option<Mailer>, public_url: &str) -> Self {
        let links = Links { public_url: public_url.trim_end_matches('/').to_owned() };
        Self { outgoing, mailer, links }
    }

    /// Answers in `gone` say that it will not work another time.
    async fn post(&self, request: Request, gone: &[u16]) -> Attempt {
        match self.outgoing.send(request).await {
            Ok(response) if response.is_success() => Attempt::delivered(Some(response.status)),
            Ok(response) => {
                let status = response.status;
                let problem = format!("the receiver answered {status}");
                if gone.contains(&status) {
                    return Attempt::refused(Some(status), problem);
                }
                let retry_after_s = response.header("retry-after").and_then(|seconds| seconds.trim().parse().ok());
                Attempt { retry_after_s, ..Attempt::failed(Some(status), problem) }
            }
            Err(error) => Attempt::failed(None, error.to_string()),
        }
    }

    async fn page(&self, credential: &str, url: &str, message: &Message) -> Attempt {
        let routing_key = match self.outgoing.secret(credential, url) {
            Ok(secret) => secret,
            Err(error) => return Attempt::failed(None, error.to_string()),
        };
        let Message { id, notification, .. } = message;
        let body = pager_duty::body(notification, routing_key.reveal(), id, &self.links);
        self.post(json(url, &body), &[400, 410]).await
    }
}

#[async_trait]
impl Messenger for Senders {
    async fn send(&self, message: &Message) -> Attempt {
        match &message.target {
            Target::Webhook { url, credential } => {
                // Standard Webhooks: whoever answers 410 wants no more.
                self.post(webhook::request(url, credential.as_deref(), message, &self.links), &[410]).await
            }
            Target::Slack { credential, url } => {
                let body = slack::body(&message.notification, &self.links);
                let request = json(url.as_deref().unwrap_or(slack::ORIGIN), &body);
                let request = Request { credential: Some(credential.clone()), ..request };
                self.post(request, &[400, 410]).await
            }
            Target::PagerDuty { credential, url } => self.page(credential, &events_url(url.as_deref()), message).await,
            Target::Email { to } => match &self.mailer {
                Some(mailer) => mailer.send(to, message, &self.links).await,
                None => Attempt::failed(None, NO_MAIL),
            },
        }
    }

    fn check(&self, target: &Target) -> Result<(), String> {
        let checked = match target {
            Target::Webhook { url, credential } => self.outgoing.check(url, credential.as_deref()),
            Target::Slack { credential, url } => {
                self.outgoing.check(url.as_deref().unwrap_or(slack::ORIGIN), Some(credential))
            }
            Target::PagerDuty { credential, url } => {
                let url = events_url(url.as_deref());
                self.outgoing.check(&url, None).and_then(|()| self.outgoing.secret(credential, &url).map(drop))
            }
            Target::Email { .. } if self.mailer.is_none() => return Err(NO_MAIL.to_owned()),
            Target::Email { .. } => Ok(()),
        };
        checked.map_err(|error| error.to_string())
    }
}

impl Links {
    /// The page of what a notification tells of.
    pub(super) fn of(&self, notification: &Notification) -> String {
        let Notification { project, environment, flag, .. } = notification;
        let project = format!("{}/projects/{project}/flags", self.public_url);
        // Keys need no escapes.
        if flag.is_empty() { project } else { format!("{project}/{flag}?environment={environment}") }
    }
}

/// Who did it and when, on one line.
pub(super) fn signature(notification: &Notification) -> String {
    format!("{}, {}", notification.actor, rfc3339(notification.at))
}

fn events_url(origin: Option<&str>) -> String {
    format!("{}{}", origin.unwrap_or(pager_duty::ORIGIN).trim_end_matches('/'), pager_duty::PATH)
}

fn json(url: &str, body: &serde_json::Value) -> Request {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Request { headers, ..Request::post(url, body.to_string()) }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use tidegate_core::Timestamp;

    use super::*;
    use crate::ports::{
        notify::{Fact, Incident, Outcome, Severity},
        outgoing::{OutgoingError, Response, Secret},
    };

    pub(in crate::notify) fn links() -> Links {
        Links { public_url: "https://flags.example.org".to_owned() }
    }

    /// A roll back by the controller, with a name in it that others would read as markup.
    pub(in crate::notify) fn message() -> Message {
        let fact = |name: &str, value: &str| Fact { name: name.to_owned(), value: value.to_owned() };
        let notification = Notification {
            event: "rollout.rolledBack".to_owned(),
            severity: Severity::Critical,
            project: "shop".to_owned(),
            environment: "production".to_owned(),
            flag: "checkout".to_owned(),
            rollout: Some("01JD".to_owned()),
            title: "checkout in production: harm rolled `on` back from 25 %".to_owned(),
            reason: "harm: `errors` for 27 units in treatment, 9 in control, evidence 131 to 1".to_owned(),
            facts: vec![
                fact("Variant", "on, before off"),
                fact("Ratio", "3.00 times"),
                fact("p95 <ms>", "480 & rising"),
            ],
            actor: "Rollout controller".to_owned(),
            at: Timestamp(1_767_225_600_000),
            sequence: 41,
            incident: Some(Incident::Opens { key: "01JD".to_owned() }),
        };
        let target = Target::Email { to: vec!["ada@example.org".to_owned()] };
        let at = Timestamp(1_767_225_601_000);
        Message { id: "msg_1".to_owned(), target, keys: Vec::new(), notification, at }
    }

    /// Answers with a status, and keeps what it was asked.
    struct Answers(u16, Mutex<Vec<Request>>);

    #[async_trait]
    impl Outgoing for Answers {
        async fn send(&self, request: Request) -> Result<Response, OutgoingError> {
            self.1.lock().unwrap().push(request);
            let headers = vec![("retry-after".to_owned(), "120".to_owned())];
            Ok(Response { status: self.0, headers, body: bytes::Bytes::new() })
        }

        fn check(&self, _: &str, credential: Option<&str>) -> Result<(), OutgoingError> {
            credential.map_or(Ok(()), |name| self.secret(name, "").map(drop))
        }

        fn secret(&self, credential: &str, _: &str) -> Result<Secret, OutgoingError> {
            let name = credential.to_owned();
            if name == "ops" {
                Ok(Secret::new("integration-key"))
            } else {
                Err(OutgoingError::UnknownCredential { name })
            }
        }
    }

    fn target(kind: &str, credential: &str) -> Target {
        let credential = credential.to_owned();
        match kind {
            "webhook" => Target::Webhook { url: "https://hooks.example.org/x".to_owned(), credential: None },
            "slack" => Target::Slack { credential, url: None },
            "pagerDuty" => Target::PagerDuty { credential, url: None },
            _ => Target::Email { to: vec!["ada@example.org".to_owned()] },
        }
    }

    async fn attempt(status: u16, target: Target) -> (Attempt, Vec<Request>) {
        let answers = Arc::new(Answers(status, Mutex::default()));
        let senders = Senders::new(answers.clone(), None, "https://flags.example.org/");
        let attempt = senders.send(&Message { target, ..message() }).await;
        let asked = answers.1.lock().unwrap().clone();
        (attempt, asked)
    }

    #[tokio::test]
    async fn each_kind_is_sent_where_it_belongs() {
        for (kind, url, credential) in [
            ("webhook", "https://hooks.example.org/x", None),
            ("slack", "https://hooks.slack.com", Some("ops")),
            ("pagerDuty", "https://events.pagerduty.com/v2/enqueue", None),
        ] {
            let (attempt, asked) = attempt(202, target(kind, "ops")).await;
            assert_eq!(attempt, Attempt::delivered(Some(202)));
            let [request] = &asked[..] else { panic!("{asked:?}") };
            assert_eq!((request.url.as_str(), request.credential.as_deref()), (url, credential));
            assert_eq!(request.headers[0], ("content-type".to_owned(), "application/json".to_owned()));
        }
    }

    #[tokio::test]
    async fn an_answer_says_whether_it_is_tried_again() {
        for (kind, status, outcome) in [
            ("webhook", 204, Outcome::Delivered),
            ("webhook", 301, Outcome::Failed),
            ("webhook", 400, Outcome::Failed),
            ("webhook", 410, Outcome::Refused),
            ("webhook", 503, Outcome::Failed),
            ("slack", 400, Outcome::Refused),
            ("slack", 429, Outcome::Failed),
            ("pagerDuty", 400, Outcome::Refused),
            ("pagerDuty", 500, Outcome::Failed),
        ] {
            let (attempt, _) = attempt(status, target(kind, "ops")).await;
            assert_eq!((attempt.outcome, attempt.status), (outcome, Some(status)), "{kind} {status}");
            let waits = (outcome == Outcome::Failed).then_some(120);
            assert_eq!(attempt.retry_after_s, waits, "{kind} {status}");
        }
    }

    #[tokio::test]
    async fn what_is_not_configured_is_told_and_can_be_repaired() {
        let senders = Senders::new(Arc::new(Answers(200, Mutex::default())), None, "https://flags.example.org");
        for (kind, credential, named) in [
            ("slack", "none", "credential `none`"),
            ("pagerDuty", "none", "credential `none`"),
            ("email", "", "`smtp_url`"),
        ] {
            let problem = senders.check(&target(kind, credential)).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
        assert_eq!(senders.check(&target("pagerDuty", "ops")), Ok(()));
        for target in [target("pagerDuty", "none"), target("email", "")] {
            let (attempt, asked) = attempt(200, target).await;
            assert_eq!((attempt.outcome, asked.len()), (Outcome::Failed, 0));
        }
    }

    #[test]
    fn a_link_leads_to_the_flag() {
        let told = message().notification;
        assert_eq!(links().of(&told), "https://flags.example.org/projects/shop/flags/checkout?environment=production");
        let test = Notification { flag: String::new(), ..told };
        assert_eq!(links().of(&test), "https://flags.example.org/projects/shop/flags");
    }
}

//! Messages to the outside: what is told, to whom, and how it went.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;
use utoipa::ToSchema;

/// How much something matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = NotificationSeverity)]
pub enum Severity {
    /// All goes as it should.
    #[default]
    Info,
    /// Somebody should look when they have time.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Severity {
    /// Every severity, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The name that is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Where the messages of a channel go. Nothing in here is a secret: credentials are the operator's, and named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[schema(as = NotificationTarget)]
pub enum Target {
    /// JSON by POST, signed as Standard Webhooks say.
    Webhook {
        /// Where to.
        url: String,
        /// The operator's credential that goes with it, where the receiver asks for one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<String>,
    },
    /// An incoming webhook of Slack, or of what takes the same.
    Slack {
        /// The operator's credential with the webhook's path.
        credential: String,
        /// Scheme and host, where it is not `https://hooks.slack.com`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// The Events API of PagerDuty, version 2: of what needs somebody now, and of its end.
    PagerDuty {
        /// The operator's credential with the integration key.
        credential: String,
        /// Scheme and host, where it is not `https://events.pagerduty.com`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// Mail by the operator's server.
    Email {
        /// The addresses.
        to: Vec<String>,
    },
}

impl Target {
    /// Every kind's name.
    pub const KINDS: [&str; 4] = ["webhook", "slack", "pagerDuty", "email"];

    /// The kind's name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerDuty",
            Self::Email { .. } => "email",
        }
    }
}

/// Something that people want to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// What happened, like `rollout.rolledBack`.
    pub event: String,
    /// How much it matters.
    pub severity: Severity,
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// The flag's key; empty in a test message.
    pub flag: String,
    /// The rollout's id, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// What happened, on one line.
    pub title: String,
    /// Why, as a sentence or in a person's words; may be empty.
    pub reason: String,
    /// The numbers, each with its name.
    pub facts: Vec<Fact>,
    /// Who did it, by the name that people know.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// The row of the audit log that tells it; 0 in a test message.
    pub sequence: u64,
    /// What it does to an incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
}

/// A number with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// As people read it.
    pub value: String,
}

/// What a notification does to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Incident {
    /// Somebody is needed.
    Opens {
        /// The same for all that is told of it.
        key: String,
    },
    /// Nobody is needed any more.
    Resolves {
        /// As above.
        key: String,
    },
}

/// A secret of ours. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SigningKey(pub String);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The same each time that it is sent: receivers tell repetitions by it.
    pub id: String,
    /// Where to.
    pub target: Target,
    /// What a webhook is signed with: base64 behind `whsec_`. Several while they are changed.
    pub keys: Vec<SigningKey>,
    /// What it tells.
    pub notification: Notification,
    /// When it is sent.
    pub at: Timestamp,
}

/// How an attempt to send a message went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What follows from it.
    pub outcome: Outcome,
    /// The status of HTTP or SMTP, where there was an answer.
    pub status: Option<u16>,
    /// What went wrong, for people: nothing that the receiver wrote, no address, no secret.
    pub problem: Option<String>,
    /// How long the receiver wants to be left alone, in seconds, where it says so.
    pub retry_after_s: Option<u64>,
}

/// What follows from an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It may work another time.
    Failed,
    /// It will not work another time.
    Refused,
}

impl Attempt {
    /// The receiver has it.
    pub fn delivered(status: Option<u16>) -> Self {
        Self { outcome: Outcome::Delivered, status, problem: None, retry_after_s: None }
    }

    /// It may work another time.
    pub fn failed(status: Option<u16>, problem: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, status, problem: Some(problem.into()), retry_after_s: None }
    }

    /// It will not work another time.
    pub fn refused(status: Option<u16>, problem: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, status, problem: Some(problem.into()), retry_after_s: None }
    }
}

/// Sends messages.
#[async_trait]
pub trait Messenger: Send + Sync {
    /// Sends it once. Ends in bounded time, whatever the receiver does.
    async fn send(&self, message: &Message) -> Attempt;

    /// Whether messages can be sent there, as far as this process knows without trying.
    ///
    /// # Errors
    /// What is wrong and the way out, for whoever configures it.
    fn check(&self, target: &Target) -> Result<(), String>;
}

/// Who sends nothing: the command line, and tests of other things.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMessenger;

#[async_trait]
impl Messenger for NoMessenger {
    async fn send(&self, _: &Message) -> Attempt {
        Attempt::failed(None, "this process sends no messages")
    }

    fn check(&self, _: &Target) -> Result<(), String> {
        Ok(())
    }
}

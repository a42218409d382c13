//! Notification channels: where a project's notifications go, and what has become of each.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tidegate_core::Timestamp;
use utoipa::ToSchema;

use super::{
    App, AppError, BrokenDocument, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{self, Body, Stored, id_of},
    draft::Draft,
    input::Patchable,
    limits,
    moment::Moment,
    of_project::OfProject,
    projects::environment_id,
    resource::{Broken, Resource},
    secret::{self, webhook_key},
    users::checked_email,
};
use crate::ports::{
    notify::{Attempt, Incident, Message, Notification, Outcome, Severity, SigningKey, Target},
    store::{Delivery, DeliveryPage, DeliveryState, Document, DocumentId, DocumentKind, StoreError},
};

/// A channel, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// What people call it.
    pub name: String,
    /// Where its messages go.
    pub target: Target,
    /// What is milder is not sent.
    #[serde(default)]
    pub min_severity: Severity,
    /// Only notifications of these environments are sent; empty: of all.
    #[serde(default)]
    pub environments: Vec<String>,
    /// What a webhook's messages are signed with, the newest first. Not hashed, as the server has to sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeptKey>,
}

/// A webhook's key, and how long it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptKey {
    /// The key.
    pub key: SigningKey,
    /// Until when messages are signed with it, too; absent: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Body for Channel {
    const KIND: DocumentKind = DocumentKind::NotificationChannel;

    /// Of keys, only what tells them apart.
    fn audit(before: Option<&Self>, after: Option<&Self>) -> (Json, Json) {
        (before.map_or(Json::Null, Self::audited), after.map_or(Json::Null, Self::audited))
    }
}

/// A channel, as shown: nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationChannel {
    /// What people call it.
    pub name: String,
    /// Where its messages go.
    pub target: Target,
    /// What is milder is not sent.
    pub min_severity: Severity,
    /// Only notifications of these environments are sent; empty: of all.
    pub environments: Vec<String>,
    /// Until when a webhook is signed with its key before the last change, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_key_until: Option<Moment>,
}

/// Makes a notification channel.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateChannel {
    /// Names it within the project for ever.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Where its messages go.
    pub target: Target,
    /// What is milder is not sent; absent: everything is.
    #[serde(default)]
    pub min_severity: Severity,
    /// Only notifications of these environments are sent; absent or empty: of all.
    #[serde(default)]
    pub environments: Vec<String>,
}

/// A channel, with the key of its webhook where that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeChannel {
    /// The channel as it will be shown from now on.
    #[serde(flatten)]
    pub channel: NotificationChannel,
    /// What its messages are signed with, `whsec_…`: shown this once. Only of webhooks, and not where the request is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
}

/// How an attempt to send a message went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The status of HTTP or SMTP, where there was an answer.
    pub status: Option<u16>,
    /// What went wrong.
    pub problem: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A notification on its way to a channel, or arrived, or given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The id that receivers are told: the same for each attempt.
    pub id: String,
    /// How far it has come.
    pub state: DeliveryProgress,
    /// What happened, like `rollout.rolledBack`; empty where the row cannot be read.
    pub event: String,
    /// How much it matters.
    pub severity: Severity,
    /// What happened, on one line.
    pub title: String,
    /// The row of the audit log that tells it.
    pub sequence: u64,
    /// When it was enqueued, or asked for again.
    pub created_at: Moment,
    /// How often it was tried since then.
    pub attempts: u32,
    /// When it was last tried.
    pub tried_at: Option<Moment>,
    /// The last attempt's status of HTTP or SMTP.
    pub status: Option<u16>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What was wrong at the last attempt, or why there was none.
    pub problem: Option<String>,
    /// When it is tried next, where it waits.
    pub next_attempt_at: Option<Moment>,
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryProgress {
    /// It waits for its next attempt.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It is not tried any more, unless somebody asks for it.
    Dead,
}

/// How long a webhook's messages are signed with its old key, too, once it has a new one.
pub const KEY_OVERLAP_MS: i64 = 24 * 3_600_000;

/// Addresses of a channel.
const MAX_RECIPIENTS: usize = 20;

impl OfProject for Channel {
    type Shown = Resource<NotificationChannel>;

    const READ: Action = Action::Administer;
    const WRITE: Action = Action::Administer;
    const MAX: u32 = 50;
    const COUNTED: &'static str = "notification channels in a project";
    const PATCHABLE: Patchable = Patchable {
        fields: &["name", "target", "minSeverity", "environments"],
        fixed: &[("key", "a channel's key never changes: create another channel and archive this one")],
    };

    async fn checked(mut self, before: Option<&Self>, app: &App, project: &str) -> Result<Self, AppError> {
        if before.is_some_and(|before| before.target.kind() != self.target.kind()) {
            return Err(AppError::invalid("/target/kind", "a channel's kind never changes: create another channel"));
        }
        limits::check_name("/name", &self.name)?;
        check_target(&mut self.target)?;
        app.messenger.check(&self.target).map_err(|detail| AppError::invalid("/target", detail))?;
        self.environments.sort_unstable();
        self.environments.dedup();
        limits::check_length("/environments", self.environments.len(), limits::MAX_ENVIRONMENTS, "environments")?;
        for (index, environment) in self.environments.iter().enumerate() {
            let found = app.store.document(&environment_id(project, environment)).await?;
            if found.is_none_or(|document| document.archived) {
                let detail = format!("there is no environment `{environment}`");
                return Err(AppError::invalid(format!("/environments/{index}"), detail));
            }
        }
        Ok(self)
    }

    /// Nobody needs its keys any more. One that cannot be read may hold them anywhere, so nothing of it is kept.
    fn remains(document: &Document) -> (String, Json) {
        let Ok(stored) = documents::read::<Self>(document) else { return ("{}".to_owned(), Json::Null) };
        let keyless = Self { keys: Vec::new(), ..stored.body };
        (documents::write(&keyless), keyless.audited())
    }

    /// What is wrong with a body may repeat a part of it, and that may be a key.
    fn broken(broken: BrokenDocument) -> Broken {
        BrokenDocument { message: "its text is damaged".to_owned(), ..broken }.into()
    }
}

impl Channel {
    /// Whether a notification is sent here. PagerDuty is told of incidents only, and of their end however mild that is.
    pub fn wants(&self, notification: &Notification) -> bool {
        let is_here = self.environments.is_empty() || self.environments.contains(&notification.environment);
        let is_grave = notification.severity >= self.min_severity;
        is_here
            && match (&self.target, &notification.incident) {
                (Target::PagerDuty { .. }, None) => false,
                (Target::PagerDuty { .. }, Some(Incident::Resolves { .. })) => true,
                _ => is_grave,
            }
    }

    /// The message that tells it here.
    pub fn message(&self, id: &str, notification: Notification, at: Timestamp) -> Message {
        let used = self.keys.iter().filter(|kept| kept.until.is_none_or(|until| until > at));
        let keys = used.map(|kept| kept.key.clone()).collect();
        Message { id: id.to_owned(), target: self.target.clone(), keys, notification, at }
    }

    fn shown(&self) -> NotificationChannel {
        let Self { name, target, min_severity, environments, keys } = self.clone();
        let previous_key_until = keys.iter().find_map(|kept| kept.until).map(Moment);
        NotificationChannel { name, target, min_severity, environments, previous_key_until }
    }

    fn audited(&self) -> Json {
        let mut shown = json!(self.shown());
        let names: Vec<_> = self.keys.iter().map(|kept| secret::hash(&kept.key.0)).collect();
        if let (Json::Object(fields), false) = (&mut shown, names.is_empty()) {
            fields.insert("keyHashes".to_owned(), json!(names));
        }
        shown
    }
}

impl App {
    /// Makes a channel.
    pub async fn create_channel(
        &self,
        request: &Request,
        project: &str,
        command: CreateChannel,
    ) -> Result<Resource<MadeChannel>, AppError> {
        let CreateChannel { key, name, target, min_severity, environments } = command;
        let made = matches!(target, Target::Webhook { .. }).then(|| webhook_key(self.ids.as_ref()));
        let keys = made.iter().map(|key| KeptKey { key: key.clone(), until: None }).collect();
        let channel = Channel { name, target, min_severity, environments, keys };
        // The answer that is kept for a repetition has no secret.
        Ok(with_key(self.create(request, project, &key, channel).await?, made))
    }

    /// Gives a webhook another key. Its messages are signed with the old one for a day, too.
    pub async fn change_channel_key(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
    ) -> Result<Resource<MadeChannel>, AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        limits::check_reason(&request.reason)?;
        let before: Stored<Channel> = self.live(&channel_id(project, key)).await?;
        before.check_version(expected)?;
        if !matches!(before.body.target, Target::Webhook { .. }) {
            return Err(AppError::InUse { detail: "only a webhook's messages are signed".to_owned() });
        }
        let mut draft = Draft::new(self, request);
        let made = webhook_key(self.ids.as_ref());
        let until = Some(Timestamp(draft.at().0.saturating_add(KEY_OVERLAP_MS)));
        // Only the one in use: whoever asks twice in a day has lost the key in between.
        let old = before.body.keys.iter().find(|kept| kept.until.is_none());
        let old = old.map(|kept| KeptKey { key: kept.key.clone(), until });
        let keys = [KeptKey { key: made.clone(), until: None }].into_iter().chain(old).collect();
        let updated = draft.update(&before, Channel { keys, ..before.body.clone() }, "notificationChannel.changeKey");
        self.commit(request, draft.into_commit()).await?;
        Ok(with_key(updated.into(), Some(made)))
    }

    /// Sends a test message to a channel at once, and tells what happened.
    pub async fn test_channel(&self, request: &Request, project: &str, key: &str) -> Result<TestResult, AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        limits::check_reason(&request.reason)?;
        let channel = self.live::<Channel>(&channel_id(project, key)).await?.body;
        let at = self.clock.now();
        let id = format!("test_{}", self.ids.ulid(at).to_lowercase());
        // Before it is sent: no message goes out that the log does not know of.
        self.note_message(request, project, key, "notificationChannel.test", &id).await?;
        let notification = Notification {
            event: "test".to_owned(),
            severity: Severity::Info,
            project: project.to_owned(),
            environment: String::new(),
            flag: String::new(),
            rollout: None,
            title: format!("A test of the notification channel “{}”", channel.name),
            reason: "Nothing happened. What does happen will look like this.".to_owned(),
            facts: Vec::new(),
            actor: request.principal.actor.name.clone(),
            at,
            sequence: 0,
            incident: None,
        };
        let Attempt { outcome, status, problem, .. } =
            self.messenger.send(&channel.message(&id, notification, at)).await;
        let duration_ms = u64::try_from(self.clock.now().0.saturating_sub(at.0)).unwrap_or(0);
        Ok(TestResult { delivered: outcome == Outcome::Delivered, status, problem, duration_ms })
    }

    /// What has become of a channel's notifications, newest first. Those of some weeks are kept.
    pub async fn deliveries(
        &self,
        principal: &Principal,
        project: &str,
        key: &str,
        page: &PageRequest,
    ) -> Result<Page<DeliveryView>, AppError> {
        authorize(principal, Action::Administer, Some(project))?;
        let id = channel_id(project, key);
        self.store.document(&id).await?.ok_or_else(|| AppError::not_found(&id))?;
        let before = page.after.as_deref().map(str::parse::<u64>).transpose();
        let before = before.map_err(|_| AppError::invalid("?cursor", "this is no `nextCursor` of this list"))?;
        let (project, channel, limit) = (project.to_owned(), key.to_owned(), page.limit.saturating_add(1));
        let rows = self.store.delivery_page(&DeliveryPage { project, channel, before, limit }).await?;
        Ok(Page::cut(rows, page.limit, |row| row.sequence.to_string()).map(DeliveryView::from))
    }

    /// Sends a delivery again, as if it were new.
    pub async fn retry_delivery(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        delivery: &str,
    ) -> Result<DeliveryView, AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        limits::check_reason(&request.reason)?;
        self.live::<Channel>(&channel_id(project, key)).await?;
        let retried = self.store.retry_delivery(project, key, delivery, self.clock.now()).await?;
        let retried = retried.ok_or_else(|| AppError::NotFound { what: format!("delivery `{delivery}`") })?;
        // Only now is it known that there is one. Where this fails, so does the request, and whoever repeats it is in the log.
        self.note_message(request, project, key, "notificationChannel.retry", &retried.id).await?;
        Ok(retried.into())
    }

    /// Who had a message sent to a channel by hand is in the audit log, with the id that the receiver is told. Nobody is notified of
    /// that: a row about a channel is told to no channel.
    async fn note_message(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        action: &str,
        message: &str,
    ) -> Result<(), AppError> {
        let mut draft = Draft::new(self, request);
        draft.note(channel_id(project, key), action, json!({ "message": message }));
        self.commit(request, draft.into_commit()).await.map(drop)
    }

    /// Every channel of a project that can be read, with its key. For the notifier.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn channels_of(&self, project: &str) -> Result<Vec<(String, Channel)>, StoreError> {
        // A little above the limit: two requests may have passed it at the same time.
        let documents = self.documents_of::<Channel>(project, None, 2 * Channel::MAX).await?;
        let readable = documents.iter().filter_map(|document| match documents::read::<Channel>(document) {
            Ok(stored) => Some((stored.id.key, stored.body)),
            Err(broken) => {
                let BrokenDocument { id, .. } = broken;
                tracing::warn!(project, channel = id.key, "a notification channel cannot be read, and is left out");
                None
            }
        });
        Ok(readable.collect())
    }

    /// The channel of a delivery; `None` where it is archived or cannot be read. For the notifier.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn channel_of(&self, delivery: &Delivery) -> Result<Option<Channel>, StoreError> {
        let document = self.store.document(&channel_id(&delivery.project, &delivery.channel)).await?;
        let live = document.filter(|document| !document.archived);
        Ok(live.and_then(|document| documents::read::<Channel>(&document).ok()).map(|stored| stored.body))
    }
}

impl From<Stored<Channel>> for Resource<NotificationChannel> {
    fn from(stored: Stored<Channel>) -> Self {
        let body = stored.body.shown();
        let Stored { id, version, archived, created_at, updated_at, .. } = stored;
        Stored { id, version, archived, created_at, updated_at, body }.into()
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let told: Option<Notification> = serde_json::from_str(&delivery.notification).ok();
        let (event, severity, title) = told.map(|told| (told.event, told.severity, told.title)).unwrap_or_default();
        let (state, next_attempt_at) = match delivery.state {
            DeliveryState::Waiting => (DeliveryProgress::Waiting, Some(Moment(delivery.due_at))),
            DeliveryState::Delivered => (DeliveryProgress::Delivered, None),
            DeliveryState::Dead => (DeliveryProgress::Dead, None),
        };
        Self {
            id: delivery.id,
            state,
            event,
            severity,
            title,
            sequence: delivery.sequence,
            created_at: Moment(delivery.created_at),
            attempts: delivery.n_attempts,
            tried_at: delivery.tried_at.map(Moment),
            status: delivery.status,
            duration_ms: delivery.duration_ms,
            problem: delivery.problem,
            next_attempt_at,
        }
    }
}

fn channel_id(project: &str, key: &str) -> DocumentId {
    id_of::<Channel>(project, key)
}

fn with_key(resource: Resource<NotificationChannel>, key: Option<SigningKey>) -> Resource<MadeChannel> {
    let Resource { key: name, version, archived, created_at, updated_at, body: channel } = resource;
    let body = MadeChannel { channel, signing_key: key.map(|SigningKey(key)| key) };
    Resource { key: name, version, archived, created_at, updated_at, body }
}

/// What can be seen of a target is right; addresses are written alike.
fn check_target(target: &mut Target) -> Result<(), AppError> {
    match target {
        Target::Webhook { url, credential } => {
            check_url("/target/url", url)?;
            credential.iter().try_for_each(|name| check_credential(name))?;
        }
        Target::Slack { credential, url } | Target::PagerDuty { credential, url } => {
            url.iter().try_for_each(|url| check_url("/target/url", url))?;
            check_credential(credential)?;
        }
        Target::Email { to } => {
            if !(1..=MAX_RECIPIENTS).contains(&to.len()) {
                return Err(AppError::invalid("/target/to", format!("name 1 to {MAX_RECIPIENTS} addresses")));
            }
            for (index, address) in to.iter_mut().enumerate() {
                let field = format!("/target/to/{index}");
                *address = checked_email(address).map_err(|_| AppError::invalid(field, "this is no e-mail address"))?;
            }
        }
    }
    Ok(())
}

/// What can never be sent to is refused here; the rest shows when it is sent.
fn check_url(field: &str, url: &str) -> Result<(), AppError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || url.len() > limits::MAX_TEXT_BYTES || url.contains(|c: char| c.is_whitespace()) {
        return Err(AppError::invalid(field, "this is no address like `https://hooks.example.org/tidegate`"));
    }
    if authority.contains('@') {
        let detail = "an address holds no password: the operator configures credentials, and `credential` names one";
        return Err(AppError::invalid(field, detail));
    }
    Ok(())
}

/// Only its form: whether there is such a credential is known to who sends.
fn check_credential(name: &str) -> Result<(), AppError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 100 || !name.bytes().all(is_plain) {
        let detail = "this names a credential of the operator's: lower case letters, digits and `-`, never a secret";
        return Err(AppError::invalid("/target/credential", detail));
    }
    Ok(())
}

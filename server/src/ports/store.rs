//! Storage: documents, revisions and the audit log, shaped by what the application does.
//!
//! Everything that is configured is a *document*: a JSON body under a [`DocumentId`], with a version. One [`Commit`] is
//! one transaction: preconditions, documents, environment revisions and the audit rows, all or nothing. Transactions
//! never cross this port.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tidegate_core::Timestamp;

use crate::audit::{AuditEntry, AuditRow};

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// A project. Scope: empty.
    Project,
    /// An environment. Scope: `project`.
    Environment,
    /// A flag: what it has in common in all environments. Scope: `project`.
    Flag,
    /// A flag's configuration in one environment. Scope: `project/environment`; key: the flag's.
    FlagEnvironment,
    /// A segment. Scope: `project/environment`.
    Segment,
    /// An SDK key. Scope: empty; key: the public part of the key, by which it is looked up.
    SdkKey,
    /// A rollout. Scope: `project/environment`; archived when it has ended.
    Rollout,
    /// A template of rollouts. Scope: `project`.
    RolloutTemplate,
    /// Where notifications go. Scope: `project`.
    NotificationChannel,
    /// A metric source. Scope: `project`.
    MetricSource,
    /// A person. Scope: empty; key: the id. Under the scope `email`: who has the address that is the key.
    User,
    /// An API token. Scope: empty; key: the public part.
    Token,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Project,
        Self::Environment,
        Self::Flag,
        Self::FlagEnvironment,
        Self::Segment,
        Self::SdkKey,
        Self::Rollout,
        Self::RolloutTemplate,
        Self::NotificationChannel,
        Self::MetricSource,
        Self::User,
        Self::Token,
    ];

    /// The name stored and logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Flag => "flag",
            Self::FlagEnvironment => "flagEnvironment",
            Self::Segment => "segment",
            Self::SdkKey => "sdkKey",
            Self::Rollout => "rollout",
            Self::RolloutTemplate => "rolloutTemplate",
            Self::NotificationChannel => "notificationChannel",
            Self::MetricSource => "metricSource",
            Self::User => "user",
            Self::Token => "token",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Addresses a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId {
    /// What it describes.
    pub kind: DocumentKind,
    /// Where it belongs, see [`DocumentKind`].
    pub scope: String,
    /// Its key within kind and scope.
    pub key: String,
}

/// A document as stored. The body may be anything if somebody wrote to the database by hand: readers must cope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its address.
    pub id: DocumentId,
    /// 1 when created, +1 with each change.
    pub version: u64,
    /// An archived document keeps its key for ever.
    pub archived: bool,
    /// JSON text.
    pub body: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What must be true of a document for a [`Commit`] to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// There is none, archived or not.
    Absent,
    /// It is there, at this version.
    Version(u64),
    /// It is there and not archived, at any version.
    Live,
}

impl Expected {
    /// Whether it holds of what is stored: the version and whether it is archived.
    pub fn holds(self, stored: Option<(u64, bool)>) -> bool {
        match (self, stored) {
            (Self::Absent, stored) => stored.is_none(),
            (Self::Version(expected), Some((actual, _))) => expected == actual,
            (Self::Live, Some((_, archived))) => !archived,
            (Self::Version(_) | Self::Live, None) => false,
        }
    }
}

/// A document to write. Its version becomes 1 (absent before) or the stored one + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its address.
    pub id: DocumentId,
    /// The new body: canonical JSON.
    pub body: String,
    /// Whether it is archived from now on.
    pub archived: bool,
}

/// An object of an environment's snapshot that a commit touches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Touched {
    /// `flag` or `segment`.
    pub kind: TouchedKind,
    /// The object's key.
    pub key: String,
}

/// What a touched object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TouchedKind {
    /// A flag: read its [`DocumentKind::Flag`] and [`DocumentKind::FlagEnvironment`].
    Flag,
    /// A segment.
    Segment,
}

impl TouchedKind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Flag, Self::Segment];

    /// The name stored and logged.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Segment => "segment",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// An environment: `project/environment`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentId {
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
}

impl EnvironmentId {
    /// The scope of the documents that belong to the environment.
    pub fn scope(&self) -> String {
        format!("{}/{}", self.project, self.environment)
    }
}

/// One transaction.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// What must be true; checked inside the transaction.
    pub expected: Vec<(DocumentId, Expected)>,
    /// The revisions that these environments must still have, as what is written was judged by them; checked inside the transaction.
    pub judged: Vec<(EnvironmentId, u64)>,
    /// What is written.
    pub writes: Vec<Write>,
    /// Per environment: the objects of its snapshot that change. Its revision grows by one, whatever their number.
    pub touched: Vec<(EnvironmentId, Vec<Touched>)>,
    /// The audit rows, chained in this order. Never empty: nothing changes without a trace.
    pub audit: Vec<AuditEntry>,
    /// The answer to be given again if the request is repeated.
    pub idempotency: Option<IdempotencyRecord>,
    /// The lease that whoever commits must still hold; checked inside the transaction.
    pub fence: Option<Fence>,
    /// An entry of the event log that goes with it.
    pub logged: Option<Vec<u8>>,
    /// The time of the commit.
    pub at: Timestamp,
}

/// A lease, as far as a commit is concerned: one under a former epoch changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// The epoch under which it was held.
    pub epoch: u64,
}

/// Who does what only one process may do at a time.
///
/// The store compares no times, as clocks differ: it is whoever wants the lease that watches its `beat`, and takes it when that stands
/// still for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is done.
    pub name: String,
    /// The process; empty: it was given up.
    pub holder: String,
    /// Grows with each change of the holder.
    pub epoch: u64,
    /// Grows with each write.
    pub beat: u64,
    /// Since when the holder has it without interruption, on its clock.
    pub since: Timestamp,
    /// When it was last written, on the holder's clock.
    pub renewed_at: Timestamp,
}

/// Takes, renews or gives up a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutLease {
    /// What is done.
    pub name: String,
    /// The lease as it was seen, by epoch and beat; absent: there was none.
    pub seen: Option<(u64, u64)>,
    /// The process that is to have it; empty: it is given up.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
    /// The present time.
    pub at: Timestamp,
}

/// An entry of the event log: what rollouts count, until it is in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvents {
    /// Its place, from 1, without gaps: whoever has read it missed none before it.
    pub position: u64,
    /// When it was written, on the clock of the process that did.
    pub at: Timestamp,
    /// The store does not look into it.
    pub body: Vec<u8>,
}

/// What the controller saw of a rollout, for the other processes on the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldLook {
    /// The rollout's id.
    pub rollout: String,
    /// JSON, for the other processes.
    pub body: String,
    /// When it looked.
    pub at: Timestamp,
}

/// How long looks are kept for charts, in milliseconds: 90 days.
pub const KEPT_LOOKS_MS: i64 = 90 * 24 * 3_600_000;

/// What a commit made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The new version of each written document, in the order of the writes.
    pub versions: Vec<u64>,
    /// The new revision of each touched environment, in the order given.
    pub revisions: Vec<(EnvironmentId, u64)>,
    /// The sequence number of the last audit row.
    pub audit_sequence: u64,
}

/// An answer kept for a repeated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Principal and the client's key.
    pub key: String,
    /// SHA-256 of method, path and body, hex: a key used for another request is refused.
    pub request: String,
    /// The HTTP status given.
    pub status: u16,
    /// The body given; the version headers are rebuilt from it.
    pub body: String,
}

/// What lives in an environment: a segment's document, or a flag's and its configuration there (absent: never
/// configured).
pub type LiveObject = (Document, Option<Document>);

/// Everything of an environment's snapshot, read in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentSnapshot {
    /// The database's timeline.
    pub epoch: String,
    /// The environment's revision; 0 before its first change.
    pub revision: u64,
    /// Live flags, each with its configuration in this environment (absent: never configured here).
    pub flags: Vec<LiveObject>,
    /// Live segments.
    pub segments: Vec<Document>,
}

/// What changed in an environment since a revision, read in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvironmentDelta {
    /// The current state of all that was touched.
    Changes {
        /// The environment's revision.
        revision: u64,
        /// Each touched object once, in the order of kind and key, with its documents where it still lives.
        objects: Vec<(Touched, Option<LiveObject>)>,
    },
    /// The log does not reach back that far, or the revision is ahead of the database: load the snapshot.
    OutOfReach,
}

/// A signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The public part of the cookie.
    pub id: String,
    /// SHA-256 of the secret part, hex.
    pub secret_hash: String,
    /// The user's id.
    pub user: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to within a minute.
    pub seen_at: Timestamp,
}

/// A secret in a link that works once: set-up or sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeLink {
    /// SHA-256 of the secret, hex.
    pub secret_hash: String,
    /// The user to sign in; absent: first-run set-up.
    pub user: Option<String>,
    /// When it stops working.
    pub expires_at: Timestamp,
}

/// Asks for a page of documents of one kind and scope, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentQuery {
    /// The kind.
    pub kind: DocumentKind,
    /// The scope.
    pub scope: String,
    /// Only keys after this one.
    pub after: Option<String>,
    /// At most this many.
    pub limit: u32,
    /// Archived ones too.
    pub include_archived: bool,
}

/// Asks for a page of the audit log, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only rows of this project; absent: all rows.
    pub project: Option<String>,
    /// Only rows of this environment of the project.
    pub environment: Option<String>,
    /// Only rows of this resource, like `flag/checkout`.
    pub resource: Option<String>,
    /// Only rows of this actor.
    pub actor: Option<String>,
    /// Only actions that begin like this, like `flag.` or `flag.update`.
    pub action: Option<String>,
    /// Only rows of this time and later.
    pub since: Option<Timestamp>,
    /// Only rows before this time.
    pub until: Option<Timestamp>,
    /// Only rows with a lower sequence number.
    pub before: Option<u64>,
    /// At most this many.
    pub limit: u32,
}

/// How far the SDKs of one process have come in one environment, for the other processes on the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldReceipts {
    /// The process.
    pub process: String,
    /// The environment.
    pub environment: EnvironmentId,
    /// JSON, for the other processes.
    pub body: String,
    /// When it was told.
    pub at: Timestamp,
}

/// A notification on its way to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The same for the same row and channel, whoever enqueues it.
    pub id: String,
    /// The project's key.
    pub project: String,
    /// The channel's key.
    pub channel: String,
    /// The row of the audit log that it tells of: with project and channel, this names it, too.
    pub sequence: u64,
    /// What it is about: of one subject, a channel gets one message after the other.
    pub subject: String,
    /// JSON.
    pub notification: String,
    /// How far it has come.
    pub state: DeliveryState,
    /// How often it was tried, since it was enqueued or asked for again.
    pub n_attempts: u32,
    /// When it is tried next, where it waits.
    pub due_at: Timestamp,
    /// When it was enqueued, or asked for again.
    pub created_at: Timestamp,
    /// When it was last tried.
    pub tried_at: Option<Timestamp>,
    /// The last attempt's status of HTTP or SMTP.
    pub status: Option<u16>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What was wrong at the last attempt, or why there was none.
    pub problem: Option<String>,
}

impl Delivery {
    /// As it is enqueued where `n_waiting` others of the channel wait: dead, where that is as many as may.
    #[must_use]
    pub fn admitted(self, n_waiting: u64, max_waiting: u32) -> Self {
        if self.state == DeliveryState::Waiting && n_waiting >= u64::from(max_waiting) {
            let problem = Some(format!("{max_waiting} others waited for the channel"));
            return Self { state: DeliveryState::Dead, problem, ..self };
        }
        self
    }
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It waits for its next attempt.
    Waiting,
    /// The receiver has it.
    Delivered,
    /// It is not tried any more.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// The name stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What the notifier made of the next rows of the audit log: one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueue {
    /// The last row that was read before.
    pub from: u64,
    /// The last row that is read now.
    pub to: u64,
    /// What is to be sent, waiting or dead. Those that are there already stay as they are; others of the same channel and
    /// subject that wait for another attempt are due at once, as they go first.
    pub deliveries: Vec<Delivery>,
    /// Of each channel, at most so many wait: what is too much is dead from the start.
    pub max_waiting: u32,
    /// The time.
    pub at: Timestamp,
}

/// What waits to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryQueue {
    /// How many.
    pub n_waiting: u64,
    /// When the oldest was enqueued.
    pub oldest: Option<Timestamp>,
    /// When the next is due.
    pub next_due: Option<Timestamp>,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// The delivery.
    pub id: String,
    /// How often it was tried before: another number means that somebody else has written of this attempt.
    pub n_before: u32,
    /// What it is now.
    pub state: DeliveryState,
    /// When it is tried next, where it waits.
    pub due_at: Timestamp,
    /// When it was tried.
    pub tried_at: Timestamp,
    /// The status of HTTP or SMTP.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What was wrong.
    pub problem: Option<String>,
}

/// Asks for a page of a channel's deliveries, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The project's key.
    pub project: String,
    /// The channel's key.
    pub channel: String,
    /// Only those of rows with a lower sequence number.
    pub before: Option<u64>,
    /// At most this many.
    pub limit: u32,
}

/// Why the store did not do it, by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A precondition does not hold: read again.
    #[error("`{}/{}/{}` is not as expected", id.kind.as_str(), id.scope, id.key)]
    Conflict {
        /// The document.
        id: DocumentId,
        /// What was expected.
        expected: Expected,
        /// Its version, where it is there.
        actual: Option<u64>,
    },
    /// The environment has changed since it was judged by: judge again.
    #[error("`{}` has changed from revision {judged} to {actual}", environment.scope())]
    Outdated {
        /// The environment.
        environment: EnvironmentId,
        /// The revision that was judged by.
        judged: u64,
        /// Its revision.
        actual: u64,
    },
    /// Another process has the lease: whoever held it stops.
    #[error("the lease `{}` is not held any more", fence.lease)]
    Fenced {
        /// What was held.
        fence: Fence,
    },
    /// The idempotency key was used in the meantime: read its record.
    #[error("the idempotency key is in use")]
    DuplicateRequest,
    /// The disk is full: reads go on.
    #[error("the database's disk is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database does not answer: try again later.
    #[error("the database does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A programming error or a damaged database.
    #[error("the database refused")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The storage port. Not found is `Ok(None)`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The id of the database's timeline: made with the database; a backup has another one.
    async fn epoch(&self) -> Result<String, StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// How much the database takes, in bytes; 0 where it is nowhere.
    async fn size(&self) -> Result<u64, StoreError>;

    /// One document, archived or not.
    async fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError>;

    /// A page of documents in the order of their keys (byte order).
    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError>;

    /// One transaction; see [`Commit`].
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError>;

    /// Everything of one environment's snapshot.
    async fn environment_snapshot(&self, environment: &EnvironmentId) -> Result<EnvironmentSnapshot, StoreError>;

    /// What changed in one environment since `revision`.
    async fn environment_delta(
        &self,
        environment: &EnvironmentId,
        revision: u64,
    ) -> Result<EnvironmentDelta, StoreError>;

    /// The revision of every environment that ever changed: the version poll.
    async fn revisions(&self) -> Result<Vec<(EnvironmentId, u64)>, StoreError>;

    /// The environments that change, as they do, whoever on this database changes them; without end. A hint, where the
    /// database gives any: some are missing, and the version poll is the truth.
    fn announcements(&self) -> BoxStream<'static, EnvironmentId>;

    /// Whether other processes may be at work on the same database.
    fn is_shared(&self) -> bool;

    /// Tells the other processes; what the process told of the environment before is replaced.
    async fn tell_receipts(&self, told: &ToldReceipts) -> Result<(), StoreError>;

    /// What processes told of an environment at `since` or later, in the order of their ids.
    async fn told_receipts(
        &self,
        environment: &EnvironmentId,
        since: Timestamp,
    ) -> Result<Vec<ToldReceipts>, StoreError>;

    /// A lease, where anybody ever had it.
    async fn lease(&self, name: &str) -> Result<Option<Lease>, StoreError>;

    /// Takes, renews or gives up a lease, if it still is as it was seen. Returns what it is then; `None`: somebody else was quicker.
    async fn put_lease(&self, put: &PutLease) -> Result<Option<Lease>, StoreError>;

    /// Appends entries to the event log, all or none. Waits for no commit.
    async fn append_events(&self, bodies: &[Vec<u8>], at: Timestamp) -> Result<(), StoreError>;

    /// Entries of the event log after that position, in their order.
    async fn events_after(&self, position: u64, limit: u32) -> Result<Vec<LoggedEvents>, StoreError>;

    /// The position up to which the event log is in the checkpoint; 0: there is none.
    async fn checkpoint(&self) -> Result<u64, StoreError>;

    /// A part of the checkpoint, from 0; `None`: there are no more.
    async fn checkpoint_part(&self, position: u64, part: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// Puts a part of a checkpoint to come, the first one first; what others left half done goes then.
    async fn put_checkpoint_part(&self, fence: &Fence, position: u64, part: u32, body: &[u8])
    -> Result<(), StoreError>;

    /// From now on the parts put for that position are the checkpoint. The former one, and the event log up to there, are forgotten.
    async fn finish_checkpoint(&self, fence: &Fence, position: u64) -> Result<(), StoreError>;

    /// Tells the other processes; what was told of the same rollouts before is replaced.
    async fn tell_looks(&self, looks: &[ToldLook]) -> Result<(), StoreError>;

    /// What was told of a rollout.
    async fn told_look(&self, rollout: &str) -> Result<Option<ToldLook>, StoreError>;

    /// Notes that a credential was used then, unless a later use is known.
    async fn note_use(&self, credential: &str, at: Timestamp) -> Result<(), StoreError>;

    /// The last uses of the credentials whose names begin so, in no order.
    async fn uses(&self, prefix: &str) -> Result<Vec<(String, Timestamp)>, StoreError>;

    /// Keeps what was seen of rollouts, for their charts; of two of one rollout at one time, the first.
    async fn keep_looks(&self, looks: &[ToldLook]) -> Result<(), StoreError>;

    /// What was kept of a rollout after that time, from the oldest; at most `limit`.
    async fn kept_looks(&self, rollout: &str, after: Timestamp, limit: u32) -> Result<Vec<ToldLook>, StoreError>;

    /// Forgets the change log of each environment below its newest `keep` revisions. Returns how many rows went.
    async fn prune_changes(&self, keep: u64) -> Result<u64, StoreError>;

    /// A page of the audit log, newest first.
    async fn audit_page(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError>;

    /// A page of the audit log in the order of the chain, from sequence number `after` + 1.
    async fn audit_chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// The answer kept under an idempotency key.
    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>, StoreError>;

    /// Forgets idempotency records, sessions and links that ended before the given times, receipts and looks told before that of the
    /// idempotency records, and looks that were kept for [`KEPT_LOOKS_MS`]. Returns how many went.
    async fn prune_expired(
        &self,
        idempotency_before: Timestamp,
        sessions_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Adds or replaces a session.
    async fn put_session(&self, session: &Session) -> Result<(), StoreError>;

    /// A session by its id.
    async fn session(&self, id: &str) -> Result<Option<Session>, StoreError>;

    /// Moves a session's `seen_at` forward. One that has ended stays ended: this never brings it back.
    async fn touch_session(&self, id: &str, seen_at: Timestamp) -> Result<(), StoreError>;

    /// Ends a session.
    async fn delete_session(&self, id: &str) -> Result<(), StoreError>;

    /// Ends every session of a user.
    async fn delete_user_sessions(&self, user: &str) -> Result<(), StoreError>;

    /// Adds a one-time link.
    async fn put_link(&self, link: &OneTimeLink) -> Result<(), StoreError>;

    /// Takes a one-time link out: the second caller gets `None`. Expired ones are `None` too.
    async fn take_link(&self, secret_hash: &str, now: Timestamp) -> Result<Option<OneTimeLink>, StoreError>;
    /// The last row of the audit log of which notifications were made. In a database that is older than notifications: the newest
    /// row when they came.
    async fn notifier_cursor(&self) -> Result<u64, StoreError>;

    /// Enqueues deliveries and moves the cursor; see [`Enqueue`]. Returns how many of them are dead as too many wait; `None`, and
    /// nothing is done, where somebody else has moved the cursor.
    async fn enqueue_deliveries(&self, enqueue: &Enqueue) -> Result<Option<u64>, StoreError>;

    /// What waits to be sent.
    async fn delivery_queue(&self) -> Result<DeliveryQueue, StoreError>;

    /// Takes deliveries that are due, the one due first before the others: they are due again at `until`, unless an attempt is
    /// recorded. Of a channel that has taken ones, none is taken, and one at a time; of a subject, the oldest goes first.
    async fn take_deliveries(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Delivery>, StoreError>;

    /// Records an attempt. Where it succeeded, everything else that waits for the channel is due at once. `false`, and nothing is
    /// done, where it was recorded already.
    async fn record_attempt(&self, attempt: &DeliveryAttempt) -> Result<bool, StoreError>;

    /// A page of a channel's deliveries, newest first.
    async fn delivery_page(&self, page: &DeliveryPage) -> Result<Vec<Delivery>, StoreError>;

    /// Lets a channel's delivery begin anew, whatever its state. Returns what it is then.
    async fn retry_delivery(
        &self,
        project: &str,
        channel: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Forgets up to `limit` deliveries that do not wait and were enqueued before that. Returns how many went.
    async fn prune_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

//! The rows, read the same way from both databases, and what they mean.

use serde_json::Value as Json;
use sqlx::{Decode, Postgres, Sqlite, Type, error::BoxDynError, postgres, sqlite};
use tidegate_core::Timestamp;

use crate::{
    audit::{AuditEntry, AuditRow, canonical},
    ports::store::{
        Delivery, DeliveryState, Document, DocumentId, DocumentKind, IdempotencyRecord, Lease, OneTimeLink, Session,
        StoreError, Touched, TouchedKind,
    },
};

/// A row of one of the tables below, from either database.
pub(super) trait Row:
    for<'r> sqlx::FromRow<'r, sqlite::SqliteRow> + for<'r> sqlx::FromRow<'r, postgres::PgRow> + Send + Unpin
{
}

impl<R> Row for R where
    R: for<'r> sqlx::FromRow<'r, sqlite::SqliteRow> + for<'r> sqlx::FromRow<'r, postgres::PgRow> + Send + Unpin
{
}

/// Text that somebody may have written by hand. SQLite lets in what is no UTF-8: such a byte becomes U+FFFD, so that a
/// damaged document is one broken flag and not an environment that cannot be read.
pub(super) struct LossyText(String);

impl Type<Sqlite> for LossyText {
    fn type_info() -> sqlite::SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl<'r> Decode<'r, Sqlite> for LossyText {
    fn decode(value: sqlite::SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <Vec<u8> as Decode<'r, Sqlite>>::decode(value)?;
        Ok(Self(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }))
    }
}

impl Type<Postgres> for LossyText {
    fn type_info() -> postgres::PgTypeInfo {
        <String as Type<Postgres>>::type_info()
    }

    fn compatible(info: &postgres::PgTypeInfo) -> bool {
        <String as Type<Postgres>>::compatible(info)
    }
}

impl<'r> Decode<'r, Postgres> for LossyText {
    fn decode(value: postgres::PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <String as Decode<'r, Postgres>>::decode(value).map(Self)
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct DocumentRow {
    kind: String,
    scope: String,
    key: LossyText,
    #[sqlx(try_from = "i64")]
    version: u64,
    archived: bool,
    body: LossyText,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<DocumentRow> for Document {
    type Error = StoreError;

    fn try_from(row: DocumentRow) -> Result<Self, StoreError> {
        let DocumentRow { kind, scope, key, version, archived, body, created_at, updated_at } = row;
        let kind = DocumentKind::parse(&kind).ok_or_else(|| unknown_kind(&kind))?;
        Ok(Self {
            id: DocumentId { kind, scope, key: key.0 },
            version,
            archived,
            body: body.0,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct TouchedRow {
    kind: String,
    key: LossyText,
}

impl TryFrom<TouchedRow> for Touched {
    type Error = StoreError;

    fn try_from(row: TouchedRow) -> Result<Self, StoreError> {
        let kind = TouchedKind::parse(&row.kind).ok_or_else(|| unknown_kind(&row.kind))?;
        Ok(Self { kind, key: row.key.0 })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct AuditLogRow {
    #[sqlx(try_from = "i64")]
    sequence: u64,
    occurred_at: i64,
    actor: LossyText,
    actor_name: LossyText,
    action: LossyText,
    project: Option<String>,
    environment: Option<String>,
    resource: LossyText,
    state_before: LossyText,
    state_after: LossyText,
    reason: LossyText,
    request_id: LossyText,
    leaf_version: i64,
    previous_hash: LossyText,
    hash: LossyText,
}

impl From<AuditLogRow> for AuditRow {
    fn from(row: AuditLogRow) -> Self {
        Self {
            sequence: row.sequence,
            entry: AuditEntry {
                at: Timestamp(row.occurred_at),
                actor: row.actor.0,
                actor_name: row.actor_name.0,
                action: row.action.0,
                project: row.project,
                environment: row.environment,
                resource: row.resource.0,
                before: state(row.state_before.0),
                after: state(row.state_after.0),
                reason: row.reason.0,
                request_id: row.request_id.0,
            },
            leaf_version: u32::try_from(row.leaf_version).unwrap_or(u32::MAX),
            previous_hash: row.previous_hash.0,
            hash: row.hash.0,
        }
    }
}

/// A stored state. Text that is not canonical was not written by us: it comes back as text, and does not verify.
pub(super) fn state(text: String) -> Json {
    match serde_json::from_str(&text) {
        Ok(json) if canonical(&json) == text => json,
        _ => Json::String(text),
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct IdempotencyRow {
    key: String,
    request: String,
    #[sqlx(try_from = "i64")]
    status: u16,
    body: String,
}

impl From<IdempotencyRow> for IdempotencyRecord {
    fn from(row: IdempotencyRow) -> Self {
        let IdempotencyRow { key, request, status, body } = row;
        Self { key, request, status, body }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct LeaseRow {
    name: String,
    holder: String,
    #[sqlx(try_from = "i64")]
    epoch: u64,
    #[sqlx(try_from = "i64")]
    beat: u64,
    since: i64,
    renewed_at: i64,
}

impl From<LeaseRow> for Lease {
    fn from(row: LeaseRow) -> Self {
        let LeaseRow { name, holder, epoch, beat, since, renewed_at } = row;
        Self { name, holder, epoch, beat, since: Timestamp(since), renewed_at: Timestamp(renewed_at) }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct SessionRow {
    id: String,
    secret_hash: String,
    user_id: String,
    created_at: i64,
    seen_at: i64,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        let SessionRow { id, secret_hash, user_id: user, created_at, seen_at } = row;
        Self { id, secret_hash, user, created_at: Timestamp(created_at), seen_at: Timestamp(seen_at) }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct LinkRow {
    secret_hash: String,
    user_id: Option<String>,
    expires_at: i64,
}

impl From<LinkRow> for OneTimeLink {
    fn from(row: LinkRow) -> Self {
        let LinkRow { secret_hash, user_id: user, expires_at } = row;
        Self { secret_hash, user, expires_at: Timestamp(expires_at) }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct DeliveryRow {
    id: String,
    project: String,
    channel: String,
    #[sqlx(try_from = "i64")]
    sequence: u64,
    subject: String,
    notification: LossyText,
    state: String,
    #[sqlx(try_from = "i64")]
    n_attempts: u32,
    due_at: i64,
    created_at: i64,
    tried_at: Option<i64>,
    status: Option<i64>,
    duration_ms: Option<i64>,
    problem: Option<String>,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            project: row.project,
            channel: row.channel,
            sequence: row.sequence,
            subject: row.subject,
            notification: row.notification.0,
            state: DeliveryState::parse(&row.state).ok_or_else(|| unknown_kind(&row.state))?,
            n_attempts: row.n_attempts,
            due_at: Timestamp(row.due_at),
            created_at: Timestamp(row.created_at),
            tried_at: row.tried_at.map(Timestamp),
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            duration_ms: row.duration_ms.map(count).transpose()?,
            problem: row.problem,
        })
    }
}

/// A number that the schema keeps from being negative.
pub(super) fn count(stored: i64) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|error| StoreError::Internal(error.into()))
}

fn unknown_kind(name: &str) -> StoreError {
    StoreError::Internal(format!("unknown kind `{name}`").into())
}

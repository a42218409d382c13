//! Reading the audit log.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::{IntoParams, ToSchema};

use super::{
    App, AppError, Page, PageRequest, Principal,
    access::{Action, authorize},
    moment::Moment,
};
use crate::{
    audit::{AuditEntry, AuditRow},
    ports::store::AuditQuery,
};

/// Which rows are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct AuditFilter {
    /// Only of this project. Absent: of everything, for instance administrators.
    pub project: Option<String>,
    /// Only of this environment of the project.
    pub environment: Option<String>,
    /// Only of this resource, like `flag/checkout`.
    pub resource: Option<String>,
    /// Only of this actor, like `user:01JD…`.
    pub actor: Option<String>,
    /// Only actions that begin like this: `flag.` for all that was done to flags, `flag.update` for one kind of it.
    pub action: Option<String>,
    /// Only from this time on.
    pub since: Option<Moment>,
    /// Only before this time.
    pub until: Option<Moment>,
}

/// One change, as the log has it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// 1 for the first row, +1 each.
    pub sequence: u64,
    /// When.
    pub at: Moment,
    /// Who: `user:<id>`, `token:<id>`, `cli:<os user>`, `controller`, `system`.
    pub actor: String,
    /// The actor's name at that time.
    pub actor_name: String,
    /// What was done, like `flag.update`.
    pub action: String,
    /// The project, where there is one.
    pub project: Option<String>,
    /// The environment, where there is one.
    pub environment: Option<String>,
    /// The resource, like `flag/checkout`.
    pub resource: String,
    /// The state before; null where there was none.
    #[schema(value_type = Value)]
    pub before: Json,
    /// The state after; null where there is none.
    #[schema(value_type = Value)]
    pub after: Json,
    /// Why, in the actor's words; may be empty.
    pub reason: String,
    /// The request that caused it.
    pub request_id: String,
    /// The version of the byte form that is hashed.
    pub leaf_version: u32,
    /// SHA-256 of the row, 64 hex digits.
    pub hash: String,
    /// The hash of the row before; zeros for the first row.
    pub previous_hash: String,
}

impl From<AuditRow> for AuditRecord {
    fn from(AuditRow { sequence, entry, leaf_version, previous_hash, hash }: AuditRow) -> Self {
        let AuditEntry {
            at,
            actor,
            actor_name,
            action,
            project,
            environment,
            resource,
            before,
            after,
            reason,
            request_id,
        } = entry;
        Self {
            sequence,
            at: Moment(at),
            actor,
            actor_name,
            action,
            project,
            environment,
            resource,
            before,
            after,
            reason,
            request_id,
            leaf_version,
            hash,
            previous_hash,
        }
    }
}

/// A page of the log, newest first.
///
/// # Errors
/// Those of [`authorize`]; [`AppError::Invalid`] where an environment is given without its project, or the cursor is
/// none of ours.
pub async fn list(
    app: &App,
    principal: &Principal,
    filter: AuditFilter,
    page: &PageRequest,
) -> Result<Page<AuditRecord>, AppError> {
    match &filter.project {
        Some(project) => authorize(principal, Action::Read, Some(project))?,
        None => authorize(principal, Action::AdministerInstance, None)?,
    }
    if filter.environment.is_some() && filter.project.is_none() {
        return Err(AppError::invalid("?environment", "say of which project"));
    }
    let before = page.after.as_deref().map(str::parse::<u64>).transpose();
    let before = before.map_err(|_| AppError::invalid("?cursor", "this is no `nextCursor` of this list"))?;
    let AuditFilter { project, environment, resource, actor, action, since, until } = filter;
    let (since, until) = (since.map(|Moment(at)| at), until.map(|Moment(at)| at));
    let limit = page.limit.saturating_add(1);
    let query = AuditQuery { project, environment, resource, actor, action, since, until, before, limit };
    let rows = app.store.audit_page(&query).await?;
    Ok(Page::cut(rows, page.limit, |row| row.sequence.to_string()).map(AuditRecord::from))
}

/// One row of the log.
///
/// # Errors
/// [`AppError::NotFound`] where there is no such row, or none that the principal may read: never says which.
pub async fn row(app: &App, principal: &Principal, sequence: u64) -> Result<AuditRecord, AppError> {
    let rows = app.store.audit_chain(sequence.saturating_sub(1), 1).await?;
    let may_read = |row: &AuditRow| match &row.entry.project {
        Some(project) => authorize(principal, Action::Read, Some(project)).is_ok(),
        None => authorize(principal, Action::AdministerInstance, None).is_ok(),
    };
    let row = rows.into_iter().find(|row| row.sequence == sequence && may_read(row));
    let missing = || AppError::NotFound { what: format!("row {sequence} of the audit log") };
    row.map(AuditRecord::from).ok_or_else(missing)
}

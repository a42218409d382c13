//! The server itself, for those who run it.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Access, AppState, HttpError, Routes};
use crate::{
    app::{AppError, moment::Moment},
    audit::{Verified, VerifyError, verify},
};

pub(super) fn routes() -> Routes {
    Routes::new().route(Access::Instance, routes!(get_system)).route(Access::Instance, routes!(verify_audit))
}

/// A server and its database.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct System {
    /// Of the server that is asked.
    version: &'static str,
    /// When it started.
    started_at: Moment,
    /// What time it has.
    now: Moment,
    /// The database's timeline: another one after a restore.
    epoch: String,
    /// Whether other servers may be at work on the same database.
    is_shared: bool,
    /// How much the database takes, in bytes.
    database_bytes: u64,
    /// The server that decides on rollouts; absent: none goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    controller: Option<ControllerLease>,
}

/// The lease of the server that decides on rollouts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ControllerLease {
    /// The process that has it.
    holder: String,
    /// Grows with each change of the holder.
    epoch: u64,
    /// Since when, on its clock.
    since: Moment,
    /// When it was last renewed, on its clock.
    renewed_at: Moment,
}

/// Version, database, and who decides on rollouts.
#[utoipa::path(
    get, path = "/system", tag = "system", operation_id = "getSystem", responses((status = 200, body = System))
)]
async fn get_system(State(state): State<AppState>) -> Result<Json<System>, HttpError> {
    let app = &state.app;
    let epoch = app.store.epoch().await.map_err(AppError::from)?;
    let lease = app.store.lease("rollouts").await.map_err(AppError::from)?;
    let controller = lease.filter(|lease| !lease.holder.is_empty()).map(|lease| ControllerLease {
        holder: lease.holder,
        epoch: lease.epoch,
        since: Moment(lease.since),
        renewed_at: Moment(lease.renewed_at),
    });
    Ok(Json(System {
        version: env!("CARGO_PKG_VERSION"),
        started_at: Moment(state.started_at),
        now: Moment(app.clock.now()),
        epoch,
        is_shared: app.store.is_shared(),
        database_bytes: app.store.size().await.map_err(AppError::from)?,
        controller,
    }))
}

/// Whether the audit log is whole.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditVerification {
    /// How many rows were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// The hash of the last row: kept elsewhere, it shows later that no row before it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    /// What is wrong first; absent: every row follows from the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
}

/// Reads the whole audit log and checks its chain of hashes. Takes about a second for 50,000 rows.
#[utoipa::path(
    get, path = "/audit/verification", tag = "access", operation_id = "verifyAudit",
    responses((status = 200, body = AuditVerification))
)]
async fn verify_audit(State(state): State<AppState>) -> Result<Json<AuditVerification>, HttpError> {
    match verify(&*state.app.store).await {
        Ok(Verified { rows, head }) => Ok(Json(AuditVerification { rows: Some(rows), head: Some(head), broken: None })),
        Err(VerifyError::Broken(broken)) => {
            Ok(Json(AuditVerification { rows: None, head: None, broken: Some(broken.to_string()) }))
        }
        Err(VerifyError::Store(error)) => Err(AppError::from(error).into()),
    }
}

//! The audit log.

use axum::{Json, extract::State};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Caller, Path, Query},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page,
    audit::{self, AuditFilter, AuditRecord},
};

pub(super) fn routes() -> Routes {
    Routes::new().route(Access::SignedIn, routes!(list_audit)).route(Access::SignedIn, routes!(get_audit_row))
}

/// The audit log, newest first: of a project for whoever may read it, of everything for instance administrators.
#[utoipa::path(
    get, path = "/audit", tag = "access", operation_id = "listAudit",
    params(AuditFilter, PageQuery), responses((status = 200, body = Page<AuditRecord>))
)]
async fn list_audit(
    State(state): State<AppState>,
    caller: Caller,
    Query(filter): Query<AuditFilter>,
    Paging(page): Paging,
) -> Result<Json<Page<AuditRecord>>, HttpError> {
    Ok(Json(audit::list(&state.app, &caller.principal, filter, &page).await?))
}

/// One row of the audit log, by its number: for whoever may read its project.
#[utoipa::path(
    get, path = "/audit/{sequence}", tag = "access", operation_id = "getAuditRow",
    params(("sequence" = u64, Path)), responses((status = 200, body = AuditRecord))
)]
async fn get_audit_row(
    State(state): State<AppState>,
    caller: Caller,
    Path(sequence): Path<u64>,
) -> Result<Json<AuditRecord>, HttpError> {
    Ok(Json(audit::row(&state.app, &caller.principal, sequence).await?))
}

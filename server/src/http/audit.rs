//! The audit log.

use axum::{Json, extract::State};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Caller, Query},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page,
    audit::{self, AuditFilter, AuditRecord},
};

pub(super) fn routes() -> Routes {
    Routes::new().route(Access::SignedIn, routes!(list_audit))
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

//! SDK keys.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::{
    app::{
        Page,
        access::Action,
        keys::{self, CreatedSdkKey, NewSdkKey, SdkKey},
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_keys))
        .route(Access::Project(Action::Administer), routes!(create_key))
        .route(Access::Project(Action::Administer), routes!(revoke_key))
}

/// The SDK keys of an environment.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/keys", tag = "access", operation_id = "listKeys",
    params(("project" = String, Path), ("environment" = String, Path), PageQuery),
    responses((status = 200, body = Page<SdkKey>))
)]
async fn list_keys(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Paging(page): Paging,
) -> Result<Json<Page<SdkKey>>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(keys::list(&state.app, &caller.principal, &environment, &page).await?))
}

/// Makes an SDK key for an environment.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/keys", tag = "access", operation_id = "createKey",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Reasoned<NewSdkKey>, responses((status = 201, body = CreatedSdkKey))
)]
async fn create_key(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    Write { request, body }: Write<NewSdkKey>,
) -> Result<Versioned<CreatedSdkKey>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let created = keys::create(&state.app, &request, &environment, body).await?;
    Ok(Versioned::created(created.details.version, created))
}

#[derive(Deserialize)]
struct KeyPath {
    project: String,
    environment: String,
    key: String,
}

/// Revokes an SDK key, for good: streams that it opened end within seconds. Needs no `If-Match`, as it only takes away.
#[utoipa::path(
    delete, path = "/projects/{project}/environments/{environment}/keys/{key}", tag = "access",
    operation_id = "revokeKey",
    params(("project" = String, Path), ("environment" = String, Path), ("key" = String, Path), ReasonQuery),
    responses((status = 204, description = "Revoked"))
)]
async fn revoke_key(
    State(state): State<AppState>,
    Path(KeyPath { project, environment, key }): Path<KeyPath>,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    keys::revoke(&state.app, &request, &EnvironmentId { project, environment }, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

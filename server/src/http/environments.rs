//! `/projects/{project}/environments`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::Value;
use tidegate_rollout::window::WindowText;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, IfMatch, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::{
    app::{
        Page,
        access::Action,
        environments::{CreateEnvironment, EnvironmentState},
        input,
        resource::Listed,
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_environments))
        .route(Access::Project(Action::Administer), routes!(create_environment))
        .route(Access::Project(Action::Read), routes!(get_environment))
        .route(Access::Project(Action::Administer), routes!(update_environment, archive_environment))
}

/// The environments of a project.
#[utoipa::path(
    get, path = "/projects/{project}/environments", tag = "environments", operation_id = "listEnvironments",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<Listed<EnvironmentState>>))
)]
async fn list_environments(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<EnvironmentState>>>, HttpError> {
    Ok(Json(state.app.list_environments(&caller.principal, &project, &page).await?))
}

/// Makes an environment: it has all flags of the project at once, each disabled.
#[utoipa::path(
    post, path = "/projects/{project}/environments", tag = "environments", operation_id = "createEnvironment",
    params(("project" = String, Path)),
    request_body = Reasoned<CreateEnvironment>, responses((status = 201, body = EnvironmentState))
)]
async fn create_environment(
    State(state): State<AppState>,
    Path(project): Path<String>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<EnvironmentState>, HttpError> {
    let created = state.app.create_environment(&request, &project, input::parse::<CreateEnvironment>(&body)?).await?;
    Ok(Versioned::created(created.environment.version, created))
}

/// One environment.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}", tag = "environments",
    operation_id = "getEnvironment",
    params(("project" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = EnvironmentState))
)]
async fn get_environment(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
) -> Result<Versioned<EnvironmentState>, HttpError> {
    let found = state.app.environment(&caller.principal, &EnvironmentId { project, environment }).await?;
    Ok(Versioned::ok(found.environment.version, found))
}

/// What may change of an environment; what is left out stays, `null` takes back to the default.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct UpdateEnvironment {
    /// What people call it.
    name: Option<String>,
    /// Changes here reach customers: the UI asks before each one.
    production: Option<bool>,
    /// A color for the UI, like `#d92d20`.
    color: Option<String>,
    /// When no rollout may raise a share here. Lowering one, and killing a flag, is always possible.
    freezes: Option<Vec<WindowText>>,
}

/// Changes an environment (JSON merge patch).
#[utoipa::path(
    patch, path = "/projects/{project}/environments/{environment}", tag = "environments",
    operation_id = "updateEnvironment",
    params(("project" = String, Path), ("environment" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UpdateEnvironment>, responses((status = 200, body = EnvironmentState))
)]
async fn update_environment(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<EnvironmentState>, HttpError> {
    let id = EnvironmentId { project, environment };
    let updated = state.app.update_environment(&request, &id, version, &body).await?;
    Ok(Versioned::ok(updated.environment.version, updated))
}

/// Archives an environment: it serves nobody any more, and its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}/environments/{environment}", tag = "environments",
    operation_id = "archiveEnvironment",
    params(("project" = String, Path), ("environment" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_environment(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    state.app.archive_environment(&request, &EnvironmentId { project, environment }, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

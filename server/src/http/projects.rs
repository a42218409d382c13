//! `/projects`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, IfMatch, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page,
    access::Action,
    input,
    model::Project,
    projects::CreateProject,
    resource::{Listed, Resource},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::SignedIn, routes!(list_projects))
        .route(Access::Instance, routes!(create_project))
        .route(Access::Project(Action::Read), routes!(get_project))
        .route(Access::Project(Action::Administer), routes!(update_project))
        .route(Access::Instance, routes!(archive_project))
}

/// The projects that you may read.
#[utoipa::path(
    get, path = "/projects", tag = "projects", operation_id = "listProjects",
    params(PageQuery),
    responses((status = 200, body = Page<Listed<Resource<Project>>>))
)]
async fn list_projects(
    State(state): State<AppState>,
    Caller { principal, .. }: Caller,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<Resource<Project>>>>, HttpError> {
    Ok(Json(state.app.list_projects(&principal, &page).await?))
}

/// Makes a project.
#[utoipa::path(
    post, path = "/projects", tag = "projects", operation_id = "createProject",
    request_body = Reasoned<CreateProject>,
    responses((status = 201, body = Resource<Project>))
)]
async fn create_project(
    State(state): State<AppState>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<Project>>, HttpError> {
    let project = state.app.create_project(&request, input::parse::<CreateProject>(&body)?).await?;
    Ok(Versioned::created(project.version, project))
}

/// One project.
#[utoipa::path(
    get, path = "/projects/{project}", tag = "projects", operation_id = "getProject",
    params(("project" = String, Path)),
    responses((status = 200, body = Resource<Project>))
)]
async fn get_project(
    State(state): State<AppState>,
    Caller { principal, .. }: Caller,
    Path(project): Path<String>,
) -> Result<Versioned<Resource<Project>>, HttpError> {
    let project = state.app.project(&principal, &project).await?;
    Ok(Versioned::ok(project.version, project))
}

/// What may change of a project; what is left out stays.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct UpdateProject {
    /// What people call it.
    name: Option<String>,
    /// Whether only one rollout goes on at a time in the project's production environments; the others wait.
    one_rollout_at_a_time: Option<bool>,
}

/// Changes a project (JSON merge patch).
#[utoipa::path(
    patch, path = "/projects/{project}", tag = "projects", operation_id = "updateProject",
    params(("project" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UpdateProject>,
    responses((status = 200, body = Resource<Project>))
)]
async fn update_project(
    State(state): State<AppState>,
    Path(project): Path<String>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<Project>>, HttpError> {
    let project = state.app.update_project(&request, &project, version, &body).await?;
    Ok(Versioned::ok(project.version, project))
}

/// Archives a project that has no environments any more. Its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}", tag = "projects", operation_id = "archiveProject",
    params(("project" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_project(
    State(state): State<AppState>,
    Path(project): Path<String>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    state.app.archive_project(&request, &project, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

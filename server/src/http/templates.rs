//! `/projects/{project}/rollout-templates`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::Value;
use tidegate_rollout::Spec;
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
    resource::Listed,
    templates::{CreateTemplate, Template, TemplateView},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_templates))
        .route(Access::Project(Action::Edit), routes!(create_template))
        .route(Access::Project(Action::Read), routes!(get_template))
        .route(Access::Project(Action::Edit), routes!(update_template, archive_template))
}

/// The templates of rollouts of a project; first those that are always there.
#[utoipa::path(
    get, path = "/projects/{project}/rollout-templates", tag = "rollouts", operation_id = "listRolloutTemplates",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<Listed<TemplateView>>))
)]
async fn list_templates(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<TemplateView>>>, HttpError> {
    Ok(Json(state.app.list_templates(&caller.principal, &project, &page).await?))
}

/// Makes a template: a rollout's spec with a name.
#[utoipa::path(
    post, path = "/projects/{project}/rollout-templates", tag = "rollouts", operation_id = "createRolloutTemplate",
    params(("project" = String, Path)),
    request_body = Reasoned<CreateTemplate>, responses((status = 201, body = TemplateView))
)]
async fn create_template(
    State(state): State<AppState>,
    Path(project): Path<String>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<TemplateView>, HttpError> {
    let created = state.app.create_template(&request, &project, input::read_at("", &body)?).await?;
    Ok(Versioned::created(created.version, created))
}

/// One template.
#[utoipa::path(
    get, path = "/projects/{project}/rollout-templates/{template}", tag = "rollouts",
    operation_id = "getRolloutTemplate",
    params(("project" = String, Path), ("template" = String, Path)),
    responses((status = 200, body = TemplateView))
)]
async fn get_template(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, template)): Path<(String, String)>,
) -> Result<Versioned<TemplateView>, HttpError> {
    let found = state.app.template(&caller.principal, &project, &template).await?;
    Ok(Versioned::ok(found.version, found))
}

/// What may change of a template; what is left out stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct UpdateTemplate {
    /// What people call it.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// What a rollout is to do.
    spec: Option<Spec>,
}

/// Changes a template (JSON merge patch); rollouts that were started with it stay as they are.
#[utoipa::path(
    patch, path = "/projects/{project}/rollout-templates/{template}", tag = "rollouts",
    operation_id = "updateRolloutTemplate",
    params(("project" = String, Path), ("template" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UpdateTemplate>, responses((status = 200, body = TemplateView))
)]
async fn update_template(
    State(state): State<AppState>,
    Path((project, template)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<TemplateView>, HttpError> {
    let updated = state.app.update::<Template>(&request, &project, &template, version, &body).await?;
    Ok(Versioned::ok(updated.version, updated))
}

/// Archives a template: its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}/rollout-templates/{template}", tag = "rollouts",
    operation_id = "archiveRolloutTemplate",
    params(("project" = String, Path), ("template" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_template(
    State(state): State<AppState>,
    Path((project, template)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    state.app.archive::<Template>(&request, &project, &template, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

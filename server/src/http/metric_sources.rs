//! `/projects/{project}/metric-sources`.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Body, Caller, IfMatch, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page,
    access::Action,
    input,
    metric_sources::{CreateMetricSource, MetricSource, TestMetricSource, TestedMetricSource},
    resource::{Listed, Resource},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_metric_sources))
        .route(Access::Project(Action::Administer), routes!(create_metric_source))
        .route(Access::Project(Action::Read), routes!(get_metric_source))
        .route(Access::Project(Action::Administer), routes!(update_metric_source, archive_metric_source))
        .route(Access::Project(Action::Edit), routes!(test_metric_source))
}

/// The metric sources of a project.
#[utoipa::path(
    get, path = "/projects/{project}/metric-sources", tag = "metric sources", operation_id = "listMetricSources",
    params(("project" = String, Path), PageQuery),
    responses((status = 200, body = Page<Listed<Resource<MetricSource>>>))
)]
async fn list_metric_sources(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<Resource<MetricSource>>>>, HttpError> {
    Ok(Json(state.app.list::<MetricSource>(&caller.principal, &project, &page).await?))
}

/// Makes a metric source: a system that gates of the project's rollouts may ask.
#[utoipa::path(
    post, path = "/projects/{project}/metric-sources", tag = "metric sources", operation_id = "createMetricSource",
    params(("project" = String, Path)),
    request_body = Reasoned<CreateMetricSource>, responses((status = 201, body = Resource<MetricSource>))
)]
async fn create_metric_source(
    State(state): State<AppState>,
    Path(project): Path<String>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<MetricSource>>, HttpError> {
    let command = input::parse::<CreateMetricSource>(&body)?;
    let created = state.app.create_metric_source(&request, &project, command).await?;
    Ok(Versioned::created(created.version, created))
}

/// One metric source.
#[utoipa::path(
    get, path = "/projects/{project}/metric-sources/{source}", tag = "metric sources",
    operation_id = "getMetricSource",
    params(("project" = String, Path), ("source" = String, Path)),
    responses((status = 200, body = Resource<MetricSource>))
)]
async fn get_metric_source(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, source)): Path<(String, String)>,
) -> Result<Versioned<Resource<MetricSource>>, HttpError> {
    let source = state.app.one::<MetricSource>(&caller.principal, &project, &source).await?;
    Ok(Versioned::ok(source.version, source))
}

/// What may change of a metric source; what is left out stays, `null` takes back to the default.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct UpdateMetricSource {
    /// What people call it.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// Where.
    url: Option<String>,
    /// The name of a credential that the operator has for that address.
    credential: Option<String>,
}

/// Changes a metric source (JSON merge patch); gates that ask it ask the changed one.
#[utoipa::path(
    patch, path = "/projects/{project}/metric-sources/{source}", tag = "metric sources",
    operation_id = "updateMetricSource",
    params(("project" = String, Path), ("source" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UpdateMetricSource>, responses((status = 200, body = Resource<MetricSource>))
)]
async fn update_metric_source(
    State(state): State<AppState>,
    Path((project, source)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<MetricSource>>, HttpError> {
    let source = state.app.update::<MetricSource>(&request, &project, &source, version, &body).await?;
    Ok(Versioned::ok(source.version, source))
}

/// Archives a metric source that no rollout asks. Its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}/metric-sources/{source}", tag = "metric sources",
    operation_id = "archiveMetricSource",
    params(("project" = String, Path), ("source" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_metric_source(
    State(state): State<AppState>,
    Path((project, source)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    state.app.archive::<MetricSource>(&request, &project, &source, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a metric source once, and answers what a gate would make of it: a number, or what is wrong.
#[utoipa::path(
    post, path = "/projects/{project}/metric-sources/{source}/test", tag = "metric sources",
    operation_id = "testMetricSource",
    params(("project" = String, Path), ("source" = String, Path)),
    request_body = TestMetricSource, responses((status = 200, body = TestedMetricSource))
)]
async fn test_metric_source(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, source)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<TestedMetricSource>, HttpError> {
    let test = input::parse::<TestMetricSource>(&body)?;
    Ok(Json(state.app.test_metric_source(&caller.principal, &project, &source, &test).await?))
}

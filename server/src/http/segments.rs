//! `/projects/{project}/environments/{environment}/segments`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::config::SegmentRule;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, IfMatch, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
    router::limit,
};
use crate::{
    app::{
        Page,
        access::Action,
        input,
        model::Segment,
        resource::{Listed, Resource},
        segments::{CreateSegment, SegmentItem},
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_segments))
        .route(Access::Project(Action::Edit), routes!(create_segment))
        .with_body(limit::SEGMENT)
        .route(Access::Project(Action::Read), routes!(get_segment))
        .route(Access::Project(Action::Edit), routes!(update_segment, archive_segment))
        .with_body(limit::SEGMENT)
}

#[derive(Deserialize)]
struct SegmentPath {
    project: String,
    environment: String,
    segment: String,
}

impl SegmentPath {
    fn split(self) -> (EnvironmentId, String) {
        let Self { project, environment, segment } = self;
        (EnvironmentId { project, environment }, segment)
    }
}

/// The segments of an environment, without their members.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/segments", tag = "segments",
    operation_id = "listSegments",
    params(("project" = String, Path), ("environment" = String, Path), PageQuery),
    responses((status = 200, body = Page<Listed<SegmentItem>>))
)]
async fn list_segments(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<SegmentItem>>>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.list_segments(&caller.principal, &environment, &page).await?))
}

/// Makes a segment.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/segments", tag = "segments",
    operation_id = "createSegment",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Reasoned<CreateSegment>, responses((status = 201, body = Resource<Segment>))
)]
async fn create_segment(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<Segment>>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let created = state.app.create_segment(&request, &environment, input::parse::<CreateSegment>(&body)?).await?;
    Ok(Versioned::created(created.version, created))
}

/// One segment with its members and rules.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/segments/{segment}", tag = "segments",
    operation_id = "getSegment",
    params(("project" = String, Path), ("environment" = String, Path), ("segment" = String, Path)),
    responses((status = 200, body = Resource<Segment>))
)]
async fn get_segment(
    State(state): State<AppState>,
    caller: Caller,
    Path(path): Path<SegmentPath>,
) -> Result<Versioned<Resource<Segment>>, HttpError> {
    let (environment, segment) = path.split();
    let segment = state.app.segment(&caller.principal, &environment, &segment).await?;
    Ok(Versioned::ok(segment.version, segment))
}

/// What may change of a segment; what is left out stays, `null` takes back to the default. Lists are replaced as a whole.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct UpdateSegment {
    /// What people call it.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// Targeting keys that are in, whatever the rules say.
    included: Option<Vec<String>>,
    /// Targeting keys that are out, before anything else.
    excluded: Option<Vec<String>>,
    /// A context is in where one rule holds.
    rules: Option<Vec<SegmentRule>>,
}

/// Changes a segment (JSON merge patch).
#[utoipa::path(
    patch, path = "/projects/{project}/environments/{environment}/segments/{segment}", tag = "segments",
    operation_id = "updateSegment",
    params(
        ("project" = String, Path), ("environment" = String, Path), ("segment" = String, Path),
        ("If-Match" = String, Header),
    ),
    request_body = Reasoned<UpdateSegment>, responses((status = 200, body = Resource<Segment>))
)]
async fn update_segment(
    State(state): State<AppState>,
    Path(path): Path<SegmentPath>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<Segment>>, HttpError> {
    let (environment, segment) = path.split();
    let segment = state.app.update_segment(&request, &environment, &segment, version, &body).await?;
    Ok(Versioned::ok(segment.version, segment))
}

/// Archives a segment that nothing uses. Its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}/environments/{environment}/segments/{segment}", tag = "segments",
    operation_id = "archiveSegment",
    params(
        ("project" = String, Path), ("environment" = String, Path), ("segment" = String, Path),
        ("If-Match" = String, Header), ReasonQuery,
    ),
    responses((status = 204, description = "Archived"))
)]
async fn archive_segment(
    State(state): State<AppState>,
    Path(path): Path<SegmentPath>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    let (environment, segment) = path.split();
    state.app.archive_segment(&request, &environment, &segment, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

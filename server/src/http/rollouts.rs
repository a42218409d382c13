//! `/projects/{project}/environments/{environment}/rollouts`.

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{Body, Caller, MaybeIfMatch, Path, Query, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::{
    app::{
        Page,
        access::Action,
        input,
        looks::RolloutHistory,
        previews::{PreviewRollout, RolloutPreview},
        rollouts::{RolloutAction, RolloutMove, RolloutView, StartRollout},
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_rollouts))
        .route(Access::Project(Action::Edit), routes!(start_rollout))
        .route(Access::Project(Action::Read), routes!(preview_rollout))
        .route(Access::Project(Action::Read), routes!(get_rollout))
        .route(Access::Project(Action::Read), routes!(get_history))
        .route(Access::Project(Action::Operate), routes!(move_rollout))
}

/// Which rollouts are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfFlag {
    /// Only those of this flag.
    #[param(nullable = false)]
    flag: Option<String>,
}

/// The rollouts of an environment in the order of their start, those that have ended too.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/rollouts", tag = "rollouts",
    operation_id = "listRollouts",
    params(("project" = String, Path), ("environment" = String, Path), OfFlag, PageQuery),
    responses((status = 200, body = Page<RolloutView>))
)]
async fn list_rollouts(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Query(OfFlag { flag }): Query<OfFlag>,
    Paging(page): Paging,
) -> Result<Json<Page<RolloutView>>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.rollouts(&caller.principal, &environment, flag.as_deref(), &page).await?))
}

/// Starts a rollout: the flag's default goes to another variant step by step.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/rollouts", tag = "rollouts",
    operation_id = "startRollout",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = Reasoned<StartRollout>, responses((status = 201, body = RolloutView))
)]
async fn start_rollout(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    Write { request, body }: Write<StartRollout>,
) -> Result<Versioned<RolloutView>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let started = state.app.start_rollout(&request, &environment, body).await?;
    Ok(Versioned::created(started.status.generation, started))
}

/// What a rollout would be able to see, and what it would expose, with the traffic of the last minutes, or as much as is said.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/rollouts/preview", tag = "rollouts",
    operation_id = "previewRollout",
    params(("project" = String, Path), ("environment" = String, Path)),
    request_body = PreviewRollout, responses((status = 200, body = RolloutPreview))
)]
async fn preview_rollout(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
    Body(body): Body<Value>,
) -> Result<Json<RolloutPreview>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let asked = input::read_at::<PreviewRollout>("", &body)?;
    Ok(Json(state.app.preview_rollout(&caller.principal, &environment, &asked).await?))
}

/// One rollout: how far it has come, what it waits for, and what its gates say.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/rollouts/{rollout}", tag = "rollouts",
    operation_id = "getRollout",
    params(("project" = String, Path), ("environment" = String, Path), ("rollout" = String, Path)),
    responses((status = 200, body = RolloutView))
)]
async fn get_rollout(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment, rollout)): Path<(String, String, String)>,
) -> Result<Versioned<RolloutView>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let found = state.app.rollout(&caller.principal, &environment, &rollout).await?;
    Ok(Versioned::ok(found.status.generation, found))
}

/// What the controller saw of a rollout since it began, for a chart.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/rollouts/{rollout}/history", tag = "rollouts",
    operation_id = "getRolloutHistory",
    params(("project" = String, Path), ("environment" = String, Path), ("rollout" = String, Path)),
    responses((status = 200, body = RolloutHistory))
)]
async fn get_history(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment, rollout)): Path<(String, String, String)>,
) -> Result<Json<RolloutHistory>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.rollout_history(&caller.principal, &environment, &rollout).await?))
}

/// What a person does to a rollout; the reason is required.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MoveRollout {
    /// What is done.
    action: RolloutAction,
    /// The gate's key, to override and to heed it.
    #[serde(default)]
    gate: Option<String>,
}

/// Pauses, resumes, approves, skips, rolls back or completes a rollout; overrides one of its gates, or heeds it again.
///
/// `If-Match` is its generation: needed for all but to pause, to roll back and to heed, as the share may rise by it.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/rollouts/{rollout}/actions", tag = "rollouts",
    operation_id = "moveRollout",
    params(
        ("project" = String, Path), ("environment" = String, Path), ("rollout" = String, Path),
        ("If-Match" = Option<String>, Header),
    ),
    request_body = Reasoned<MoveRollout>, responses((status = 200, body = RolloutView))
)]
async fn move_rollout(
    State(state): State<AppState>,
    Path((project, environment, rollout)): Path<(String, String, String)>,
    MaybeIfMatch(generation): MaybeIfMatch,
    Write { request, body }: Write<MoveRollout>,
) -> Result<Versioned<RolloutView>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let MoveRollout { action, gate } = body;
    let wanted = RolloutMove { action, gate };
    let moved = state.app.move_rollout(&request, &environment, &rollout, generation, &wanted).await?;
    Ok(Versioned::ok(moved.status.generation, moved))
}

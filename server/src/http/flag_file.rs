//! `/projects/{project}/environments/{environment}/flag-file`.

use axum::{Json, extract::State};
use serde_json::Value;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    configurations::DryRun,
    extract::{Caller, Path, Query, Reasoned, Write},
    router::limit,
};
use crate::{
    app::{
        access::Action,
        flag_file::{AppliedFile, ApplyFile, ExportedFile},
        input,
    },
    ports::store::EnvironmentId,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(get_flag_file))
        .route(Access::Project(Action::Edit), routes!(apply_flag_file))
        .with_body(limit::FLAG_FILE)
}

/// The environment as a flag file.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/flag-file", tag = "flags",
    operation_id = "getFlagFile",
    params(("project" = String, Path), ("environment" = String, Path)),
    responses((status = 200, body = ExportedFile))
)]
async fn get_flag_file(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, environment)): Path<(String, String)>,
) -> Result<Json<ExportedFile>, HttpError> {
    let environment = EnvironmentId { project, environment };
    Ok(Json(state.app.flag_file(&caller.principal, &environment).await?))
}

/// Makes the environment what the file says, in one commit. Doing it again changes nothing.
#[utoipa::path(
    post, path = "/projects/{project}/environments/{environment}/flag-file", tag = "flags",
    operation_id = "applyFlagFile",
    params(("project" = String, Path), ("environment" = String, Path), DryRun),
    request_body = Reasoned<ApplyFile>, responses((status = 200, body = AppliedFile))
)]
async fn apply_flag_file(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
    Query(dry_run): Query<DryRun>,
    Write { request, body }: Write<Value>,
) -> Result<Json<AppliedFile>, HttpError> {
    let environment = EnvironmentId { project, environment };
    let file = input::parse::<ApplyFile>(&body)?;
    Ok(Json(state.app.apply_file(&request, &environment, &file, dry_run.into()).await?))
}

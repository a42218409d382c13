//! `/projects/{project}/flags`.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tidegate_core::VariantKey;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, IfMatch, Path, Query, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page,
    access::Action,
    flags::{CreateFlag, FlagFilter, FlagItem},
    input,
    model::{Flag, FlagVariant},
    resource::{Listed, Resource},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Project(Action::Read), routes!(list_flags))
        .route(Access::Project(Action::Edit), routes!(create_flag))
        .route(Access::Project(Action::Read), routes!(get_flag))
        .route(Access::Project(Action::Edit), routes!(update_flag, archive_flag))
}

/// Which flags are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct FlagQuery {
    /// Only those with this text in their key, name or description, in any case.
    search: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only the archived ones, instead of only the live ones.
    #[serde(default)]
    #[param(default = false)]
    archived: bool,
}

/// The flags of a project, each with how it stands in every environment.
#[utoipa::path(
    get, path = "/projects/{project}/flags", tag = "flags", operation_id = "listFlags",
    params(("project" = String, Path), FlagQuery, PageQuery),
    responses((status = 200, body = Page<Listed<FlagItem>>))
)]
async fn list_flags(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Query(FlagQuery { search, tag, archived }): Query<FlagQuery>,
    Paging(page): Paging,
) -> Result<Json<Page<Listed<FlagItem>>>, HttpError> {
    let filter = FlagFilter { search, tag, archived };
    Ok(Json(state.app.list_flags(&caller.principal, &project, &filter, &page).await?))
}

/// Makes a flag: disabled in every environment.
#[utoipa::path(
    post, path = "/projects/{project}/flags", tag = "flags", operation_id = "createFlag",
    params(("project" = String, Path)),
    request_body = Reasoned<CreateFlag>, responses((status = 201, body = Resource<Flag>))
)]
async fn create_flag(
    State(state): State<AppState>,
    Path(project): Path<String>,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<Flag>>, HttpError> {
    let flag = state.app.create_flag(&request, &project, input::parse::<CreateFlag>(&body)?).await?;
    Ok(Versioned::created(flag.version, flag))
}

/// One flag, archived or not.
#[utoipa::path(
    get, path = "/projects/{project}/flags/{flag}", tag = "flags", operation_id = "getFlag",
    params(("project" = String, Path), ("flag" = String, Path)),
    responses((status = 200, body = Resource<Flag>))
)]
async fn get_flag(
    State(state): State<AppState>,
    caller: Caller,
    Path((project, flag)): Path<(String, String)>,
) -> Result<Versioned<Resource<Flag>>, HttpError> {
    let flag = state.app.flag(&caller.principal, &project, &flag).await?;
    Ok(Versioned::ok(flag.version, flag))
}

/// What may change of a flag; what is left out stays, `null` takes back to the default.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, read by the application's strict patch")]
struct UpdateFlag {
    /// What people call it.
    name: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// For finding it, and for killing all flags with a tag at once. Replaced as a whole.
    tags: Option<Vec<String>>,
    /// Whether it is meant to stay, like a kill switch: it is never called ready to clean up.
    permanent: Option<bool>,
    /// Replaced as a whole; every environment's configuration must compile with the new ones.
    variants: Option<Vec<FlagVariant>>,
    /// What it serves where it is off and was never configured.
    off_variant: Option<VariantKey>,
    /// What it serves where it is on and was never configured.
    default_variant: Option<VariantKey>,
}

/// Changes what a flag has in common in all environments (JSON merge patch).
#[utoipa::path(
    patch, path = "/projects/{project}/flags/{flag}", tag = "flags", operation_id = "updateFlag",
    params(("project" = String, Path), ("flag" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UpdateFlag>, responses((status = 200, body = Resource<Flag>))
)]
async fn update_flag(
    State(state): State<AppState>,
    Path((project, flag)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<Value>,
) -> Result<Versioned<Resource<Flag>>, HttpError> {
    let flag = state.app.update_flag(&request, &project, &flag, version, &body).await?;
    Ok(Versioned::ok(flag.version, flag))
}

/// Archives a flag that is no prerequisite of another: SDKs answer FLAG_NOT_FOUND, and its key is never used again.
#[utoipa::path(
    delete, path = "/projects/{project}/flags/{flag}", tag = "flags", operation_id = "archiveFlag",
    params(("project" = String, Path), ("flag" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_flag(
    State(state): State<AppState>,
    Path((project, flag)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    state.app.archive_flag(&request, &project, &flag, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! People, and who has which role in a project.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, IfMatch, MaybeIfMatch, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page, Role,
    access::Action,
    moment::Moment,
    users::{self, Member, NewUser, User, UserPatch},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::SignedIn, routes!(list_users))
        .route(Access::Instance, routes!(create_user))
        .route(Access::SignedIn, routes!(get_user))
        .route(Access::SignedIn, routes!(update_user))
        .route(Access::Instance, routes!(archive_user))
        .route(Access::Instance, routes!(create_link))
        .route(Access::Project(Action::Read), routes!(list_members))
        .route(Access::Project(Action::Administer), routes!(set_member))
        .route(Access::Project(Action::Administer), routes!(remove_member))
}

/// People: everybody for instance administrators; for administrators of projects everybody too, to choose members from,
/// with the roles in those projects only.
#[utoipa::path(
    get, path = "/users", tag = "access", operation_id = "listUsers",
    params(PageQuery), responses((status = 200, body = Page<User>))
)]
async fn list_users(
    State(state): State<AppState>,
    caller: Caller,
    Paging(page): Paging,
) -> Result<Json<Page<User>>, HttpError> {
    Ok(Json(users::list(&state.app, &caller.principal, &page).await?))
}

/// Adds a person.
#[utoipa::path(
    post, path = "/users", tag = "access", operation_id = "createUser",
    request_body = Reasoned<NewUser>, responses((status = 201, body = User))
)]
async fn create_user(
    State(state): State<AppState>,
    Write { request, body }: Write<NewUser>,
) -> Result<Versioned<User>, HttpError> {
    let user = users::create(&state.app, &request, body).await?;
    Ok(Versioned::created(user.version, user))
}

/// One person: for instance administrators, and for themselves.
#[utoipa::path(
    get, path = "/users/{user}", tag = "access", operation_id = "getUser",
    params(("user" = String, Path)), responses((status = 200, body = User))
)]
async fn get_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<Versioned<User>, HttpError> {
    let user = users::get(&state.app, &caller.principal, &user).await?;
    Ok(Versioned::ok(user.version, user))
}

/// Changes a person: everything for instance administrators; name and password for themselves. A new password ends all
/// their sessions.
#[utoipa::path(
    patch, path = "/users/{user}", tag = "access", operation_id = "updateUser",
    params(("user" = String, Path), ("If-Match" = String, Header)),
    request_body = Reasoned<UserPatch>, responses((status = 200, body = User))
)]
async fn update_user(
    State(state): State<AppState>,
    Path(user): Path<String>,
    IfMatch(version): IfMatch,
    Write { request, body }: Write<UserPatch>,
) -> Result<Versioned<User>, HttpError> {
    if body.current_password.is_some() {
        // Guessing the password of a browser left open is guessing too.
        state.sign_ins.attempt(&user, None)?;
    }
    let user = users::update(&state.app, &request, &user, version, body).await?;
    Ok(Versioned::ok(user.version, user))
}

/// Archives a person: their sessions end, their address is free again.
#[utoipa::path(
    delete, path = "/users/{user}", tag = "access", operation_id = "archiveUser",
    params(("user" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Archived"))
)]
async fn archive_user(
    State(state): State<AppState>,
    Path(user): Path<String>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    users::archive(&state.app, &request, &user, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Nothing but the reason.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A link that signs somebody in once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Link {
    /// To be opened in a browser. Shown this once.
    link: String,
    /// When it stops working.
    expires_at: Moment,
}

/// Makes a link that signs the person in once, within a day. Each request makes another.
#[utoipa::path(
    post, path = "/users/{user}/link", tag = "access", operation_id = "createSignInLink",
    params(("user" = String, Path)), request_body = Reasoned<Nothing>, responses((status = 201, body = Link))
)]
async fn create_link(
    State(state): State<AppState>,
    Path(user): Path<String>,
    Write { request, body: Nothing {} }: Write<Nothing>,
) -> Result<(StatusCode, Json<Link>), HttpError> {
    let link = users::make_link(&state.app, &request, &user).await?;
    let url = state.config.link(&link.secret);
    Ok((StatusCode::CREATED, Json(Link { link: url, expires_at: link.expires_at })))
}

/// Who has a role in the project.
#[utoipa::path(
    get, path = "/projects/{project}/members", tag = "access", operation_id = "listMembers",
    params(("project" = String, Path), PageQuery), responses((status = 200, body = Page<Member>))
)]
async fn list_members(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Paging(page): Paging,
) -> Result<Json<Page<Member>>, HttpError> {
    Ok(Json(users::members(&state.app, &caller.principal, &project, &page).await?))
}

/// A role to give.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRole {
    /// The role in the project.
    role: Role,
}

/// Gives a person a role in the project. `If-Match` is needed where they have one already.
#[utoipa::path(
    put, path = "/projects/{project}/members/{user}", tag = "access", operation_id = "setMember",
    params(("project" = String, Path), ("user" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = Reasoned<NewRole>, responses((status = 200, body = Member))
)]
async fn set_member(
    State(state): State<AppState>,
    Path((project, user)): Path<(String, String)>,
    MaybeIfMatch(version): MaybeIfMatch,
    Write { request, body }: Write<NewRole>,
) -> Result<Versioned<Member>, HttpError> {
    let member = users::set_role(&state.app, &request, &project, &user, version, body.role).await?;
    Ok(Versioned::ok(member.version, member))
}

/// Takes a person's role in the project away.
#[utoipa::path(
    delete, path = "/projects/{project}/members/{user}", tag = "access", operation_id = "removeMember",
    params(("project" = String, Path), ("user" = String, Path), ("If-Match" = String, Header), ReasonQuery),
    responses((status = 204, description = "Taken away"))
)]
async fn remove_member(
    State(state): State<AppState>,
    Path((project, user)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    users::remove_role(&state.app, &request, &project, &user, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! API tokens.

use axum::{Json, extract::State, http::StatusCode};
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Routes,
    extract::{BareWrite, Caller, Path, ReasonQuery, Reasoned, Versioned, Write},
    page::{PageQuery, Paging},
};
use crate::app::{
    Page,
    tokens::{self, CreatedToken, NewToken, Token},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::SignedIn, routes!(list_tokens, create_token))
        .route(Access::SignedIn, routes!(revoke_token))
}

/// API tokens: all of them for instance administrators, for others those of the projects that they administer.
#[utoipa::path(
    get, path = "/tokens", tag = "access", operation_id = "listTokens",
    params(PageQuery), responses((status = 200, body = Page<Token>))
)]
async fn list_tokens(
    State(state): State<AppState>,
    caller: Caller,
    Paging(page): Paging,
) -> Result<Json<Page<Token>>, HttpError> {
    Ok(Json(tokens::list(&state.app, &caller.principal, &page).await?))
}

/// Makes an API token: for a project by those who administer it, for the instance by its administrators.
#[utoipa::path(
    post, path = "/tokens", tag = "access", operation_id = "createToken",
    request_body = Reasoned<NewToken>, responses((status = 201, body = CreatedToken))
)]
async fn create_token(
    State(state): State<AppState>,
    Write { request, body }: Write<NewToken>,
) -> Result<Versioned<CreatedToken>, HttpError> {
    let created = tokens::create(&state.app, &request, body).await?;
    Ok(Versioned::created(created.details.version, created))
}

/// Revokes an API token, for good. Needs no `If-Match`, as it only takes away.
#[utoipa::path(
    delete, path = "/tokens/{token}", tag = "access", operation_id = "revokeToken",
    params(("token" = String, Path), ReasonQuery), responses((status = 204, description = "Revoked"))
)]
async fn revoke_token(
    State(state): State<AppState>,
    Path(token): Path<String>,
    BareWrite(request): BareWrite,
) -> Result<StatusCode, HttpError> {
    tokens::revoke(&state.app, &request, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}

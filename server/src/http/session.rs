//! Signing in and out.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::SET_COOKIE, request::Parts},
    response::{IntoResponse, Response},
};
use axum_extra::extract::cookie::{Cookie, SameSite};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpConfig, HttpError, Routes,
    auth::{client_ip, session_cookie},
    extract::{Body, Caller},
    layers::RequestId,
    router::limit,
};
use crate::{
    app::{
        AppError,
        sessions::{self, Me, NewSession},
        setup::{self, Setup},
    },
    telemetry::OutcomeLabels,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route(Access::Public, routes!(get_setup))
        .route(Access::Public, routes!(complete_setup))
        .with_body(limit::SIGN_IN)
        .route(Access::Public, routes!(sign_in))
        .with_body(limit::SIGN_IN)
        .route(Access::Public, routes!(follow_link))
        .with_body(limit::SIGN_IN)
        .route(Access::Session, routes!(get_session))
        .route(Access::Session, routes!(sign_out))
}

/// Whether somebody has to set the server up.
#[derive(Debug, Serialize, ToSchema)]
struct SetupState {
    /// Nobody can administer it yet: follow the link that the server wrote when it started.
    needed: bool,
}

/// Whether set-up is needed.
#[utoipa::path(
    get, path = "/setup", tag = "access", operation_id = "getSetup",
    responses((status = 200, body = SetupState))
)]
async fn get_setup(State(state): State<AppState>) -> Result<Json<SetupState>, HttpError> {
    Ok(Json(SetupState { needed: setup::needed(&state.app).await? }))
}

/// Makes the first instance administrator and signs them in, by the one-time link that the server wrote when it started.
#[utoipa::path(
    post, path = "/setup", tag = "access", operation_id = "completeSetup",
    request_body = Setup, responses((status = 201, body = Me))
)]
async fn complete_setup(
    State(state): State<AppState>,
    browser: Browser,
    Body(form): Body<Setup>,
) -> Result<Response, HttpError> {
    let session = setup::complete(&state.app, &browser.request_id, form).await?;
    browser.signed_in(&state, StatusCode::CREATED, session).await
}

/// A sign-in with a password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignIn {
    /// As given when the person was added; upper and lower case do not matter.
    email: String,
    /// The password.
    password: String,
}

/// Signs in with a password.
#[utoipa::path(
    post, path = "/session", tag = "access", operation_id = "signIn",
    request_body = SignIn, responses((status = 200, body = Me))
)]
async fn sign_in(
    State(state): State<AppState>,
    browser: Browser,
    Body(SignIn { email, password }): Body<SignIn>,
) -> Result<Response, HttpError> {
    let session = match state.sign_ins.attempt(&email, browser.ip) {
        Ok(()) => sessions::sign_in(&state.app, &email, &password, &browser.request_id).await,
        Err(throttled) => Err(throttled),
    };
    browser.answer(&state, session).await
}

/// The secret of a one-time link.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LinkSecret {
    /// What stands behind `/#/link/`.
    secret: String,
}

/// Signs in with a one-time link.
#[utoipa::path(
    post, path = "/session/link", tag = "access", operation_id = "followLink",
    request_body = LinkSecret, responses((status = 200, body = Me))
)]
async fn follow_link(
    State(state): State<AppState>,
    browser: Browser,
    Body(LinkSecret { secret }): Body<LinkSecret>,
) -> Result<Response, HttpError> {
    let session = sessions::follow_link(&state.app, &secret, &browser.request_id).await;
    browser.answer(&state, session).await
}

/// Who is signed in.
#[utoipa::path(
    get, path = "/session", tag = "access", operation_id = "getSession",
    responses((status = 200, body = Me))
)]
async fn get_session(caller: Caller) -> Result<Json<Me>, HttpError> {
    Ok(Json(own_session(caller)?.me))
}

/// Signs out.
#[utoipa::path(
    delete, path = "/session", tag = "access", operation_id = "signOut",
    responses((status = 204, description = "Signed out"))
)]
async fn sign_out(State(state): State<AppState>, caller: Caller) -> Result<Response, HttpError> {
    sessions::end(&state.app, &own_session(caller)?.id).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&mut response, &state.config, "", 0);
    // Whatever this browser still has of the UI's data goes with the session.
    let everything = HeaderValue::from_static("\"cache\", \"storage\"");
    response.headers_mut().insert(HeaderName::from_static("clear-site-data"), everything);
    Ok(response)
}

fn own_session(caller: Caller) -> Result<super::extract::CallerSession, AppError> {
    caller.session.ok_or_else(|| AppError::Forbidden { needed: "of a signed-in person".to_owned() })
}

/// What a sign-in knows of where it comes from.
struct Browser {
    request_id: String,
    ip: Option<std::net::IpAddr>,
    cookie: Option<String>,
}

impl FromRequestParts<AppState> for Browser {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, HttpError> {
        Ok(Self {
            request_id: RequestId::of(&parts.extensions),
            ip: client_ip(&state.config, &parts.headers, &parts.extensions),
            cookie: session_cookie(&parts.headers, &state.config),
        })
    }
}

impl Browser {
    /// Logs and counts how a sign-in ended, without a word of who tried: an address typed into the wrong field may be a
    /// password.
    async fn answer(self, state: &AppState, session: Result<NewSession, AppError>) -> Result<Response, HttpError> {
        let outcome = match &session {
            Ok(_) => "accepted",
            Err(AppError::TooManyRequests { .. }) => "throttled",
            Err(AppError::Unauthenticated { .. }) => "refused",
            Err(_) => "failed",
        };
        let user = session.as_ref().map_or("", |session| &session.me.user.id);
        tracing::info!(outcome, user, ip = self.ip.map(tracing::field::display), "sign-in");
        state.metrics.sign_ins.get_or_create(&OutcomeLabels { outcome }).inc();
        self.signed_in(state, StatusCode::OK, session?).await
    }

    /// Hands the new session to the browser; the one it had, if any, ends.
    async fn signed_in(self, state: &AppState, status: StatusCode, session: NewSession) -> Result<Response, HttpError> {
        if let Some(cookie) = &self.cookie
            && let Some(old) = sessions::authenticate(&state.app, state.config.sessions, cookie).await?
        {
            sessions::end(&state.app, &old.session).await?;
        }
        let mut response = (status, Json(session.me)).into_response();
        set_cookie(&mut response, &state.config, &session.cookie, state.config.sessions.absolute_ms / 1_000);
        Ok(response)
    }
}

fn set_cookie(response: &mut Response, config: &HttpConfig, value: &str, max_age_s: i64) {
    let cookie = Cookie::build((config.session_cookie(), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(config.is_https())
        .build();
    let cookie = HeaderValue::try_from(format!("{cookie}; Max-Age={max_age_s}"));
    match cookie {
        Ok(cookie) => HeaderMap::append(response.headers_mut(), SET_COOKIE, cookie),
        Err(error) => unreachable!("ids and secrets are base32: {error}"),
    };
}

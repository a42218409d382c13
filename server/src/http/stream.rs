//! The stream, and how far changes have come.

use axum::{
    Json,
    extract::{
        ConnectInfo, FromRequestParts as _, Request, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection,
    },
    http::{HeaderMap, Version, header},
    response::Response,
};
use serde::Deserialize;
use tidegate_protocol::frame;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Access, AppState, HttpError, Peer, Problem, Routes,
    auth::{bearer_token, check_page, check_same_origin, session_cookie},
    error::Code,
    extract::{Path, Query},
};
use crate::{
    app::{
        AppError,
        access::{Action, authorize},
        documents, keys,
        model::Environment,
        sessions,
    },
    ports::store::EnvironmentId,
    stream::{Credential, Receipts},
};

pub(super) fn routes() -> Routes {
    Routes::new().route(Access::Stream, routes!(open)).route(Access::Project(Action::Read), routes!(receipts))
}

/// The websocket subprotocol that this server speaks. A browser's socket cannot send headers, so its key is a second
/// "subprotocol", `key.<key>`, beside it.
const SUBPROTOCOL: &str = "tidegate.v1";

/// What a websocket reads into at once, in bytes. The library allocates it for each connection, 128 KiB by default, and
/// fills it with zeros at every read.
const READ_BUFFER_BYTES: usize = 1024;

/// Which environment a signed-in person watches. An SDK key opens one only.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Watched {
    /// The project's key.
    project: Option<String>,
    /// The environment's key.
    environment: Option<String>,
}

/// Opens the stream of an environment's changes: a websocket that speaks the protocol of the crate `tidegate-protocol`.
///
/// With an SDK key as `Authorization: Bearer tgs_…`; in a browser, whose sockets send no headers, as a second subprotocol
/// beside `tidegate.v1`: `key.tgc_…`. A client key gets what it sees for the context of its hello. Our own pages open it
/// with the session, and the environment in the query.
#[utoipa::path(
    get, path = "/stream", tag = "stream", operation_id = "openStream", params(Watched),
    responses((status = 101, description = "The socket is open; the client says hello first"))
)]
async fn open(
    State(state): State<AppState>,
    Query(watched): Query<Watched>,
    request: Request,
) -> Result<Response, HttpError> {
    let (mut parts, _) = request.into_parts();
    // With HTTP/2 several streams share a connection, and its frames are not the connection's.
    let peer = parts.extensions.get::<ConnectInfo<Peer>>().filter(|_| parts.version == Version::HTTP_11);
    let pen = peer.and_then(|ConnectInfo(peer)| peer.pen.clone());
    let (credential, environment) = authenticate(&state, &parts.headers, watched).await?;
    let admission =
        state.streams.admit().ok_or_else(|| Problem::overloaded("too many streams are open: try again later"))?;
    let upgrade =
        WebSocketUpgrade::from_request_parts(&mut parts, &state).await.map_err(|rejection| refuse(&rejection))?;
    let hub = state.streams.hub(&environment).await.map_err(AppError::from)?;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        // Every frame is written at once: a change set is one, most of the time.
        .write_buffer_size(0)
        .max_message_size(frame::MAX_CLIENT_FRAME_BYTES)
        .max_frame_size(frame::MAX_CLIENT_FRAME_BYTES);
    let streams = state.streams.clone();
    Ok(upgrade.on_upgrade(move |socket| streams.serve(socket, pen, hub, credential, admission)))
}

fn refuse(rejection: &WebSocketUpgradeRejection) -> Problem {
    Problem::new(Code::Malformed, format!("this is a websocket: {rejection}"))
}

/// Who wants to see which environment, and may.
async fn authenticate(
    state: &AppState,
    headers: &HeaderMap,
    watched: Watched,
) -> Result<(Credential, EnvironmentId), HttpError> {
    if let Some(presented) = sdk_key(headers) {
        let key = keys::authenticate_sdk(&state.app, presented).await?;
        check_page(&key, headers)?;
        let environment = key.environment.clone();
        return Ok((Credential::Key(key), environment));
    }
    let unauthenticated = || AppError::Unauthenticated {
        detail: "open the stream with a server key, as `Authorization: Bearer tgs_…`, or signed in".to_owned(),
    };
    let cookie = session_cookie(headers, &state.config).ok_or_else(unauthenticated)?;
    // A websocket is not bound by CORS, and the browser sends the cookie from any page.
    check_same_origin(headers, &state.config)?;
    let session = sessions::authenticate(&state.app, state.config.sessions, &cookie).await?;
    let session = session.ok_or_else(unauthenticated)?;
    let Watched { project: Some(project), environment: Some(environment) } = watched else {
        return Err(AppError::invalid("?project", "say which `project` and `environment` you want to watch").into());
    };
    authorize(&session.principal, Action::Read, Some(&project))?;
    let environment = existing(state, project, environment).await?;
    let credential =
        Credential::Person { session: session.session, user: session.me.user.id, environment: environment.clone() };
    Ok((credential, environment))
}

/// An SDK key, from the header or, for browsers, from among the subprotocols.
fn sdk_key(headers: &HeaderMap) -> Option<&str> {
    bearer_token(headers).or_else(|| {
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        offered.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix("key."))
    })
}

async fn existing(state: &AppState, project: String, environment: String) -> Result<EnvironmentId, AppError> {
    state.app.live::<Environment>(&documents::id_of::<Environment>(project.as_str(), environment.as_str())).await?;
    Ok(EnvironmentId { project, environment })
}

/// How far the newest revision has come: the SDKs connected to all servers on the database, and how many of them evaluate
/// with it.
#[utoipa::path(
    get, path = "/projects/{project}/environments/{environment}/receipts", tag = "stream",
    operation_id = "getReceipts",
    params(
        ("project" = String, Path, description = "The project's key"),
        ("environment" = String, Path, description = "The environment's key"),
    ),
    responses((status = 200, description = "The receipts", body = Receipts))
)]
async fn receipts(
    State(state): State<AppState>,
    Path((project, environment)): Path<(String, String)>,
) -> Result<Json<Receipts>, HttpError> {
    let environment = existing(&state, project, environment).await?;
    Ok(Json(state.streams.receipts(&environment).await.map_err(AppError::from)?))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_comes_in_the_header_or_among_the_subprotocols() {
        for (name, value, key) in [
            (header::AUTHORIZATION, "Bearer tgs_a", Some("tgs_a")),
            (header::SEC_WEBSOCKET_PROTOCOL, "tidegate.v1, key.tgc_b", Some("tgc_b")),
            (header::SEC_WEBSOCKET_PROTOCOL, "tidegate.v1", None),
        ] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(sdk_key(&headers), key, "{value}");
        }
    }
}

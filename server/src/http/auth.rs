//! The guard before every route: who is it, may they, and was it them who sent it.

use std::{net::IpAddr, sync::Arc};

use axum::{
    RequestExt as _,
    extract::{ConnectInfo, RawPathParams, Request},
    http::{Extensions, HeaderMap, HeaderName, header},
    response::{IntoResponse as _, Response},
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Access, AppState, HttpConfig, HttpError, MetricsAccess, Peer,
    around::{Around, Next},
    error::{Code, Problem},
    extract::{Caller, CallerSession, SdkKey},
};
use crate::{
    app::{
        Actor, AppError, Principal, Role, SdkKeyKind, SdkPrincipal,
        access::{Action, authorize},
        keys, sessions, tokens,
    },
    ports::store::EnvironmentId,
};

/// Beside the context of a client key in secure mode: HMAC-SHA256 of the targeting key under the key's signing secret, 64
/// hex digits.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("x-tidegate-signature");

/// Lets a request through to its handler, with its [`Caller`] or [`SdkKey`], where the route's declaration allows it.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) state: AppState,
    pub(super) access: Access,
}

impl Around for Guard {
    async fn around(self, mut request: Request, next: impl Next) -> Response {
        match self.admit(&mut request).await {
            Ok(permit) => {
                let response = next.run(request).await;
                drop(permit);
                response
            }
            Err(error) => error.into_response(),
        }
    }
}

impl Guard {
    /// The permit to be kept while the request is worked on; `None`: it needs none.
    async fn admit(&self, request: &mut Request) -> Result<Option<OwnedSemaphorePermit>, HttpError> {
        let Self { state, access } = self;
        if *access == Access::Probe {
            return Ok(None);
        }
        let params: RawPathParams = request.extract_parts().await?;
        let permit = state.permits.clone().try_acquire_owned().map_err(|_| {
            state.metrics.overloads.inc();
            Problem::overloaded("too many requests are being worked on: try again in a second")
        })?;
        let unsafe_method = !request.method().is_safe();
        match access {
            Access::Public if unsafe_method => check_same_origin(request.headers(), &state.config)?,
            Access::Probe | Access::Public | Access::Stream | Access::StreamToken => {}
            Access::Metrics if metrics_are_open(&state.config, request.headers(), request.extensions()) => {}
            _ => {
                let bearer = authenticate(state, request.headers()).await?;
                if let Bearer::Sdk(key) = &bearer {
                    check_page(key, request.headers())?;
                }
                if unsafe_method && matches!(bearer, Bearer::Session(_)) {
                    check_csrf(request.headers(), &state.config)?;
                }
                match admit(*access, bearer, &Scope::of(&params))? {
                    Admitted::Caller(caller) => drop(request.extensions_mut().insert(caller)),
                    Admitted::SdkKey(key) => drop(request.extensions_mut().insert(key)),
                }
            }
        }
        Ok(Some(permit))
    }
}

/// What the path names.
#[derive(Default)]
struct Scope<'a> {
    project: Option<&'a str>,
    environment: Option<&'a str>,
}

impl<'a> Scope<'a> {
    fn of(params: &'a RawPathParams) -> Self {
        let param = |name| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        Self { project: param("project"), environment: param("environment") }
    }
}

/// Who presents a credential. A credential that is wrong is nobody: it never falls back to another.
enum Bearer {
    Nobody,
    Session(sessions::SignedIn),
    Token(Principal),
    Sdk(Arc<SdkPrincipal>),
}

async fn authenticate(state: &AppState, headers: &HeaderMap) -> Result<Bearer, AppError> {
    if headers.contains_key(header::AUTHORIZATION) {
        let Some(presented) = bearer_token(headers) else {
            let detail = "send the token as `Authorization: Bearer tgp_…`".to_owned();
            return Err(AppError::Unauthenticated { detail });
        };
        return if presented.starts_with("tgs_") || presented.starts_with("tgc_") {
            keys::authenticate_sdk(&state.app, presented).await.map(Bearer::Sdk)
        } else {
            tokens::authenticate(&state.app, presented).await.map(Bearer::Token)
        };
    }
    // OFREP's other way to send a key. Tokens come by `Authorization` alone.
    if let Some(presented) = headers.get("x-api-key") {
        let presented = presented.to_str().unwrap_or_default();
        return keys::authenticate_sdk(&state.app, presented).await.map(Bearer::Sdk);
    }
    let Some(cookie) = session_cookie(headers, &state.config) else { return Ok(Bearer::Nobody) };
    let session = sessions::authenticate(&state.app, state.config.sessions, &cookie).await?;
    Ok(session.map_or(Bearer::Nobody, Bearer::Session))
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The value of the session cookie.
pub(crate) fn session_cookie(headers: &HeaderMap, config: &HttpConfig) -> Option<String> {
    let jar = axum_extra::extract::CookieJar::from_headers(headers);
    jar.get(config.session_cookie()).map(|cookie| cookie.value().to_owned())
}

/// As whom a request is let through.
enum Admitted {
    Caller(Caller),
    SdkKey(SdkKey),
}

/// The whole decision: whether the bearer may use a route of that access, and as whom.
fn admit(access: Access, bearer: Bearer, scope: &Scope<'_>) -> Result<Admitted, AppError> {
    let (principal, session) = match bearer {
        Bearer::Nobody => {
            let detail = match access {
                Access::SdkKey => "send an SDK key as `Authorization: Bearer tgs_…` (or `tgc_…`)",
                _ => "sign in, or send an API token as `Authorization: Bearer tgp_…`",
            };
            return Err(AppError::Unauthenticated { detail: detail.to_owned() });
        }
        Bearer::Sdk(key) => return admit_sdk(access, key, scope),
        Bearer::Session(sessions::SignedIn { session, me, principal }) => {
            (principal, Some(CallerSession { id: session, me }))
        }
        Bearer::Token(principal) => (principal, None),
    };
    match access {
        Access::Probe | Access::Public | Access::SignedIn | Access::Stream | Access::StreamToken => {}
        Access::Session if session.is_some() => {}
        Access::Session => return Err(AppError::Forbidden { needed: "of a signed-in person".to_owned() }),
        Access::Project(action) | Access::ProjectOrServerKey(action) => authorize(&principal, action, scope.project)?,
        Access::SdkKey => return Err(AppError::Forbidden { needed: "of an SDK key".to_owned() }),
        Access::Instance | Access::Metrics => authorize(&principal, Action::AdministerInstance, None)?,
    }
    Ok(Admitted::Caller(Caller { principal, session }))
}

/// A server key stands for a viewer of its project, on the few routes that take it, in its own environment. A client key
/// is nobody but on the routes made for it.
fn admit_sdk(access: Access, key: Arc<SdkPrincipal>, scope: &Scope<'_>) -> Result<Admitted, AppError> {
    let EnvironmentId { project, environment } = &key.environment;
    match access {
        Access::SdkKey => return Ok(Admitted::SdkKey(SdkKey(key))),
        Access::ProjectOrServerKey(_) if key.kind == SdkKeyKind::Server => {
            if scope.project != Some(project) || scope.environment != Some(environment) {
                return Err(AppError::NotFound { what: "such environment for this key".to_owned() });
            }
        }
        Access::ProjectOrServerKey(_) => return Err(AppError::Forbidden { needed: "of a server key".to_owned() }),
        _ => return Err(AppError::Forbidden { needed: "of a person or an API token, not an SDK key".to_owned() }),
    }
    let actor = Actor { id: format!("key:{}", key.key), name: "SDK key".to_owned() };
    let roles = [(project.clone(), Role::Viewer)].into();
    let principal = Principal { actor, instance_admin: false, roles };
    Ok(Admitted::Caller(Caller { principal, session: None }))
}

/// Whether the page that sent the request may use the key. What is no page says no origin.
pub(super) fn check_page(key: &SdkPrincipal, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    match (key.kind, origin.to_str()) {
        (SdkKeyKind::Client, Ok(origin)) if key.allows_origin(origin) => Ok(()),
        (SdkKeyKind::Client, _) => Err(Problem::new(
            Code::Forbidden,
            "the key may not be used by pages of this origin: see its `allowedOrigins`",
        )),
        (SdkKeyKind::Server, _) => Err(Problem::new(
            Code::Forbidden,
            "this is a server key, which opens every rule, and a page sent it: revoke it, and give pages a client key",
        )),
    }
}

/// A browser sends the session cookie by itself, so an unsafe request must show that our own page sent it: by a header
/// that no other site can set without asking, and by its origin.
fn check_csrf(headers: &HeaderMap, config: &HttpConfig) -> Result<(), Problem> {
    if headers.get("x-tidegate-csrf").is_none_or(|value| value != "1") {
        return Err(Problem::new(
            Code::Csrf,
            "a request with the session cookie needs the header `X-Tidegate-Csrf: 1`",
        ));
    }
    check_same_origin(headers, config)
}

/// Where a browser says from which site the request comes, it is this one. What says nothing is no browser, or an old
/// one.
pub(crate) fn check_same_origin(headers: &HeaderMap, config: &HttpConfig) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let own_fetch = text(header::HeaderName::from_static("sec-fetch-site"))
        .is_none_or(|site| matches!(site, "same-origin" | "none"));
    let own_origin = text(header::ORIGIN).is_none_or(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        origin == config.public_url || (host.is_some() && host == text(header::HOST))
    });
    if own_fetch && own_origin {
        return Ok(());
    }
    Err(Problem::new(Code::Csrf, "a browser sent this from another site"))
}

/// Whether anybody who asks from there may read the metrics.
fn metrics_are_open(config: &HttpConfig, headers: &HeaderMap, extensions: &Extensions) -> bool {
    match config.metrics {
        MetricsAccess::Everyone => true,
        // A proxy on this machine connects from the loopback address too, but for somebody else.
        MetricsAccess::Loopback => {
            let proxied = headers.contains_key("x-forwarded-for") || headers.contains_key(header::FORWARDED);
            !proxied && peer(extensions).is_some_and(|peer| peer.is_loopback())
        }
    }
}

/// Who is at the other end, as far as trusted proxies say; `None` where there is no connection (in tests).
pub(super) fn client_ip(config: &HttpConfig, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
    // Several such headers count as one list (RFC 9110 §5.3).
    let forwarded: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    peer(extensions).map(|peer| config.client_ip(peer, &forwarded.join(",")))
}

/// The address at the other end of the connection.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(peer)| peer.address.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[track_caller]
    fn check_origin(pairs: &[(&'static str, &'static str)], allowed: bool) {
        let config = HttpConfig { public_url: "https://flags.example.org".to_owned(), ..HttpConfig::default() };
        assert_eq!(check_same_origin(&headers(pairs), &config).is_ok(), allowed, "{pairs:?}");
    }

    #[test]
    fn other_sites_are_told_by_what_browsers_say() {
        check_origin(&[], true);
        check_origin(&[("sec-fetch-site", "same-origin")], true);
        check_origin(&[("sec-fetch-site", "none")], true);
        check_origin(&[("sec-fetch-site", "same-site")], false);
        check_origin(&[("sec-fetch-site", "cross-site")], false);
        check_origin(&[("origin", "https://flags.example.org")], true);
        check_origin(&[("origin", "https://flags.example.org.evil.test")], false);
        check_origin(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")], true);
        check_origin(&[("origin", "http://evil.test"), ("host", "127.0.0.1:8080")], false);
        check_origin(&[("origin", "null"), ("host", "null")], false);
        check_origin(&[("origin", "null")], false);
    }

    #[test]
    fn bearer_tokens_are_found_in_any_case() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("Bearer", None),
        ] {
            assert_eq!(bearer_token(&headers(&[("authorization", value)])), token, "{value}");
        }
    }
}

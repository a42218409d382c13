//! What every request goes through, whatever its route. [`wrap`] says in which order.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Version, header},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use tracing::Instrument as _;

use super::{
    AppState, Problem,
    around::{Around, Next, Surround},
};
use crate::telemetry::{RequestLabels, RouteLabels, Stopwatch};

/// Puts the layers round the routes, the first to see a request first:
///
/// 1. [`Envelope`] gives the request its id, counts it and logs it: also what is refused further in. It bounds the time until the
///    answer begins, and adds the security headers, to refusals too. When the server stops, it has the connection closed
///    with the answer.
/// 2. A panic below becomes a 500.
/// 3. Answers are compressed. Upgrades to websockets have no body and pass.
///
/// Then comes the route's guard, the bound of its bodies, and last its handler.
///
/// They are one layer to axum: each layer that it keeps by itself puts the rest in a box for every request.
pub(super) fn wrap(router: Router<AppState>, state: &AppState) -> Router<AppState> {
    router.layer(
        ServiceBuilder::new()
            .layer(Surround::with(Envelope(state.clone())))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(CompressionLayer::new()),
    )
}

/// Names a request in the log, the audit log and the answer's `X-Request-Id`.
#[derive(Clone, Debug)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    /// The id of the request with these extensions.
    pub(super) fn of(extensions: &Extensions) -> String {
        extensions.get::<Self>().map_or_else(String::new, |id| id.0.as_ref().to_owned())
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(Clone)]
struct Envelope(AppState);

impl Around for Envelope {
    async fn around(self, mut request: Request, next: impl Next) -> Response {
        let Self(state) = self;
        let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sane_id(id));
        let id = id.map_or_else(|| state.app.ids.ulid(state.app.clock.now()), str::to_owned);
        let route: Arc<str> = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).into();
        let method = method_label(request.method());
        request.extensions_mut().insert(RequestId(id.as_str().into()));

        let span = tracing::info_span!("request", id, method, route = &*route);
        let version = request.version();
        let stopwatch = Stopwatch::start();
        let answer = timeout(state.config.request_timeout, next.run(request)).instrument(span.clone()).await;
        let mut response = answer.unwrap_or_else(|_| span.in_scope(timed_out));
        secure(&state, response.headers_mut());
        let elapsed = stopwatch.elapsed();

        let status = response.status().as_u16();
        span.in_scope(|| tracing::debug!(status, elapsed_us = elapsed.as_micros(), "answered"));
        let labels = RequestLabels { route: route.clone(), method, status };
        state.metrics.requests.get_or_create(&labels).inc();
        let labels = RouteLabels { route, method };
        state.metrics.request_seconds.get_or_create(&labels).observe(elapsed.as_secs_f64());
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        // HTTP/2 has a frame of its own for it.
        if state.stopping.is_cancelled() && version <= Version::HTTP_11 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A caller's id is taken over where it can do no harm in a log line.
fn is_sane_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A caller may make up methods; metrics must not.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The headers of everything, and those of pages: a browser heeds them nowhere else, and SDKs ask often. The UI's pages bring
/// their own policy, with a nonce.
fn secure(state: &AppState, headers: &mut HeaderMap) {
    const EVERYWHERE: [(HeaderName, &str); 2] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    const PAGES: [(HeaderName, &str); 4] = [
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let is_page = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    for (name, value) in EVERYWHERE.into_iter().chain(PAGES.into_iter().filter(|_| is_page)) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if state.config.is_https() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let message = cause.downcast_ref::<&str>().copied().or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    tracing::error!(message = message.unwrap_or("no message"), "a handler panicked");
    Problem::internal().into_response()
}

fn timed_out() -> Response {
    tracing::error!("a request took too long");
    Problem::overloaded("the answer took too long; whether the request was carried out is unknown").into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        body::{Body, to_bytes},
        http::StatusCode,
        routing::get,
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        app::App,
        http::HttpConfig,
        store::MemoryStore,
        telemetry::Metrics,
        testing::{ManualClock, SeededIds},
    };

    async fn panics() {
        panic!("the secret of the {}", "house");
    }

    async fn ask(path: &str) -> (StatusCode, String, Arc<Metrics>) {
        let app = App::new(
            Arc::new(MemoryStore::new("epoch")),
            Arc::new(ManualClock::default()),
            Arc::new(SeededIds::default()),
        );
        let config = HttpConfig { request_timeout: Duration::ZERO, ..HttpConfig::default() };
        let state = AppState::new(app, config, Arc::new(Metrics::new()));
        let router = Router::new().route("/panics", get(panics)).route("/hangs", get(std::future::pending::<()>));
        let router = wrap(router, &state).with_state(state.clone());
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(response.headers().contains_key("x-request-id"));
        let status = response.status();
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap(), state.metrics.clone())
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_without_its_cause() {
        let (status, body, metrics) = ask("/panics").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        assert!(metrics.render().contains(r#"route="/panics",method="GET",status="500"} 1"#), "counted");
    }

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_told_so() {
        let (status, body, _) = ask("/hangs").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(r#""code":"unavailable""#), "{body}");
    }

    #[test]
    fn request_ids_that_could_forge_log_lines_are_replaced() {
        for (id, sane) in [("a-1_B.2", true), ("", false), ("a b", false), ("a\nb", false), ("é", false)] {
            assert_eq!(is_sane_id(id), sane, "{id:?}");
        }
        assert!(!is_sane_id(&"a".repeat(65)));
    }
}

//! The admin UI, embedded in the binary.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{AppState, Problem, error::Code};
use crate::app::secret::{random_secret, sha256_hex};

/// What `npm run build` made of `admin-ui/`. Debug builds read it from the disk, so that it may also come later.
#[derive(RustEmbed)]
#[folder = "../admin-ui/dist"]
#[allow_missing = true]
struct Dist;

/// Stands in the page where each answer puts a fresh nonce.
const NONCE_PLACEHOLDER: &str = "__CSP_NONCE__";

/// Answers what no route did: a file of the UI, its page, or a 404.
pub(super) async fn serve(State(state): State<AppState>, request: Request<Body>) -> Response {
    let not_found = || Problem::new(Code::NotFound, "there is nothing here").into_response();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_found();
    }
    match wanted(request.uri().path(), request.headers()) {
        Wanted::Nothing => not_found(),
        Wanted::Page => page(&random_secret(state.app.ids.as_ref())),
        Wanted::File(path) => Dist::get(path).map_or_else(not_found, |file| self::file(path, &file, request.headers())),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Nothing,
    /// The UI, at whichever of its own addresses.
    Page,
    File(&'a str),
}

/// What a path asks for. The page answers to the addresses that the UI gives itself, but to none that looks like a
/// try at the API: whoever mistypes one should hear so.
fn wanted<'a>(path: &'a str, headers: &HeaderMap) -> Wanted<'a> {
    let plain = !path.contains("//") && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
    let mut segments = path.split('/').skip(1);
    if !plain || segments.clone().any(|segment| matches!(segment, "." | "..")) {
        return Wanted::Nothing;
    }
    let first = segments.next().unwrap_or_default();
    // Keys may have dots in them, and stand last in the addresses of pages.
    let is_file = first != "projects" && path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let wants_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    match path {
        "/" | "/index.html" => Wanted::Page,
        _ if first.eq_ignore_ascii_case("api") => Wanted::Nothing,
        _ if is_file => Wanted::File(path.trim_start_matches('/')),
        _ if wants_html => Wanted::Page,
        _ => Wanted::Nothing,
    }
}

/// The page, with a policy that allows nothing but our own files, and the styles that carry the nonce.
fn page(nonce: &str) -> Response {
    let Some(index) = Dist::get("index.html") else { return not_built() };
    let html = String::from_utf8_lossy(&index.data).replace(NONCE_PLACEHOLDER, nonce);
    let mut response = Html(html).into_response();
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; \
         img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn not_built() -> Response {
    let html = "<!doctype html><title>Tidegate</title><h1>The admin UI is not part of this build</h1>\
        <p><code>cargo xtask run</code> builds it. The REST API (<code>/api/v1</code>) and the streams work without.</p>";
    (StatusCode::SERVICE_UNAVAILABLE, Html(html)).into_response()
}

fn file(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", sha256_hex([file.data.as_ref()]));
    // The build puts a hash into the name of everything under `assets/`: what has the name never changes.
    let caching = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == etag.as_str());
    let shared = [(header::CACHE_CONTROL, caching), (header::ETAG, etag.as_str())];
    if known {
        return (StatusCode::NOT_MODIFIED, shared).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, file.metadata.mimetype().to_owned())];
    (shared, content_type, file.data.to_vec()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, accept: &'static str, expected: &Wanted<'_>) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        assert_eq!(wanted(path, &headers), *expected, "{path}");
    }

    #[test]
    fn the_page_answers_to_the_addresses_of_the_ui_only() {
        let html = "text/html,*/*";
        check("/", "*/*", &Wanted::Page);
        check("/projects/shop", html, &Wanted::Page);
        check("/projects/shop/flags/checkout.v2", html, &Wanted::Page);
        check("/projects/shop", "application/json", &Wanted::Nothing);
        check("/favicon.svg", html, &Wanted::File("favicon.svg"));
        check("/assets/index-1a2b.js", "*/*", &Wanted::File("assets/index-1a2b.js"));
        for trick in [
            "/api",
            "/api/v1/nothing",
            "/API/v1/users",
            "/x/../api/v1/users",
            "/./api/v1/users",
            "//api/v1/users",
            "/x//y",
            "/%2e%2e/api",
            "/api%2fv1",
            "/a\\b",
        ] {
            check(trick, html, &Wanted::Nothing);
        }
    }

    #[test]
    fn hashed_files_are_kept_for_ever_and_others_asked_for_again() {
        let embedded = |path: &str| {
            let metadata = rust_embed::Metadata::__rust_embed_new([0; 32], None, None, "text/javascript");
            let file = EmbeddedFile { data: b"body".into(), metadata };
            let first = self::file(path, &file, &HeaderMap::new());
            let etag = first.headers()[header::ETAG].clone();
            let again = self::file(path, &file, &HeaderMap::from_iter([(header::IF_NONE_MATCH, etag)]));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            first.headers()[header::CACHE_CONTROL].to_str().unwrap().to_owned()
        };
        assert_eq!(embedded("assets/x-1.js"), "public, max-age=31536000, immutable");
        assert_eq!(embedded("favicon.svg"), "no-cache");
    }
}

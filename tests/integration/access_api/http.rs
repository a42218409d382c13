//! What every request meets: problems, headers, limits, health.

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing::get};
use serde_json::json;
use tidegate_server::{
    http::{HttpConfig, MetricsAccess, serve},
    store::{Location, SqlStore},
};
use tokio::{net::TcpListener, sync::Notify};

use crate::support::app::TestApp;

/// `UPDATE=1 cargo test -p tidegate-tests openapi` writes the document, as does `cargo xtask codegen`.
#[test]
fn openapi_document_is_that_of_the_handlers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let current = tidegate_server::http::openapi_json();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, current).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == current, "openapi/openapi.json is out of date: run `cargo xtask codegen` and commit it");
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let app = TestApp::new();
    let admin = app.instance_token().await;
    app.get("/api/v1/nothing").send().await.expect_problem(404, "not_found");
    app.get("/nothing").send().await.expect_problem(404, "not_found");
    let wrong_method = app.delete("/api/v1/users").send().await.expect_problem(405, "method_not_allowed");
    assert_eq!(wrong_method.headers["allow"], "GET,HEAD,POST");

    let post = |content_type: &'static str, body: String| {
        app.post("/api/v1/users", json!({})).by(&admin).header("content-type", content_type).body(body).send()
    };
    let truncated = post("application/json", "{\n  \"name\": ".to_owned()).await.expect_problem(400, "malformed");
    assert!(truncated.body["detail"].as_str().unwrap().contains("line 2 column 10"), "{}", truncated.text);
    post("application/json", String::new()).await.expect_problem(400, "malformed");
    post("text/plain", "{}".to_owned()).await.expect_problem(415, "unsupported_media_type");
    post("application/x-www-form-urlencoded", "a=b".to_owned()).await.expect_problem(415, "unsupported_media_type");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    post("application/json", deep).await.expect_problem(400, "malformed");
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    post("application/json", large).await.expect_problem(413, "too_large");
    let list = post("application/json", "[]".to_owned()).await.expect_problem(422, "invalid");
    assert_eq!(list.body["field"], "");
}

#[tokio::test]
async fn a_stranger_sends_little() {
    let app = TestApp::new();
    let credentials = json!({ "email": "a@example.org", "password": "x".repeat(20 * 1024) });
    app.post("/api/v1/session", credentials).send().await.expect_problem(413, "too_large");
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let app = TestApp::new();
    for path in ["/api/v1/setup", "/api/v1/users", "/nothing", "/", "/livez"] {
        let answer = app.get(path).send().await;
        let everywhere = [
            ("x-content-type-options", "nosniff"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ];
        let pages = [
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-frame-options", "DENY"),
        ];
        for (name, value) in everywhere {
            assert_eq!(answer.headers[name], value, "{path}");
        }
        for (name, value) in pages {
            let expected = (path == "/").then_some(value);
            assert_eq!(answer.headers.get(name).map(|value| value.to_str().unwrap()), expected, "{path}");
        }
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        assert!(policy.ends_with("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn requests_are_named() {
    let app = TestApp::new();
    let own = app.get("/livez").header("x-request-id", "trace-1").send().await;
    assert_eq!(own.headers["x-request-id"], "trace-1");
    for odd in ["a b", &"x".repeat(65)] {
        let made = app.get("/livez").header("x-request-id", odd).send().await;
        assert_eq!(made.headers["x-request-id"].len(), 26, "a ULID");
    }
    let admin = app.instance_token().await;
    let new = json!({ "name": "x", "email": "x@example.org" });
    app.post("/api/v1/users", new)
        .by(&admin)
        .header("x-request-id", "trace-2")
        .send()
        .await
        .expect(StatusCode::CREATED);
    let rows = app.app.store.audit_chain(0, 100).await.unwrap();
    assert_eq!(rows.last().unwrap().entry.request_id, "trace-2");
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_ask() {
    let app = TestApp::new();
    let answer = app.get("/api/v1/openapi.json").header("accept-encoding", "gzip").send().await;
    assert_eq!(answer.headers["content-encoding"], "gzip");
    let plain = app.get("/api/v1/openapi.json").send().await;
    assert!(!plain.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_for_administrators() {
    let app = TestApp::new();
    let from = |address: &'static str| app.get("/metrics").from(address);
    let text = from("127.0.0.1:4000").send().await.expect(StatusCode::OK).text;
    assert!(text.contains("tidegate_build_info{version="), "{text}");
    from("[::1]:4000").send().await.expect(StatusCode::OK);
    from("[::ffff:127.0.0.1]:4000").send().await.expect(StatusCode::OK);
    from("203.0.113.9:4000").send().await.expect_problem(401, "unauthenticated");
    // By way of a proxy on this machine, a stranger is still a stranger.
    let proxied = from("127.0.0.1:4000").header("x-forwarded-for", "203.0.113.9");
    proxied.send().await.expect_problem(401, "unauthenticated");
    from("203.0.113.9:4000").by(&app.instance_token().await).send().await.expect(StatusCode::OK);

    let open = TestApp::with(HttpConfig { metrics: MetricsAccess::Everyone, ..HttpConfig::default() });
    open.get("/metrics").from("203.0.113.9:4000").send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn metrics_name_routes_never_paths() {
    let app = TestApp::new();
    app.get("/api/v1/users/somebody").send().await.expect(StatusCode::UNAUTHORIZED);
    app.get("/wp-admin/secret").send().await.expect(StatusCode::NOT_FOUND);
    let text = app.state.metrics.render();
    let route = r#"tidegate_http_requests_total{route="/api/v1/users/{user}",method="GET",status="401"} 1"#;
    assert!(text.contains(route), "{text}");
    assert!(text.contains(r#"route="other",method="GET",status="404"} 1"#), "{text}");
    assert!(!text.contains("somebody") && !text.contains("wp-admin"), "{text}");
}

#[tokio::test]
async fn too_many_at_once_are_turned_away_but_health_is_not() {
    let app = TestApp::with(HttpConfig { max_concurrent_requests: 0, ..HttpConfig::default() });
    let refused = app.get("/api/v1/setup").send().await.expect_problem(503, "unavailable");
    assert_eq!(refused.headers["retry-after"], "1");
    app.get("/livez").send().await.expect(StatusCode::NO_CONTENT);
    app.get("/readyz").send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_server_without_its_database_lives_but_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("tidegate.db"));
    let store = Arc::new(SqlStore::open(&location, "epoch-1").await.unwrap());
    let app = TestApp::on(store.clone(), HttpConfig::default());
    let admin = app.instance_token().await;
    assert_eq!(app.get("/readyz").send().await.expect(StatusCode::OK).body, json!({ "ready": true, "reasons": [] }));

    store.close().await;
    app.get("/livez").send().await.expect(StatusCode::NO_CONTENT);
    let not_ready = app.get("/readyz").send().await.expect(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(not_ready.body, json!({ "ready": false, "reasons": ["the database does not answer"] }));
    let refused = app.get("/api/v1/users").by(&admin).send().await;
    // Nothing of the cause, and no wrong word about the token.
    assert!(matches!(refused.status.as_u16(), 500 | 503), "{}", refused.text);
    assert!(!refused.text.contains("sql") && !refused.text.contains("pool"), "{}", refused.text);
}

#[tokio::test]
async fn shutting_down_answers_what_was_asked_and_accepts_no_more() {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = Router::new().route(
        "/slow",
        get({
            let (arrived, go_on) = (arrived.clone(), go_on.clone());
            async move || {
                arrived.notify_one();
                go_on.notified().await;
                "done"
            }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/slow");
    let shutdown = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(serve(listener, router, shutdown.clone(), Duration::from_mins(1)));
    let client = reqwest::Client::new();
    let in_flight = tokio::spawn(client.get(&url).send());
    arrived.notified().await;

    shutdown.cancel();
    // The listener closes as soon as the server looks at the token; a connection made before that would hang.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.notify_one();
    let answer = in_flight.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "done");
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_stop_the_shutdown() {
    let arrived = Arc::new(Notify::new());
    let router = Router::new().route(
        "/stuck",
        get({
            let arrived = arrived.clone();
            async move || {
                arrived.notify_one();
                std::future::pending::<()>().await;
            }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stuck", listener.local_addr().unwrap());
    let shutdown = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(serve(listener, router, shutdown.clone(), Duration::ZERO));
    let stuck = tokio::spawn(reqwest::Client::new().get(&url).send());
    arrived.notified().await;
    shutdown.cancel();
    server.await.unwrap().unwrap();
    stuck.abort();
}

#[tokio::test]
async fn those_who_run_the_server_see_how_it_is() {
    let test = TestApp::with_projects().await;
    let instance = test.instance_token().await;
    let get = async |path: &str| test.get(path).by(&instance).send().await.expect(StatusCode::OK).body;
    let system = get("/api/v1/system").await;
    assert_eq!(
        (&system["version"], &system["isShared"]),
        (&json!(env!("CARGO_PKG_VERSION")), &json!(false)),
        "{system}"
    );
    assert_eq!((&system["epoch"], system.get("controller")), (&json!("epoch-1"), None), "{system}");
    let verified = get("/api/v1/audit/verification").await;
    assert!(verified["rows"].as_u64() > Some(2) && verified.get("broken").is_none(), "{verified}");
    assert_eq!(verified["head"].as_str().map(str::len), Some(64), "{verified}");
}

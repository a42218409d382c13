//! Set-up, sign-in, sessions.

use axum::http::StatusCode;
use serde_json::json;
use tidegate_server::{
    app::{sessions, setup},
    http::HttpConfig,
};

use crate::support::app::{Caller, PASSWORD, TestApp};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn the_first_run_makes_an_administrator_once() {
    let app = TestApp::new();
    assert_eq!(app.get("/api/v1/setup").send().await.body, json!({ "needed": true }));
    let link = setup::offer(&app.app).await.unwrap().unwrap();
    let form = |secret: &str, password: &str| json!({ "secret": secret, "name": "Ada", "email": "ada@example.org", "password": password });

    let wrong = app.post("/api/v1/setup", form("wrong", PASSWORD)).send().await;
    wrong.expect_problem(401, "unauthenticated");
    // A form that is refused does not use the link up.
    let short = app.post("/api/v1/setup", form(&link.secret, "short")).send().await;
    assert_eq!(short.expect_problem(422, "invalid").body["field"], "/password");

    let done = app.post("/api/v1/setup", form(&link.secret, PASSWORD)).send().await.expect(StatusCode::CREATED);
    assert_eq!(done.body["instanceAdmin"], true);
    assert_eq!(done.body["user"]["email"], "ada@example.org");
    let me = app.get("/api/v1/session").by(&done.session()).send().await.expect(StatusCode::OK);
    assert_eq!(me.body, done.body);

    let again = app.post("/api/v1/setup", form(&link.secret, PASSWORD)).send().await;
    again.expect_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/setup").send().await.body, json!({ "needed": false }));
    assert_eq!(setup::offer(&app.app).await.unwrap(), None);
    app.sign_in("ada").await;
}

#[tokio::test]
async fn a_set_up_link_expires_and_opens_nothing_else() {
    let app = TestApp::new();
    let link = setup::offer(&app.app).await.unwrap().unwrap();
    let elsewhere = app.post("/api/v1/session/link", json!({ "secret": link.secret })).send().await;
    elsewhere.expect_problem(401, "unauthenticated");
    app.clock.advance_ms(24 * HOUR_MS);
    let form = json!({ "secret": link.secret, "name": "Ada", "email": "ada@example.org", "password": PASSWORD });
    app.post("/api/v1/setup", form).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    app.guest("guest", false, &[]).await;
    let attempt = |email: &str| {
        let credentials = json!({ "email": email, "password": "correct horse batterz" });
        app.post("/api/v1/session", credentials).send()
    };
    let wrong = attempt("ada@example.org").await.expect_problem(401, "unauthenticated");
    let unknown = attempt("eve@example.org").await.expect_problem(401, "unauthenticated");
    let passwordless = attempt("guest@example.org").await.expect_problem(401, "unauthenticated");
    assert_eq!(wrong.text, unknown.text);
    assert_eq!(wrong.text, passwordless.text);
    assert!(!wrong.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn addresses_are_compared_without_case() {
    let app = TestApp::new();
    app.user("Ada", true, &[]).await;
    let credentials = json!({ "email": " ADA@Example.org ", "password": PASSWORD });
    app.post("/api/v1/session", credentials).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn guessing_is_throttled_and_the_throttle_lets_go() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let attempt = |password: &'static str| {
        app.post("/api/v1/session", json!({ "email": "ada@example.org", "password": password })).send()
    };
    for _ in 0..10 {
        attempt("not the password").await.expect_problem(401, "unauthenticated");
    }
    // Not even the right one gets through now.
    let throttled = attempt(PASSWORD).await.expect_problem(429, "too_many_requests");
    let wait_s: i64 = throttled.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait_s), "{wait_s}");
    app.clock.advance_ms(wait_s * 1_000);
    attempt(PASSWORD).await.expect(StatusCode::OK);
    let text = app.state.metrics.render();
    for counted in [r#"outcome="refused"} 10"#, r#"outcome="throttled"} 1"#, r#"outcome="accepted"} 1"#] {
        assert!(text.contains(counted), "{counted}\n{text}");
    }
}

#[tokio::test]
async fn one_address_may_not_try_every_account() {
    let app = TestApp::new();
    let attempt = |n: u32, from: &'static str| {
        let credentials = json!({ "email": format!("{n}@example.org"), "password": "" });
        app.post("/api/v1/session", credentials).from(from).send()
    };
    for n in 0..30 {
        attempt(n, "203.0.113.9:4000").await.expect_problem(401, "unauthenticated");
    }
    attempt(31, "203.0.113.9:4001").await.expect_problem(429, "too_many_requests");
    // Nobody believes the address that a stranger writes into a header.
    let spoofed = app.post("/api/v1/session", json!({ "email": "x@example.org", "password": "" }));
    let spoofed = spoofed.from("203.0.113.9:4002").header("x-forwarded-for", "198.51.100.7");
    spoofed.send().await.expect_problem(429, "too_many_requests");
    attempt(32, "203.0.113.10:4000").await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_session_ends_when_idle() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let ada = app.sign_in("ada").await;
    for _ in 0..3 {
        app.clock.advance_ms(11 * HOUR_MS);
        app.get("/api/v1/session").by(&ada).send().await.expect(StatusCode::OK);
    }
    app.clock.advance_ms(12 * HOUR_MS);
    app.get("/api/v1/session").by(&ada).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_session_ends_after_a_week_however_busy() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let ada = app.sign_in("ada").await;
    for _ in 0..(7 * 24 - 1) / 11 {
        app.clock.advance_ms(11 * HOUR_MS);
        app.get("/api/v1/session").by(&ada).send().await.expect(StatusCode::OK);
    }
    app.clock.advance_ms(11 * HOUR_MS);
    app.get("/api/v1/session").by(&ada).send().await.expect_problem(401, "unauthenticated");
    assert!(sessions::prune(&app.app, app.state.config.sessions).await.unwrap() <= 1);
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let ada = app.sign_in("ada").await;
    let out = app.delete("/api/v1/session").by(&ada).send().await.expect(StatusCode::NO_CONTENT);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    app.get("/api/v1/session").by(&ada).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn signing_in_again_replaces_the_session() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let first = app.sign_in("ada").await;
    let credentials = json!({ "email": "ada@example.org", "password": PASSWORD });
    let second = app.post("/api/v1/session", credentials).by(&first).send().await.expect(StatusCode::OK).session();
    app.get("/api/v1/session").by(&first).send().await.expect_problem(401, "unauthenticated");
    app.get("/api/v1/session").by(&second).send().await.expect(StatusCode::OK);
}

#[tokio::test]
async fn a_forged_cookie_is_nobody() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let Caller::Session(cookie) = app.sign_in("ada").await else { unreachable!("that was a sign-in") };
    let (id, secret) = cookie.split_once('.').unwrap();
    for forged in [
        id.to_owned(),
        format!("{id}."),
        format!("{id}.{}", "a".repeat(52)),
        format!("{id}.{}", &secret[..51]),
        format!("tidegate=x.{secret}"),
        cookie.replace("tidegate=", "__Host-tidegate="),
        cookie.to_uppercase(),
    ] {
        let answer = app.get("/api/v1/session").header("cookie", &forged).send().await;
        answer.expect_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn cookies_are_bound_to_the_host_where_there_is_tls() {
    let check = async |public_url: &str, expected: &[&str], not: &[&str]| {
        let app = TestApp::with(HttpConfig { public_url: public_url.to_owned(), ..HttpConfig::default() });
        app.user("ada", true, &[]).await;
        let credentials = json!({ "email": "ada@example.org", "password": PASSWORD });
        let answer = app.post("/api/v1/session", credentials).send().await.expect(StatusCode::OK);
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=604800"].iter().chain(expected) {
            assert!(cookie.contains(part), "{part} is not in {cookie}");
        }
        for part in not {
            assert!(!cookie.contains(part), "{part} is in {cookie}");
        }
        app.get("/api/v1/session").by(&answer.session()).send().await.expect(StatusCode::OK);
        answer.headers.contains_key("strict-transport-security")
    };
    let hsts = check("https://flags.example.org", &["__Host-tidegate=", "; Secure"], &["Domain"]).await;
    assert!(hsts);
    let hsts = check("http://localhost:8580", &["tidegate="], &["__Host-", "Secure", "Domain"]).await;
    assert!(!hsts);
}

#[tokio::test]
async fn a_link_signs_in_once() {
    let app = TestApp::new();
    let admin = app.instance_token().await;
    let user = app.user("bob", false, &[]).await;
    let made = app.post(&format!("/api/v1/users/{}/link", user.id), json!({})).by(&admin).send().await;
    let made = made.expect(StatusCode::CREATED);
    let link = made.body["link"].as_str().unwrap();
    let page = format!("{}/#/link/", app.state.config.public_url);
    let secret = link.strip_prefix(&page).expect(link);
    let follow = || app.post("/api/v1/session/link", json!({ "secret": secret })).send();
    let me = follow().await.expect(StatusCode::OK);
    assert_eq!(me.body["user"]["id"], user.id);
    follow().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn sign_ins_leave_a_trace_without_secrets() {
    let app = TestApp::new();
    app.user("ada", true, &[]).await;
    let Caller::Session(cookie) = app.sign_in("ada").await else { unreachable!("that was a sign-in") };
    let rows = app.app.store.audit_chain(0, 100).await.unwrap();
    let actions: Vec<_> = rows.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["user.create", "session.create"]);
    let log = serde_json::to_string(&rows).unwrap();
    for secret in [PASSWORD, "argon2id", cookie.split_once('.').unwrap().1] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

//! API tokens, SDK keys, idempotency, the audit log.

use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_server::{
    app::{AppError, Role, SdkKeyKind, keys},
    ports::store::{DocumentKind, DocumentQuery},
};

use crate::support::app::{Caller, TestApp};

fn bearer(answer: &crate::support::app::Answer, field: &str) -> Caller {
    Caller::Bearer(answer.body[field].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked() {
    let app = TestApp::with_projects().await;
    let admin = app.project_token("shop", Role::Admin).await;
    let new = json!({ "name": "CI", "project": "shop", "role": "editor", "reason": "deploys" });
    let made = app.post("/api/v1/tokens", new).by(&admin).send().await.expect(StatusCode::CREATED);
    assert!(made.body["token"].as_str().unwrap().starts_with("tgp_"), "{}", made.text);
    let token = bearer(&made, "token");
    let members = || app.get("/api/v1/projects/shop/members").by(&token).send();
    members().await.expect(StatusCode::OK);

    let listed = app.get("/api/v1/tokens").by(&admin).send().await.expect(StatusCode::OK);
    let ci = listed.body["items"].as_array().unwrap().iter().find(|item| item["name"] == "CI").unwrap().clone();
    assert_eq!((&ci["role"], &ci["project"], ci.get("token")), (&json!("editor"), &json!("shop"), None));

    let path = format!("/api/v1/tokens/{}", ci["id"].as_str().unwrap());
    // Others do not even learn that it is there.
    app.delete(&path).by(&token).send().await.expect_problem(404, "not_found");
    app.delete(&path).by(&app.project_token("other", Role::Admin).await).send().await.expect_problem(404, "not_found");
    app.delete(&path).by(&admin).send().await.expect(StatusCode::NO_CONTENT);
    members().await.expect_problem(401, "unauthenticated");
    app.delete(&path).by(&admin).send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_token_expires() {
    let app = TestApp::with_projects().await;
    let admin = app.instance_token().await;
    let new = |expires_at: &str| {
        let new = json!({ "name": "x", "project": "shop", "role": "viewer", "expiresAt": expires_at });
        app.post("/api/v1/tokens", new).by(&admin).send()
    };
    // The clock stands at 2026-01-01T00:00:00Z.
    assert_eq!(new("2026-01-01T00:00:00Z").await.expect_problem(422, "invalid").body["field"], "/expiresAt");
    assert_eq!(new("tomorrow").await.expect_problem(422, "invalid").body["field"], "/expiresAt");
    let made = new("2026-01-01T01:00:01+01:00").await.expect(StatusCode::CREATED);
    assert_eq!(made.body["expiresAt"], "2026-01-01T00:00:01Z");
    let members = || app.get("/api/v1/projects/shop/members").by(&bearer(&made, "token")).send();
    app.clock.advance_ms(999);
    members().await.expect(StatusCode::OK);
    app.clock.advance_ms(1);
    members().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_is_for_one_project_or_the_instance() {
    let app = TestApp::with_projects().await;
    let admin = app.instance_token().await;
    for (scope, status) in [
        (json!({ "instanceAdmin": true }), 201),
        (json!({ "project": "shop", "role": "viewer" }), 201),
        (json!({ "project": "shop" }), 422),
        (json!({ "role": "viewer" }), 422),
        (json!({}), 422),
        (json!({ "project": "shop", "role": "viewer", "instanceAdmin": true }), 422),
        (json!({ "project": "nowhere", "role": "viewer" }), 404),
    ] {
        let mut new = scope.clone();
        new["name"] = json!("x");
        let answer = app.post("/api/v1/tokens", new).by(&admin).send().await;
        assert_eq!(answer.status.as_u16(), status, "{scope}: {}", answer.text);
    }
    // The administrator of a project cannot make a token that can more than they can.
    let local = app.project_token("shop", Role::Admin).await;
    let new = json!({ "name": "x", "instanceAdmin": true });
    app.post("/api/v1/tokens", new).by(&local).send().await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn malformed_and_foreign_tokens_are_nobody() {
    let app = TestApp::with_projects().await;
    let Caller::Bearer(token) = app.instance_token().await else { unreachable!("that was a token") };
    // The second one there: the first has the same seed as ours.
    let other_app = TestApp::with_projects().await;
    other_app.instance_token().await;
    let Caller::Bearer(elsewhere) = other_app.instance_token().await else { unreachable!("that was a token") };
    let mut wrong_checksum = token.clone();
    wrong_checksum.replace_range(token.len() - 1.., if token.ends_with('a') { "b" } else { "a" });
    for wrong in [
        "",
        "tgp_",
        &wrong_checksum,
        &token[..token.len() - 1],
        &token.to_uppercase(),
        &token.replace("tgp_", "tgs_"),
        &elsewhere,
        "tgp_aaaaaaaaaaaaaaaa_",
    ] {
        let answer = app.get("/api/v1/users").by(&Caller::Bearer(wrong.to_owned())).send().await;
        let answer = answer.expect_problem(401, "unauthenticated");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let basic = app.get("/api/v1/users").header("authorization", &format!("Basic {token}")).send().await;
    basic.expect_problem(401, "unauthenticated");
    // A wrong token is refused, even beside a good cookie.
    let Caller::Session(cookie) = app.guest("ada", true, &[]).await else { unreachable!("that was a session") };
    let both = app.get("/api/v1/users").header("cookie", &cookie).header("authorization", "Bearer wrong");
    both.send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_sdk_key_opens_its_environment_until_it_is_revoked() {
    let app = TestApp::with_projects().await;
    let admin = app.project_token("shop", Role::Admin).await;
    let path = "/api/v1/projects/shop/environments/production/keys";
    for (kind, prefix) in [(SdkKeyKind::Server, "tgs_"), (SdkKeyKind::Client, "tgc_")] {
        let made = app.post(path, json!({ "name": "web", "kind": kind })).by(&admin).send().await;
        let made = made.expect(StatusCode::CREATED);
        let text = made.body["key"].as_str().unwrap();
        assert!(text.starts_with(prefix), "{text}");
        let principal = keys::authenticate_sdk(&app.app, text).await.unwrap();
        assert_eq!(
            (principal.environment.project.as_str(), principal.environment.environment.as_str()),
            ("shop", "production")
        );
        assert_eq!(principal.kind, kind);
        // The other kind's prefix does not turn it into the other kind.
        let swapped = text.replacen(prefix, if prefix == "tgs_" { "tgc_" } else { "tgs_" }, 1);
        assert!(keys::authenticate_sdk(&app.app, &swapped).await.is_err());

        let id = made.body["id"].as_str().unwrap();
        let listed = app.get(path).by(&admin).send().await.expect(StatusCode::OK);
        assert_eq!(listed.body["items"][0]["lastUsedAt"], json!("2026-01-01T00:00:00Z"), "{}", listed.text);
        // Not by way of another environment.
        let elsewhere = format!("/api/v1/projects/shop/environments/test/keys/{id}");
        app.delete(&elsewhere).by(&admin).send().await.expect_problem(404, "not_found");
        let mut hints = app.app.changes.subscribe();
        app.delete(&format!("{path}/{id}?reason=leaked")).by(&admin).send().await.expect(StatusCode::NO_CONTENT);
        assert_eq!(hints.try_recv().unwrap().environment, "production", "streams hear of it");
        assert!(!keys::still_valid(&app.app, &principal).await.unwrap());
        let refused = keys::authenticate_sdk(&app.app, text).await.unwrap_err();
        assert!(matches!(refused, AppError::Unauthenticated { .. }), "{refused}");
    }
    let listed = app.get(path).by(&admin).send().await.expect(StatusCode::OK);
    assert_eq!(listed.body["items"], json!([]));
    let tokens = app.get("/api/v1/tokens").by(&admin).send().await.expect(StatusCode::OK);
    assert_eq!(tokens.body["items"][0]["lastUsedAt"], json!("2026-01-01T00:00:00Z"), "{}", tokens.text);
    let nowhere = "/api/v1/projects/shop/environments/nowhere/keys";
    app.post(nowhere, json!({ "name": "x", "kind": "server" }))
        .by(&admin)
        .send()
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_database_holds_no_usable_secret() {
    let app = TestApp::with_projects().await;
    let mut secrets = Vec::new();
    for caller in [
        app.instance_token().await,
        app.sdk_key("shop", "test", SdkKeyKind::Server).await,
        app.sdk_key("shop", "test", SdkKeyKind::Client).await,
    ] {
        let Caller::Bearer(text) = caller else { unreachable!("those were tokens") };
        secrets.push(text.rsplit('_').next().unwrap()[..52].to_owned());
    }
    let admin = app.instance_token().await;
    let new = json!({ "name": "x", "instanceAdmin": true });
    let made = app.post("/api/v1/tokens", new).by(&admin).header("idempotency-key", "1").send().await;
    secrets.push(made.body["token"].as_str().unwrap().rsplit('_').next().unwrap()[..52].to_owned());

    let mut dump = serde_json::to_string(&app.app.store.audit_chain(0, 1000).await.unwrap()).unwrap();
    for kind in DocumentKind::ALL {
        let query = DocumentQuery { kind, scope: String::new(), after: None, limit: 200, include_archived: true };
        let documents = app.app.store.documents(&query).await.unwrap();
        dump.extend(documents.into_iter().map(|document| document.body));
    }
    let record = app.app.store.idempotency_record(&idempotency_key(&app, "1").await).await.unwrap().unwrap();
    dump.push_str(&record.body);
    for secret in secrets {
        assert!(!dump.contains(&secret), "{secret}");
    }
}

/// The key under which the request of the last audit row was kept.
async fn idempotency_key(app: &TestApp, key: &str) -> String {
    let rows = app.app.store.audit_chain(0, 1000).await.unwrap();
    format!("{} {key}", rows.last().unwrap().entry.actor)
}

#[tokio::test]
async fn a_repeated_post_is_carried_out_once() {
    let app = TestApp::new();
    let admin = app.instance_token().await;
    let post = |body: Json, key: &str| app.post("/api/v1/users", body).by(&admin).header("idempotency-key", key).send();
    let bob = json!({ "name": "Bob", "email": "bob@example.org" });
    let first = post(bob.clone(), "k1").await.expect(StatusCode::CREATED);
    let again = post(bob.clone(), "k1").await.expect(StatusCode::CREATED);
    assert_eq!((&again.body, again.version()), (&first.body, 1));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let other = json!({ "name": "Bob", "email": "bob2@example.org" });
    post(other.clone(), "k1").await.expect_problem(422, "idempotency_mismatch");
    post(other, "k2").await.expect(StatusCode::CREATED);
    post(bob.clone(), "").await.expect_problem(400, "malformed");
    post(bob.clone(), &"k".repeat(129)).await.expect_problem(400, "malformed");
    // Keys are everybody's own: another principal's is no obstacle and shows nothing.
    let stranger = app.instance_token().await;
    let taken = app.post("/api/v1/users", bob).by(&stranger).header("idempotency-key", "k1").send().await;
    taken.expect_problem(409, "key_taken");
}

#[tokio::test]
async fn a_repeated_request_for_a_secret_does_not_show_it_again() {
    let app = TestApp::new();
    let admin = app.instance_token().await;
    let new = json!({ "name": "x", "instanceAdmin": true });
    let post = || app.post("/api/v1/tokens", new.clone()).by(&admin).header("idempotency-key", "k").send();
    let first = post().await.expect(StatusCode::CREATED);
    let again = post().await.expect(StatusCode::CREATED);
    assert_eq!(first.body["id"], again.body["id"]);
    assert_eq!(again.body.get("token"), None);
}

#[tokio::test]
async fn the_audit_log_is_filtered_paged_and_scoped() {
    let app = TestApp::with_projects().await;
    let admin = app.instance_token().await;
    let viewer = app.project_token("shop", Role::Viewer).await;
    for name in ["a", "b", "c"] {
        let path = "/api/v1/projects/shop/environments/test/keys";
        app.post(path, json!({ "name": name, "kind": "server" })).by(&admin).send().await.expect(StatusCode::CREATED);
    }
    let read = async |caller: &Caller, query: &str| {
        app.get(&format!("/api/v1/audit{query}")).by(caller).send().await.expect(StatusCode::OK).body
    };
    let all = read(&admin, "?limit=200").await;
    let rows = all["items"].as_array().unwrap();
    assert!(rows.windows(2).all(|two| two[0]["sequence"].as_u64() > two[1]["sequence"].as_u64()), "newest first");
    assert_eq!(rows[0]["previousHash"], rows[1]["hash"]);
    assert_eq!((&rows[0]["action"], &rows[0]["at"]), (&json!("sdkKey.create"), &json!("2026-01-01T00:00:00Z")));
    assert!(!all.to_string().contains("secretHash"), "{all}");

    let keys = read(&viewer, "?project=shop&environment=test").await;
    let actions: Vec<_> = keys["items"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..3], ["sdkKey.create"; 3]);
    let one = rows[1]["resource"].as_str().unwrap();
    assert_eq!(read(&viewer, &format!("?project=shop&resource={one}")).await["items"].as_array().unwrap().len(), 1);
    let actor = rows[0]["actor"].as_str().unwrap();
    assert_eq!(read(&admin, &format!("?actor={actor}")).await["items"].as_array().unwrap().len(), 3);

    let (mut sequences, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = read(&admin, &query).await;
        sequences.extend(page["items"].as_array().unwrap().iter().map(|row| row["sequence"].as_u64().unwrap()));
        let Some(next) = page["nextCursor"].as_str() else { break };
        query = format!("?limit=3&cursor={next}");
    }
    assert_eq!(sequences, (1..=rows.len() as u64).rev().collect::<Vec<_>>());

    app.get("/api/v1/audit").by(&viewer).send().await.expect_problem(403, "forbidden");
    app.get("/api/v1/audit?project=other").by(&viewer).send().await.expect_problem(404, "not_found");

    // One row has an address of its own.
    let made = "/api/v1/audit?project=shop&action=sdkKey.create&since=2000-01-01T00:00:00Z";
    let found = app.get(made).by(&viewer).send().await.expect(StatusCode::OK).body;
    let row = &found["items"][0];
    let path = format!("/api/v1/audit/{}", row["sequence"]);
    assert_eq!(app.get(&path).by(&viewer).send().await.expect(StatusCode::OK).body, *row);
    app.get("/api/v1/audit/9999").by(&admin).send().await.expect_problem(404, "not_found");
    let stranger = app.guest("stranger", false, &[("other", Role::Admin)]).await;
    app.get(&path).by(&stranger).send().await.expect_problem(404, "not_found");
    let of_nobody = read(&admin, "?action=user.create").await["items"][0]["sequence"].clone();
    let path = format!("/api/v1/audit/{of_nobody}");
    app.get(&path).by(&admin).send().await.expect(StatusCode::OK);
    app.get(&path).by(&viewer).send().await.expect_problem(404, "not_found");
    app.get("/api/v1/audit?since=yesterday").by(&viewer).send().await.expect_problem(400, "malformed");
    app.get("/api/v1/audit?environment=test").by(&admin).send().await.expect_problem(422, "invalid");
    app.get("/api/v1/audit?cursor=x").by(&admin).send().await.expect_problem(422, "invalid");
}

//! Users and members.

use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_server::app::Role;

use crate::support::app::{PASSWORD, TestApp};

#[tokio::test]
async fn people_are_added_changed_and_archived() {
    let app = TestApp::with_projects().await;
    let admin = app.instance_token().await;
    let new = json!({ "name": "Bob", "email": "bob@example.org", "roles": { "shop": "editor" }, "reason": "new hire" });
    let made = app.post("/api/v1/users", new).by(&admin).send().await.expect(StatusCode::CREATED);
    assert_eq!(made.version(), 1);
    assert_eq!(made.body["hasPassword"], false);
    assert_eq!(made.body["roles"], json!({ "shop": "editor" }));
    let path = format!("/api/v1/users/{}", made.body["id"].as_str().unwrap());

    let change = json!({ "name": "Robert", "password": PASSWORD, "roles": {} });
    app.patch(&path, change.clone()).by(&admin).send().await.expect_problem(428, "version_required");
    app.patch(&path, change.clone()).by(&admin).if_match(7).send().await.expect_problem(412, "stale");
    let changed = app.patch(&path, change).by(&admin).if_match(1).send().await.expect(StatusCode::OK);
    assert_eq!(changed.version(), 2);
    let shown = app.get(&path).by(&admin).send().await.expect(StatusCode::OK);
    assert_eq!(shown.body, changed.body);
    assert_eq!((&shown.body["name"], &shown.body["hasPassword"]), (&json!("Robert"), &json!(true)));
    assert!(!shown.text.contains("argon2"), "{}", shown.text);

    let bob = app.sign_in("bob").await;
    let gone = app.delete(&format!("{path}?reason=left")).by(&admin).if_match(2).send().await;
    gone.expect(StatusCode::NO_CONTENT);
    app.get("/api/v1/session").by(&bob).send().await.expect_problem(401, "unauthenticated");
    app.get(&path).by(&admin).send().await.expect_problem(404, "not_found");

    let rows = app.app.store.audit_chain(0, 100).await.unwrap();
    let last = &rows.last().unwrap().entry;
    assert_eq!((last.action.as_str(), last.reason.as_str(), &last.after), ("user.archive", "left", &Json::Null));
    assert!(!serde_json::to_string(&rows).unwrap().contains("argon2"));
}

#[tokio::test]
async fn an_address_has_one_owner_at_a_time() {
    let app = TestApp::new();
    let admin = app.instance_token().await;
    let new = |email: &str| app.post("/api/v1/users", json!({ "name": "x", "email": email })).by(&admin).send();
    let first = new("bob@example.org").await.expect(StatusCode::CREATED);
    new("BOB@example.org").await.expect_problem(409, "key_taken");
    let path = format!("/api/v1/users/{}", first.body["id"].as_str().unwrap());

    // Upper and lower case may change; another address frees the old one; archiving frees the new one.
    let move_to =
        |email: &str, version| app.patch(&path, json!({ "email": email })).by(&admin).if_match(version).send();
    move_to("Bob@example.org", 1).await.expect(StatusCode::OK);
    move_to("robert@example.org", 2).await.expect(StatusCode::OK);
    let second = new("bob@example.org").await.expect(StatusCode::CREATED);
    move_to("bob@example.org", 3).await.expect_problem(409, "key_taken");
    app.delete(&path).by(&admin).if_match(3).send().await.expect(StatusCode::NO_CONTENT);
    new("robert@example.org").await.expect(StatusCode::CREATED);
    assert_ne!(first.body["id"], second.body["id"]);
}

#[tokio::test]
async fn wrong_people_are_refused_by_field() {
    let app = TestApp::with_projects().await;
    let admin = app.instance_token().await;
    let check = async |change: (&str, Json), field: &str| {
        let mut new = json!({ "name": "Bob", "email": "bob@example.org" });
        new[change.0] = change.1;
        let answer = app.post("/api/v1/users", new).by(&admin).send().await.expect_problem(422, "invalid");
        assert_eq!(answer.body["field"], field, "{}", answer.text);
    };
    check(("name", json!("  ")), "/name").await;
    check(("name", json!("a\nb")), "/name").await;
    check(("name", json!(7)), "/name").await;
    check(("email", json!("bob")), "/email").await;
    check(("password", json!("short")), "/password").await;
    check(("roles", json!({ "shop": "king" })), "/roles/shop").await;
    check(("reason", json!(7)), "/reason").await;
    check(("reason", json!("x".repeat(1001))), "/reason").await;
    check(("admin", json!(true)), "/admin").await;
    let unknown = json!({ "name": "Bob", "email": "bob@example.org", "roles": { "nowhere": "viewer" } });
    app.post("/api/v1/users", unknown).by(&admin).send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_last_instance_administrator_stays() {
    let app = TestApp::new();
    let ada = app.user("ada", true, &[]).await;
    let caller = app.sign_in("ada").await;
    let path = format!("/api/v1/users/{}", ada.id);
    let demote =
        |path: &str, version| app.patch(path, json!({ "instanceAdmin": false })).by(&caller).if_match(version).send();
    demote(&path, 1).await.expect_problem(409, "in_use");
    app.delete(&path).by(&caller).if_match(1).send().await.expect_problem(409, "in_use");
    // With a second one, the first may go; then the second is the last.
    let bob = app.user("bob", true, &[]).await;
    demote(&path, 1).await.expect(StatusCode::OK);
    let bob_path = format!("/api/v1/users/{}", bob.id);
    let bob = app.sign_in("bob").await;
    app.delete(&bob_path).by(&bob).if_match(1).send().await.expect_problem(409, "in_use");
}

#[tokio::test]
async fn people_change_their_own_name_and_password_and_nothing_more() {
    let app = TestApp::with_projects().await;
    let bob = app.user("bob", false, &[("shop", Role::Viewer)]).await;
    let eve = app.user("eve", false, &[]).await;
    let caller = app.sign_in("bob").await;
    let path = format!("/api/v1/users/{}", bob.id);
    app.get(&path).by(&caller).send().await.expect(StatusCode::OK);
    let send = |path: &str, body: Json| app.patch(path, body).by(&caller).if_match(1).send();
    for grab in [json!({ "instanceAdmin": true }), json!({ "roles": { "shop": "admin" } }), json!({ "email": "a@b" })] {
        send(&path, grab).await.expect_problem(403, "forbidden");
    }
    send(&format!("/api/v1/users/{}", eve.id), json!({ "name": "x" })).await.expect_problem(403, "forbidden");

    let change = |current: &str| json!({ "name": "Bobby", "password": "another long one", "currentPassword": current });
    let wrong = send(&path, change("not it")).await.expect_problem(422, "invalid");
    assert_eq!(wrong.body["field"], "/currentPassword");
    app.clock.advance_ms(1);
    send(&path, change(PASSWORD)).await.expect(StatusCode::OK);
    // Whoever else had a session has none now.
    app.get("/api/v1/session").by(&caller).send().await.expect_problem(401, "unauthenticated");
    let credentials = json!({ "email": "bob@example.org", "password": PASSWORD });
    app.post("/api/v1/session", credentials).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_project_administrator_chooses_members() {
    let app = TestApp::with_projects().await;
    let admin = app.project_token("shop", Role::Admin).await;
    let bob = app.user("bob", false, &[("other", Role::Admin)]).await;
    let path = format!("/api/v1/projects/shop/members/{}", bob.id);
    let set = |role: &str| app.put(&path, json!({ "role": role })).by(&admin);

    let users = app.get("/api/v1/users").by(&admin).send().await.expect(StatusCode::OK);
    assert_eq!(users.body["items"][0]["roles"], json!({}), "roles elsewhere are none of their business");

    let added = set("viewer").send().await.expect(StatusCode::OK);
    assert_eq!((added.version(), &added.body["role"]), (2, &json!("viewer")));
    set("editor").send().await.expect_problem(428, "version_required");
    set("editor").if_match(1).send().await.expect_problem(412, "stale");
    set("editor").if_match(2).send().await.expect(StatusCode::OK);
    let members = app.get("/api/v1/projects/shop/members").by(&admin).send().await.expect(StatusCode::OK);
    assert_eq!(members.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(members.body["items"][0]["role"], "editor");

    app.delete(&path).by(&admin).if_match(3).send().await.expect(StatusCode::NO_CONTENT);
    app.delete(&path).by(&admin).if_match(4).send().await.expect_problem(404, "not_found");
    let rows = app.app.store.audit_chain(0, 100).await.unwrap();
    let last = &rows.last().unwrap().entry;
    assert_eq!((last.action.as_str(), last.project.as_deref()), ("member.remove", Some("shop")));
    assert_eq!((&last.before, &last.after), (&json!({ "role": "editor" }), &Json::Null));
    // What they had elsewhere is untouched.
    let elsewhere = app.get("/api/v1/projects/other/members").by(&app.instance_token().await).send().await;
    assert_eq!(elsewhere.body["items"][0]["role"], "admin");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let app = TestApp::new();
    let admin = app.instance_token().await;
    for n in 0..5 {
        app.guest(&format!("user{n}"), false, &[]).await;
        app.clock.advance_ms(1);
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = app.get(&format!("/api/v1/users{query}")).by(&admin).send().await.expect(StatusCode::OK);
        let items = page.body["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["nextCursor"].as_str() else { break };
        query = format!("?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["user0", "user1", "user2", "user3", "user4"]);
    for limit in ["0", "201"] {
        let answer = app.get(&format!("/api/v1/users?limit={limit}")).by(&admin).send().await;
        assert_eq!(answer.expect_problem(422, "invalid").body["field"], "?limit");
    }
    app.get("/api/v1/users?limit=x").by(&admin).send().await.expect_problem(400, "malformed");
}

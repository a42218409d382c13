//! Projects, environments, flags, segments, kills and flag files: through the real router.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use axum::http::StatusCode;
use futures_util::future::join;
use serde_json::{Value as Json, json};
use tidegate_server::{
    app::{App, AppError, Role, SdkKeyKind, configurations::Mode},
    ports::store::{
        AuditQuery, Commit, DocumentId, DocumentKind, EnvironmentId, EnvironmentSnapshot, Touched, TouchedKind, Write,
    },
};

use crate::support::{
    app::{Answer, Call, Caller, TestApp},
    interrupted::{Calls, Interrupted},
};

/// A project `shop` with the environments `test` and `production`, seen by one caller.
struct Shop {
    app: TestApp,
    caller: Caller,
}

impl Shop {
    async fn new() -> Self {
        Self::seen_by(Role::Admin).await
    }

    async fn seen_by(role: Role) -> Self {
        let app = TestApp::with_projects().await;
        let caller = app.project_token("shop", role).await;
        Self { app, caller }
    }

    fn path(path: &str) -> String {
        format!("/api/v1/projects/shop{path}")
    }

    fn get(&self, path: &str) -> Call<'_> {
        self.app.get(&Self::path(path)).by(&self.caller)
    }

    fn post(&self, path: &str, body: Json) -> Call<'_> {
        self.app.post(&Self::path(path), body).by(&self.caller)
    }

    fn patch(&self, path: &str, version: u64, body: Json) -> Call<'_> {
        self.app.patch(&Self::path(path), body).if_match(version).by(&self.caller)
    }

    fn delete(&self, path: &str, version: u64) -> Call<'_> {
        self.app.delete(&Self::path(path)).if_match(version).by(&self.caller)
    }

    /// A boolean flag with the variants `on` and `off`.
    async fn flag(&self, key: &str, tags: &[&str]) {
        let flag = json!({"key": key, "name": key, "kind": "boolean", "tags": tags, "permanent": false});
        self.post("/flags", flag).send().await.expect(StatusCode::CREATED);
    }

    /// Changes what a flag does in production.
    async fn configure(&self, flag: &str, version: u64, patch: Json) -> Answer {
        self.patch(&format!("/flags/{flag}/environments/production"), version, patch).send().await
    }

    async fn configuration(&self, flag: &str) -> Json {
        self.get(&format!("/flags/{flag}/environments/production")).send().await.expect(StatusCode::OK).body
    }

    async fn evaluate(&self, flag: &str, context: Json) -> Json {
        let question = json!({"flag": flag, "context": context});
        self.post("/environments/production/evaluate", question).send().await.expect(StatusCode::OK).body
    }

    async fn snapshot(&self) -> EnvironmentSnapshot {
        self.app.app.store.environment_snapshot(&production()).await.unwrap()
    }

    /// Action, resource, before and after of the newest audit rows, newest first.
    async fn audit(&self, limit: u32) -> Vec<(String, String, Json, Json)> {
        let query = AuditQuery { project: Some("shop".to_owned()), limit, ..AuditQuery::default() };
        let rows = self.app.app.store.audit_page(&query).await.unwrap();
        rows.into_iter().map(|row| row.entry).map(|it| (it.action, it.resource, it.before, it.after)).collect()
    }

    /// What somebody does who writes to the database by hand.
    async fn poison(&self, kind: DocumentKind, key: &str, body: &str) {
        let (scope, touched) = match kind {
            DocumentKind::Flag => ("shop".to_owned(), TouchedKind::Flag),
            DocumentKind::FlagEnvironment => ("shop/production".to_owned(), TouchedKind::Flag),
            _ => ("shop/production".to_owned(), TouchedKind::Segment),
        };
        let id = DocumentId { kind, scope, key: key.to_owned() };
        let entry = TestApp::request().audit(self.app.app.clock.now(), "poison", "by hand".to_owned());
        let commit = Commit {
            writes: vec![Write { id, body: body.to_owned(), archived: false }],
            touched: vec![(production(), vec![Touched { kind: touched, key: key.to_owned() }])],
            audit: vec![entry],
            at: self.app.app.clock.now(),
            ..Commit::default()
        };
        self.app.app.store.commit(commit).await.unwrap();
    }
}

fn production() -> EnvironmentId {
    EnvironmentId { project: "shop".to_owned(), environment: "production".to_owned() }
}

/// The keys of `items`.
fn keys(list: &Answer) -> Vec<&str> {
    list.body["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect()
}

#[track_caller]
fn check_refused(answer: &Answer, field: &str, detail: &str) {
    assert_eq!(answer.body["code"], "invalid", "{}", answer.text);
    assert_eq!(answer.body["field"], field, "{}", answer.text);
    assert!(answer.body["detail"].as_str().unwrap().contains(detail), "{}", answer.text);
}

/// Path and message of the first issue that stopped a change.
#[track_caller]
fn issue(answer: Answer) -> (String, String) {
    let answer = answer.expect_problem(422, "does_not_compile");
    let issue = &answer.body["issues"][0];
    (issue["path"].as_str().unwrap().to_owned(), issue["message"].as_str().unwrap().to_owned())
}

// Flags.

#[tokio::test]
async fn a_new_flag_is_off_in_every_environment() {
    let shop = Shop::new().await;
    shop.flag("checkout", &["payments"]).await;

    let list = shop.get("/flags").send().await.expect(StatusCode::OK);
    insta::assert_json_snapshot!(list.body, {".items[].salt" => "[salt]"});

    let configuration = shop.get("/flags/checkout/environments/test").send().await.expect(StatusCode::OK);
    assert_eq!(configuration.version(), 0);
    let salt = configuration.body["salt"].as_str().unwrap();
    assert!(salt.len() > 32 && salt.ends_with("/test"), "{salt}");
    assert_eq!(shop.evaluate("checkout", json!({})).await["reason"], "DISABLED");
}

#[tokio::test]
async fn a_new_environment_has_all_flags() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let environment = json!({"key": "staging", "name": "Staging", "color": "#d92d20"});
    let made = shop.post("/environments", environment).send().await.expect(StatusCode::CREATED);
    assert_eq!((made.body["revision"].clone(), made.version()), (json!(1), 1));

    let answer = shop.get("/flags/checkout/environments/staging").send().await.expect(StatusCode::OK);
    assert_eq!(answer.body["enabled"], false);
    let again = shop.get("/flags/checkout/environments/staging").send().await.expect(StatusCode::OK);
    assert_eq!(answer.body, again.body);
}

#[tokio::test]
async fn lists_are_searched_and_paged() {
    let shop = Shop::new().await;
    for key in ["alpha", "beta", "gamma", "delta"] {
        shop.flag(key, if key == "beta" { &["money"] } else { &[] }).await;
    }
    shop.configure("gamma", 0, json!({"enabled": true})).await.expect(StatusCode::OK);

    let first = shop.get("/flags?limit=3").send().await.expect(StatusCode::OK);
    assert_eq!(keys(&first), ["alpha", "beta", "delta"]);
    let next = format!("/flags?limit=3&cursor={}", first.body["nextCursor"].as_str().unwrap());
    let last = shop.get(&next).send().await.expect(StatusCode::OK);
    assert_eq!(keys(&last), ["gamma"]);
    assert_eq!(last.body.get("nextCursor"), None);
    let expected = json!({"enabled": true, "killed": false, "version": 1, "summary": "on"});
    assert_eq!(last.body["items"][0]["environments"]["production"], expected);

    assert_eq!(keys(&shop.get("/flags?search=ETA").send().await), ["beta"]);
    assert_eq!(keys(&shop.get("/flags?tag=money").send().await), ["beta"]);
    shop.delete("/flags/beta", 1).send().await.expect(StatusCode::NO_CONTENT);
    assert_eq!(keys(&shop.get("/flags?archived=true").send().await), ["beta"]);
    assert_eq!(keys(&shop.get("/flags?search=e").send().await), ["delta"]);
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let shop = Shop::new().await;
    let create = async |change: fn(&mut Json)| {
        let mut flag = json!({"key": "checkout", "name": "Checkout", "kind": "string",
            "variants": [{"key": "a", "value": "A"}], "offVariant": "a"});
        change(&mut flag);
        shop.post("/flags", flag).send().await
    };
    check_refused(&create(|flag| flag["key"] = json!("a b")).await, "/key", "letters");
    check_refused(&create(|flag| flag["name"] = json!(" ")).await, "/name", "at least one character");
    check_refused(&create(|flag| flag["colour"] = json!("red")).await, "/colour", "no such field");
    check_refused(&create(|flag| flag["variants"] = json!([])).await, "/variants", "at least one variant");
    check_refused(&create(|flag| flag["variants"][0]["valu"] = json!(1)).await, "/variants/0/valu", "no such field");
    check_refused(&create(|flag| flag["tags"] = json!(["a", ""])).await, "/tags/0", "at least one character");
    assert_eq!(issue(create(|flag| flag["variants"][0]["value"] = json!(1)).await).0, "/variants/0/value");
    assert_eq!(issue(create(|flag| flag["offVariant"] = json!("b")).await).0, "/offVariant");
    assert_eq!(issue(create(|flag| flag["defaultVariant"] = json!("b")).await).0, "/defaultVariant");
    create(|_| {}).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn what_never_changes_says_the_way_out() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    for (field, way_out) in [("key", "create another flag"), ("kind", "create another flag"), ("salt", "new bucket")] {
        let answer = shop.patch("/flags/checkout", 1, json!({field: "x"})).send().await;
        check_refused(&answer, &format!("/{field}"), way_out);
    }
    for (field, way_out) in [("killed", "`kill`"), ("salt", "new bucket"), ("variants", "on the flag")] {
        check_refused(&shop.configure("checkout", 0, json!({field: "x"})).await, &format!("/{field}"), way_out);
    }
}

#[tokio::test]
async fn a_change_needs_the_version_that_was_read() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let path = Shop::path("/flags/checkout");
    let rename = || shop.app.patch(&path, json!({"name": "Pay"})).by(&shop.caller);
    rename().send().await.expect_problem(428, "version_required");
    rename().if_match(7).send().await.expect_problem(412, "stale");
    assert_eq!(rename().if_match(1).send().await.expect(StatusCode::OK).version(), 2);
    rename().if_match(1).send().await.expect_problem(412, "stale");

    let enable = json!({"enabled": true});
    shop.configure("checkout", 1, enable.clone()).await.expect_problem(412, "stale");
    assert_eq!(shop.configure("checkout", 0, enable.clone()).await.expect(StatusCode::OK).version(), 1);
    shop.configure("checkout", 0, enable.clone()).await.expect_problem(412, "stale");
    // The same again is no change: no new version, nothing in the audit log.
    assert_eq!(shop.configure("checkout", 1, enable).await.expect(StatusCode::OK).version(), 1);
    assert_eq!(shop.audit(1).await[0].0, "flag.configure");
}

#[tokio::test]
async fn an_archived_key_is_never_used_again() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let again = json!({"key": "checkout", "name": "Again", "kind": "boolean"});
    let taken = shop.post("/flags", again.clone()).send().await.expect_problem(409, "key_taken");
    assert!(taken.body["detail"].as_str().unwrap().contains("already"), "{}", taken.text);

    shop.delete("/flags/checkout", 1).send().await.expect(StatusCode::NO_CONTENT);
    let taken = shop.post("/flags", again).send().await.expect_problem(409, "key_taken");
    assert!(taken.body["detail"].as_str().unwrap().contains("never used again"), "{}", taken.text);
    assert_eq!(shop.evaluate("checkout", json!({})).await["errorCode"], "FLAG_NOT_FOUND");
    assert_eq!(shop.get("/flags/checkout").send().await.expect(StatusCode::OK).body["archived"], true);
    shop.get("/flags/checkout/environments/production").send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn what_others_need_cannot_be_archived() {
    let shop = Shop::new().await;
    shop.flag("base", &[]).await;
    shop.flag("extra", &[]).await;
    shop.post("/environments/production/segments", json!({"key": "beta", "name": "Beta", "included": ["ada"]}))
        .send()
        .await
        .expect(StatusCode::CREATED);
    let patch = json!({
        "prerequisites": [{"flag": "base", "variants": ["on"]}],
        "rules": [{"conditions": [{"operator": "segment", "values": ["beta"]}], "serve": {"variant": "on"}}],
    });
    shop.configure("extra", 0, patch).await.expect(StatusCode::OK);

    let answer = shop.delete("/flags/base", 1).send().await.expect_problem(409, "in_use");
    assert!(answer.body["detail"].as_str().unwrap().contains("`extra` in `production`"), "{}", answer.text);
    let segment = "/environments/production/segments/beta";
    let answer = shop.delete(segment, 1).send().await.expect_problem(409, "in_use");
    assert!(answer.body["detail"].as_str().unwrap().contains("flag `extra`"), "{}", answer.text);

    shop.configure("extra", 1, json!({"prerequisites": null, "rules": null})).await.expect(StatusCode::OK);
    shop.delete("/flags/base", 1).send().await.expect(StatusCode::NO_CONTENT);
    shop.delete(segment, 1).send().await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn new_variants_must_fit_every_environment() {
    let shop = Shop::new().await;
    let variants = json!([{"key": "red", "value": "#f00"}, {"key": "blue", "value": "#00f"}]);
    let flag = json!({"key": "color", "name": "Color", "kind": "string", "variants": variants});
    shop.post("/flags", flag).send().await.expect(StatusCode::CREATED);
    shop.configure("color", 0, json!({"enabled": true, "default": {"variant": "blue"}})).await.expect(StatusCode::OK);

    let only_red = json!({"variants": [{"key": "red", "value": "#e00", "name": "Red"}]});
    let (path, message) = issue(shop.patch("/flags/color", 1, only_red.clone()).send().await);
    assert_eq!(path, "/variants");
    assert!(message.contains("`production`") && message.contains("/default"), "{message}");

    shop.configure("color", 1, json!({"default": {"variant": "red"}})).await.expect(StatusCode::OK);
    shop.patch("/flags/color", 1, only_red).send().await.expect(StatusCode::OK);
    let answer = shop.evaluate("color", json!({})).await;
    assert_eq!((answer["value"].clone(), answer["version"].clone()), (json!("#e00"), json!(4)));
}

#[tokio::test]
async fn a_repeated_creation_is_carried_out_once() {
    let shop = Shop::new().await;
    let create = |name: &str| {
        let flag = json!({"key": "checkout", "name": name, "kind": "boolean"});
        shop.post("/flags", flag).header("idempotency-key", "k-1")
    };
    let first = create("Checkout").send().await.expect(StatusCode::CREATED);
    let second = create("Checkout").send().await.expect(StatusCode::CREATED);
    assert_eq!((first.version(), &first.body), (second.version(), &second.body));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(shop.audit(9).await.iter().filter(|(action, ..)| action == "flag.create").count(), 1);
    create("Other").send().await.expect_problem(422, "idempotency_mismatch");
}

// Configurations.

#[tokio::test]
async fn a_change_that_does_not_compile_is_refused_where_it_is_wrong() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let rule = |condition: Json| json!({"rules": [{"conditions": [condition], "serve": {"variant": "on"}}]});
    for (patch, path) in [
        (rule(json!({"attribute": "plan", "operator": "equals", "values": ["pro"]})), "/rules/0/conditions/0/operator"),
        (rule(json!({"operator": "segment", "values": ["nobody"]})), "/rules/0/conditions/0/values/0"),
        (rule(json!({"any": [], "all": []})), "/rules/0/conditions/0"),
        (rule(json!({"attribute": "a", "operator": "matches", "values": ["("]})), "/rules/0/conditions/0/values/0"),
        (json!({"default": {"variant": "blue"}}), "/default/variant"),
        (json!({"offVariant": "blue"}), "/offVariant"),
        (json!({"prerequisites": [{"flag": "nothing", "variants": ["on"]}]}), "/prerequisites/0/flag"),
        (
            json!({"default": {"distribution": {"weights": [{"variant": "on", "weight": 99_999}]}}}),
            "/default/distribution/weights",
        ),
    ] {
        assert_eq!(issue(shop.configure("checkout", 0, patch.clone()).await).0, path, "{patch}");
    }
    assert_eq!(shop.configuration("checkout").await["version"], 0);
    let unknown = json!({"attribute": "plan", "operator": "in", "vals": ["pro"]});
    let answer = shop.configure("checkout", 0, rule(unknown)).await;
    check_refused(&answer, "/rules/0/conditions/0/vals", "no such field");
    let a_rollouts = json!({"rules": [{"id": "rollout-7", "conditions": [], "serve": {"variant": "on"}}]});
    let answer = shop.configure("checkout", 0, a_rollouts).await;
    check_refused(&answer, "/rules/0/id", "is for the rules of rollouts");
}

#[tokio::test]
async fn a_cycle_of_prerequisites_is_refused() {
    let shop = Shop::new().await;
    shop.flag("a", &[]).await;
    shop.flag("b", &[]).await;
    let needs = |flag: &str| json!({"prerequisites": [{"flag": flag, "variants": ["on"]}]});
    shop.configure("a", 0, needs("b")).await.expect(StatusCode::OK);
    issue(shop.configure("b", 0, needs("a")).await);
    assert_eq!(shop.configuration("b").await["prerequisites"], json!([]));
}

/// The answers of two calls that take turns at every look into the store.
fn in_turns<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let mut both = pin!(join(one, other));
    loop {
        if let Poll::Ready(answers) = both.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return answers;
        }
    }
}

impl Shop {
    /// The same application, whose calls give way to each other.
    fn giving_way(&self) -> App {
        App { store: Interrupted::new(Arc::clone(&self.app.app.store), Calls::GiveWay), ..self.app.app.clone() }
    }
}

#[tokio::test]
async fn of_two_changes_at_once_that_need_each_other_one_is_refused() {
    let shop = Shop::new().await;
    shop.flag("a", &[]).await;
    shop.flag("b", &[]).await;
    let (app, request, production) = (shop.giving_way(), TestApp::request(), production());
    let needs = |flag: &str| json!({"prerequisites": [{"flag": flag, "variants": ["on"]}]});
    let (of_a, of_b) = (needs("b"), needs("a"));
    let (one, other) = in_turns(
        app.configure(&request, &production, "a", 0, &of_a, Mode::Commit),
        app.configure(&request, &production, "b", 0, &of_b, Mode::Commit),
    );
    assert_eq!(one.unwrap().version, 1);
    assert!(matches!(other, Err(AppError::DoesNotCompile { .. })), "{other:?}");

    for segment in ["x", "y"] {
        let segment = json!({"key": segment, "name": segment});
        shop.post("/environments/production/segments", segment).send().await.expect(StatusCode::CREATED);
    }
    let within = |segment: &str| json!({"rules": [{"conditions": [{"operator": "segment", "values": [segment]}]}]});
    let (of_x, of_y) = (within("y"), within("x"));
    let (one, other) = in_turns(
        app.update_segment(&request, &production, "x", 1, &of_x),
        app.update_segment(&request, &production, "y", 1, &of_y),
    );
    assert_eq!(one.unwrap().version, 2);
    assert!(matches!(other, Err(AppError::DoesNotCompile { .. })), "{other:?}");
}

#[tokio::test]
async fn what_is_archived_at_the_same_time_is_not_referred_to() {
    let shop = Shop::new().await;
    for flag in ["a", "b"] {
        shop.flag(flag, &[]).await;
    }
    let (app, request, production) = (shop.giving_way(), TestApp::request(), production());
    let needs = json!({"prerequisites": [{"flag": "b", "variants": ["on"]}]});
    let (changed, archived) = in_turns(
        app.configure(&request, &production, "a", 0, &needs, Mode::Commit),
        app.archive_flag(&request, "shop", "b", 1),
    );
    let refused =
        [matches!(changed, Err(AppError::DoesNotCompile { .. })), matches!(archived, Err(AppError::InUse { .. }))];
    assert_eq!((refused[0], refused[1]), (archived.is_ok(), changed.is_ok()), "{changed:?}, {archived:?}");
    assert_ne!(refused[0], refused[1]);
}

#[tokio::test]
async fn weights_move_the_fewest_buckets() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let weights = |on: u32| {
        let weights = json!([{"variant": "on", "weight": on}, {"variant": "off", "weight": 100_000 - on}]);
        json!({"distribution": {"weights": weights}})
    };
    let patch = json!({"enabled": true, "default": weights(25_000), "rules": [{"serve": weights(10_000)}]});
    let saved = shop.configure("checkout", 0, patch).await.expect(StatusCode::OK).body;
    assert_eq!(saved["rules"][0]["id"], "rule-1");
    let expected =
        json!([{"start": 0, "end": 25_000, "variant": "on"}, {"start": 25_000, "end": 100_000, "variant": "off"}]);
    assert_eq!(saved["default"]["distribution"]["ranges"], expected);

    let patch = json!({"default": weights(60_000), "rules": [{"id": "rule-1", "serve": weights(5_000)}]});
    let saved = shop.configure("checkout", 1, patch.clone()).await.expect(StatusCode::OK).body;
    let ranges = &saved["default"]["distribution"]["ranges"];
    assert_eq!(ranges[0], json!({"start": 0, "end": 60_000, "variant": "on"}));
    let ranges = &saved["rules"][0]["serve"]["distribution"]["ranges"];
    assert_eq!(ranges[0], json!({"start": 0, "end": 5_000, "variant": "on"}));
    // The same weights again move nothing.
    assert_eq!(shop.configure("checkout", 2, patch).await.expect(StatusCode::OK).version(), 2);
}

#[tokio::test]
async fn a_dry_run_shows_the_change_and_writes_nothing() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let before = (shop.configuration("checkout").await, shop.audit(99).await, shop.snapshot().await);

    let dry = "/flags/checkout/environments/production?dryRun=true";
    let patch = json!({"enabled": true, "availability": "rules", "reason": "launch"});
    let answer = shop.patch(dry, 0, patch).send().await.expect(StatusCode::OK).body;
    assert_eq!((&answer["enabled"], &answer["version"]), (&json!(true), &json!(0)));
    let changes = json!([
        {"field": "/availability", "before": null, "after": "rules"},
        {"field": "/enabled", "before": false, "after": true},
    ]);
    assert_eq!(answer["changes"], changes);
    issue(shop.patch(dry, 0, json!({"offVariant": "x"})).send().await);

    assert_eq!((shop.configuration("checkout").await, shop.audit(99).await, shop.snapshot().await), before);
}

#[tokio::test]
async fn the_audit_log_has_before_and_after() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    shop.configure("checkout", 0, json!({"enabled": true, "reason": "launch"})).await.expect(StatusCode::OK);
    shop.configure("checkout", 1, json!({"enabled": false})).await.expect(StatusCode::OK);
    shop.patch("/flags/checkout", 1, json!({"name": "Pay", "permanent": true})).send().await.expect(StatusCode::OK);
    assert_eq!(shop.get("/flags/checkout").send().await.body["permanent"], json!(true));
    shop.delete("/flags/checkout", 2).send().await.expect(StatusCode::NO_CONTENT);

    let query = AuditQuery { project: Some("shop".to_owned()), limit: 5, ..AuditQuery::default() };
    let mut rows = shop.app.app.store.audit_page(&query).await.unwrap();
    rows.reverse();
    let rows: Vec<_> = rows.into_iter().map(|row| row.entry).collect();
    insta::assert_json_snapshot!(rows, {
        "[].actor" => "[actor]", "[].requestId" => "[request]",
        "[].before.salt" => "[salt]", "[].after.salt" => "[salt]",
    });
}

// Kill and restore.

#[tokio::test]
async fn a_kill_by_tag_is_one_commit() {
    let shop = Shop::seen_by(Role::Admin).await;
    for (flag, tags) in [("pay", vec!["money"]), ("refund", vec!["money", "slow"]), ("theme", vec![])] {
        shop.flag(flag, &tags).await;
        shop.configure(flag, 0, json!({"enabled": true})).await.expect(StatusCode::OK);
    }
    let before = shop.snapshot().await.revision;
    let operator = shop.app.project_token("shop", Role::Operator).await;
    let brake = |what: &str, body: Json| {
        shop.app.post(&Shop::path(&format!("/environments/production/{what}")), body).by(&operator)
    };

    let fire = json!({"tag": "money", "reason": "  wrong amounts "});
    let killed = brake("kill", fire.clone()).send().await.expect(StatusCode::OK).body;
    let expected =
        json!({"killed": [{"flag": "pay", "version": 2}, {"flag": "refund", "version": 2}], "revision": before + 1});
    assert_eq!(killed, expected);
    assert_eq!(shop.evaluate("pay", json!({})).await["variant"], "off");
    assert_eq!(shop.evaluate("theme", json!({})).await["variant"], "on");
    let kill = &shop.configuration("pay").await["kill"];
    let expected = json!({"reason": "wrong amounts", "actorName": "Operator", "at": "2026-01-01T00:00:00Z"});
    assert_eq!(*kill, expected);
    let resources: Vec<_> = shop.audit(2).await.into_iter().map(|(action, resource, ..)| (action, resource)).collect();
    let row = |flag: &str| ("flag.kill".to_owned(), format!("flag/{flag}"));
    assert_eq!(resources, [row("refund"), row("pay")]);

    // Again: nothing changes.
    assert_eq!(brake("kill", fire).send().await.expect(StatusCode::OK).body, killed);
    assert_eq!(shop.snapshot().await.revision, before + 1);

    let restored = brake("restore", json!({"flag": "pay", "reason": "fixed"})).send().await.expect(StatusCode::OK).body;
    assert_eq!(restored, json!({"restored": [{"flag": "pay", "version": 3}], "revision": before + 2}));
    assert_eq!(shop.evaluate("pay", json!({})).await["variant"], "on");
    assert_eq!(shop.evaluate("refund", json!({})).await["variant"], "off");
}

#[tokio::test]
async fn a_kill_needs_a_reason_and_the_role() {
    let shop = Shop::new().await;
    shop.flag("pay", &[]).await;
    let kill = |body: Json| shop.post("/environments/production/kill", body);
    check_refused(&kill(json!({"flag": "pay"})).send().await, "/reason", "say why");
    check_refused(&kill(json!({"flag": "pay", "reason": "  "})).send().await, "/reason", "say why");
    check_refused(&kill(json!({"reason": "fire"})).send().await, "", "either");
    check_refused(&kill(json!({"flag": "pay", "reason": "fi\0re"})).send().await, "/reason", "NUL");
    check_refused(&kill(json!({"flag": "pay", "tag": "x", "reason": "fire"})).send().await, "", "either");
    kill(json!({"flag": "nothing", "reason": "fire"})).send().await.expect_problem(404, "not_found");
    kill(json!({"tag": "nothing", "reason": "fire"})).send().await.expect_problem(404, "not_found");

    let editor = shop.app.project_token("shop", Role::Editor).await;
    let fire = json!({"flag": "pay", "reason": "fire"});
    kill(fire.clone()).by(&editor).send().await.expect_problem(403, "forbidden");
    let stranger = shop.app.project_token("other", Role::Admin).await;
    kill(fire).by(&stranger).send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_broken_configuration_can_be_killed() {
    let shop = Shop::new().await;
    shop.flag("pay", &[]).await;
    shop.configure("pay", 0, json!({"enabled": true})).await.expect(StatusCode::OK);
    shop.poison(DocumentKind::FlagEnvironment, "pay", "{\"enabled\": tru").await;
    assert_eq!(shop.evaluate("pay", json!({})).await["errorCode"], "PARSE_ERROR");

    let fire = json!({"flag": "pay", "reason": "fire"});
    shop.post("/environments/production/kill", fire).send().await.expect(StatusCode::OK);
    let answer = shop.evaluate("pay", json!({})).await;
    assert_eq!((&answer["variant"], &answer["reason"]), (&json!("off"), &json!("DISABLED")));
    let (action, _, before, after) = shop.audit(1).await.remove(0);
    assert_eq!((action.as_str(), before), ("flag.kill", json!("{\"enabled\": tru")));
    assert_eq!((&after["enabled"], &after["kill"]["reason"]), (&json!(false), &json!("fire")));
}

#[tokio::test]
async fn a_flag_that_does_not_compile_can_be_killed() {
    let shop = Shop::new().await;
    shop.flag("pay", &[]).await;
    let broken = r#"{"enabled":true,"default":{"variant":"gone"},"offVariant":"off","salt":"s"}"#;
    shop.poison(DocumentKind::FlagEnvironment, "pay", broken).await;
    let fire = json!({"flag": "pay", "reason": "fire"});
    shop.post("/environments/production/kill", fire).send().await.expect(StatusCode::OK);
    assert_eq!(shop.evaluate("pay", json!({})).await["variant"], "off");
    assert_eq!(shop.configuration("pay").await["default"], json!({"variant": "gone"}));
}

// Poison.

#[tokio::test]
async fn a_poisoned_document_is_that_documents_problem() {
    let shop = Shop::new().await;
    for flag in ["good", "poisoned", "odd"] {
        shop.flag(flag, &["all"]).await;
        shop.configure(flag, 0, json!({"enabled": true})).await.expect(StatusCode::OK);
    }
    shop.poison(DocumentKind::Flag, "poisoned", "not json").await;
    shop.poison(DocumentKind::FlagEnvironment, "odd", "[1, 2]").await;
    shop.poison(DocumentKind::Segment, "crowd", "{}").await;

    let list = shop.get("/flags").send().await.expect(StatusCode::OK);
    assert_eq!(keys(&list), ["good", "odd", "poisoned"]);
    assert!(list.body["items"][1]["environments"]["production"]["broken"].is_string(), "{}", list.text);
    assert!(list.body["items"][2]["broken"].as_str().unwrap().contains("`poisoned`"), "{}", list.text);
    let alone = shop.get("/flags/poisoned").send().await.expect(StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(alone.body["code"], "broken");
    assert!(
        alone.body["detail"].as_str().unwrap().contains("the stored flag `poisoned` cannot be read"),
        "{}",
        alone.text
    );
    let segments = shop.get("/environments/production/segments").send().await.expect(StatusCode::OK);
    assert!(segments.body["items"][0]["broken"].as_str().unwrap().contains("`crowd`"), "{}", segments.text);
    assert_eq!(shop.evaluate("good", json!({})).await["variant"], "on");
    assert_eq!(shop.evaluate("odd", json!({})).await["errorCode"], "PARSE_ERROR");
    let file = shop.get("/environments/production/flag-file").send().await.expect(StatusCode::OK);
    assert_eq!(file.body["flags"].as_array().unwrap().len(), 1);
    assert_eq!(file.body["broken"].as_array().unwrap().len(), 3);

    // What is broken stops nobody from changing something else, and can be repaired.
    shop.configure("good", 1, json!({"availability": "values"})).await.expect(StatusCode::OK);
    shop.post("/environments/production/kill", json!({"tag": "all", "reason": "r"}))
        .send()
        .await
        .expect(StatusCode::OK);
    let odd = shop.configuration("odd").await;
    assert_eq!((&odd["killed"], odd.get("broken")), (&json!(true), None));
    shop.delete("/flags/poisoned", 2).send().await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_broken_configuration_is_repaired_by_changing_it() {
    let shop = Shop::new().await;
    shop.flag("odd", &[]).await;
    shop.poison(DocumentKind::FlagEnvironment, "odd", "[1, 2]").await;
    let broken = shop.configuration("odd").await;
    assert!(broken["broken"].is_string() && broken["issues"][0]["severity"] == "flagBroken", "{broken}");
    let repaired = shop.configure("odd", 1, json!({"enabled": true})).await.expect(StatusCode::OK).body;
    assert_eq!((&repaired["version"], repaired.get("broken")), (&json!(2), None));
    assert_eq!(shop.evaluate("odd", json!({})).await["variant"], "on");
}

// Segments.

#[tokio::test]
async fn a_segment_of_a_hundred_thousand_members_is_served() {
    let shop = Shop::new().await;
    shop.flag("beta", &[]).await;
    let members: Vec<String> = (0..100_000).map(|n| format!("user-{n:06}")).collect();
    let segment = json!({"key": "crowd", "name": "Crowd", "included": members, "excluded": ["b", "a", "b"]});
    let made = shop.post("/environments/production/segments", segment).send().await.expect(StatusCode::CREATED);
    assert_eq!(made.body["excluded"], json!(["a", "b"]));
    let rules = json!([{"conditions": [{"operator": "segment", "values": ["crowd"]}], "serve": {"variant": "on"}}]);
    let patch = json!({"enabled": true, "rules": rules, "default": {"variant": "off"}});
    shop.configure("beta", 0, patch).await.expect(StatusCode::OK);

    assert_eq!(shop.evaluate("beta", json!({"targetingKey": "user-099999"})).await["variant"], "on");
    assert_eq!(shop.evaluate("beta", json!({"targetingKey": "user-1"})).await["variant"], "off");
    let list = shop.get("/environments/production/segments").send().await.expect(StatusCode::OK);
    let expected = json!({"items": [{"key": "crowd", "version": 1, "name": "Crowd", "description": "",
        "nIncluded": 100_000, "nExcluded": 2, "nRules": 0}]});
    assert_eq!(list.body, expected);

    shop.patch("/environments/production/segments/crowd", 1, json!({"included": members[1..]}))
        .send()
        .await
        .expect(StatusCode::OK);
    let (_, _, before, after) = shop.audit(1).await.remove(0);
    assert_eq!(before["included"], json!({"count": 100_000, "countOnlyHere": 1, "onlyHere": ["user-000000"]}));
    assert_eq!(after["included"], json!({"count": 99_999, "countOnlyHere": 0, "onlyHere": []}));
    assert_eq!(shop.evaluate("beta", json!({"targetingKey": "user-000000"})).await["variant"], "off");
}

#[tokio::test]
async fn a_segment_is_checked_like_a_flag() {
    let shop = Shop::new().await;
    let create = |rules: Json| {
        let segment = json!({"key": "crowd", "name": "Crowd", "rules": rules});
        shop.post("/environments/production/segments", segment)
    };
    let bad = create(json!([{"conditions": [{"attribute": "ip", "operator": "inCidr", "values": ["10.0.0.0/33"]}]}]));
    assert_eq!(issue(bad.send().await).0, "/rules/0/conditions/0/values/0");
    let itself = create(json!([{"conditions": [{"operator": "segment", "values": ["crowd"]}]}]));
    issue(itself.send().await);
    create(json!([{"conditions": [{"attribute": "plan", "operator": "in", "values": ["pro"]}]}]))
        .send()
        .await
        .expect(StatusCode::CREATED);
    let path = "/environments/production/segments/crowd";
    check_refused(&shop.patch(path, 1, json!({"included": ["a", ""]})).send().await, "/included/0", "1 to 2048 bytes");
    check_refused(&shop.patch(path, 1, json!({"key": "x"})).send().await, "/key", "create another segment");
}

// Evaluation.

#[tokio::test]
async fn people_and_server_keys_may_evaluate() {
    let shop = Shop::seen_by(Role::Admin).await;
    shop.flag("checkout", &[]).await;
    let weights = json!([{"variant": "on", "weight": 50_000}, {"variant": "off", "weight": 50_000}]);
    let patch = json!({"enabled": true, "default": {"distribution": {"weights": weights}}});
    shop.configure("checkout", 0, patch).await.expect(StatusCode::OK);
    let ask = |what: &str, environment: &str, body: Json| {
        shop.app.post(&Shop::path(&format!("/environments/{environment}/{what}")), body)
    };
    let viewer = shop.app.project_token("shop", Role::Viewer).await;
    let server_key = shop.app.sdk_key("shop", "production", SdkKeyKind::Server).await;
    let client_key = shop.app.sdk_key("shop", "production", SdkKeyKind::Client).await;
    let question = json!({"flag": "checkout", "context": {"targetingKey": "user-1"}});

    let answer = ask("evaluate", "production", question.clone()).by(&viewer).send().await.expect(StatusCode::OK).body;
    assert_eq!((&answer["reason"], &answer["version"], answer["bucket"].is_u64()), (&json!("SPLIT"), &json!(2), true));
    let same = ask("evaluate", "production", question.clone()).by(&server_key).send().await.expect(StatusCode::OK);
    assert_eq!(same.body, answer);
    ask("evaluate", "test", question.clone()).by(&server_key).send().await.expect_problem(404, "not_found");
    ask("evaluate", "production", question.clone()).by(&client_key).send().await.expect_problem(403, "forbidden");

    let all =
        ask("evaluate", "production", json!({"context": {}})).by(&viewer).send().await.expect(StatusCode::OK).body;
    assert_eq!(all["flags"][0]["errorCode"], "TARGETING_KEY_MISSING");
    let explained = ask("explain", "production", question).by(&viewer).send().await.expect(StatusCode::OK).body;
    assert_eq!(explained["variant"], answer["variant"]);
    assert!(!explained["steps"].as_array().unwrap().is_empty());
    let wrong = json!({"flag": "checkout", "context": {"targetingKey": 7}});
    check_refused(&ask("evaluate", "production", wrong).by(&viewer).send().await, "/context", "targetingKey");
}

// Flag files.

#[tokio::test]
async fn a_file_describes_its_environment() {
    let shop = Shop::new().await;
    shop.flag("checkout", &["money"]).await;
    shop.post("/environments/production/segments", json!({"key": "beta", "name": "Beta", "included": ["ada"]}))
        .send()
        .await
        .expect(StatusCode::CREATED);
    let weights = json!([{"variant": "on", "weight": 10_000}, {"variant": "off", "weight": 90_000}]);
    let rollout = json!({"enabled": true, "rules": [{"serve": {"distribution": {"weights": weights}}}]});
    shop.configure("checkout", 0, rollout).await.expect(StatusCode::OK);

    let path = "/environments/production/flag-file";
    let file = shop.get(path).send().await.expect(StatusCode::OK).body;
    let apply = json!({"file": file, "prune": true});
    let applied = shop.post(path, apply).send().await.expect(StatusCode::OK).body;
    assert_eq!(applied, json!({"changes": [], "revision": shop.snapshot().await.revision}));
}

#[tokio::test]
async fn a_file_is_applied_in_one_commit() {
    let shop = Shop::new().await;
    shop.flag("old", &[]).await;
    shop.flag("checkout", &["money"]).await;
    let revision = shop.snapshot().await.revision;
    let path = "/environments/production/flag-file";
    let file = json!({
        "flags": [
            {"key": "checkout", "kind": "boolean", "enabled": true, "offVariant": "off", "default": {"variant": "on"},
             "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
             "prerequisites": [{"flag": "price", "variants": ["low"]}]},
            {"key": "price", "kind": "number", "enabled": true, "salt": "from-elsewhere", "default": {"distribution":
                {"weights": [{"variant": "low", "weight": 5_000}, {"variant": "high", "weight": 95_000}]}},
             "variants": [{"key": "low", "value": 1}, {"key": "high", "value": 2}],
             "rules": [{"conditions": [{"operator": "segment", "values": ["vip"]}], "serve": {"variant": "low"}}]},
        ],
        "segments": [{"key": "vip", "included": ["ada"]}],
    });
    let apply = json!({"file": file, "prune": true, "reason": "from git"});

    let dry = shop.post(&format!("{path}?dryRun=true"), apply.clone()).send().await.expect(StatusCode::OK).body;
    assert_eq!(shop.snapshot().await.revision, revision);
    let applied = shop.post(path, apply.clone()).send().await.expect(StatusCode::OK).body;
    assert_eq!(applied["revision"], revision + 1);
    let told = |answer: &Json| -> Vec<String> {
        let told =
            |change: &Json| format!("{} {}", change["action"].as_str().unwrap(), change["resource"].as_str().unwrap());
        answer["changes"].as_array().unwrap().iter().map(told).collect()
    };
    let expected = [
        "segment.create segment/vip",
        "flag.configure flag/checkout",
        "flag.create flag/price",
        "flag.configure flag/price",
        "flag.archive flag/old",
    ];
    assert_eq!(told(&applied), expected);
    assert_eq!(told(&dry), expected);
    assert_eq!(shop.audit(5).await.len(), 5);
    assert_eq!(shop.evaluate("price", json!({"targetingKey": "ada"})).await["value"], 1);
    assert_eq!(shop.configuration("price").await["salt"], "from-elsewhere");
    assert_eq!(shop.get("/flags/checkout").send().await.body["tags"], json!(["money"]));

    let again = shop.post(path, apply).send().await.expect(StatusCode::OK).body;
    assert_eq!(again, json!({"changes": [], "revision": revision + 1}));
}

#[tokio::test]
async fn a_wrong_file_is_refused_where_it_is_wrong() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    shop.flag("base", &[]).await;
    shop.flag("gone", &[]).await;
    shop.delete("/flags/gone", 1).send().await.expect(StatusCode::NO_CONTENT);
    let flag = json!({"key": "checkout", "kind": "boolean", "default": {"variant": "on"},
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}]});
    let apply = async |prune: bool, change: fn(&mut Json)| {
        let mut flag = flag.clone();
        change(&mut flag);
        let body = json!({"file": {"flags": [flag]}, "prune": prune});
        shop.post("/environments/production/flag-file", body).send().await
    };
    check_refused(&apply(false, |flag| flag["enable"] = json!(true)).await, "/file/flags/0/enable", "no such field");
    check_refused(&apply(false, |flag| flag["kind"] = json!("json")).await, "/file/flags/0/kind", "never changes");
    check_refused(&apply(false, |flag| flag["salt"] = json!("x")).await, "/file/flags/0/salt", "leave it out");
    assert_eq!(issue(apply(false, |flag| flag["offVariant"] = json!("x")).await).0, "/file/flags/0/offVariant");
    apply(false, |flag| flag["key"] = json!("gone")).await.expect_problem(409, "key_taken");

    // Somebody in another environment needs what would be pruned.
    let needs = json!({"prerequisites": [{"flag": "base", "variants": ["on"]}]});
    shop.patch("/flags/checkout/environments/test", 0, needs).send().await.expect(StatusCode::OK);
    let (path, message) = issue(apply(true, |_| {}).await);
    assert_eq!(path, "/prune");
    assert!(message.contains("`test`") && message.contains("`checkout`"), "{message}");
}

// Projects and environments.

#[tokio::test]
async fn a_project_goes_after_its_environments() {
    let shop = Shop::new().await;
    let instance = shop.app.instance_token().await;
    let archive = || shop.app.delete(&Shop::path("")).if_match(1).by(&instance);
    let answer = archive().send().await.expect_problem(409, "in_use");
    assert!(answer.body["detail"].as_str().unwrap().contains("`production`"), "{}", answer.text);
    shop.delete("/environments/production", 1).send().await.expect(StatusCode::NO_CONTENT);
    shop.get("/environments/production").send().await.expect_problem(404, "not_found");
    shop.delete("/environments/test?reason=closing", 1).send().await.expect(StatusCode::NO_CONTENT);
    archive().send().await.expect(StatusCode::NO_CONTENT);
    shop.get("").send().await.expect_problem(404, "not_found");
    let again = json!({"key": "shop", "name": "Shop"});
    shop.app.post("/api/v1/projects", again).by(&instance).send().await.expect_problem(409, "key_taken");
}

#[tokio::test]
async fn everybody_sees_their_own_projects() {
    let shop = Shop::seen_by(Role::Viewer).await;
    let list = shop.app.get("/api/v1/projects").by(&shop.caller).send().await.expect(StatusCode::OK);
    assert_eq!(keys(&list), ["shop"]);
    let instance = shop.app.instance_token().await;
    let first = shop.app.get("/api/v1/projects?limit=1").by(&instance).send().await.expect(StatusCode::OK);
    assert_eq!((keys(&first), &first.body["nextCursor"]), (vec!["other"], &json!("other")));

    shop.patch("", 1, json!({"name": "Mine"})).send().await.expect_problem(403, "forbidden");
    shop.post("/flags", json!({"key": "a", "name": "A", "kind": "boolean"}))
        .send()
        .await
        .expect_problem(403, "forbidden");
    let admin = shop.app.project_token("shop", Role::Admin).await;
    let rename = shop.app.patch(&Shop::path(""), json!({"name": "Mine"})).if_match(1).by(&admin);
    assert_eq!(rename.send().await.expect(StatusCode::OK).body["name"], "Mine");
}

#[tokio::test]
async fn an_environment_says_where_its_snapshot_stands() {
    let shop = Shop::new().await;
    shop.flag("checkout", &[]).await;
    let patch = json!({"production": true, "color": "red"});
    check_refused(&shop.patch("/environments/test", 1, patch).send().await, "/color", "#d92d20");
    let changed = shop.patch("/environments/test", 1, json!({"production": true})).send().await.expect(StatusCode::OK);
    assert_eq!((&changed.body["revision"], &changed.body["epoch"]), (&json!(2), &json!("epoch-1")));
    let list = shop.get("/environments").send().await.expect(StatusCode::OK);
    assert_eq!(keys(&list), ["production", "test"]);
    assert_eq!(list.body["items"][1], changed.body);
}

//! Rollouts from the API to what SDKs are served: the real router, evaluator, event intake and controller, on a clock that stands still.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_core::{Context, evaluate};
use tidegate_server::{
    app::{App, Role, SdkKeyKind, watches::Reach},
    controller::{Controller, Receipts},
    notify::Notifier,
    ports::store::{Commit, DocumentId, DocumentKind, EnvironmentId, StoreError, Write},
    ports::{
        Messenger,
        notify::{Attempt, Message, Target},
    },
    telemetry::Metrics,
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    app::{Answer, Caller, TestApp},
    within,
};

mod clients;
mod kinds;
mod servers;

const ROLLOUTS: &str = "/api/v1/projects/shop/environments/test/rollouts";
const FLAG: &str = "/api/v1/projects/shop/flags/checkout/environments/test";

/// Every SDK has everything at once.
struct AtOnce;

#[async_trait]
impl Receipts for AtOnce {
    async fn reach(&self, _: &EnvironmentId) -> Result<Reach, StoreError> {
        Ok(Reach::default())
    }
}

/// A shop with the flag `checkout`, enabled, `off` for everybody, and somebody who rolls out.
struct Shop {
    test: TestApp,
    operator: Caller,
    sdk: Caller,
    controller: Controller,
    n_users: u64,
    n_batches: u64,
}

impl Shop {
    async fn new() -> Self {
        Self::on(TestApp::with_projects().await).await
    }

    /// With that server, which has the shop's project.
    async fn on(test: TestApp) -> Self {
        let operator = test.project_token("shop", Role::Operator).await;
        let sdk = test.sdk_key("shop", "test", SdkKeyKind::Server).await;
        let flag = json!({ "key": "checkout", "name": "Checkout", "kind": "boolean" });
        test.post("/api/v1/projects/shop/flags", flag).by(&operator).send().await.expect(StatusCode::CREATED);
        let patch = json!({ "enabled": true, "default": { "variant": "off" } });
        test.patch(FLAG, patch).by(&operator).if_match(0).send().await.expect(StatusCode::OK);
        let controller = Controller::new(test.app.clone(), Arc::new(AtOnce));
        Self { test, operator, sdk, controller, n_users: 0, n_batches: 0 }
    }

    async fn start(&mut self, spec: Json) -> String {
        let body = json!({ "flag": "checkout", "variant": "on", "spec": spec, "reason": "new checkout" });
        let started = self.test.post(ROLLOUTS, body).by(&self.operator).send().await.expect(StatusCode::CREATED);
        // The first look begins, the second sees that every SDK has it.
        self.controller.look_around().await;
        self.controller.look_around().await;
        started.body["id"].as_str().unwrap().to_owned()
    }

    async fn rollout(&self, id: &str) -> Json {
        let path = format!("{ROLLOUTS}/{id}");
        self.test.get(&path).by(&self.operator).send().await.expect(StatusCode::OK).body
    }

    /// Time passes in steps of five seconds, the controller looking at each. In each, so many new users ask, and have an error with
    /// these chances in a thousand: with the new variant, with the old one.
    async fn pass(&mut self, seconds: u64, users: u64, (with_on, with_off): (u64, u64)) {
        for _ in 0..seconds / 5 {
            self.test.clock.advance_ms(5_000);
            self.serve(users, with_on, with_off).await;
            self.controller.look_around().await;
        }
    }

    async fn serve(&mut self, users: u64, with_on: u64, with_off: u64) {
        if users == 0 {
            return;
        }
        let hub = self.test.state.streams.hub(&environment()).await.unwrap();
        let front = hub.front().await;
        let now = self.test.app.clock.now();
        let (mut exposures, mut measurements) = (Vec::new(), Vec::new());
        for _ in 0..users {
            self.n_users += 1;
            let user = format!("user-{}", self.n_users);
            let said = evaluate(&front.compiled.ruleset, "checkout", &Context::new(user.as_str()), now);
            let chance = if said.variant == Some("on") { with_on } else { with_off };
            exposures.push(json!({ "flag": "checkout", "variant": said.variant, "targetingKey": user }));
            if tidegate_core::bucket::hash(&format!("luck of {user}")) % 1_000 < chance {
                measurements.push(json!({ "metric": "errors", "targetingKey": user }));
            }
        }
        self.n_batches += 1;
        let batch =
            json!({ "id": format!("b{}", self.n_batches), "exposures": exposures, "measurements": measurements });
        self.test.post("/api/v1/events", batch).by(&self.sdk).send().await.expect(StatusCode::ACCEPTED);
    }

    /// Whether a user is served `on`.
    async fn served(&self, user: &str) -> bool {
        let hub = self.test.state.streams.hub(&environment()).await.unwrap();
        let front = hub.front().await;
        let now = self.test.app.clock.now();
        evaluate(&front.compiled.ruleset, "checkout", &Context::new(user), now).variant == Some("on")
    }

    /// How many of 1,000 users are served `on`.
    async fn n_on(&self) -> usize {
        let hub = self.test.state.streams.hub(&environment()).await.unwrap();
        let front = hub.front().await;
        let is_on = |n: &u64| {
            let ctx = Context::new(format!("asker-{n}"));
            evaluate(&front.compiled.ruleset, "checkout", &ctx, self.test.app.clock.now()).variant == Some("on")
        };
        (0..1_000).filter(is_on).count()
    }

    async fn act(&self, id: &str, action: &str, generation: Option<u64>) -> Answer {
        let body = json!({ "action": action, "reason": "because" });
        let call = self.test.post(&format!("{ROLLOUTS}/{id}/actions"), body).by(&self.operator);
        match generation {
            Some(generation) => call.if_match(generation).send().await,
            None => call.send().await,
        }
    }

    /// The actions of the audit log, oldest first.
    async fn log(&self, id: &str) -> Vec<(String, String)> {
        let path = format!("/api/v1/audit?project=shop&resource=rollout/{id}&limit=200");
        let admin = self.test.instance_token().await;
        let page = self.test.get(&path).by(&admin).send().await.expect(StatusCode::OK).body;
        let text = |row: &Json, field: &str| row[field].as_str().unwrap().to_owned();
        let rows = page["items"].as_array().unwrap();
        rows.iter().rev().map(|row| (text(row, "action"), text(row, "reason"))).collect()
    }
}

fn environment() -> EnvironmentId {
    EnvironmentId { project: "shop".to_owned(), environment: "test".to_owned() }
}

fn steps() -> Json {
    json!([
        { "share": 10_000, "bakeMs": 60_000 }, { "share": 25_000, "bakeMs": 60_000 },
        { "share": 50_000, "bakeMs": 60_000 }, { "share": 100_000, "bakeMs": 60_000 },
    ])
}

fn gated() -> Json {
    json!({ "steps": steps(), "gates": [{ "key": "errors", "metric": "errors" }], "onHarm": "rollBack" })
}

#[tokio::test]
async fn a_healthy_release_reaches_everybody() {
    let mut shop = Shop::new().await;
    let id = shop.start(gated()).await;
    let mut shares = Vec::new();
    for _ in 0..4 {
        shares.push((shop.rollout(&id).await["share"].as_u64().unwrap(), shop.n_on().await));
        shop.pass(65, 50, (10, 10)).await;
    }
    assert_eq!(shares.iter().map(|(share, _)| *share).collect::<Vec<_>>(), [10_000, 25_000, 50_000, 100_000]);
    for (share, n_on) in shares {
        let expected = usize::try_from(share / 100).unwrap();
        assert!(n_on.abs_diff(expected) < 45, "{n_on} of 1,000 at {share}");
    }
    let rollout = shop.rollout(&id).await;
    assert_eq!(rollout["status"]["state"], "completed", "{rollout:#}");
    let flag = shop.test.get(FLAG).by(&shop.operator).send().await.expect(StatusCode::OK).body;
    assert_eq!((&flag["default"], &flag["rollout"]), (&json!({ "variant": "on" }), &Json::Null));
    let log = shop.log(&id).await;
    let moves: Vec<_> =
        log.iter().map(|(action, _)| action.as_str()).filter(|action| *action != "rollout.wait").collect();
    let advance = "rollout.advance";
    assert_eq!(moves, ["rollout.start", advance, advance, advance, advance, "rollout.complete"]);

    let path = format!("{ROLLOUTS}/{id}/history");
    let history = shop.test.get(&path).by(&shop.operator).send().await.expect(StatusCode::OK).body;
    let seen = history["items"].as_array().unwrap();
    let mut steps: Vec<_> = seen.iter().map(|look| (look["step"].as_u64(), look["share"].as_u64())).collect();
    steps.dedup();
    assert_eq!(steps, [(0, 10_000), (1, 25_000), (2, 50_000), (3, 100_000)].map(|(n, share)| (Some(n), Some(share))));
    // Every 15 seconds of some four minutes.
    assert!((16..24).contains(&seen.len()), "{history:#}");
    assert!(seen.iter().any(|look| look["gates"][0]["met"]["treatment"].as_u64() > Some(0)), "{history:#}");
}

#[tokio::test]
async fn a_split_that_gives_everybody_one_variant_is_rolled_out_from() {
    let mut shop = Shop::new().await;
    let split = |on: u32| {
        let weights = json!([{ "variant": "on", "weight": on }, { "variant": "off", "weight": 100_000 - on }]);
        json!({ "default": { "distribution": { "weights": weights } } })
    };
    shop.test.patch(FLAG, split(1_000)).by(&shop.operator).if_match(1).send().await.expect(StatusCode::OK);
    let body = json!({ "flag": "checkout", "variant": "on", "spec": gated(), "reason": "new checkout" });
    let refused = shop.test.post(ROLLOUTS, body).by(&shop.operator).send().await.expect_problem(409, "in_use");
    assert!(refused.body["detail"].as_str().unwrap().contains("several variants"), "{}", refused.text);

    shop.test.patch(FLAG, split(0)).by(&shop.operator).if_match(2).send().await.expect(StatusCode::OK);
    let id = shop.start(gated()).await;
    assert_eq!(shop.rollout(&id).await["share"], 10_000);
    shop.pass(60, 200, (200, 10)).await;
    assert_eq!(shop.rollout(&id).await["status"]["state"], "rolledBack");
    let flag = shop.test.get(FLAG).by(&shop.operator).send().await.expect(StatusCode::OK).body;
    assert_eq!(flag["default"], json!({ "variant": "off" }));
}

#[tokio::test]
async fn a_faulty_release_is_rolled_back_by_itself() {
    let mut shop = Shop::new().await;
    let id = shop.start(gated()).await;
    shop.pass(60, 200, (200, 10)).await;
    let rollout = shop.rollout(&id).await;
    assert_eq!((&rollout["status"]["state"], &rollout["share"]), (&json!("rolledBack"), &json!(0)), "{rollout:#}");
    assert_eq!(shop.n_on().await, 0);
    let (action, reason) = shop.log(&id).await.pop().unwrap();
    assert_eq!((action.as_str(), &rollout["reason"]), ("rollout.rollBack", &json!(reason)));
    assert!(reason.starts_with("harm: `errors` ") && reason.contains(" in control, evidence "), "{reason}");
    assert!(rollout["evidence"]["evidence"].as_f64().unwrap() >= 100.0, "{rollout:#}");
    // The next attempt is another rollout, and begins with the same units.
    let again = shop.start(gated()).await;
    assert_ne!(again, id);
    assert_eq!(shop.rollout(&again).await["salt"], rollout["salt"]);
}

#[tokio::test]
async fn without_telemetry_it_holds_and_says_so() {
    let mut shop = Shop::new().await;
    let id = shop.start(gated()).await;
    shop.pass(600, 0, (0, 0)).await;
    let rollout = shop.rollout(&id).await;
    assert_eq!(
        (&rollout["share"], &rollout["status"]["waiting"]),
        (&json!(10_000), &json!("noTelemetry")),
        "{rollout:#}"
    );
    assert_eq!(rollout["live"]["reason"], "nothing was heard of the flag's evaluations yet");
    shop.pass(65, 50, (10, 10)).await;
    assert_eq!(shop.rollout(&id).await["share"], 25_000, "it goes on by itself");
}

#[tokio::test]
async fn a_server_that_starts_anew_skips_nothing() {
    let mut shop = Shop::new().await;
    let id = shop.start(gated()).await;
    shop.pass(40, 50, (10, 10)).await;
    // What a process knows is gone, and the controller is another.
    let app = App { watches: Arc::default(), ..shop.test.app.clone() };
    shop.controller = Controller::new(app, Arc::new(AtOnce));
    shop.test.clock.advance_ms(24 * 3_600_000);
    shop.controller.look_around().await;
    assert_eq!(shop.rollout(&id).await["share"], 10_000, "a day in which nobody watched is no bake");
    shop.pass(15, 50, (10, 10)).await;
    assert_eq!(shop.rollout(&id).await["share"], 10_000);
    shop.pass(10, 50, (10, 10)).await;
    assert_eq!(shop.rollout(&id).await["share"], 25_000, "what was baked before is");
}

#[tokio::test]
async fn two_controllers_make_one_step() {
    let mut shop = Shop::new().await;
    let spec = json!({ "steps": steps() });
    let id = shop.start(spec).await;
    let app = App { watches: Arc::default(), ..shop.test.app.clone() };
    let mut other = Controller::new(app, Arc::new(AtOnce));
    for _ in 0..13 {
        shop.test.clock.advance_ms(5_000);
        tokio::join!(shop.controller.look_around(), other.look_around());
    }
    let rollout = shop.rollout(&id).await;
    assert_eq!((&rollout["share"], &rollout["status"]["generation"]), (&json!(25_000), &json!(3)), "{rollout:#}");
}

#[tokio::test]
async fn people_pause_resume_skip_and_roll_back() {
    let mut shop = Shop::new().await;
    let id = shop.start(json!({ "steps": steps() })).await;
    shop.act(&id, "pause", None).await.expect(StatusCode::OK);
    shop.pass(300, 0, (0, 0)).await;
    let paused = shop.rollout(&id).await;
    assert_eq!((&paused["share"], &paused["status"]["state"]), (&json!(10_000), &json!("paused")));
    shop.act(&id, "pause", None).await.expect(StatusCode::CONFLICT);

    // What may raise the share asks for what was seen.
    shop.act(&id, "resume", None).await.expect(StatusCode::PRECONDITION_REQUIRED);
    shop.act(&id, "resume", Some(1)).await.expect(StatusCode::PRECONDITION_FAILED);
    let generation = paused["status"]["generation"].as_u64().unwrap();
    shop.act(&id, "resume", Some(generation)).await.expect(StatusCode::OK);
    shop.act(&id, "skip", Some(generation + 1)).await.expect(StatusCode::OK);
    shop.controller.look_around().await;
    assert_eq!(shop.rollout(&id).await["share"], 25_000);

    shop.act(&id, "rollBack", None).await.expect(StatusCode::OK);
    assert_eq!(shop.n_on().await, 0);
    shop.act(&id, "rollBack", None).await.expect(StatusCode::CONFLICT);
    shop.controller.look_around().await;

    let body = json!({ "action": "pause" });
    let unreasoned = shop.test.post(&format!("{ROLLOUTS}/{id}/actions"), body).by(&shop.operator).send().await;
    assert_eq!(unreasoned.expect(StatusCode::UNPROCESSABLE_ENTITY).body["field"], "/reason");
    let editor = shop.test.project_token("shop", Role::Editor).await;
    let body = json!({ "action": "pause", "reason": "x" });
    shop.test.post(&format!("{ROLLOUTS}/{id}/actions"), body).by(&editor).send().await.expect(StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_flag_under_rollout_is_nobody_elses() {
    let mut shop = Shop::new().await;
    let id = shop.start(json!({ "steps": steps() })).await;
    let version = shop.test.get(FLAG).by(&shop.operator).send().await.body["version"].as_u64().unwrap();
    let patch = |patch: Json| shop.test.patch(FLAG, patch).by(&shop.operator).if_match(version);
    let refused = patch(json!({ "default": { "variant": "on" } })).send().await.expect(StatusCode::CONFLICT).body;
    assert!(
        refused["detail"].as_str().unwrap().contains(&format!("the rollout `{id}` moves this flag")),
        "{refused:#}"
    );
    let flag = "/api/v1/projects/shop/flags/checkout";
    shop.test.delete(flag).by(&shop.operator).if_match(1).send().await.expect(StatusCode::CONFLICT);
    let second = json!({ "flag": "checkout", "variant": "on" });
    shop.test.post(ROLLOUTS, second).by(&shop.operator).send().await.expect(StatusCode::CONFLICT);
    // To take it away is always possible; nothing rises then.
    let kill = json!({ "flag": "checkout", "reason": "on fire" });
    let killing = "/api/v1/projects/shop/environments/test/kill";
    shop.test.post(killing, kill).by(&shop.operator).send().await.expect(StatusCode::OK);
    shop.pass(300, 0, (0, 0)).await;
    let rollout = shop.rollout(&id).await;
    assert_eq!((&rollout["share"], &rollout["status"]["waiting"]), (&json!(10_000), &json!("off")), "{rollout:#}");
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_with_the_field() {
    let shop = Shop::new().await;
    let refused = async |body: Json, status: StatusCode| {
        shop.test.post(ROLLOUTS, body).by(&shop.operator).send().await.expect(status).body
    };
    let body = |spec: Json| json!({ "flag": "checkout", "variant": "on", "spec": spec });
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    for (body, field) in [
        (body(json!({ "steps": [] })), "/spec/steps"),
        (body(json!({ "steps": [{ "share": 50_000, "bakeMs": 60_000 }] })), "/spec/steps/0/share"),
        (
            body(json!({ "steps": steps(), "gates": [{ "key": "a", "metric": "a", "margin": 0.0 }] })),
            "/spec/gates/0/margin",
        ),
        (body(json!({ "steps": [{ "share": "half", "bakeMs": 60_000 }] })), "/spec/steps/0/share"),
        (body(json!({ "steps": steps(), "gate": [] })), "/spec/gate"),
        (json!({ "flag": "checkout", "variant": "off" }), "/variant"),
        (json!({ "flag": "checkout", "variant": "blue" }), "/variant"),
    ] {
        let found = refused(body.clone(), unprocessable).await;
        assert_eq!(found["field"], field, "{body} {found:#}");
    }
    refused(json!({ "flag": "nothing", "variant": "on" }), StatusCode::NOT_FOUND).await;
    let events = json!({ "id": "b", "exposures": [{ "flag": "checkout", "targetingKey": "ada", "bucket": 100_000 }] });
    let found = shop.test.post("/api/v1/events", events).by(&shop.sdk).send().await.expect(unprocessable).body;
    assert_eq!(found["field"], "/exposures/0/bucket");
    let patch = json!({ "enabled": false });
    shop.test.patch(FLAG, patch).by(&shop.operator).if_match(1).send().await.expect(StatusCode::OK);
    refused(json!({ "flag": "checkout", "variant": "on" }), StatusCode::CONFLICT).await;
}

/// Somebody wrote to the database by hand, and the flag was repaired: it is not the rollout's any more.
#[tokio::test]
async fn a_rollout_that_lost_its_flag_can_be_ended_and_leaves_the_flag_alone() {
    let mut shop = Shop::new().await;
    let id = shop.start(gated()).await;
    let configuration =
        DocumentId { kind: DocumentKind::FlagEnvironment, scope: environment().scope(), key: "checkout".to_owned() };
    let damage = Commit {
        writes: vec![Write { id: configuration, body: "{".to_owned(), archived: false }],
        audit: vec![TestApp::request().audit(shop.test.app.clock.now(), "test.damage", "flag/checkout".to_owned())],
        ..Commit::default()
    };
    shop.test.app.store.commit(damage).await.unwrap();
    shop.pass(65, 0, (0, 0)).await;
    let version = shop.test.get(FLAG).by(&shop.operator).send().await.body["version"].as_u64().unwrap();
    let repair = json!({ "enabled": true, "default": { "variant": "on" } });
    shop.test.patch(FLAG, repair).by(&shop.operator).if_match(version).send().await.expect(StatusCode::OK);
    shop.pass(65, 50, (10, 10)).await;
    assert_eq!(shop.rollout(&id).await["share"], 10_000);
    shop.act(&id, "rollBack", None).await.expect(StatusCode::OK);
    assert_eq!(shop.n_on().await, 1_000, "what was repaired stays");
}

#[tokio::test]
async fn an_environment_goes_after_its_rollouts() {
    let mut shop = Shop::new().await;
    let id = shop.start(gated()).await;
    let admin = shop.test.instance_token().await;
    let listed = shop.test.get("/api/v1/projects/shop/flags").by(&admin).send().await.expect(StatusCode::OK);
    assert_eq!(listed.body["items"][0]["environments"]["test"]["rollout"], id);

    let path = "/api/v1/projects/shop/environments/test";
    let refused = shop.test.delete(path).by(&admin).if_match(1).send().await.expect(StatusCode::CONFLICT);
    let why = "rollouts go on in the environment, of `checkout`: end them first";
    assert_eq!((&refused.body["code"], &refused.body["detail"]), (&json!("in_use"), &json!(why)));
    assert_eq!(shop.test.app.running_rollouts(&environment()).await.unwrap().len(), 1);

    // As if it had been archived while the rollout was started.
    let id =
        DocumentId { kind: DocumentKind::Environment, scope: environment().project, key: environment().environment };
    let archived = Commit {
        writes: vec![Write { id, body: r#"{"name":"Test"}"#.to_owned(), archived: true }],
        audit: vec![TestApp::request().audit(shop.test.app.clock.now(), "test.archive", "environment/test".to_owned())],
        ..Commit::default()
    };
    shop.test.app.store.commit(archived).await.unwrap();
    assert!(shop.test.app.running_rollouts(&environment()).await.unwrap().is_empty());
}

/// A messenger that never comes back from the first receiver.
#[derive(Default)]
struct Hangs(AtomicUsize);

#[async_trait]
impl Messenger for Hangs {
    async fn send(&self, _: &Message) -> Attempt {
        self.0.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    fn check(&self, _: &Target) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_delay_a_rollback() {
    let hangs = Arc::new(Hangs::default());
    let test = TestApp::with_messenger(hangs.clone());
    test.project("shop", &["test", "production"]).await;
    let admin = test.instance_token().await;
    let channel = json!({ "key": "ops", "name": "Ops", "target": { "kind": "webhook", "url": "https://x.example" } });
    test.post("/api/v1/projects/shop/notification-channels", channel)
        .by(&admin)
        .send()
        .await
        .expect(StatusCode::CREATED);
    let mut shop = Shop::on(test).await;
    let shutdown = CancellationToken::new();
    let notifier = Notifier::new(shop.test.app.clone(), &Metrics::new());
    let notifier = tokio::spawn(notifier.run(shutdown.clone()));
    let id = shop.start(gated()).await;
    within(async {
        while hangs.0.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    shop.pass(60, 200, (200, 10)).await;
    assert_eq!(shop.rollout(&id).await["status"]["state"], "rolledBack");
    assert_eq!(shop.n_on().await, 0);
    assert_eq!(hangs.0.load(Ordering::SeqCst), 1, "the first message is still on its way");
    within(async {
        // Of the roll back, too, nothing is lost.
        while shop.test.app.store.delivery_queue().await.unwrap().n_waiting < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    shutdown.cancel();
    within(notifier).await.unwrap();
}

//! Metric sources and the gates that ask them: the real router and controller, a scripted source, and a clock that stands still.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_rollout::reading::{Problem, Sample};
use tidegate_server::{
    app::{App, Role, watches::Reach},
    controller::{Asker, Controller, QuestionLabels, Receipts},
    http::{AppState, HttpConfig},
    outgoing::{self, Credentials, SystemResolver},
    ports::{
        Metrics,
        metrics::Place,
        store::{EnvironmentId, StoreError},
    },
    telemetry::Metrics as Counters,
};

use crate::support::app::{Answer, Caller, TestApp};

const SOURCES: &str = "/api/v1/projects/shop/metric-sources";
const ROLLOUTS: &str = "/api/v1/projects/shop/environments/test/rollouts";
const FLAG: &str = "/api/v1/projects/shop/flags/checkout/environments/test";

/// Answers each query as it was told.
#[derive(Default)]
struct Scripted {
    answers: Mutex<BTreeMap<String, Result<f64, Problem>>>,
    /// How old the numbers are, in milliseconds.
    age_ms: Mutex<i64>,
    clock: Mutex<Option<App>>,
}

impl Scripted {
    fn say(&self, query: &str, answer: Result<f64, Problem>) {
        self.answers.lock().unwrap().insert(query.to_owned(), answer);
    }
}

#[async_trait]
impl Metrics for Scripted {
    async fn ask(&self, _: &Place, query: &str, _: Duration) -> Result<Sample, Problem> {
        let answer = self.answers.lock().unwrap().get(query).cloned().unwrap_or(Err(Problem::NoData));
        let now = self.clock.lock().unwrap().as_ref().unwrap().clock.now();
        let at = tidegate_core::Timestamp(now.0 - *self.age_ms.lock().unwrap());
        answer.map(|value| Sample { value, at })
    }
}

struct AtOnce;

#[async_trait]
impl Receipts for AtOnce {
    async fn reach(&self, _: &EnvironmentId) -> Result<Reach, StoreError> {
        Ok(Reach::default())
    }
}

/// A shop with a flag to roll out, and a source of metrics.
struct Shop {
    test: TestApp,
    admin: Caller,
    source: Arc<Scripted>,
    controller: Controller,
    asker: Asker,
}

impl Shop {
    async fn new() -> Self {
        let mut test = TestApp::with_projects().await;
        let source = Arc::new(Scripted::default());
        let settings = outgoing::Settings {
            allow: "127.0.0.1:9090".parse().unwrap(),
            credentials: Credentials::read(Some("[reader]\norigin = 'https://metrics.example.org'\nbearer = 'x'"), &[])
                .unwrap(),
            ..outgoing::Settings::default()
        };
        let outgoing = Arc::new(outgoing::Client::new(settings, Arc::new(SystemResolver)).unwrap());
        test.app = App { metrics: source.clone(), outgoing, ..test.app };
        test.state = AppState::new(test.app.clone(), HttpConfig::default(), Arc::new(Counters::new()));
        *source.clock.lock().unwrap() = Some(test.app.clone());
        let admin = test.project_token("shop", Role::Admin).await;
        let controller = Controller::new(test.app.clone(), Arc::new(AtOnce));
        let asker = Asker::new(test.app.clone());
        let shop = Self { test, admin, source, controller, asker };
        let created = shop.create(json!({
            "key": "prometheus", "name": "Prometheus", "kind": "prometheus", "url": "http://127.0.0.1:9090",
        }));
        created.await.expect(StatusCode::CREATED);
        let flag = json!({ "key": "checkout", "name": "Checkout", "kind": "boolean" });
        shop.post("/api/v1/projects/shop/flags", flag).await.expect(StatusCode::CREATED);
        let patch = json!({ "enabled": true, "default": { "variant": "off" } });
        shop.test.patch(FLAG, patch).by(&shop.admin).if_match(0).send().await.expect(StatusCode::OK);
        shop
    }

    async fn post(&self, path: &str, body: Json) -> Answer {
        self.test.post(path, body).by(&self.admin).send().await
    }

    async fn create(&self, source: Json) -> Answer {
        self.post(SOURCES, source).await
    }

    async fn patch(&self, key: &str, version: u64, patch: Json) -> Answer {
        self.test.patch(&format!("{SOURCES}/{key}"), patch).by(&self.admin).if_match(version).send().await
    }

    async fn start(&mut self, gates: Json) -> String {
        let started = self.try_start(gates, false).await.expect(StatusCode::CREATED);
        self.controller.look_around().await;
        started.body["id"].as_str().unwrap().to_owned()
    }

    async fn try_start(&self, gates: Json, allow_no_data: bool) -> Answer {
        let steps = json!([{ "share": 10_000, "bakeMs": 120_000 }, { "share": 100_000, "bakeMs": 120_000 }]);
        let body = json!({
            "flag": "checkout", "variant": "on", "spec": { "steps": steps, "gates": gates },
            "allowNoData": allow_no_data,
        });
        self.post(ROLLOUTS, body).await
    }

    /// Time passes in steps of five seconds: what is due is asked, and the controller looks.
    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds / 5 {
            self.test.clock.advance_ms(5_000);
            self.asker.ask_around().await;
            self.controller.look_around().await;
        }
    }

    async fn rollout(&self, id: &str) -> Json {
        self.test.get(&format!("{ROLLOUTS}/{id}")).by(&self.admin).send().await.expect(StatusCode::OK).body
    }

    /// State, share and what the controller says.
    async fn told(&self, id: &str) -> (String, u64, String) {
        let rollout = self.rollout(id).await;
        let reason = rollout["live"]["reason"].as_str().unwrap_or_default().to_owned();
        (rollout["status"]["state"].as_str().unwrap().to_owned(), rollout["share"].as_u64().unwrap(), reason)
    }
}

fn p95() -> Json {
    json!([{ "key": "p95", "source": "prometheus", "query": "p95", "max": 0.5, "forMs": 60_000 }])
}

#[tokio::test]
async fn a_source_is_made_changed_and_archived_and_all_of_it_is_in_the_audit_log() {
    let shop = Shop::new().await;
    let got = shop.test.get(&format!("{SOURCES}/prometheus")).by(&shop.admin).send().await.expect(StatusCode::OK);
    let expected = json!({
        "key": "prometheus", "version": 1, "name": "Prometheus", "kind": "prometheus", "url": "http://127.0.0.1:9090",
        "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
    });
    assert_eq!(got.body, expected);
    let moved = json!({ "url": "https://metrics.example.org/prometheus", "credential": "reader", "reason": "moved" });
    let changed = shop.patch("prometheus", 1, moved.clone()).await.expect(StatusCode::OK);
    assert_eq!((&changed.body["version"], &changed.body["credential"]), (&json!(2), &json!("reader")));
    shop.patch("prometheus", 1, moved).await.expect_problem(412, "stale");
    let listed = shop.test.get(SOURCES).by(&shop.admin).send().await.expect(StatusCode::OK);
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
    shop.create(json!({ "key": "prometheus", "name": "x", "kind": "http", "url": "https://a" }))
        .await
        .expect_problem(409, "key_taken");
    let path = format!("{SOURCES}/prometheus");
    shop.test.delete(&path).by(&shop.admin).if_match(2).send().await.expect(StatusCode::NO_CONTENT);
    shop.test.get(&path).by(&shop.admin).send().await.expect_problem(404, "not_found");
    let audit = shop.test.get("/api/v1/audit?project=shop&resource=metricSource/prometheus").by(&shop.admin);
    let audit = audit.send().await.expect(StatusCode::OK).body;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["metricSource.archive", "metricSource.update", "metricSource.create"]);
    let editor = shop.test.project_token("shop", Role::Operator).await;
    let body = json!({ "key": "other", "name": "x", "kind": "http", "url": "https://a" });
    shop.test.post(SOURCES, body).by(&editor).send().await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn an_address_that_is_not_asked_is_refused_when_it_is_saved() {
    let shop = Shop::new().await;
    let check = async |url: &str, credential: Option<&str>, field: &str, told: &str| {
        let source = json!({ "key": "s", "name": "S", "kind": "http", "url": url, "credential": credential });
        let problem = shop.create(source).await.expect_problem(422, "invalid");
        assert_eq!(problem.body["field"], field, "{url}");
        assert!(problem.body["detail"].as_str().unwrap().contains(told), "{}", problem.text);
    };
    check("metrics", None, "/url", "no address").await;
    check("ftp://example.org", None, "/url", "`https` or `http`").await;
    check("https://me:secret@example.org", None, "/url", "name a credential").await;
    check("https://example.org/?token=secret", None, "/url", "ends with its path").await;
    check("http://169.254.169.254/latest", None, "/url", "private or reserved").await;
    check("http://127.0.0.1:9091", None, "/url", "`outgoing_allow`").await;
    check("https://example.org", Some("reader"), "/credential", "another origin").await;
    check("https://example.org", Some("riter"), "/credential", "no credential `riter`").await;
    let fixed = shop.patch("prometheus", 1, json!({ "kind": "http" })).await.expect_problem(422, "invalid");
    assert_eq!(fixed.body["field"], "/kind");
}

#[tokio::test]
async fn a_test_answers_a_number_or_what_is_wrong() {
    let shop = Shop::new().await;
    let test = async |query: &str| {
        let path = format!("{SOURCES}/prometheus/test");
        shop.post(&path, json!({ "query": query })).await.expect(StatusCode::OK).body
    };
    shop.source.say("p95", Ok(0.25));
    assert_eq!(test("p95").await, json!({ "value": 0.25, "at": "2026-01-01T00:00:00Z" }));
    shop.source.say("nan", Ok(f64::NAN));
    assert!(test("nan").await["problem"].as_str().unwrap().contains("is not one"));
    assert!(test("nothing").await["problem"].as_str().unwrap().contains("no data"));
    *shop.source.age_ms.lock().unwrap() = 600_000;
    assert_eq!(test("p95").await["problem"], "has no fresh number: the newest is 10 min old");
}

#[tokio::test]
async fn a_gate_whose_query_has_no_number_is_refused() {
    let shop = Shop::new().await;
    let check = async |gate: Json, field: &str, told: &str| {
        let gates = json!([{ "key": "errors", "metric": "errors" }, gate]);
        let problem = shop.try_start(gates, false).await.expect_problem(422, "invalid");
        assert_eq!(problem.body["field"], format!("/spec/gates/1/{field}"), "{}", problem.text);
        assert!(problem.body["detail"].as_str().unwrap().contains(told), "{}", problem.text);
    };
    let gate = |source: &str, query: &str| json!({ "key": "p95", "source": source, "query": query, "max": 1 });
    check(gate("graphite", "p95"), "source", "no metric source `graphite`").await;
    check(gate("prometheus", "p95"), "query", "`p95` has no data: the answer to its query is empty. `allowNoData`")
        .await;
    shop.source.say("p95", Err(Problem::Several { n: 2 }));
    check(gate("prometheus", "p95"), "query", "has 2 series").await;
    shop.source.say("p95", Ok(0.1));
    let compared = json!({ "key": "p95", "source": "prometheus", "query": "p95", "controlQuery": "control" });
    check(compared, "controlQuery", "has no data").await;
    shop.source.say("p95", Err(Problem::Refused { why: "1:5: parse error".to_owned() }));
    let refused = shop.try_start(json!([gate("prometheus", "p95")]), true).await.expect_problem(422, "invalid");
    assert!(refused.text.contains("1:5: parse error"), "{}", refused.text);
    shop.source.say("p95", Err(Problem::NoData));
    shop.try_start(json!([gate("prometheus", "p95")]), true).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_source_that_is_asked_cannot_be_archived() {
    let mut shop = Shop::new().await;
    shop.source.say("p95", Ok(0.1));
    let id = shop.start(p95()).await;
    let path = format!("{SOURCES}/prometheus");
    let used = shop.test.delete(&path).by(&shop.admin).if_match(1).send().await.expect_problem(409, "in_use");
    assert!(used.text.contains("the rollout of `checkout` in `test`"), "{}", used.text);
    let back = json!({ "action": "rollBack", "reason": "because" });
    shop.post(&format!("{ROLLOUTS}/{id}/actions"), back).await.expect(StatusCode::OK);
    shop.test.delete(&path).by(&shop.admin).if_match(1).send().await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn without_a_number_nothing_rises_and_nothing_is_rolled_back_and_it_resumes_alone() {
    let mut shop = Shop::new().await;
    shop.source.say("p95", Ok(0.1));
    let id = shop.start(p95()).await;
    shop.pass(60).await;
    let troubles = [
        (Err(Problem::Unreachable { why: "the host accepts no connection".to_owned() }), "accepts no connection"),
        (Err(Problem::Timeout), "took too long"),
        (Err(Problem::Status { status: 503 }), "status 503"),
        (Err(Problem::NoData), "no data"),
        (Err(Problem::Several { n: 2 }), "2 series"),
        (Err(Problem::Partial), "data may be missing"),
        (Ok(f64::NAN), "is not one"),
        (Ok(f64::INFINITY), "not finite"),
    ];
    let generation = shop.rollout(&id).await["status"]["generation"].clone();
    for (answer, why) in troubles {
        shop.source.say("p95", answer);
        shop.pass(600).await;
        let (state, share, reason) = shop.told(&id).await;
        assert_eq!((state.as_str(), share), ("running", 10_000), "{why}");
        assert!(reason.starts_with("not known: `p95`") && reason.contains(why), "{reason}");
    }
    assert_eq!(shop.rollout(&id).await["status"]["generation"], generation);
    shop.source.say("p95", Ok(0.1));
    shop.pass(600).await;
    let (state, share, _) = shop.told(&id).await;
    assert_eq!((state.as_str(), share), ("completed", 100_000));
}

#[tokio::test]
async fn a_bound_that_was_passed_for_long_enough_rolls_back() {
    let mut shop = Shop::new().await;
    shop.source.say("p95", Ok(0.1));
    let id = shop.start(p95()).await;
    shop.pass(60).await;
    shop.source.say("p95", Ok(0.7));
    shop.pass(60).await;
    let (state, share, reason) = shop.told(&id).await;
    assert_eq!((state.as_str(), share), ("running", 10_000));
    assert!(reason.starts_with("suspicious: `p95` is 0.7, above 0.5, for 4"), "{reason}");
    shop.pass(30).await;
    let (state, share, _) = shop.told(&id).await;
    assert_eq!((state.as_str(), share), ("rolledBack", 0));
    let rollout = shop.rollout(&id).await;
    assert_eq!(rollout["evidence"]["gate"], "p95", "{rollout}");
    assert_eq!(rollout["evidence"]["value"], 0.7);
    // Every 15 seconds.
    let (project, source) = ("shop".to_owned(), "prometheus".to_owned());
    let labels = QuestionLabels { project, source, outcome: "answered" };
    assert_eq!(shop.asker.counted.asked.get_or_create(&labels).get(), 9);
}

/// Another server takes over: its people see what the first one saw, and the time that a bound was passed goes on.
#[tokio::test]
async fn whoever_takes_over_knows_what_was_answered() {
    let mut shop = Shop::new().await;
    shop.source.say("p95", Ok(0.1));
    let id = shop.start(p95()).await;
    shop.pass(60).await;
    shop.source.say("p95", Ok(0.7));
    shop.pass(45).await;
    let seen = shop.rollout(&id).await["live"].clone();
    let TestApp { app, clock, .. } = &shop.test;
    let App { metrics, outgoing, store, ids, .. } = app.clone();
    let other = App { metrics, outgoing, ..App::new(store, clock.clone(), ids) };
    let environment = EnvironmentId { project: "shop".to_owned(), environment: "test".to_owned() };
    let shown = other.rollout(&TestApp::request().principal, &environment, &id).await.unwrap();
    assert_eq!(serde_json::to_value(shown.live).unwrap(), seen);
    assert!(seen["reason"].as_str().unwrap().starts_with("suspicious: `p95` is 0.7"), "{seen}");

    (shop.controller, shop.asker) = (Controller::new(other.clone(), Arc::new(AtOnce)), Asker::new(other));
    // Of the minute that is asked for, less is left than this; and more, if it began anew.
    shop.pass(45).await;
    let (state, share, _) = shop.told(&id).await;
    assert_eq!((state.as_str(), share), ("rolledBack", 0));
}

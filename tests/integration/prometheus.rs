//! Gates on the real Prometheus, from what an application says to what its SDKs serve.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tidegate::{Client, Context};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{
    binary::Server,
    prometheus::{Application, Prometheus},
    shop::RealShop,
    within,
};

const WELL: &str = "shop_p95_seconds 0.1\nshop_errors 0\n";
const ILL: &str = "shop_p95_seconds 0.9\nshop_errors 0\n";

/// How often the gates ask.
const EVERY: Duration = Duration::from_secs(1);

struct World {
    shop: RealShop,
    application: Application,
    prometheus: Prometheus,
}

impl World {
    /// A shop with so many flags, whose application is well, and which Prometheus watches.
    async fn new(n_flags: usize) -> Self {
        let shop = RealShop::on(|folder| Server::start(folder, &["--outgoing-allow", "127.0.0.1"])).await;
        let application = Application::new(WELL).await;
        let prometheus =
            Prometheus::start(&[("shop", application.address.as_str()), ("tidegate", shop.server.address())]).await;
        for n in 0..n_flags {
            let flag = json!({ "key": format!("flag-{n}"), "name": "Flag", "kind": "boolean" });
            shop.post("projects/shop/flags", &flag).await;
            let enabled = json!({ "enabled": true, "default": { "variant": "off" } });
            let path = format!("projects/shop/flags/flag-{n}/environments/test");
            let request = shop.request(Method::PATCH, &path).header("If-Match", "\"0\"").json(&enabled);
            assert!(request.send().await.unwrap().status().is_success());
        }
        let this = Self { shop, application, prometheus };
        this.until("Prometheus has scraped both", async || {
            let scraped = this.prometheus.ask("count(up == 1)").await;
            scraped == Some(2.0) && this.prometheus.ask("shop_p95_seconds").await.is_some()
        })
        .await;
        let source = json!({ "key": "prometheus", "name": "P", "kind": "prometheus", "url": this.prometheus.url() });
        this.shop.post("projects/shop/metric-sources", &source).await;
        this
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !holds().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(Duration::from_mins(1), waiting).await;
        assert!(held.is_ok(), "it never came that {what}:\n{}", self.shop.server.log());
    }

    async fn try_start(&self, flag: &str, query: &str, bake_ms: u64) -> (StatusCode, Json) {
        let gate = json!({ "key": "p95", "source": "prometheus", "query": query, "max": 0.5, "everyMs": 1_000 });
        let steps = json!([{ "share": 50_000, "bakeMs": bake_ms }, { "share": 100_000, "bakeMs": bake_ms }]);
        let body = json!({ "flag": flag, "variant": "on", "spec": { "steps": steps, "gates": [gate] } });
        let path = "projects/shop/environments/test/rollouts";
        let answer = self.shop.request(Method::POST, path).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn start(&self, flag: &str, bake_ms: u64) -> String {
        let (status, body) = self.try_start(flag, "max(shop_p95_seconds)", bake_ms).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    async fn rollout(&self, id: &str) -> Json {
        let path = format!("projects/shop/environments/test/rollouts/{id}");
        self.shop.request(Method::GET, &path).send().await.unwrap().json().await.unwrap()
    }

    async fn verdict(&self, id: &str) -> String {
        self.rollout(id).await["live"]["gates"][0]["verdict"].as_str().unwrap_or_default().to_owned()
    }

    /// The first user who is served the new variant, once somebody is.
    async fn served(&self, client: &Client, flag: &str) -> Context {
        let users: Vec<_> = (0..200).map(|n| Context::new(format!("user-{n}"))).collect();
        let user = || users.iter().find(|user| client.bool(flag, false, user)).cloned();
        self.until("somebody is served the new variant", async || user().is_some()).await;
        user().unwrap()
    }
}

#[tokio::test]
async fn a_query_that_says_nothing_is_refused_in_prometheus_words() {
    let world = World::new(1).await;
    let check = async |query: &str, told: &str| {
        let (status, problem) = world.try_start("flag-0", query, 60_000).await;
        assert_eq!((status.as_u16(), problem["field"].as_str()), (422, Some("/spec/gates/0/query")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    };
    check("shop_p95_secnds", "`p95` has no data: the answer to its query is empty").await;
    check("up", "`p95` has 2 series where its query has to answer one").await;
    check("max(shop_p95_seconds", "parse error").await;
    check("shop_p95_seconds[5m]", "it answers a matrix").await;
    check("shop_errors / shop_errors", "has no number").await;
    check("sum(rate(nothing[5m])) or vector(0)", "none of the series that its query names").await;
    let path = "projects/shop/metric-sources/prometheus/test";
    let tested = world.shop.post(path, &json!({ "query": "max(shop_p95_seconds)" })).await;
    assert_eq!((&tested["value"], tested["problem"].is_null()), (&json!(0.1), true), "{tested}");
    // A time that Prometheus told is that of the scrape: it does not move with the question.
    assert!(tested["at"].is_string(), "{tested}");
    let of_tidegate = world.shop.post(path, &json!({ "query": "max(up{job=\"tidegate\"})" })).await;
    assert_eq!(of_tidegate["value"], 1.0, "{of_tidegate}");
}

#[tokio::test]
async fn prometheus_understands_every_preset() {
    let world = World::new(0).await;
    let presets = world.shop.request(Method::GET, "gate-presets").send().await.unwrap();
    let presets: Json = presets.json().await.unwrap();
    for preset in presets["items"].as_array().unwrap() {
        let open = preset["parameters"].as_array().unwrap().iter().filter(|word| word["default"].is_null());
        let words: serde_json::Map<_, _> =
            open.map(|word| (word["name"].as_str().unwrap().to_owned(), json!("shop_errors"))).collect();
        let path = format!("gate-presets/{}", preset["key"].as_str().unwrap());
        let expanded = world.shop.post(&path, &json!({ "source": "prometheus", "parameters": words })).await;
        for gate in expanded["gates"].as_array().unwrap() {
            let path = "projects/shop/metric-sources/prometheus/test";
            let tested = world.shop.post(path, &json!({ "query": gate["query"] })).await;
            let problem = tested["problem"].as_str().unwrap_or_default();
            assert!(!problem.contains("not understood"), "{gate}: {problem}");
        }
    }
}

/// From the moment at which Prometheus knows until the last SDK serves the old variant.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "measures")]
async fn a_bad_metric_takes_every_sdk_back() {
    let (n_flags, n_clients) = (10, 3);
    let world = World::new(n_flags).await;
    let mut ids = Vec::new();
    for n in 0..n_flags {
        ids.push(world.start(&format!("flag-{n}"), 600_000).await);
    }
    let clients: Vec<_> = (0..n_clients).map(|_| world.shop.client().connect().unwrap()).collect();
    let mut watched = Vec::new();
    for (client, n) in clients.iter().flat_map(|client| (0..n_flags).map(move |n| (client, n))) {
        let flag = format!("flag-{n}");
        let user = world.served(client, &flag).await;
        watched.push((client.clone(), flag, user));
    }
    for id in &ids {
        world.until("the gate passes", async || world.verdict(id).await == "pass").await;
    }

    world.application.say(ILL);
    world.until("Prometheus knows", async || world.prometheus.ask("shop_p95_seconds").await == Some(0.9)).await;
    let known = Instant::now();
    let mut waiting = JoinSet::new();
    for (client, flag, user) in watched {
        waiting.spawn(async move {
            while client.bool(&flag, false, &user) {
                sleep(Duration::from_millis(2)).await;
            }
            known.elapsed()
        });
    }
    let mut times = within(waiting.join_all()).await;
    times.sort_unstable();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{} SDKs × flags: median {median:?}, last {last:?}; asked every {EVERY:?}", times.len());
    for id in &ids {
        let rollout = world.rollout(id).await;
        assert_eq!(rollout["status"]["state"], "rolledBack", "{rollout}");
        assert_eq!(rollout["evidence"]["value"], 0.9, "{rollout}");
    }
}

#[tokio::test]
async fn without_prometheus_nothing_rises_people_can_roll_back_and_it_resumes_alone() {
    let mut world = World::new(2).await;
    let goes_on = world.start("flag-0", 4_000).await;
    let goes_back = world.start("flag-1", 600_000).await;
    let client = world.shop.client().connect().unwrap();
    let user = world.served(&client, "flag-1").await;
    world.served(&client, "flag-0").await;
    world.prometheus.stop();
    let told = async |id: &str| world.rollout(id).await["live"]["reason"].as_str().unwrap_or_default().to_owned();
    let down = "not known: `p95` has no answer from its source: the host accepts no connection";
    world.until("both hold", async || told(&goes_on).await == down && told(&goes_back).await == down).await;
    let held = world.rollout(&goes_on).await["status"].clone();
    assert_eq!((&held["state"], &held["step"]), (&json!("running"), &json!(0)));

    let path = format!("projects/shop/environments/test/rollouts/{goes_back}/actions");
    world.shop.post(&path, &json!({ "action": "rollBack", "reason": "enough" })).await;
    world.until("the SDK serves the old variant", async || !client.bool("flag-1", false, &user)).await;

    // At each look it could have advanced: the bake is over.
    for _ in 0..2 {
        let looked = world.rollout(&goes_on).await["live"]["at"].clone();
        world.until("the controller looks again", async || world.rollout(&goes_on).await["live"]["at"] != looked).await;
    }
    let now = world.rollout(&goes_on).await["status"].clone();
    assert_eq!((&now["generation"], &now["step"]), (&held["generation"], &json!(0)));

    world.prometheus.start_again().await;
    world.until("it completes alone", async || world.rollout(&goes_on).await["status"]["state"] == "completed").await;
}

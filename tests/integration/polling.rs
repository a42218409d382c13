//! What the stream carries, over HTTP: changes asked for, and events sent.

use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use tidegate_core::{Context, Ruleset, Timestamp, evaluate};
use tidegate_protocol::{
    Effect, Synchronizer,
    message::PROTOCOL_VERSION,
    sync::{Moment, Onto, Settings},
};
use tidegate_server::app::SdkKeyKind;

use crate::support::{
    app::{Answer, Caller},
    shop::Shop,
};

impl Shop {
    async fn enable(&self, key: &str, version: u64) {
        self.configure(key, version, json!({ "enabled": true })).await;
    }

    async fn changes(&self, query: &str, tag: Option<&str>) -> Answer {
        let mut call = self.app.get(&format!("/api/v1/changes{query}")).by(&self.key);
        if let Some(tag) = tag {
            call = call.header("if-none-match", tag);
        }
        call.send().await
    }
}

/// A client that is fed what was fetched.
struct Poller {
    machine: Synchronizer,
    ruleset: Ruleset,
}

impl Poller {
    fn new() -> Self {
        let mut machine = Synchronizer::new(Settings::new("poller/1", 1));
        machine.start(Moment(0));
        machine.on_connected(Moment(0));
        let hello = json!({ "type": "hello", "protocol": PROTOCOL_VERSION, "heartbeatMs": 1_000 });
        machine.on_message(&hello.to_string(), Moment(0));
        Self { machine, ruleset: Ruleset::default() }
    }

    fn feed(&mut self, lines: &str) {
        for effect in self.machine.on_message(lines, Moment(0)) {
            if let Effect::Apply(update) = effect {
                let base = if update.onto == Onto::Nothing { Ruleset::default() } else { self.ruleset.clone() };
                self.ruleset = base.update(update.changes).0;
            }
        }
    }

    fn query(&self) -> String {
        let at = self.machine.position().unwrap();
        format!("?epoch={}&revision={}&digest={}", at.epoch, at.revision, String::from(at.digest))
    }

    fn says(&self, flag: &str) -> Json {
        serde_json::to_value(evaluate(&self.ruleset, flag, &Context::anonymous(), Timestamp(0)).value).unwrap()
    }
}

fn transfer(answer: &Answer) -> String {
    let intent: Json = serde_json::from_str(answer.text.lines().next().unwrap()).unwrap();
    intent["transfer"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn polling_brings_what_the_stream_would() {
    let shop = Shop::new().await;
    shop.flag("a").await;
    shop.flag("b").await;
    let mut poller = Poller::new();
    let first = shop.changes("", None).await.expect(StatusCode::OK);
    assert_eq!(
        (transfer(&first).as_str(), &first.headers["content-type"]),
        ("full", &"application/x-ndjson".parse().unwrap())
    );
    poller.feed(&first.text);
    assert_eq!(poller.says("a"), json!(false));

    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let same = shop.changes(&poller.query(), Some(&tag)).await.expect(StatusCode::NOT_MODIFIED);
    assert_eq!(same.text, "");
    let none = shop.changes(&poller.query(), None).await.expect(StatusCode::OK);
    assert_eq!(transfer(&none), "none");

    shop.enable("a", 0).await;
    let changes = shop.changes(&poller.query(), Some(&tag)).await.expect(StatusCode::OK);
    assert_eq!(transfer(&changes), "changes");
    assert!(!changes.text.contains("\"b\""), "{}", changes.text);
    poller.feed(&changes.text);
    assert_eq!((poller.says("a"), poller.machine.counters().resyncs), (json!(true), 0));
    let from_elsewhere = poller.query().replace("epoch=", "epoch=x");
    assert_eq!(transfer(&shop.changes(&from_elsewhere, None).await.expect(StatusCode::OK)), "full");

    shop.changes("?revision=1", None).await.expect_problem(400, "malformed");
    let wrong = shop.changes("?epoch=e&revision=1&digest=x", None).await.expect_problem(400, "malformed");
    assert_eq!(wrong.body["field"], "?digest");
}

#[tokio::test]
async fn events_count_once_each_and_only_where_they_can_be_true() {
    let shop = Shop::new().await;
    shop.flag("a").await;
    shop.configure("a", 0, json!({ "rules": [{ "id": "beta", "serve": { "variant": "on" } }] })).await;
    let client = shop.app.sdk_key("shop", "test", SdkKeyKind::Client).await;
    let send = |body: Json, key: &Caller| shop.app.post("/api/v1/events", body).by(key);
    let batch = json!({
        "id": "b1", "dropped": 5,
        "exposures": [
            { "flag": "a", "variant": "on", "targetingKey": "ada", "rule": "beta", "count": 3 },
            { "flag": "a", "unit": "691d4463952c802f", "rule": "made-up" },
            { "flag": "a", "variant": "made-up" },
            { "flag": "made-up", "variant": "on" },
        ],
        "measurements": [{ "metric": "paid", "targetingKey": "ada", "value": 9.5 }],
    });
    for _ in 0..2 {
        let taken = send(batch.clone(), &shop.key).send().await.expect(StatusCode::ACCEPTED);
        assert_eq!(taken.body, json!({ "id": "b1" }));
    }
    // To a client key, a private flag is none.
    let private = json!({ "id": "b1", "exposures": [{ "flag": "a", "variant": "on" }] });
    send(private, &client).send().await.expect(StatusCode::ACCEPTED);

    let instance = shop.app.instance_token().await;
    let metrics = shop.app.get("/metrics").by(&instance).send().await.expect(StatusCode::OK).text;
    let at = r#"project="shop",environment="test""#;
    for line in [
        format!(r#"tidegate_exposures_total{{{at},flag="a",variant="on"}} 3"#),
        format!(r#"tidegate_exposures_total{{{at},flag="a",variant=""}} 1"#),
        format!("tidegate_exposures_unknown_total{{{at}}} 3"),
        format!("tidegate_measurements_total{{{at}}} 1"),
        format!("tidegate_events_dropped_total{{{at}}} 5"),
        format!("tidegate_event_batches_repeated_total{{{at}}} 1"),
    ] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("made-up") && !metrics.contains("ada"), "{metrics}");
    let insights = async |path: &str| shop.app.get(path).by(&instance).send().await.expect(StatusCode::OK).body;
    let of_flag = insights("/api/v1/projects/shop/flags/a/environments/test/insights").await;
    assert_eq!(of_flag["minutes"][0]["variants"], json!({ "": 1, "on": 3 }), "{of_flag}");
    assert_eq!(of_flag["rules"], json!({ "beta": 3 }), "{of_flag}");
    let of_all = insights("/api/v1/projects/shop/environments/test/insights").await;
    assert_eq!(of_all, json!({ "lastAt": { "a": of_flag["lastAt"] } }));

    for (wrong, field) in [
        (json!({ "exposures": [] }), "/id"),
        (json!({ "id": "" }), "/id"),
        (json!({ "id": "b2", "exposures": [{ "flag": "a", "count": 0 }] }), "/exposures/0/count"),
        (json!({ "id": "b2", "exposures": [{ "flag": "a", "unit": "ada" }] }), "/exposures/0/unit"),
        (json!({ "id": "b2", "measurements": [{ "metric": "" }] }), "/measurements/0/metric"),
        (json!({ "id": "b2", "exposures": vec![json!({ "flag": "a" }); 501] }), ""),
    ] {
        let refused = send(wrong, &shop.key).send().await.expect_problem(422, "invalid");
        let found = refused.body["field"].as_str().unwrap_or_default();
        assert!(found == field || field == "/id", "{}", refused.text);
    }
}

//! Notifications, from a change to what receivers get: the real use cases, store and notifier, on a clock that stands still, with a
//! messenger that does as it is told.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use axum::http::StatusCode;
use futures_util::FutureExt as _;
use serde_json::{Value as Json, json};
use tidegate_server::{
    app::{App, Role},
    notify::{Notifier, notifier},
    ports::{
        Messenger,
        notify::{Attempt, Message, Target},
        store::{Commit, DeliveryState, DocumentId, DocumentKind, Store, Write},
    },
    store::{Location, MemoryStore, SqlStore},
    telemetry::Metrics,
    testing::SeededIds,
};
use tokio::sync::Notify;

use crate::support::{
    app::{Answer, Caller, TestApp},
    within,
};

const CHANNELS: &str = "/api/v1/projects/shop/notification-channels";

/// Keeps what it is told to send, and answers as its script says for the receiver; without a script, all is well.
#[derive(Default)]
struct Scripted {
    sent: Mutex<Vec<Message>>,
    scripts: Mutex<BTreeMap<String, VecDeque<Attempt>>>,
    /// Receivers that hang until they are let go.
    hanging: Mutex<BTreeMap<String, Arc<Notify>>>,
}

impl Scripted {
    fn receiver(target: &Target) -> String {
        match target {
            Target::Webhook { url, .. } => url.trim_start_matches("https://").to_owned(),
            target => target.kind().to_owned(),
        }
    }

    fn script(&self, receiver: &str, attempts: impl IntoIterator<Item = Attempt>) {
        self.scripts.lock().unwrap().insert(receiver.to_owned(), attempts.into_iter().collect());
    }

    fn hang(&self, receiver: &str) -> Arc<Notify> {
        let hold = Arc::new(Notify::new());
        self.hanging.lock().unwrap().insert(receiver.to_owned(), Arc::clone(&hold));
        hold
    }

    /// Receiver and event of each message, since this was asked last.
    fn taken(&self) -> Vec<(String, String)> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.into_iter().map(|message| (Self::receiver(&message.target), message.notification.event)).collect()
    }
}

#[async_trait]
impl Messenger for Scripted {
    async fn send(&self, message: &Message) -> Attempt {
        let receiver = Self::receiver(&message.target);
        self.sent.lock().unwrap().push(message.clone());
        let hold = self.hanging.lock().unwrap().get(&receiver).cloned();
        if let Some(hold) = hold {
            hold.notified().await;
        }
        let scripted = self.scripts.lock().unwrap().get_mut(&receiver).and_then(VecDeque::pop_front);
        scripted.unwrap_or_else(|| Attempt::delivered(Some(200)))
    }

    fn check(&self, target: &Target) -> Result<(), String> {
        match target {
            Target::Slack { credential, .. } if credential == "unknown" => {
                Err("there is no such credential".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A shop with a flag, channels, and somebody who kills.
struct Shop {
    test: TestApp,
    messenger: Arc<Scripted>,
    admin: Caller,
    metrics: Metrics,
}

impl Shop {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new("epoch-1"))).await
    }

    async fn on(store: Arc<dyn Store>) -> Self {
        let messenger = Arc::new(Scripted::default());
        let test = TestApp::with_messenger_on(store, messenger.clone());
        test.project("shop", &["test", "production"]).await;
        let admin = test.project_token("shop", Role::Admin).await;
        let flag = json!({ "key": "checkout", "name": "Checkout", "kind": "boolean" });
        test.post("/api/v1/projects/shop/flags", flag).by(&admin).send().await.expect(StatusCode::CREATED);
        Self { test, messenger, admin, metrics: Metrics::new() }
    }

    fn app(&self) -> &App {
        &self.test.app
    }

    fn notifier(&self) -> Notifier {
        Notifier::new(self.app().clone(), &self.metrics)
    }

    async fn channel(&self, key: &str, more: Json) -> Answer {
        let mut body = json!({ "key": key, "name": key, "target": webhook(key) });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.test.post(CHANNELS, body).by(&self.admin).send().await
    }

    async fn webhook(&self, key: &str) {
        self.channel(key, json!({})).await.expect(StatusCode::CREATED);
    }

    async fn brake(&self, action: &str, environment: &str) {
        let path = format!("/api/v1/projects/shop/environments/{environment}/{action}");
        let body = json!({ "flag": "checkout", "reason": "it burns" });
        self.test.post(&path, body).by(&self.admin).send().await.expect(StatusCode::OK);
    }

    async fn deliveries(&self, channel: &str) -> Vec<Json> {
        let path = format!("{CHANNELS}/{channel}/deliveries");
        let page = self.test.get(&path).by(&self.admin).send().await.expect(StatusCode::OK).body;
        page["items"].as_array().unwrap().clone()
    }

    /// The audit log of a channel from the oldest row on: what was done, why, and what it says of it.
    async fn log(&self, channel: &str) -> Vec<(String, String, Json)> {
        let path = format!("/api/v1/audit?project=shop&resource=notificationChannel/{channel}");
        let page = self.test.get(&path).by(&self.admin).send().await.expect(StatusCode::OK).body;
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let rows = page["items"].as_array().unwrap().iter().rev();
        rows.map(|row| (text(&row["action"]), text(&row["reason"]), row["after"].clone())).collect()
    }

    async fn states(&self, channel: &str) -> Vec<(String, u64)> {
        let rows = self.deliveries(channel).await;
        rows.iter().map(|row| (row["state"].as_str().unwrap().to_owned(), row["attempts"].as_u64().unwrap())).collect()
    }
}

fn webhook(key: &str) -> Json {
    json!({ "kind": "webhook", "url": format!("https://{key}.example.org") })
}

fn sent(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, event)| (format!("{key}.example.org"), (*event).to_owned())).collect()
}

#[tokio::test]
async fn a_channel_is_told_what_it_wants_to_know() {
    let shop = Shop::new().await;
    shop.channel("all", json!({})).await.expect(StatusCode::CREATED);
    shop.channel("grave", json!({ "minSeverity": "critical" })).await.expect(StatusCode::CREATED);
    shop.channel("live", json!({ "environments": ["production"] })).await.expect(StatusCode::CREATED);
    let pager = json!({ "target": { "kind": "pagerDuty", "credential": "ops" }, "minSeverity": "critical" });
    shop.channel("pager", pager).await.expect(StatusCode::CREATED);
    let mut notifier = shop.notifier();
    notifier.work_off().await.unwrap();
    assert_eq!(shop.messenger.taken(), [], "setting up is nobody's news");

    for (action, environment, expected) in [
        ("kill", "test", vec!["all.example.org", "grave.example.org", "pagerDuty"]),
        ("restore", "test", vec!["all.example.org", "pagerDuty"]),
        ("kill", "production", vec!["all.example.org", "grave.example.org", "live.example.org", "pagerDuty"]),
    ] {
        shop.brake(action, environment).await;
        notifier.work_off().await.unwrap();
        let told: BTreeSet<_> = shop.messenger.taken().into_iter().map(|(receiver, _)| receiver).collect();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), expected, "{action} {environment}");
    }
    assert_eq!(shop.states("all").await, vec![("delivered".to_owned(), 1); 3]);
}

#[tokio::test]
async fn what_fails_is_tried_again_later_and_dies_after_a_day() {
    let shop = Shop::new().await;
    shop.webhook("down").await;
    shop.messenger.script("down.example.org", vec![Attempt::failed(Some(503), "the receiver answered 503"); 100]);
    shop.brake("kill", "production").await;
    let mut notifier = shop.notifier();
    notifier.work_off().await.unwrap();
    assert_eq!(shop.states("down").await, [("waiting".to_owned(), 1)]);
    let began = shop.app().clock.now();
    let mut waits = Vec::new();
    while let Some(due) = shop.app().store.delivery_queue().await.unwrap().next_due {
        let wait_ms = due.0 - shop.app().clock.now().0;
        shop.test.clock.advance_ms(wait_ms - 1);
        notifier.work_off().await.unwrap();
        assert_eq!(shop.messenger.taken().len(), 1, "not before its time");
        shop.test.clock.advance_ms(1);
        notifier.work_off().await.unwrap();
        waits.push(wait_ms);
    }
    assert_eq!(waits.len(), 55);
    assert!(
        waits.iter().enumerate().all(|(n, wait)| (1_000..=1_000 + (10_000 << n.min(9))).contains(wait)),
        "{waits:?}"
    );
    let hours = (shop.app().clock.now().0 - began.0) / 3_600_000;
    assert!((18..=30).contains(&hours), "{hours}");

    let [dead] = &shop.deliveries("down").await[..] else { panic!("there is one") };
    assert_eq!((&dead["state"], &dead["attempts"], &dead["status"]), (&json!("dead"), &json!(56), &json!(503)));
    assert_eq!((&dead["problem"], &dead["severity"]), (&json!("the receiver answered 503"), &json!("critical")));

    // Sent again by hand, once the receiver is there.
    shop.messenger.script("down.example.org", []);
    let id = dead["id"].as_str().unwrap();
    let path = format!("{CHANNELS}/down/deliveries/{id}/retry?reason=it%20is%20back");
    let retried = shop.test.post(&path, json!({})).by(&shop.admin).send().await.expect(StatusCode::OK).body;
    assert_eq!((&retried["state"], &retried["attempts"]), (&json!("waiting"), &json!(0)));
    notifier.work_off().await.unwrap();
    assert_eq!(shop.states("down").await, [("delivered".to_owned(), 1)]);
    let path = format!("{CHANNELS}/down/deliveries/msg_0/retry");
    shop.test.post(&path, json!({})).by(&shop.admin).send().await.expect_problem(404, "not_found");
    let noted = &shop.log("down").await[1..];
    assert_eq!(noted, [("notificationChannel.retry".to_owned(), "it is back".to_owned(), json!({ "message": id }))]);
}

#[tokio::test]
async fn who_wants_no_more_is_not_asked_again_and_who_wants_peace_has_it() {
    let shop = Shop::new().await;
    shop.webhook("gone").await;
    shop.webhook("busy").await;
    shop.messenger.script("gone.example.org", [Attempt::refused(Some(410), "the receiver answered 410")]);
    let busy = Attempt { retry_after_s: Some(1_800), ..Attempt::failed(Some(429), "the receiver answered 429") };
    shop.messenger.script("busy.example.org", [busy]);
    shop.brake("kill", "production").await;
    shop.notifier().work_off().await.unwrap();
    assert_eq!(shop.states("gone").await, [("dead".to_owned(), 1)]);
    let queue = shop.app().store.delivery_queue().await.unwrap();
    assert_eq!(queue.next_due.unwrap().0 - shop.app().clock.now().0, 1_800_000);
    assert_eq!(queue.n_waiting, 1);
}

/// Whatever happens between two steps, everybody gets everything, in order, and can tell what came twice.
#[tokio::test]
async fn a_crash_between_any_two_steps_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..200_u64 {
        // Some of them on a real database.
        let shop = if seed.is_multiple_of(20) {
            let location = Location::Sqlite(folder.path().join(format!("{seed}.db")));
            Shop::on(Arc::new(SqlStore::open(&location, "epoch-1").await.unwrap())).await
        } else {
            Shop::new().await
        };
        let chances = SeededIds::new(seed);
        for key in ["a", "b"] {
            shop.webhook(key).await;
        }
        let n_changes = 6;
        for n in 0..n_changes {
            shop.brake(if n % 2 == 0 { "kill" } else { "restore" }, "production").await;
            run_with_crashes(&shop, &chances, 3).await;
        }
        // In the end, nobody crashes any more.
        for _ in 0..100 {
            shop.test.clock.advance_ms(61_000);
            shop.notifier().work_off().await.unwrap();
        }
        assert_eq!(shop.app().store.delivery_queue().await.unwrap().n_waiting, 0, "seed {seed}");
        let sent = std::mem::take(&mut *shop.messenger.sent.lock().unwrap());
        for key in ["a", "b"] {
            let url = format!("{key}.example.org");
            let mut ids = Vec::new();
            for message in sent.iter().filter(|message| Scripted::receiver(&message.target) == url) {
                if !ids.contains(&(&message.id, message.notification.sequence)) {
                    ids.push((&message.id, message.notification.sequence));
                }
            }
            let rows: Vec<u64> = ids.iter().map(|(_, sequence)| *sequence).collect();
            assert_eq!(rows.len(), n_changes, "seed {seed}: each once, as its id says");
            assert!(rows.is_sorted(), "seed {seed}: {rows:?}");
        }
    }
}

/// One of the two servers on the database does the next steps, and may die after each.
async fn run_with_crashes(shop: &Shop, chances: &SeededIds, n_rounds: u32) {
    let dies = || chances.next_u64().is_multiple_of(3);
    for _ in 0..n_rounds {
        shop.test.clock.advance_ms(i64::try_from(chances.next_u64() % 40_000).unwrap());
        notifier::read_log(shop.app()).await.unwrap();
        if dies() {
            continue;
        }
        for delivery in notifier::take(shop.app(), 10).await.unwrap() {
            if dies() {
                break;
            }
            let (_, attempt) = notifier::send(shop.app(), &delivery).await.unwrap();
            let attempt = if dies() { Attempt::failed(None, "no answer in time") } else { attempt };
            if dies() {
                break;
            }
            notifier::record(shop.app(), &delivery, attempt, 1).await.unwrap();
        }
    }
}

#[tokio::test]
async fn two_notifiers_on_one_database_enqueue_once() {
    let shop = Shop::new().await;
    shop.webhook("ops").await;
    shop.brake("kill", "production").await;
    let (one, other) = (shop.app().clone(), shop.app().clone());
    let both = tokio::join!(async { while notifier::read_log(&one).await.unwrap().may_be_more {} }, async {
        while notifier::read_log(&other).await.unwrap().may_be_more {}
    });
    let ((), ()) = both;
    assert_eq!(shop.states("ops").await, [("waiting".to_owned(), 0)]);
    let first = notifier::take(&one, 10).await.unwrap();
    assert_eq!((first.len(), notifier::take(&other, 10).await.unwrap().len()), (1, 0));

    // The first one is slow; the second takes over, and what the first says of it then does not count.
    shop.test.clock.advance_ms(60_001);
    let second = notifier::take(&other, 10).await.unwrap();
    assert_eq!(second[0].id, first[0].id);
    let delivered = notifier::record(&other, &second[0], Attempt::delivered(Some(200)), 1).await.unwrap();
    notifier::record(&one, &first[0], Attempt::failed(None, "no answer in time"), 1).await.unwrap();
    assert_eq!(delivered, DeliveryState::Delivered);
    assert_eq!(shop.states("ops").await, [("delivered".to_owned(), 1)]);
}

/// Order, not time: the receiver never answers, and everything else happens meanwhile.
#[tokio::test]
async fn a_receiver_that_hangs_delays_nobody() {
    let shop = Shop::new().await;
    shop.webhook("hangs").await;
    shop.webhook("works").await;
    let hold = shop.messenger.hang("hangs.example.org");
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(shop.notifier().run(shutdown.clone()));
    shop.brake("kill", "production").await;
    within(async {
        while shop.messenger.sent.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The kill was answered before; now another change, and its message, while the first receiver still hangs.
    shop.brake("restore", "production").await;
    let arrived = || {
        shop.messenger
            .sent
            .lock()
            .unwrap()
            .iter()
            .filter(|it| Scripted::receiver(&it.target) == "works.example.org")
            .count()
    };
    within(async {
        while arrived() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let hanging = shop.messenger.taken().into_iter().filter(|(receiver, _)| receiver == "hangs.example.org").count();
    assert_eq!(hanging, 1, "it is asked for one message at a time");
    assert_eq!(shop.states("hangs").await, vec![("waiting".to_owned(), 0); 2]);

    // Let go, it gets the rest, in order.
    hold.notify_one();
    within(async {
        while shop.messenger.sent.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    hold.notify_one();
    within(async {
        while shop.states("hangs").await != vec![("delivered".to_owned(), 1); 2] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(shop.messenger.taken(), sent(&[("hangs", "flag.restored")]));
    shutdown.cancel();
    within(running).await.unwrap();
    let said = shop.metrics.render();
    let counted = r#"tidegate_notification_attempts_total{kind="webhook",outcome="delivered"} 4"#;
    assert!(said.contains(counted), "{said}");
}

#[tokio::test]
async fn an_archived_channel_is_told_no_more() {
    let shop = Shop::new().await;
    shop.webhook("ops").await;
    shop.brake("kill", "production").await;
    while notifier::read_log(shop.app()).await.unwrap().may_be_more {}
    let path = format!("{CHANNELS}/ops");
    shop.test.delete(&path).if_match(1).by(&shop.admin).send().await.expect(StatusCode::NO_CONTENT);
    shop.notifier().work_off().await.unwrap();
    assert_eq!(shop.messenger.taken(), []);
    assert_eq!(shop.states("ops").await, [("dead".to_owned(), 1)]);
    shop.brake("restore", "production").await;
    shop.notifier().work_off().await.unwrap();
    assert_eq!(shop.states("ops").await.len(), 1);
    shop.test.get(&path).by(&shop.admin).send().await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn of_a_channel_that_cannot_be_read_nothing_is_told_and_nothing_stays() {
    let shop = Shop::new().await;
    shop.webhook("ops").await;
    let id = DocumentId { kind: DocumentKind::NotificationChannel, scope: "shop".to_owned(), key: "ops".to_owned() };
    let at = shop.app().clock.now();
    let commit = Commit {
        at,
        writes: vec![Write { id: id.clone(), body: r#"{"keys":"whsec_hunter2"}"#.to_owned(), archived: false }],
        audit: vec![TestApp::request().audit(at, "poison", "by hand".to_owned())],
        ..Commit::default()
    };
    shop.app().store.commit(commit).await.unwrap();
    let page = shop.test.get(CHANNELS).by(&shop.admin).send().await.expect(StatusCode::OK).body;
    let broken = "the stored notificationChannel `ops` cannot be read: its text is damaged";
    assert_eq!(page["items"], json!([{ "key": "ops", "version": 2, "broken": broken }]));

    let path = format!("{CHANNELS}/ops");
    shop.test.delete(&path).if_match(2).by(&shop.admin).send().await.expect(StatusCode::NO_CONTENT);
    let left = shop.app().store.document(&id).await.unwrap().unwrap();
    assert_eq!((left.body.as_str(), left.archived), ("{}", true));
    let log = format!("{:?}", shop.app().store.audit_chain(0, 1_000).await.unwrap());
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn channels_are_made_changed_and_archived() {
    let shop = Shop::new().await;
    let made = shop.channel("ops", json!({ "minSeverity": "warning" })).await.expect(StatusCode::CREATED);
    let key = made.body["signingKey"].as_str().unwrap();
    assert!(key.starts_with("whsec_"), "{key}");
    let path = format!("{CHANNELS}/ops");
    let found = shop.test.get(&path).by(&shop.admin).send().await.expect(StatusCode::OK);
    assert_eq!((found.version(), found.body.get("signingKey")), (1, None));
    assert_eq!(found.body["target"], webhook("ops"));

    let change = json!({ "name": "Ops", "minSeverity": null, "environments": ["production", "production"] });
    let patched = shop.test.patch(&path, change).if_match(1).by(&shop.admin).send().await.expect(StatusCode::OK);
    let expected = (json!("Ops"), json!("info"), json!(["production"]));
    let body = &patched.body;
    assert_eq!((body["name"].clone(), body["minSeverity"].clone(), body["environments"].clone()), expected);
    shop.test
        .patch(&path, json!({ "name": "x" }))
        .if_match(1)
        .by(&shop.admin)
        .send()
        .await
        .expect_problem(412, "stale");
    let slack = json!({ "target": { "kind": "slack", "credential": "ops" } });
    shop.test.patch(&path, slack).if_match(2).by(&shop.admin).send().await.expect_problem(422, "invalid");

    let page = shop.test.get(CHANNELS).by(&shop.admin).send().await.expect(StatusCode::OK).body;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    shop.channel("ops", json!({})).await.expect_problem(409, "key_taken");
    let operator = shop.test.project_token("shop", Role::Operator).await;
    shop.test.get(CHANNELS).by(&operator).send().await.expect_problem(403, "forbidden");
}

#[tokio::test]
async fn a_channel_that_cannot_work_is_refused_where_it_is_wrong() {
    let shop = Shop::new().await;
    for (body, field) in [
        (json!({ "key": "a b" }), "/key"),
        (json!({ "name": "" }), "/name"),
        (json!({ "target": { "kind": "pigeon" } }), "/target/kind"),
        (json!({ "target": { "kind": "webhook", "url": "ftp://x" } }), "/target/url"),
        (json!({ "target": { "kind": "webhook", "url": "https://ada:secret@x" } }), "/target/url"),
        (json!({ "target": { "kind": "webhook", "url": "https://x", "secret": "y" } }), "/target/secret"),
        (json!({ "target": { "kind": "slack", "credential": "https://hooks.slack.com/x" } }), "/target/credential"),
        (json!({ "target": { "kind": "slack", "credential": "unknown" } }), "/target"),
        (json!({ "target": { "kind": "email", "to": [] } }), "/target/to"),
        (json!({ "target": { "kind": "email", "to": ["ada@example.org", "ada"] } }), "/target/to/1"),
        (json!({ "minSeverity": "grave" }), "/minSeverity"),
        (json!({ "environments": ["prod"] }), "/environments/0"),
        (json!({ "severity": "critical" }), "/severity"),
    ] {
        let refused = shop.channel("ops", body.clone()).await.expect_problem(422, "invalid");
        assert_eq!(refused.body["field"], field, "{body}");
    }
}

#[tokio::test]
async fn a_webhooks_key_is_nowhere_but_in_its_answer() {
    let shop = Shop::new().await;
    let body = json!({ "key": "ops", "name": "Ops", "target": webhook("ops") });
    let ask = || shop.test.post(CHANNELS, body.clone()).header("idempotency-key", "k1").by(&shop.admin).send();
    let made = ask().await.expect(StatusCode::CREATED).body;
    let first = made["signingKey"].as_str().unwrap().to_owned();
    assert_eq!(ask().await.expect(StatusCode::CREATED).body.get("signingKey"), None, "shown once");

    let path = format!("{CHANNELS}/ops/key");
    let change = |version| shop.test.post(&path, json!({})).if_match(version).by(&shop.admin).send();
    change(7).await.expect_problem(412, "stale");
    let changed = change(1).await.expect(StatusCode::OK).body;
    let second = changed["signingKey"].as_str().unwrap().to_owned();
    assert_eq!(changed["previousKeyUntil"], "2026-01-02T00:00:00Z");

    // For a day, messages are signed with both.
    let keys = async || {
        shop.brake("kill", "production").await;
        shop.brake("restore", "production").await;
        shop.notifier().work_off().await.unwrap();
        let sent = std::mem::take(&mut *shop.messenger.sent.lock().unwrap());
        sent.last().unwrap().keys.iter().map(|key| key.0.clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys().await, [second.clone(), first.clone()]);
    shop.test.clock.advance_ms(24 * 3_600_000);
    assert_eq!(keys().await, std::slice::from_ref(&second));

    let log = format!("{:?}", shop.app().store.audit_chain(0, 1_000).await.unwrap());
    assert!(log.contains("notificationChannel.changeKey"), "{log}");
    shop.test
        .delete(&format!("{CHANNELS}/ops"))
        .if_match(2)
        .by(&shop.admin)
        .send()
        .await
        .expect(StatusCode::NO_CONTENT);
    let log = log + &format!("{:?}", shop.app().store.audit_chain(0, 1_000).await.unwrap());
    for key in [&first, &second] {
        assert!(!log.contains(key.trim_start_matches("whsec_")), "a key is in the audit log");
    }
}

#[tokio::test]
async fn a_test_message_says_what_happened() {
    let shop = Shop::new().await;
    shop.webhook("ops").await;
    let path = format!("{CHANNELS}/ops/test");
    let ask = || shop.test.post(&path, json!({})).by(&shop.admin).send();
    let told = ask().await.expect(StatusCode::OK).body;
    assert_eq!(told, json!({ "delivered": true, "status": 200, "problem": null, "durationMs": 0 }));
    shop.messenger.script("ops.example.org", [Attempt::failed(None, "the host's name is not known")]);
    let told = ask().await.expect(StatusCode::OK).body;
    let expected = json!({
        "delivered": false, "status": null, "problem": "the host's name is not known", "durationMs": 0,
    });
    assert_eq!(told, expected);
    assert_eq!(shop.messenger.taken(), sent(&[("ops", "test"), ("ops", "test")]));
    assert!(shop.deliveries("ops").await.is_empty());
    assert!(ask().now_or_never().is_some(), "nobody is waited for");
}

#[tokio::test]
async fn a_test_message_is_in_the_audit_log_and_nobody_is_notified_of_it() {
    let shop = Shop::new().await;
    shop.webhook("ops").await;
    let path = format!("{CHANNELS}/ops/test");
    shop.test.post(&format!("{path}?reason=new"), json!({})).by(&shop.admin).send().await.expect(StatusCode::OK);
    shop.messenger.script("ops.example.org", [Attempt::failed(None, "the host's name is not known")]);
    shop.test.post(&path, json!({})).by(&shop.admin).send().await.expect(StatusCode::OK);
    let log = shop.log("ops").await;
    let noted: Vec<_> = log.iter().map(|(action, reason, _)| (action.as_str(), reason.as_str())).collect();
    let test = "notificationChannel.test";
    assert_eq!(noted, [("notificationChannel.create", ""), (test, "new"), (test, "")]);
    let ids: Vec<_> =
        shop.messenger.sent.lock().unwrap().iter().map(|message| json!({ "message": message.id })).collect();
    assert_eq!(ids, [log[1].2.clone(), log[2].2.clone()]);

    shop.notifier().work_off().await.unwrap();
    assert_eq!(shop.messenger.taken(), sent(&[("ops", "test"), ("ops", "test")]));
    assert!(shop.deliveries("ops").await.is_empty());

    let operator = shop.test.project_token("shop", Role::Operator).await;
    shop.test.post(&path, json!({})).by(&operator).send().await.expect_problem(403, "forbidden");
    shop.test
        .post(&format!("{CHANNELS}/gone/test"), json!({}))
        .by(&shop.admin)
        .send()
        .await
        .expect_problem(404, "not_found");
    assert_eq!(shop.log("ops").await.len(), 3);
}

//! Rollouts on real servers, with real SDKs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::ConnectOptions as _;
use tidegate::{Client, Context, Status};
use tidegate_server::{
    ports::store::Store as _,
    store::{Location, SqlStore},
};

use crate::support::{
    DEADLINE,
    binary::Server,
    postgres,
    rollout::{Rolling, Told, check_moves, checkout},
    shop::RealShop,
    until,
};

/// The one that has the lease dies while batches are on their way to both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "measures")]
async fn another_server_goes_on_where_the_one_that_died_was() {
    let database = postgres::database().await;
    let url = database.to_url_lossy().to_string();
    let store = SqlStore::open(&Location::Postgres(Box::new(database)), "epoch").await.unwrap();
    let shop = RealShop::on_database(&url).await.with(&checkout()).await;
    let spec = json!({
        "steps": [
            { "share": 10_000, "bakeMs": 1_000, "gates": [] },
            { "share": 25_000, "bakeMs": 1_000, "approval": true },
            { "share": 50_000, "bakeMs": 600_000 },
            { "share": 100_000, "bakeMs": 600_000 },
        ],
        "gates": [{ "key": "errors", "metric": "errors" }],
    });
    let rolling = Rolling::start(&shop, spec).await;
    rolling.at_step(0).await;
    // Whoever comes later does not have the lease.
    let folder = tempfile::tempdir().unwrap();
    let survivor = Server::start(folder.path(), &["--database", &url]);
    rolling.servers.send_modify(|servers| servers.push(survivor.url.clone()));
    let client = Client::builder(&survivor.url, &shop.key).without_telemetry().connect().unwrap();
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    rolling.at_step(1).await;

    let application = rolling.application(25_000, (100, 200));
    let n_answers = rolling.n_answers();
    until("many batches are acknowledged", async || rolling.n_answers() > n_answers + 100).await;
    let epoch = async || store.lease("rollouts").await.unwrap().unwrap().epoch;
    let before = epoch().await;
    shop.server.kill();
    let died = Instant::now();
    until("the other one has the lease", async || epoch().await > before).await;
    println!("taken over after {:?}", died.elapsed());
    let told = application.stop().await;
    rolling.counts(&told).await;

    rolling.approve().await;
    rolling.at_step(2).await;
    let users: Vec<_> = (0..100).map(|n| Context::new(format!("asker-{n}"))).collect();
    let n_on = || users.iter().filter(|user| client.bool("checkout", false, user)).count();
    until("half of all have the new variant", async || (30..70).contains(&n_on())).await;
    let application = rolling.application(50_000, (500, 0));
    rolling.until("it is rolled back", |view| view["status"]["state"] == "rolledBack").await;
    application.stop().await;
    until("the SDK serves the old variant", async || n_on() == 0).await;
    let moves = [
        ("rollout.start", None),
        ("rollout.advance", Some(0)),
        ("rollout.advance", Some(1)),
        ("rollout.approve", Some(1)),
        ("rollout.advance", Some(2)),
        ("rollout.rollBack", Some(2)),
    ];
    check_moves(&store, &rolling.id, &moves).await;
    store.close().await;
}

/// A rollout that begins with an A/A bake, and an SDK that is there.
async fn a_a() -> (RealShop, Arc<Rolling>, Client) {
    let shop = RealShop::new().await.with(&checkout()).await;
    let spec = json!({
        "steps": [
            { "share": 0, "bakeMs": 1_000, "approval": true },
            { "share": 50_000, "bakeMs": 600_000 },
            { "share": 100_000, "bakeMs": 600_000 },
        ],
        "gates": [{ "key": "errors", "metric": "errors" }],
    });
    let rolling = Rolling::start(&shop, spec).await;
    rolling.at_step(0).await;
    let client = shop.client().telemetry_interval(Duration::from_millis(50)).connect().unwrap();
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    (shop, rolling, client)
}

fn users() -> impl Iterator<Item = Context> {
    (0..4_000).map(|n| Context::new(format!("user-{n}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_a_a_bake_fills_both_arms_with_the_old_variant_and_goes_on() {
    let (_shop, rolling, client) = a_a().await;
    let mut told = Told::default();
    for (n, user) in users().enumerate() {
        let said = client.bool_details("checkout", true, &user);
        assert_eq!((said.value, said.variant.as_deref()), (false, Some("off")));
        let Some(bucket) = said.bucket else { continue };
        let fails = n.is_multiple_of(20);
        if fails {
            client.track("errors", &user, None);
        }
        told = told + Told::user(bucket, 50_000, fails);
    }
    assert!(told.seen.treatment.abs_diff(told.seen.control) < 200, "{told:?}");
    rolling.counts(&told).await;
    rolling.approve().await;
    rolling.at_step(1).await;
    until("those of treatment have the new variant", async || {
        users().filter(|user| client.bool("checkout", false, user)).count() as u64 == told.seen.treatment
    })
    .await;
}

/// As where the pages of those who will have the new variant lose what they tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_a_a_bake_holds_where_one_arm_is_heard_of_less() {
    let (shop, rolling, client) = a_a().await;
    let unheard = shop.client().without_telemetry().connect().unwrap();
    assert_eq!(unheard.wait_ready(DEADLINE).await, Ok(Status::Ready));
    for (n, user) in users().enumerate() {
        let bucket = unheard.bool_details("checkout", true, &user).bucket;
        if bucket >= Some(50_000) || n.is_multiple_of(2) {
            client.bool("checkout", true, &user);
        }
    }
    let view = rolling.until("it holds", |view| view["status"]["waiting"] == "sampleRatio").await;
    assert_eq!((&view["status"]["step"], &view["share"]), (&json!(0), &json!(0)), "{view:#}");
    assert!(users().all(|user| !unheard.bool("checkout", true, &user)));
}

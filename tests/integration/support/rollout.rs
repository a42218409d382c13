//! A rollout on real servers, which may die, and an application that tells of its users.

use std::{
    ops::Add,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value as Json, json};
use tidegate_core::bucket::{self, BUCKETS, Seed};
use tidegate_rollout::Arms;
use tidegate_server::{audit, ports::store::Store};
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, shop::RealShop, within};

const ROLLOUTS: &str = "projects/shop/environments/test/rollouts";

/// A rollout of `on` for the flag `checkout`, which is `off` for everybody.
pub struct Rolling {
    pub id: String,
    /// Where it is asked, one server after the other until one answers.
    pub servers: watch::Sender<Vec<String>>,
    seed: Seed,
    token: String,
    key: String,
    client: Client,
    n_batches: AtomicU64,
    n_answers: AtomicU64,
}

/// The flag as it is before a rollout.
pub fn checkout() -> Json {
    json!({ "flags": [{
        "key": "checkout", "kind": "boolean", "enabled": true, "salt": "checkout", "offVariant": "off",
        "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }], "default": { "variant": "off" },
    }] })
}

impl Rolling {
    /// Starts it in a shop with [`checkout`].
    pub async fn start(shop: &RealShop, spec: Json) -> Arc<Self> {
        let start = json!({ "flag": "checkout", "variant": "on", "spec": spec });
        let started = shop.post(ROLLOUTS, &start).await;
        let text = |field: &str| started[field].as_str().unwrap().to_owned();
        Arc::new(Self {
            id: text("id"),
            servers: watch::Sender::new(vec![shop.server.url.clone()]),
            seed: Seed::new(&text("salt")),
            token: shop.token.clone(),
            key: shop.key.clone(),
            client: Client::new(),
            n_batches: AtomicU64::new(0),
            n_answers: AtomicU64::new(0),
        })
    }

    /// How many requests were answered so far.
    pub fn n_answers(&self) -> u64 {
        self.n_answers.load(Ordering::SeqCst)
    }

    /// Asks until a server answers, that of number `first` at first. What is not answered may have been done.
    async fn ask(&self, first: usize, request: impl Fn(&Client, &str) -> RequestBuilder) -> (StatusCode, Json) {
        let mut n_asked = first;
        within(async {
            loop {
                let servers = self.servers.borrow().clone();
                let answer = request(&self.client, &servers[n_asked % servers.len()]).send().await;
                if let Ok(answer) = answer
                    && let status = answer.status()
                    && status != StatusCode::SERVICE_UNAVAILABLE
                    && let Ok(body) = answer.json().await
                {
                    self.n_answers.fetch_add(1, Ordering::SeqCst);
                    return (status, body);
                }
                n_asked += 1;
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    async fn get(&self, path: &str) -> Json {
        let request = |client: &Client, url: &str| client.get(format!("{url}/api/v1/{path}")).bearer_auth(&self.token);
        self.ask(0, request).await.1
    }

    /// What the API says of it.
    pub async fn view(&self) -> Json {
        self.get(&format!("{ROLLOUTS}/{}", self.id)).await
    }

    /// Waits until the API says so.
    pub async fn until(&self, what: &str, holds: impl Fn(&Json) -> bool) -> Json {
        let mut view = Json::Null;
        let waiting = async {
            loop {
                view = self.view().await;
                if holds(&view) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(waited.is_ok(), "it never came that {what}: {view:#}");
        view
    }

    /// Waits until it is at that step.
    pub async fn at_step(&self, step: u64) {
        self.until(&format!("it is at step {step}"), |view| view["status"]["step"] == step).await;
    }

    /// Waits until it counts these units at its step. Counts only grow: what counts more never comes by it, where all of it is told.
    pub async fn counts(&self, told: &Told) {
        let expected = json!([told.seen, told.met]);
        let counted = |view: &Json| json!([view["live"]["units"], view["live"]["gates"][0]["met"]]);
        self.until(&format!("it counts {expected}"), |view| counted(view) == expected).await;
    }

    /// A person approves the next step.
    pub async fn approve(&self) {
        let generation = self.until("it waits for it", |view| view["status"]["waiting"] == "approval").await;
        let generation = format!("\"{}\"", generation["status"]["generation"]);
        let path = format!("api/v1/{ROLLOUTS}/{}/actions", self.id);
        let body = json!({ "action": "approve", "reason": "looks well" });
        let request = |client: &Client, url: &str| {
            let request = client.post(format!("{url}/{path}")).bearer_auth(&self.token);
            request.header("If-Match", &generation).json(&body)
        };
        let (status, answer) = self.ask(0, request).await;
        // Done already, where the answer was lost.
        assert!([StatusCode::OK, StatusCode::PRECONDITION_FAILED].contains(&status), "{status} {answer:#}");
    }

    /// What the flag's default serves.
    pub async fn default(&self) -> Json {
        self.get("projects/shop/flags/checkout/environments/test").await["default"].clone()
    }

    /// New users come by at that share, with chances in a thousand to fail with the new variant and with the old one.
    pub fn application(self: &Arc<Self>, share: u32, chances: (u64, u64)) -> Application {
        const N_TELLERS: usize = 4;
        let stop = CancellationToken::new();
        let tell = || Arc::clone(self).tell(share, chances, stop.clone());
        let tellers = (0..N_TELLERS).map(|_| tell()).collect();
        Application { tellers, stop }
    }

    async fn tell(self: Arc<Self>, share: u32, (with_on, with_off): (u64, u64), stop: CancellationToken) -> Told {
        let (mut told, compared) = (Told::default(), share.min(BUCKETS - share));
        while !stop.is_cancelled() {
            let (mut exposures, mut measurements) = (Vec::new(), Vec::new());
            let batch = self.n_batches.fetch_add(1, Ordering::SeqCst);
            for n in 0..10 {
                let user = format!("user-{batch}-{n}");
                let bucket = self.seed.bucket(&user);
                let is_on = bucket < share;
                let fails = bucket::hash(&format!("luck of {user}")) % 1_000 < if is_on { with_on } else { with_off };
                let variant = if is_on { "on" } else { "off" };
                exposures.push(json!({ "flag": "checkout", "variant": variant, "targetingKey": user }));
                if fails {
                    measurements.push(json!({ "metric": "errors", "targetingKey": user }));
                }
                told = told + Told::user(bucket, compared, fails);
            }
            let body = json!({ "id": format!("batch-{batch}"), "exposures": exposures, "measurements": measurements });
            let request = |client: &Client, url: &str| {
                client.post(format!("{url}/api/v1/events")).bearer_auth(&self.key).json(&body)
            };
            let (status, answer) = self.ask(usize::try_from(batch).unwrap(), request).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{answer:#}");
            told.n_batches += 1;
        }
        told
    }
}

/// Tells of new users until it is stopped: each batch again and again, until it is acknowledged.
pub struct Application {
    tellers: JoinSet<Told>,
    stop: CancellationToken,
}

impl Application {
    /// What was acknowledged, which is all of it.
    pub async fn stop(self) -> Told {
        self.stop.cancel();
        self.tellers.join_all().await.into_iter().fold(Told::default(), Told::add)
    }
}

/// What an application told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// The users that are compared.
    pub seen: Arms,
    /// Those of them who failed.
    pub met: Arms,
    pub n_batches: u64,
}

impl Told {
    /// Of a user with that bucket, where so many buckets are compared at each end.
    pub fn user(bucket: u32, compared: u32, fails: bool) -> Self {
        let (treatment, control) = (bucket < compared, bucket >= BUCKETS - compared);
        let seen = Arms { treatment: treatment.into(), control: control.into() };
        Self { seen, met: if fails { seen } else { Arms::default() }, n_batches: 0 }
    }
}

impl Add for Told {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let add = |one: Arms, other: Arms| Arms {
            treatment: one.treatment + other.treatment,
            control: one.control + other.control,
        };
        Self {
            seen: add(self.seen, other.seen),
            met: add(self.met, other.met),
            n_batches: self.n_batches + other.n_batches,
        }
    }
}

/// Checks what the audit log has of a rollout but for its waits: what was done, and at which step it was then. Each move is one generation.
pub async fn check_moves(store: &dyn Store, id: &str, expected: &[(&str, Option<u64>)]) {
    audit::verify(store).await.expect("the audit chain is broken");
    let resource = format!("rollout/{id}");
    let rows = store.audit_chain(0, u32::MAX).await.unwrap();
    let rows = rows.iter().map(|row| &row.entry);
    let moves = rows.filter(|entry| entry.resource == resource && entry.action != "rollout.wait");
    let moves: Vec<_> = moves.map(|entry| (entry.action.as_str(), &entry.after["status"])).collect();
    let made: Vec<_> = moves.iter().map(|(action, status)| (*action, status["step"].as_u64())).collect();
    assert_eq!(made, expected);
    assert!((1..).zip(&moves).all(|(n, (_, status))| status["generation"] == n), "{moves:#?}");
}

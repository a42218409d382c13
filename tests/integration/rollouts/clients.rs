//! Whoever tells of what users were served: servers and browsers that evaluate, browsers that are served values, and what knows the targeting
//! key alone.

use serde_json::{Value as Json, json};
use tidegate_core::{Context, Timestamp, bucket::Seed, evaluate, ruleset::Outline, tree::Write as _};
use tidegate_protocol::{
    events::{EventBatch, Exposure, UnitHash},
    message::ClientContext,
};
use tidegate_server::app::SdkKeyKind;

use super::{Caller, FLAG, Shop, StatusCode, environment, kinds::SEGMENTS};
use crate::client_keys::Browser;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Teller {
    Server,
    /// Of a client key that is told rules.
    Browser,
    /// Of a client key that is served values.
    Served,
    /// Something that knows the targeting key.
    ByKey,
}

const TELLERS: [Teller; 4] = [Teller::Server, Teller::Browser, Teller::Served, Teller::ByKey];

/// So many users come at every step.
const N_USERS: usize = 60;

fn key(user: usize) -> String {
    format!("user-{user}")
}

fn context(user: usize) -> Json {
    json!({ "targetingKey": key(user), "country": if is_german(user) { "DE" } else { "FR" } })
}

fn is_german(user: usize) -> bool {
    user.is_multiple_of(3)
}

fn is_internal(user: usize) -> bool {
    user < 10
}

/// A shop, and how its users are heard of.
struct Visits {
    shop: Shop,
    teller: Teller,
    /// Of each user, where they have one.
    browsers: Vec<Browser>,
    /// What they were served, in their order.
    served: Vec<Exposure>,
}

impl Visits {
    async fn new(teller: Teller, mut configuration: Json) -> Self {
        let shop = Shop::new().await;
        let internal: Vec<_> = (0..N_USERS).filter(|user| is_internal(*user)).map(key).collect();
        let segment = json!({ "key": "internal", "name": "Internal", "included": internal });
        shop.test.post(SEGMENTS, segment).by(&shop.operator).send().await.expect(StatusCode::CREATED);
        configuration["availability"] = json!(if teller == Teller::Browser { "rules" } else { "values" });
        shop.test.patch(FLAG, configuration).by(&shop.operator).if_match(1).send().await.expect(StatusCode::OK);
        let mut browsers = Vec::new();
        if matches!(teller, Teller::Browser | Teller::Served) {
            let Caller::Bearer(key) = shop.test.sdk_key("shop", "test", SdkKeyKind::Client).await else {
                unreachable!()
            };
            let address = shop.test.listen().await;
            for user in 0..N_USERS {
                let context = ClientContext { context: context(user), signature: None };
                browsers.push(Browser::open(address, &key, context).await);
            }
        }
        Self { shop, teller, browsers, served: Vec::new() }
    }

    /// All users ask, and what they are served is told. What they were served before is told late.
    async fn at_this_step(&mut self) {
        self.tell().await;
        let hub = self.shop.test.state.streams.hub(&environment()).await.unwrap();
        let front = hub.front().await;
        let version = front.compiled.ruleset.outline("checkout").unwrap().version();
        self.served.clear();
        for user in 0..N_USERS {
            let ruleset = match self.browsers.get_mut(user) {
                Some(browser) => {
                    let of = |browser: &Browser| browser.ruleset.outline("checkout").map(Outline::version);
                    browser.until(|browser| of(browser) == Some(version)).await;
                    &browser.ruleset
                }
                None => &front.compiled.ruleset,
            };
            let ctx: Context = serde_json::from_value(context(user)).unwrap();
            let said = evaluate(ruleset, "checkout", &ctx, Timestamp(0));
            self.served.push(Exposure {
                flag: "checkout".to_owned(),
                variant: said.variant.map(str::to_owned),
                version,
                unit: Some(UnitHash::of(&key(user))),
                bucket: said.cohort(),
                rule: None,
                count: 1,
                at: 0,
            });
        }
        self.tell().await;
    }

    async fn tell(&mut self) {
        self.shop.n_batches += 1;
        let id = format!("b{}", self.shop.n_batches);
        let batch = EventBatch { id, exposures: self.served.clone(), ..EventBatch::default() };
        let body = match self.teller {
            Teller::Browser | Teller::Served => {
                for (browser, exposure) in self.browsers.iter_mut().zip(batch.exposures) {
                    let id = format!("{} of {:?}", batch.id, exposure.unit);
                    browser.tell(EventBatch { id, exposures: vec![exposure], ..EventBatch::default() }).await;
                }
                return;
            }
            Teller::Server => {
                let mut text = String::new();
                batch.write(&mut text);
                serde_json::from_str::<Json>(&text).unwrap()
            }
            Teller::ByKey => {
                let told = (0..).zip(&batch.exposures).map(|(user, exposure)| {
                    json!({ "flag": exposure.flag, "variant": exposure.variant, "targetingKey": key(user) })
                });
                json!({ "id": batch.id, "exposures": told.collect::<Vec<_>>() })
            }
        };
        let shop = &self.shop;
        shop.test.post("/api/v1/events", body).by(&shop.sdk).send().await.expect(StatusCode::ACCEPTED);
    }
}

/// Of the users who come at each step, those `compared` are, in the arms of their buckets, at the step of 50 %.
async fn check(teller: Teller, configuration: Json, first: Option<Json>, compared: impl Fn(usize) -> bool) {
    let what = format!("{teller:?} with {configuration} after {first:?}");
    let mut visits = Visits::new(teller, configuration).await;
    let n_before = first.iter().len();
    let later = [json!({ "share": 50_000, "bakeMs": 60_000 }), json!({ "share": 100_000, "bakeMs": 60_000 })];
    let steps: Vec<_> = first.into_iter().chain(later).collect();
    let id = visits.shop.start(json!({ "steps": steps, "gates": [{ "key": "errors", "metric": "errors" }] })).await;
    for step in 0..=n_before {
        assert_eq!(visits.shop.rollout(&id).await["status"]["step"], step, "{what}");
        visits.at_this_step().await;
        visits.shop.pass(10, 0, (0, 0)).await;
    }
    let rollout = visits.shop.rollout(&id).await;
    let seed = Seed::new(rollout["salt"].as_str().unwrap());
    let (treatment, control): (Vec<_>, Vec<_>) =
        (0..N_USERS).filter(|user| compared(*user)).partition(|user| seed.bucket(&key(*user)) < 50_000);
    let expected = json!({ "treatment": treatment.len(), "control": control.len() });
    assert_eq!(rollout["live"]["units"], expected, "{what}");
}

#[tokio::test]
async fn whoever_tells_users_are_compared_by_the_rollouts_draw() {
    for teller in TELLERS {
        check(teller, json!({}), None, |_| true).await;
        let a_a = json!({ "share": 0, "bakeMs": 5_000 });
        check(teller, json!({}), Some(a_a), |_| true).await;
    }
}

/// Whom the segment had at the first step, and who had the old variant then, without a draw.
#[tokio::test]
async fn after_a_step_for_a_segment_all_others_are_compared() {
    let internal = json!({ "share": 0, "bakeMs": 5_000, "segments": ["internal"], "gates": [] });
    for teller in TELLERS {
        let knows = teller == Teller::Server;
        check(teller, json!({}), Some(internal.clone()), |user| knows && !is_internal(user)).await;
    }
}

/// Only who evaluates knows whether something else than the draw decided; a browser is told no rules that tell of somebody.
#[tokio::test]
async fn whom_the_flag_serves_otherwise_is_in_neither_arm() {
    let conditions = json!([{ "attribute": "country", "operator": "in", "values": ["DE"] }]);
    let targets: Vec<_> = (0..N_USERS).filter(|user| is_internal(*user)).map(key).collect();
    for (teller, variant) in TELLERS.into_iter().flat_map(|teller| [(teller, "on"), (teller, "off")]) {
        let knows = teller == Teller::Server;
        let target = json!({ "targets": [{ "variant": variant, "values": targets }] });
        check(teller, target, None, |user| knows && !is_internal(user)).await;
        let knows = knows || teller == Teller::Browser;
        let rule = json!({ "rules": [{ "conditions": conditions, "serve": { "variant": variant } }] });
        check(teller, rule, None, |user| knows && !is_german(user)).await;
        // A draw of the rule's own says nothing of the rollout.
        let weights =
            json!([{ "variant": variant, "weight": 70_000 }, { "variant": other(variant), "weight": 30_000 }]);
        let rule = json!({ "conditions": conditions, "serve": { "distribution": { "weights": weights } } });
        check(teller, json!({ "rules": [rule] }), None, |user| knows && !is_german(user)).await;
    }
}

fn other(variant: &str) -> &str {
    if variant == "on" { "off" } else { "on" }
}

#[tokio::test]
async fn a_limit_is_watched_where_everybody_has_the_variant() {
    for teller in TELLERS {
        let mut visits = Visits::new(teller, json!({})).await;
        let gate = json!({ "key": "errors", "metric": "errors", "limit": { "share": 0.2 } });
        let steps = json!([{ "share": 100_000, "bakeMs": 60_000 }]);
        let id = visits.shop.start(json!({ "steps": steps, "gates": [gate] })).await;
        visits.at_this_step().await;
        let failures: Vec<_> =
            (0..N_USERS / 2).map(|user| json!({ "metric": "errors", "targetingKey": key(user) })).collect();
        let shop = &mut visits.shop;
        let batch = json!({ "id": "failures", "measurements": failures });
        shop.test.post("/api/v1/events", batch).by(&shop.sdk).send().await.expect(StatusCode::ACCEPTED);
        shop.pass(5, 0, (0, 0)).await;
        let rollout = shop.rollout(&id).await;
        assert_eq!(rollout["status"]["state"], "rolledBack", "{teller:?}: {rollout:#}");
    }
}

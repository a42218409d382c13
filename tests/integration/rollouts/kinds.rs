//! What else a rollout may be told: segments before shares, times, one at a time, guards, gates that are not heeded, templates, restarts.

use serde_json::{Value as Json, json};

use tidegate_core::{Context, bucket::Seed, evaluate};

use super::{Answer, Caller, FLAG, ROLLOUTS, Role, Shop, StatusCode, environment, steps};

pub(super) const SEGMENTS: &str = "/api/v1/projects/shop/environments/test/segments";

impl Shop {
    async fn configuration(&self) -> Json {
        self.test.get(FLAG).by(&self.operator).send().await.expect(StatusCode::OK).body
    }

    async fn try_start(&self, body: Json) -> Answer {
        self.test.post(ROLLOUTS, body).by(&self.operator).send().await
    }

    async fn admin(&self) -> Caller {
        self.test.project_token("shop", Role::Admin).await
    }

    /// The share, and what it waits for.
    async fn standing(&self, id: &str) -> (u64, String) {
        let rollout = self.rollout(id).await;
        let waiting = rollout["status"]["waiting"].as_str().unwrap_or_default().to_owned();
        (rollout["share"].as_u64().unwrap(), waiting)
    }

    async fn generation(&self, id: &str) -> u64 {
        self.rollout(id).await["status"]["generation"].as_u64().unwrap()
    }

    async fn override_gate(&self, id: &str, action: &str, gate: &str) -> Answer {
        let body = json!({ "action": action, "gate": gate, "reason": "we know of these errors" });
        let generation = self.generation(id).await;
        let call = self.test.post(&format!("{ROLLOUTS}/{id}/actions"), body).by(&self.operator);
        call.if_match(generation).send().await
    }

    /// So long after now, as RFC 3339 and by a clock in UTC.
    fn later(&self, ms: i64) -> (String, String) {
        let at = tidegate_core::Timestamp(self.test.app.clock.now().0 + ms);
        let text = tidegate_server::app::moment::Moment(at).to_string();
        (text.clone(), text[..19].to_owned())
    }
}

#[tokio::test]
async fn segments_come_first_and_everybody_later() {
    let mut shop = Shop::new().await;
    let body = json!({ "key": "internal", "name": "Internal", "included": ["ada", "bob"] });
    shop.test.post(SEGMENTS, body).by(&shop.operator).send().await.expect(StatusCode::CREATED);
    let spec = json!({ "steps": [
        { "share": 0, "bakeMs": 60_000, "segments": ["internal"] },
        { "share": 50_000, "bakeMs": 60_000 }, { "share": 100_000, "bakeMs": 60_000 },
    ] });
    let mut missing = spec.clone();
    missing["steps"][0]["segments"] = json!(["internal", "beta"]);
    let refused = shop.try_start(json!({ "flag": "checkout", "variant": "on", "spec": missing })).await;
    let refused = refused.expect(StatusCode::UNPROCESSABLE_ENTITY).body;
    assert_eq!(refused["field"], "/spec/steps/0/segments/1", "{refused:#}");

    let id = shop.start(spec).await;
    assert_eq!((shop.served("ada").await, shop.served("eve").await, shop.n_on().await), (true, false, 0));
    let segment = format!("{SEGMENTS}/internal");
    let refused = shop.test.delete(&segment).by(&shop.operator).if_match(1).send().await;
    assert!(refused.expect(StatusCode::CONFLICT).body["detail"].as_str().unwrap().contains("flag `checkout`"));

    shop.pass(65, 0, (0, 0)).await;
    let n_on = shop.n_on().await;
    assert!(shop.served("ada").await && (400..600).contains(&n_on), "beside the share: {n_on}");
    shop.act(&id, "rollBack", None).await.expect(StatusCode::OK);
    assert_eq!((shop.served("ada").await, shop.n_on().await), (false, 0));
    assert_eq!(shop.configuration().await["rules"], json!([]));
}

#[tokio::test]
async fn an_a_a_bake_serves_the_old_variant_and_holds_where_the_arms_differ() {
    let mut shop = Shop::new().await;
    let spec = json!({
        "steps": [{ "share": 0, "bakeMs": 60_000 }, { "share": 50_000, "bakeMs": 60_000 }, { "share": 100_000, "bakeMs": 60_000 }],
        "gates": [{ "key": "errors", "metric": "errors" }],
    });
    let id = shop.start(spec).await;
    assert_eq!(shop.n_on().await, 0);
    // An SDK's evaluations have the bucket that says who is compared.
    let hub = shop.test.state.streams.hub(&environment()).await.unwrap();
    let (front, now) = (hub.front().await, shop.test.app.clock.now());
    let seed = Seed::new(shop.rollout(&id).await["salt"].as_str().unwrap());
    for user in ["ada", "bob", "eve"] {
        let said = evaluate(&front.compiled.ruleset, "checkout", &Context::new(user), now);
        assert_eq!((said.variant, said.bucket), (Some("off"), Some(seed.bucket(user))));
    }
    shop.pass(30, 50, (10, 10)).await;
    let rollout = shop.rollout(&id).await;
    let units = &rollout["live"]["units"];
    assert!(units["treatment"].as_u64().unwrap() > 100 && units["control"].as_u64().unwrap() > 100, "{rollout:#}");
    shop.pass(40, 50, (10, 10)).await;
    assert_eq!(shop.configuration().await["rules"], json!([]), "the draw is the default's again");
    assert_eq!(shop.standing(&id).await.0, 50_000, "{:#}", shop.rollout(&id).await);
}

#[tokio::test]
async fn shares_rise_in_windows_only_and_never_while_frozen() {
    let mut shop = Shop::new().await;
    let admin = shop.admin().await;
    let (start_at, _) = shop.later(60_000);
    let (_, opens) = shop.later(10 * 60_000);
    let window = json!({ "start": opens, "zone": "UTC", "durationMs": 600_000 });
    let spec = json!({ "steps": [{ "share": 10_000, "bakeMs": 300_000 }, { "share": 100_000, "bakeMs": 60_000 }],
        "startAt": start_at, "windows": [window] });
    let id = shop.start(spec).await;
    assert_eq!(shop.standing(&id).await, (0, "scheduled".to_owned()));
    shop.pass(65, 0, (0, 0)).await;
    assert_eq!(shop.standing(&id).await, (0, "window".to_owned()));

    let (_, freezes_at) = shop.later(0);
    let environment = "/api/v1/projects/shop/environments/test";
    let freeze = json!([{ "start": freezes_at, "zone": "UTC", "durationMs": 900_000 }]);
    let patch = json!({ "freezes": freeze });
    shop.test.patch(environment, patch).by(&admin).if_match(1).send().await.expect(StatusCode::OK);
    shop.pass(600, 0, (0, 0)).await;
    assert_eq!(shop.standing(&id).await, (0, "frozen".to_owned()));
    shop.pass(310, 0, (0, 0)).await;
    assert_eq!(shop.standing(&id).await.0, 10_000, "the freeze is over, the window open");
    shop.pass(600, 0, (0, 0)).await;
    assert_eq!(shop.standing(&id).await, (10_000, "window".to_owned()), "closed for ever");

    // A person may say that it does not matter; completing raises nothing.
    let generation = shop.generation(&id).await;
    shop.act(&id, "skip", Some(generation)).await.expect(StatusCode::OK);
    shop.pass(70, 0, (0, 0)).await;
    assert_eq!(shop.rollout(&id).await["status"]["state"], "completed");

    let wrong = json!({ "freezes": [{ "start": "soon", "zone": "UTC", "durationMs": 60_000 }] });
    let refused = shop.test.patch(environment, wrong).by(&admin).if_match(2).send().await;
    assert_eq!(refused.expect(StatusCode::UNPROCESSABLE_ENTITY).body["field"], "/freezes/0/start");
}

#[tokio::test]
async fn a_guard_kills_the_flag_after_everybody_has_it() {
    let mut shop = Shop::new().await;
    let spec = json!({
        "steps": [{ "share": 100_000, "bakeMs": 10_000 }],
        "gates": [{ "key": "errors", "metric": "errors", "limit": { "share": 0.2, "units": 20 } }],
        "guardMs": 3_600_000,
    });
    let id = shop.start(spec.clone()).await;
    shop.pass(30, 50, (10, 10)).await;
    let flag = shop.configuration().await;
    assert_eq!(
        (&flag["default"], &flag["rollout"], &flag["guard"]),
        (&json!({ "variant": "on" }), &Json::Null, &json!(id))
    );
    assert_eq!(shop.standing(&id).await, (100_000, "guarding".to_owned()));
    // The flag is free again.
    let rule = json!({ "rules": [{ "conditions": [{ "attribute": "country", "operator": "in", "values": ["DE"] }], "serve": { "variant": "off" } }] });
    let version = flag["version"].as_u64().unwrap();
    shop.test.patch(FLAG, rule).by(&shop.operator).if_match(version).send().await.expect(StatusCode::OK);
    let refused = shop.act(&id, "rollBack", None).await.expect(StatusCode::CONFLICT).body;
    assert!(refused["detail"].as_str().unwrap().contains("kill the flag"), "{refused:#}");

    shop.pass(60, 100, (600, 0)).await;
    let flag = shop.configuration().await;
    assert_eq!((&flag["killed"], &flag["guard"]), (&json!(true), &Json::Null), "{flag:#}");
    assert_eq!(flag["rules"].as_array().unwrap().len(), 1, "what people changed meanwhile stays");
    assert_eq!(shop.rollout(&id).await["status"]["state"], "killed");
    assert_eq!(shop.log(&id).await.pop().unwrap().0, "rollout.kill");
}

#[tokio::test]
async fn a_guard_ends_by_itself_by_hand_and_with_the_next_rollout() {
    let mut shop = Shop::new().await;
    let spec = |guard_ms: u64| {
        json!({
            "steps": [{ "share": 100_000, "bakeMs": 5_000 }],
            "gates": [{ "key": "errors", "metric": "errors", "limit": { "share": 0.2 } }], "guardMs": guard_ms,
        })
    };
    let by_itself = shop.start(spec(60_000)).await;
    shop.pass(100, 10, (0, 0)).await;
    assert_eq!(shop.rollout(&by_itself).await["status"]["state"], "completed");
    assert_eq!(shop.configuration().await["guard"], Json::Null);

    let back = async |shop: &mut Shop, variant: &str| {
        let body = json!({ "flag": "checkout", "variant": variant, "spec": spec(3_600_000), "reason": "again" });
        let started = shop.try_start(body).await.expect(StatusCode::CREATED).body;
        shop.pass(30, 10, (0, 0)).await;
        started["id"].as_str().unwrap().to_owned()
    };
    let by_next = back(&mut shop, "off").await;
    assert_eq!(shop.rollout(&by_next).await["status"]["state"], "guarding");
    let by_hand = back(&mut shop, "on").await;
    assert_eq!(shop.rollout(&by_next).await["status"]["state"], "completed");
    let generation = shop.generation(&by_hand).await;
    shop.act(&by_hand, "complete", Some(generation)).await.expect(StatusCode::OK);
    assert_eq!(shop.configuration().await["guard"], Json::Null);
}

#[tokio::test]
async fn a_gate_that_is_overridden_ends_nothing() {
    let mut shop = Shop::new().await;
    let spec = json!({ "steps": steps(), "gates": [{ "key": "errors", "metric": "errors" }] });
    let id = shop.start(spec).await;
    let refused = shop.override_gate(&id, "override", "latency").await.expect(StatusCode::UNPROCESSABLE_ENTITY).body;
    assert_eq!((&refused["field"], &refused["detail"]), (&json!("/gate"), &json!("the rollout's gates are `errors`")));
    shop.override_gate(&id, "override", "errors").await.expect(StatusCode::OK);
    shop.override_gate(&id, "override", "errors").await.expect(StatusCode::CONFLICT);
    shop.pass(65, 200, (200, 10)).await;
    let rollout = shop.rollout(&id).await;
    assert_eq!((&rollout["share"], &rollout["status"]["overridden"]), (&json!(25_000), &json!(["errors"])));
    assert_eq!(rollout["live"]["gates"][0]["verdict"], "harm", "it is judged and shown");
    shop.override_gate(&id, "heed", "errors").await.expect(StatusCode::OK);
    shop.controller.look_around().await;
    assert_eq!(shop.rollout(&id).await["status"]["state"], "rolledBack");
}

#[tokio::test]
async fn templates_say_what_is_to_be_done() {
    let shop = Shop::new().await;
    let templates = "/api/v1/projects/shop/rollout-templates";
    let listed = shop.test.get(templates).by(&shop.operator).send().await.expect(StatusCode::OK).body;
    let keys: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| item["key"].clone()).collect();
    assert_eq!(keys, ["careful", "default", "fast"]);

    let spec = json!({ "steps": [{ "share": 5_000, "bakeMs": 60_000 }, { "share": 100_000, "bakeMs": 60_000 }] });
    let body = json!({ "key": "ours", "name": "Ours", "spec": spec });
    shop.test.post(templates, body.clone()).by(&shop.operator).send().await.expect(StatusCode::CREATED);
    let mut wrong = body.clone();
    wrong["key"] = json!("default");
    let refused = shop.test.post(templates, wrong).by(&shop.operator).send().await;
    assert_eq!(refused.expect(StatusCode::UNPROCESSABLE_ENTITY).body["field"], "/key");
    let mut wrong = json!({ "key": "x", "name": "X", "spec": spec });
    wrong["spec"]["steps"][0]["share"] = json!(0.5);
    let refused = shop.test.post(templates, wrong).by(&shop.operator).send().await;
    assert_eq!(refused.expect(StatusCode::UNPROCESSABLE_ENTITY).body["field"], "/spec/steps/0/share");

    let body = |template: &str| json!({ "flag": "checkout", "variant": "on", "template": template });
    let refused = shop.try_start(body("theirs")).await.expect(StatusCode::UNPROCESSABLE_ENTITY).body;
    assert_eq!(refused["field"], "/template", "{refused:#}");
    let started = shop.try_start(body("ours")).await.expect(StatusCode::CREATED).body;
    assert_eq!(started["spec"]["steps"][0]["share"], 5_000);

    let ours = format!("{templates}/ours");
    let patch = json!({ "name": "Theirs" });
    let patched = shop.test.patch(&ours, patch).by(&shop.operator).if_match(1).send().await.expect(StatusCode::OK);
    assert_eq!(patched.body["name"], "Theirs");
    shop.test.delete(&ours).by(&shop.operator).if_match(2).send().await.expect(StatusCode::NO_CONTENT);
    let instance = shop.test.instance_token().await;
    let elsewhere = shop.test.get("/api/v1/projects/nowhere/rollout-templates").by(&instance).send().await;
    elsewhere.expect(StatusCode::NOT_FOUND);
    let fixed = format!("{templates}/default");
    shop.test.delete(&fixed).by(&shop.operator).if_match(0).send().await.expect(StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_change_of_the_flag_restarts_its_rollout_where_that_is_said() {
    let mut shop = Shop::new().await;
    let id = shop.start(json!({ "steps": steps() })).await;
    shop.pass(70, 0, (0, 0)).await;
    assert_eq!(shop.standing(&id).await.0, 25_000);
    let version = shop.configuration().await["version"].as_u64().unwrap();
    let rule = json!({ "rules": [{ "conditions": [{ "attribute": "country", "operator": "in", "values": ["DE"] }], "serve": { "variant": "off" } }] });
    shop.test.patch(FLAG, rule.clone()).by(&shop.operator).if_match(version).send().await.expect(StatusCode::CONFLICT);
    let path = format!("{FLAG}?restartRollout=true");
    shop.test.patch(&path, rule).by(&shop.operator).if_match(version).send().await.expect(StatusCode::OK);
    let flag = shop.configuration().await;
    let next = flag["rollout"].as_str().unwrap().to_owned();
    assert!(next != id && flag["rules"].as_array().unwrap().len() == 1, "{flag:#}");
    assert_eq!(shop.rollout(&id).await["status"]["state"], "rolledBack");
    assert_eq!(shop.log(&id).await.pop().unwrap().0, "rollout.restart");
    assert_eq!(shop.n_on().await, 0);
    shop.controller.look_around().await;
    let rollout = shop.rollout(&next).await;
    assert_eq!((&rollout["share"], &rollout["salt"]), (&json!(10_000), &shop.rollout(&id).await["salt"]));
}

#[tokio::test]
async fn one_rollout_goes_at_a_time_where_the_project_says_so() {
    let mut shop = Shop::new().await;
    let admin = shop.admin().await;
    let operator = shop.operator.clone();
    let project = "/api/v1/projects/shop";
    let patch = json!({ "oneRolloutAtATime": true });
    shop.test.patch(project, patch).by(&admin).if_match(1).send().await.expect(StatusCode::OK);
    let environment = "/api/v1/projects/shop/environments/test";
    let patch = json!({ "production": true });
    shop.test.patch(environment, patch).by(&admin).if_match(1).send().await.expect(StatusCode::OK);
    let flag = json!({ "key": "search", "name": "Search", "kind": "boolean" });
    shop.test.post("/api/v1/projects/shop/flags", flag).by(&operator).send().await.expect(StatusCode::CREATED);
    let configuration = "/api/v1/projects/shop/flags/search/environments/test";
    let patch = json!({ "enabled": true, "default": { "variant": "off" } });
    shop.test.patch(configuration, patch).by(&operator).if_match(0).send().await.expect(StatusCode::OK);

    let first = shop.start(json!({ "steps": steps() })).await;
    let body = json!({ "flag": "search", "variant": "on", "spec": { "steps": steps() } });
    let started = shop.try_start(body).await.expect(StatusCode::CREATED).body;
    let second = started["id"].as_str().unwrap();
    shop.pass(10, 0, (0, 0)).await;
    assert_eq!(shop.standing(second).await, (0, "turn".to_owned()));
    let live = &shop.rollout(second).await["live"];
    assert_eq!(live["reason"], "one rollout goes at a time, and it is the turn of that of `checkout`");
    shop.act(&first, "rollBack", None).await.expect(StatusCode::OK);
    shop.pass(10, 0, (0, 0)).await;
    assert_eq!(shop.standing(second).await.0, 10_000);
}

#[tokio::test]
async fn a_preview_goes_by_what_was_heard_lately() {
    let mut shop = Shop::new().await;
    let gates = json!([{ "key": "errors", "metric": "errors" }, { "key": "slow", "metric": "ms", "above": 300 }]);
    let spec = json!({ "steps": steps(), "gates": gates });
    let preview = async |shop: &Shop, more: Json| {
        let mut body = json!({ "flag": "checkout", "spec": spec });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shop.test.post(&format!("{ROLLOUTS}/preview"), body).by(&shop.operator).send().await
    };
    let unknown = preview(&shop, json!({})).await.expect(StatusCode::OK).body;
    assert_eq!(unknown["unitsPerMinute"], 0.0);
    assert!(unknown["notes"][0].as_str().unwrap().starts_with("nothing was heard"), "{unknown:#}");

    shop.pass(300, 50, (50, 50)).await;
    let seen = preview(&shop, json!({})).await.expect(StatusCode::OK).body;
    let about = |value: &Json, expected: f64| (value.as_f64().unwrap() / expected - 1.0).abs() < 0.35;
    assert!(about(&seen["unitsPerMinute"], 600.0) && about(&seen["baselines"]["errors"]["rate"], 0.05), "{seen:#}");
    assert_eq!(seen["durationMs"], 240_000);
    let first = &seen["steps"][0];
    assert!(about(&first["units"], 60.0) && first["gates"][0]["gate"] == "errors", "{seen:#}");
    assert!(seen["notes"].to_string().contains("`slow`: nothing is known"), "{seen:#}");

    let assumed =
        json!({ "unitsPerMinute": 60_000, "baselines": { "errors": { "rate": 0.01 }, "slow": { "rate": 0.05 } } });
    let assumed = preview(&shop, assumed).await.expect(StatusCode::OK).body;
    assert!(assumed["steps"][0]["gates"][1]["detectable"].as_f64().unwrap() < 2.0, "{assumed:#}");
    for (wrong, field) in [
        (json!({ "unitsPerMinute": 0 }), "/unitsPerMinute"),
        (json!({ "baselines": { "crashes": { "rate": 0.1 } } }), "/baselines/crashes"),
        (json!({ "baselines": { "errors": { "rate": 2 } } }), "/baselines/errors/rate"),
        (json!({ "template": "fast" }), "/template"),
        (json!({ "reason": "x" }), "/reason"),
    ] {
        let refused = preview(&shop, wrong.clone()).await.expect(StatusCode::UNPROCESSABLE_ENTITY).body;
        assert_eq!(refused["field"], field, "{wrong}: {refused:#}");
    }
}

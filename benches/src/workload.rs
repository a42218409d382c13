//! Five workloads, the same for floor and evaluator: one store of 105 flags, 10,000 users.
//!
//! W1 on for all · W2 a 25 % rollout · W3 five rules of two conditions, the last matches, then a three-way split ·
//! W4 all of 100 mixed flags (40 × W1, 40 × W2, 20 × W3) · W5 membership in a segment of 10,000 keys.

use serde_json::{Value as Json, json};
use tidegate_core::{Context, FlagFile};

/// How many users there are.
pub const USERS: usize = 10_000;

/// How many users W3 and W4 rotate over: few enough to stay in the cache.
pub const WARM_USERS: usize = 64;

/// How many keys the segment of W5 lists; every second one is a user.
pub const MEMBERS: usize = 10_000;

/// The country list of rules 1 and 3: `DE` is last.
pub const COUNTRIES: [&str; 10] = ["US", "GB", "FR", "ES", "IT", "PT", "NL", "BE", "AT", "DE"];

/// A list of ten countries that has none of the users'.
pub const OTHER_COUNTRIES: [&str; 10] = ["JP", "KR", "CN", "IN", "BR", "AR", "MX", "CA", "AU", "NZ"];

/// The plan list of rule 5: `gold` is last.
pub const PLANS: [&str; 10] = ["free", "trial", "basic", "plus", "team", "pro", "ultra", "bronze", "silver", "gold"];

/// A user as an application has it.
#[derive(Clone, Debug)]
pub struct User {
    /// The targeting key.
    pub key: String,
    /// Two letters.
    pub country: &'static str,
    /// An address.
    pub email: String,
    /// A version.
    pub app_version: &'static str,
    /// A plan's name.
    pub plan: &'static str,
    /// In years.
    pub age: f64,
}

/// The users, `user-00000000` and so on: alike but for key and e-mail address, so that each takes the same path.
pub fn users() -> Vec<User> {
    (0..USERS)
        .map(|number| User {
            key: format!("user-{number:08}"),
            country: "DE",
            email: format!("user-{number:08}@example.com"),
            app_version: "4.2.0",
            plan: "gold",
            age: 33.0,
        })
        .collect()
}

/// The users as evaluation contexts.
pub fn contexts(users: &[User]) -> Vec<Context> {
    users
        .iter()
        .map(|user| {
            Context::new(user.key.as_str())
                .with("country", user.country)
                .with("email", user.email.as_str())
                .with("appVersion", user.app_version)
                .with("plan", user.plan)
                .with("age", user.age)
        })
        .collect()
}

/// The keys in the segment of W5: every second user, and as many strangers.
pub fn members() -> Vec<String> {
    let users = (0..USERS).step_by(2).map(|number| format!("user-{number:08}"));
    let strangers = (0..MEMBERS - USERS / 2).map(|number| format!("none-{number:08}"));
    users.chain(strangers).collect()
}

/// The 100 flags of W4 with the shapes' own keys and salts, and the flags `w1`, `w2`, `w3` and `w5` beside them.
pub fn flag_file() -> FlagFile {
    let mut flags: Vec<Json> = Vec::new();
    for number in 0..100 {
        let key = format!("bulk-flag-{number:03}");
        flags.push(match number % 5 {
            0 | 1 => on(&key),
            2 | 3 => rollout(&key),
            _ => rules(&key),
        });
    }
    flags.extend([on("w1-on-for-all"), rollout("w2-25-percent"), rules("w3-five-rules"), segment("w5-segment")]);
    let file = json!({ "flags": flags, "segments": [{ "key": "members", "included": members() }] });
    serde_json::from_value(file).unwrap_or_else(|error| unreachable!("the workload is a valid flag file: {error}"))
}

fn boolean(key: &str, rest: &Json) -> Json {
    let mut flag = json!({
        "key": key, "kind": "boolean", "enabled": true, "salt": format!("salt-{key}"), "offVariant": "off",
        "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
    });
    merge(&mut flag, rest);
    flag
}

fn on(key: &str) -> Json {
    boolean(key, &json!({ "default": { "variant": "on" } }))
}

fn rollout(key: &str) -> Json {
    let weights = json!([{ "variant": "on", "weight": 25_000 }, { "variant": "off", "weight": 75_000 }]);
    boolean(key, &json!({ "default": { "distribution": { "weights": weights } } }))
}

fn segment(key: &str) -> Json {
    let rule =
        json!({ "conditions": [{ "operator": "segment", "values": ["members"] }], "serve": { "variant": "on" } });
    boolean(key, &json!({ "rules": [rule], "default": { "variant": "off" } }))
}

fn rules(key: &str) -> Json {
    let test = |attribute: &str, operator: &str, values: Json| json!({ "attribute": attribute, "operator": operator, "values": values });
    let rule = |first: Json, second: Json, serve: Json| json!({ "conditions": [first, second], "serve": serve });
    let never = || json!({ "variant": "a" });
    let split = json!({ "distribution": { "weights": [
        { "variant": "a", "weight": 33_000 }, { "variant": "b", "weight": 33_000 }, { "variant": "c", "weight": 34_000 },
    ] } });
    json!({
        "key": key, "kind": "string", "enabled": true, "salt": format!("salt-{key}"), "offVariant": "off",
        "variants": [
            { "key": "a", "value": "a" }, { "key": "b", "value": "b" }, { "key": "c", "value": "c" }, { "key": "off", "value": "off" },
        ],
        "rules": [
            rule(test("age", "greaterThan", json!([18])), test("country", "in", json!(OTHER_COUNTRIES)), never()),
            rule(test("appVersion", "semverGreater", json!(["4.0.0"])), test("email", "endsWith", json!(["@other.example"])), never()),
            rule(test("country", "in", json!(COUNTRIES)), test("age", "greaterThan", json!([65])), never()),
            rule(test("email", "endsWith", json!(["@example.com"])), test("appVersion", "semverLess", json!(["4.0.0"])), never()),
            rule(test("plan", "in", json!(PLANS)), test("age", "greaterThan", json!([21])), split),
        ],
        "default": { "variant": "off" },
    })
}

fn merge(flag: &mut Json, rest: &Json) {
    if let (Some(flag), Some(rest)) = (flag.as_object_mut(), rest.as_object()) {
        flag.extend(rest.clone());
    }
}

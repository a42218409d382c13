//! OFREP as its clients see it: through the real router, with a server key.

use axum::http::{Method, StatusCode};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use serde_json::{Value as Json, json};
use tidegate_server::app::{Role, SdkKeyKind, keys::NewSdkKey, secret::SigningSecret};

use crate::support::{
    app::{Answer, Call, Caller},
    shop::Shop,
};

impl Shop {
    fn ask(&self, flag: &str, body: Json) -> Call<'_> {
        self.app.post(&format!("/ofrep/v1/evaluate/flags/{flag}"), body).by(&self.key)
    }

    fn ask_all(&self, context: &Json) -> Call<'_> {
        self.app.post("/ofrep/v1/evaluate/flags", json!({ "context": context })).by(&self.key)
    }
}

/// With flags of every sort.
async fn shop() -> Shop {
    let shop = Shop::new().await;
    let half = json!({ "distribution": { "weights": [
        { "variant": "on", "weight": 50_000 }, { "variant": "off", "weight": 50_000 },
    ] } });
    for (key, configuration) in [
        ("new-checkout", json!({ "enabled": true })),
        ("half", json!({ "enabled": true, "default": half })),
        ("left-to-callers", json!({ "enabled": false, "offVariant": null })),
    ] {
        shop.flag(key).await;
        shop.configure(key, 0, configuration).await;
    }
    shop
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_flag_is_evaluated_as_clients_expect_it() {
    let shop = shop().await;
    let answer = shop.ask("new-checkout", json!({ "context": {} })).send().await.expect(StatusCode::OK);
    let expected = json!({
        "key": "new-checkout", "value": true, "variant": "on", "reason": "STATIC", "metadata": { "version": 2 },
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.headers["content-type"], "application/json");
    // A client without a context, and fields of a later protocol.
    shop.ask("new-checkout", json!({})).send().await.expect(StatusCode::OK);
    shop.ask("new-checkout", json!({ "context": null, "later": 1 })).send().await.expect(StatusCode::OK);

    let context = json!({ "targetingKey": "ada", "nested": { "list": [1, null, "x"] } });
    let answer = shop.ask("half", json!({ "context": context })).send().await.expect(StatusCode::OK);
    assert_eq!(answer.body["reason"], "SPLIT");

    // The caller's default: neither value nor variant.
    let answer = shop.ask("left-to-callers", json!({})).send().await.expect(StatusCode::OK);
    assert_eq!(answer.body, json!({ "key": "left-to-callers", "reason": "DISABLED", "metadata": { "version": 2 } }));
}

#[tokio::test]
async fn a_key_may_come_as_an_api_key() {
    let shop = shop().await;
    let Caller::Bearer(key) = &shop.key else { unreachable!() };
    let ask = || shop.app.post("/ofrep/v1/evaluate/flags", json!({}));
    ask().header("x-api-key", key).send().await.expect(StatusCode::OK);
    let nobody = ask().send().await.expect_problem(401, "unauthenticated");
    assert!(nobody.text.contains("tgs_"), "{}", nobody.text);
    ask().header("x-api-key", "tgs_wrong").send().await.expect_problem(401, "unauthenticated");
    // A key that is wrong is nobody, whatever else is sent.
    ask()
        .header("x-api-key", key)
        .header("authorization", "Bearer tgs_wrong")
        .send()
        .await
        .expect_problem(401, "unauthenticated");
    let Caller::Bearer(token) = &shop.editor else { unreachable!() };
    ask().header("x-api-key", token).send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_cannot_be_evaluated_says_why() {
    let shop = shop().await;
    for (flag, body, status, code) in [
        ("nothing", json!({}), 404, "FLAG_NOT_FOUND"),
        ("no%2Fkey", json!({}), 404, "FLAG_NOT_FOUND"),
        ("half", json!({ "context": {} }), 400, "TARGETING_KEY_MISSING"),
        ("half", json!({ "context": { "targetingKey": 7 } }), 400, "INVALID_CONTEXT"),
        ("half", json!({ "context": "ada" }), 400, "INVALID_CONTEXT"),
        ("half", json!([]), 400, "PARSE_ERROR"),
    ] {
        let answer = shop.ask(flag, body).send().await;
        assert_eq!(answer.status.as_u16(), status, "{flag}: {}", answer.text);
        assert_eq!(answer.body["errorCode"], code, "{flag}: {}", answer.text);
        assert_eq!(answer.body["key"], flag.replace("%2F", "/"));
        assert!(answer.body["errorDetails"].is_string(), "{}", answer.text);
    }
    let answer = shop.ask("half", json!({})).body("{").send().await.expect(StatusCode::BAD_REQUEST);
    assert_eq!(answer.body["errorCode"], "PARSE_ERROR");
    let large = json!({ "context": { "text": "x".repeat(70_000) } });
    let refused = shop.ask("half", large).send().await.expect_problem(413, "too_large");
    assert!(refused.text.contains("64 KiB"), "{}", refused.text);
    // No text at all: no answer could repeat it as the key.
    shop.ask("%FF", json!({})).send().await.expect_problem(404, "not_found");
    let answer = shop.app.post("/ofrep/v1/evaluate/flags", json!([])).by(&shop.key).send().await;
    assert_eq!(answer.expect(StatusCode::BAD_REQUEST).body["errorCode"], "PARSE_ERROR");
}

#[tokio::test]
async fn all_flags_are_evaluated_and_sent_again_when_something_differs() {
    let shop = shop().await;
    let nobody = json!({});
    let first = shop.ask_all(&nobody).send().await.expect(StatusCode::OK);
    let flags = first.body["flags"].as_array().unwrap();
    assert_eq!(
        flags.iter().map(|flag| flag["key"].as_str().unwrap()).collect::<Vec<_>>(),
        ["half", "left-to-callers", "new-checkout"]
    );
    assert_eq!(flags[0]["errorCode"], "TARGETING_KEY_MISSING");
    assert_eq!(flags[2]["value"], true);

    let same =
        shop.ask_all(&nobody).header("if-none-match", &tag(&first)).send().await.expect(StatusCode::NOT_MODIFIED);
    assert_eq!((same.text.as_str(), tag(&same)), ("", tag(&first)));

    // The tag of another context, as clients keep it: not even equal answers make it fit.
    let other = shop.ask_all(&json!({ "plan": "pro" })).header("if-none-match", &tag(&first)).send().await;
    assert_eq!(other.expect(StatusCode::OK).body, first.body);

    shop.configure("new-checkout", 1, json!({ "enabled": false })).await;
    let changed = shop.ask_all(&nobody).header("if-none-match", &tag(&first)).send().await.expect(StatusCode::OK);
    assert_ne!(tag(&changed), tag(&first));
    assert_eq!(changed.body["flags"][2]["reason"], "DISABLED");
}

/// Of the flags, one is made available to clients as a value, one as rules, and one is not.
async fn public_shop() -> Shop {
    let shop = shop().await;
    shop.configure("new-checkout", 1, json!({ "availability": "values" })).await;
    shop.configure("half", 1, json!({ "availability": "rules" })).await;
    shop
}

#[tokio::test]
async fn client_keys_see_what_is_available_to_clients() {
    let shop = public_shop().await;
    let client = shop.app.sdk_key("shop", "test", SdkKeyKind::Client).await;
    let body = json!({ "context": { "targetingKey": "ada" } });
    let all = shop.app.post("/ofrep/v1/evaluate/flags", body.clone()).by(&client).send().await.expect(StatusCode::OK);
    let keys: Vec<_> = all.body["flags"].as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["half", "new-checkout"]);
    let served = shop.ask("new-checkout", body.clone()).by(&client).send().await.expect(StatusCode::OK);
    assert_eq!((&served.body["value"], &served.body["variant"]), (&json!(true), &json!("on")));

    // One that is private answers as one that is not there.
    let private = shop.ask("left-to-callers", body.clone()).by(&client).send().await.expect(StatusCode::NOT_FOUND);
    let unknown = shop.ask("left-to-nobody", body).by(&client).send().await.expect(StatusCode::NOT_FOUND);
    assert_eq!(private.text.replace("left-to-callers", "left-to-nobody"), unknown.text);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_use_a_client_key_and_no_page_a_server_key() {
    let shop = public_shop().await;
    let new = |origins: Option<&str>| NewSdkKey {
        name: "pages".to_owned(),
        kind: SdkKeyKind::Client,
        allowed_origins: origins.map(|origin| vec![origin.to_owned()]),
        secure_mode: false,
    };
    let ours = shop.app.new_sdk_key("shop", "test", new(Some("https://Shop.Example.org:443"))).await;
    assert_eq!(ours.details.allowed_origins, ["https://shop.example.org"]);
    let any = shop.app.new_sdk_key("shop", "test", new(None)).await;
    assert_eq!(any.details.allowed_origins, ["*"]);
    let (ours, any) = (Caller::Bearer(ours.key), Caller::Bearer(any.key));
    for (key, origin, allowed) in [
        (&ours, Some("https://shop.example.org"), true),
        (&ours, Some("https://evil.example.org"), false),
        (&ours, Some("null"), false),
        (&ours, None, true),
        (&any, Some("https://evil.example.org"), true),
        (&shop.key, Some("https://shop.example.org"), false),
        (&shop.key, None, true),
    ] {
        let mut call = shop.app.post("/ofrep/v1/evaluate/flags", json!({})).by(key);
        if let Some(origin) = origin {
            call = call.header("origin", origin);
        }
        let answer = call.send().await;
        // Also a refusal must be readable by the page that it is for.
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        if allowed {
            answer.expect(StatusCode::OK);
        } else {
            answer.expect_problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn a_browser_may_ask_first() {
    let shop = shop().await;
    for path in ["/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/half"] {
        let preflight = shop
            .app
            .call(Method::OPTIONS, path)
            .header("origin", "https://shop.example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,if-none-match");
        let answer = preflight.send().await.expect(StatusCode::OK);
        let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap();
        for header in ["authorization", "content-type", "if-none-match", "x-api-key", "x-tidegate-signature"] {
            assert!(allowed.contains(header), "{header}: {allowed}");
        }
        assert!(answer.headers.get("access-control-allow-credentials").is_none());
    }
    // Nothing else says yes to other sites.
    let other = shop.app.call(Method::OPTIONS, "/api/v1/projects").header("origin", "https://evil.test");
    let answer = other.header("access-control-request-method", "GET").send().await;
    assert!(answer.headers.get("access-control-allow-origin").is_none(), "{:?}", answer.headers);
}

#[tokio::test]
async fn in_secure_mode_nobody_asks_for_somebody_else() {
    let shop = public_shop().await;
    let new =
        NewSdkKey { name: "secure".to_owned(), kind: SdkKeyKind::Client, allowed_origins: None, secure_mode: true };
    let created = shop.app.new_sdk_key("shop", "test", new).await;
    assert!(created.details.secure_mode);
    let secret = SigningSecret(created.signing_secret.unwrap());
    let key = Caller::Bearer(created.key);
    let ask = |context: Json| shop.app.post("/ofrep/v1/evaluate/flags", json!({ "context": context })).by(&key);
    let ada = || json!({ "targetingKey": "ada" });
    ask(ada()).header("x-tidegate-signature", &secret.sign("ada")).send().await.expect(StatusCode::OK);
    ask(json!({ "plan": "pro" })).send().await.expect(StatusCode::OK);
    let refused = ask(ada()).send().await.expect_problem(403, "forbidden");
    assert!(refused.text.contains("X-Tidegate-Signature"), "{}", refused.text);
    ask(ada()).header("x-tidegate-signature", &secret.sign("bob")).send().await.expect_problem(403, "forbidden");
}

/// The events of a key's stream.
struct Events(Box<dyn Stream<Item = String> + Unpin>);

impl Events {
    /// Of the stream that an answer to a request for all flags names.
    async fn of(shop: &Shop, answer: &Answer) -> Self {
        let stream = &answer.body["eventStreams"][0];
        assert_eq!((&stream["type"], &stream["inactivityDelaySec"]), (&json!("sse"), &json!(120)));
        Self::at(shop.app.get(stream["endpoint"]["requestUri"].as_str().unwrap())).await
    }

    async fn at(call: Call<'_>) -> Self {
        let (status, pieces) = call.open().await;
        assert_eq!(status, StatusCode::OK);
        Self(Box::new(pieces))
    }

    /// The next event's data and id.
    async fn next(&mut self) -> (Json, String) {
        let piece = self.0.next().await.expect("the stream has ended");
        let field = |name| piece.lines().find_map(|line| line.strip_prefix(name)).expect(&piece).trim().to_owned();
        (serde_json::from_str(&field("data:")).unwrap(), field("id:"))
    }

    /// Nothing has come.
    fn assert_quiet(&mut self) {
        assert_eq!(self.0.next().now_or_never(), None);
    }
}

#[tokio::test]
async fn whoever_listens_hears_of_changes() {
    let shop = shop().await;
    let answer = shop.ask_all(&json!({})).send().await;
    let mut events = Events::of(&shop, &answer).await;
    events.assert_quiet();
    shop.configure("new-checkout", 1, json!({ "enabled": false })).await;
    let (data, id) = events.next().await;
    assert_eq!((&data["type"], &data["etag"]), (&json!("refetchEvaluation"), &json!(id)));
    assert!(data["lastModified"].is_i64());
    let again = format!("/ofrep/v1/evaluate/flags?flagConfigEtag={id}&flagConfigLastModified={}", data["lastModified"]);
    let again = shop.app.post(&again, json!({ "context": {} })).by(&shop.key).header("if-none-match", &tag(&answer));
    assert_eq!(again.send().await.expect(StatusCode::OK).body["flags"][2]["reason"], "DISABLED");

    // A hint that says two things is none.
    let twice = shop.app.post("/ofrep/v1/evaluate/flags?flagConfigEtag=a&flagConfigEtag=b", json!({})).by(&shop.key);
    twice.send().await.expect(StatusCode::OK);

    // What happened before it came is told at once: to one that evaluated earlier, and to one that comes back.
    let (data, _) = Events::of(&shop, &answer).await.next().await;
    assert_eq!(data["etag"], json!(id));
    let path = answer.body["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap();
    let mut back = Events::at(shop.app.get(path).header("last-event-id", &id)).await;
    back.assert_quiet();
    shop.configure("new-checkout", 2, json!({ "enabled": true })).await;
    back.next().await;
}

#[tokio::test]
async fn clients_hear_only_of_what_they_may_notice() {
    let shop = public_shop().await;
    let client = shop.app.sdk_key("shop", "test", SdkKeyKind::Client).await;
    let all = shop.app.post("/ofrep/v1/evaluate/flags", json!({})).by(&client).send().await;
    let mut events = Events::of(&shop, &all).await;
    shop.configure("left-to-callers", 1, json!({ "enabled": true })).await;
    // The server has it, and has told its own.
    let mut servers = Events::of(&shop, &shop.ask_all(&json!({})).send().await).await;
    shop.configure("left-to-callers", 2, json!({ "enabled": false })).await;
    servers.next().await;
    events.assert_quiet();
    shop.configure("new-checkout", 2, json!({ "enabled": false })).await;
    events.next().await;
}

#[tokio::test]
async fn an_event_stream_needs_a_token_that_holds() {
    let shop = shop().await;
    let answer = shop.ask_all(&json!({})).send().await;
    let path = answer.body["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    // The same for a while, so that a client stays where it listens.
    shop.app.clock.advance_ms(20 * 60_000);
    Events::at(shop.app.get(&path)).await.assert_quiet();
    let (token, rest) = path.split_once('&').unwrap();
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts[1] = (parts[1].parse::<i64>().unwrap() + 3_600).to_string();
    for wrong in [
        "/ofrep/v1/events?token=".to_owned(),
        "/ofrep/v1/events?token=a.b.c".to_owned(),
        format!("{token}0&{rest}"),
        parts.join("."),
    ] {
        shop.app.get(&wrong).send().await.expect_problem(401, "unauthenticated");
    }
    shop.app.clock.advance_ms(60 * 60_000);
    shop.app.get(&path).send().await.expect_problem(401, "unauthenticated");
    // Whoever asks again gets another address, also with the tag that fits all else.
    let again = shop.ask_all(&json!({})).header("if-none-match", &tag(&answer)).send().await.expect(StatusCode::OK);
    assert_eq!(again.body["flags"], answer.body["flags"]);
    Events::of(&shop, &again).await.assert_quiet();
}

#[tokio::test]
async fn a_slash_at_the_end_does_no_harm() {
    let shop = shop().await;
    let answer = shop.app.post("/ofrep/v1/evaluate/flags/", json!({})).by(&shop.key).send().await;
    assert_eq!(answer.expect(StatusCode::OK).body["flags"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let shop = shop().await;
    let new = NewSdkKey {
        name: "short-lived".to_owned(),
        kind: SdkKeyKind::Server,
        allowed_origins: None,
        secure_mode: false,
    };
    let created = shop.app.new_sdk_key("shop", "test", new).await;
    let key = Caller::Bearer(created.key);
    shop.ask("half", json!({})).by(&key).send().await.expect(StatusCode::BAD_REQUEST);
    let admin = shop.app.project_token("shop", Role::Admin).await;
    let path = format!("/api/v1/projects/shop/environments/test/keys/{}", created.details.id);
    shop.app.call(Method::DELETE, &path).by(&admin).send().await.expect(StatusCode::NO_CONTENT);
    shop.ask("half", json!({})).by(&key).send().await.expect_problem(401, "unauthenticated");
}

//! What a client key's client gets: over the stream, over HTTP, and nothing that it may not see.

use std::net::SocketAddr;

use axum::http::StatusCode;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tidegate_core::{Context, Reason, Ruleset, Timestamp, evaluate};
use tidegate_protocol::{
    ClientMessage, Effect, Synchronizer,
    events::EventBatch,
    frame,
    message::ClientContext,
    sync::{Moment, Onto, Settings},
};
use tidegate_server::app::{Role, SdkKeyKind, keys::NewSdkKey, secret::SigningSecret};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::support::{
    app::{Caller, TestApp},
    within,
};

/// A project `shop` with an environment `test`, on a loopback port.
struct Shop {
    app: TestApp,
    admin: Caller,
    address: SocketAddr,
}

impl Shop {
    async fn new() -> Self {
        let app = TestApp::with_projects().await;
        let admin = app.project_token("shop", Role::Admin).await;
        let address = app.listen().await;
        Self { app, admin, address }
    }

    async fn flag(&self, flag: Json, configuration: Json) {
        let key = flag["key"].as_str().unwrap().to_owned();
        self.app.post("/api/v1/projects/shop/flags", flag).by(&self.admin).send().await.expect(StatusCode::CREATED);
        self.configure(&key, configuration).await;
    }

    async fn configure(&self, key: &str, configuration: Json) {
        let path = format!("/api/v1/projects/shop/flags/{key}/environments/test");
        let version = self.app.get(&path).by(&self.admin).send().await.expect(StatusCode::OK).version();
        let call = self.app.patch(&path, configuration).if_match(version).by(&self.admin);
        call.send().await.expect(StatusCode::OK);
    }

    async fn kill(&self, flag: &str, reason: &str) {
        let path = "/api/v1/projects/shop/environments/test/kill";
        let kill = self.app.post(path, json!({ "flag": flag, "reason": reason })).by(&self.admin);
        kill.send().await.expect(StatusCode::OK);
    }

    async fn client_key(&self) -> String {
        let Caller::Bearer(key) = self.app.sdk_key("shop", "test", SdkKeyKind::Client).await else { unreachable!() };
        key
    }

    async fn browser(&self, key: &str, context: Json) -> Browser {
        Browser::open(self.address, key, ClientContext { context, signature: None }).await
    }
}

/// A client as a browser's SDK is one: the sync machine, a ruleset, a socket.
pub struct Browser {
    machine: Synchronizer,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub ruleset: Ruleset,
    /// Everything that came, as text.
    heard: String,
    closed: bool,
    /// The batches of events that the server has.
    received: Vec<String>,
}

impl Browser {
    pub async fn open(address: SocketAddr, key: &str, context: ClientContext) -> Self {
        let mut request = format!("ws://{address}/api/v1/stream").into_client_request().unwrap();
        let protocols = format!("tidegate.v1, key.{key}");
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        request.headers_mut().insert("origin", "https://shop.example.org".parse().unwrap());
        let (socket, _) = within(Box::pin(connect_async(request))).await.unwrap();
        let mut machine = Synchronizer::new(Settings::new("browser/1", 1));
        machine.set_context(context, Moment(0));
        machine.start(Moment(0));
        let (ruleset, heard, received) = (Ruleset::default(), String::new(), Vec::new());
        let mut browser = Self { machine, socket, ruleset, heard, closed: false, received };
        let effects = browser.machine.on_connected(Moment(0));
        browser.perform(effects).await;
        browser
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(frame) => within(self.socket.send(Message::text(frame))).await.unwrap(),
                Effect::Apply(update) => {
                    let base = if update.onto == Onto::Nothing { Ruleset::default() } else { self.ruleset.clone() };
                    self.ruleset = base.update(update.changes).0;
                }
                Effect::Disconnect { .. } => self.closed = true,
                Effect::Received(batch) => self.received.push(batch),
                Effect::Status(_) | Effect::Connect | Effect::Poll(_) => {}
            }
        }
    }

    /// Takes in what comes until it is so.
    pub async fn until(&mut self, so: impl Fn(&Self) -> bool) {
        while !so(self) {
            let message = within(self.socket.next()).await.expect("the server hung up").unwrap();
            let effects = match message {
                Message::Text(text) => {
                    self.heard.push_str(&text);
                    self.machine.on_message(&text, Moment(0))
                }
                Message::Binary(frame) => {
                    self.heard.push_str(&tidegate_protocol::frame::decompress(&frame, 1 << 24).unwrap());
                    self.machine.on_binary(&frame, Moment(0))
                }
                _ => Vec::new(),
            };
            self.perform(effects).await;
        }
    }

    pub async fn ready(&mut self) {
        self.until(|browser| browser.machine.position().is_some()).await;
    }

    /// Tells of evaluations, and waits until that is acknowledged.
    pub async fn tell(&mut self, batch: EventBatch) {
        let id = batch.id.clone();
        let frame = frame::encode([&ClientMessage::Events(batch)]);
        within(self.socket.send(Message::text(frame))).await.unwrap();
        self.until(|browser| browser.received.contains(&id)).await;
    }

    async fn change_context(&mut self, context: Json) {
        let effects = self.machine.set_context(ClientContext { context, signature: None }, Moment(0));
        self.perform(effects).await;
    }

    fn flags(&self) -> Vec<&str> {
        self.ruleset.flag_keys().map(tidegate_core::FlagKey::as_str).collect()
    }

    fn says(&self, flag: &str, ctx: &Context) -> (Json, Option<&str>, Reason) {
        let said = evaluate(&self.ruleset, flag, ctx, Timestamp(0));
        (serde_json::to_value(said.value).unwrap(), said.variant, said.reason)
    }
}

fn boolean(key: &str) -> Json {
    json!({ "key": key, "name": key, "kind": "boolean" })
}

/// On for the plan `pro`.
fn for_pro(availability: &str) -> Json {
    json!({
        "enabled": true, "availability": availability, "default": { "variant": "off" },
        "rules": [{ "conditions": [{ "attribute": "plan", "operator": "in", "values": ["pro"] }],
                    "serve": { "variant": "on" } }],
    })
}

#[tokio::test]
async fn values_are_those_of_the_context_and_follow_it() {
    let shop = Shop::new().await;
    shop.flag(boolean("value"), for_pro("values")).await;
    shop.flag(boolean("rules"), for_pro("rules")).await;
    shop.flag(boolean("private"), for_pro("private")).await;
    let key = shop.client_key().await;
    let mut browser = shop.browser(&key, json!({ "targetingKey": "ada", "plan": "pro" })).await;
    browser.ready().await;
    assert_eq!(browser.flags(), ["rules", "value"]);
    let nobody = Context::anonymous();
    let pro = Context::anonymous().with("plan", "pro");
    let on = (json!(true), Some("on"), Reason::TargetingMatch);
    let off = (json!(false), Some("off"), Reason::Default);
    // The value is that of the context that the server was told; rules look at the one that is asked for.
    assert_eq!(browser.says("value", &nobody), on);
    assert_eq!((browser.says("rules", &nobody), browser.says("rules", &pro)), (off.clone(), on.clone()));

    browser.change_context(json!({ "targetingKey": "bob" })).await;
    browser.until(|browser| browser.says("value", &nobody).0 == json!(false)).await;
    assert_eq!((browser.says("value", &nobody), browser.says("rules", &pro)), (off, on));

    shop.configure("value", json!({ "default": { "variant": "on" } })).await;
    browser.until(|browser| browser.says("value", &nobody).0 == json!(true)).await;
    // One that is not for clients any more is gone; another one comes.
    shop.configure("rules", json!({ "availability": "private" })).await;
    shop.configure("private", json!({ "availability": "values" })).await;
    browser.until(|browser| browser.flags() == ["private", "value"]).await;
    assert_eq!(browser.machine.counters().resyncs, 0);
}

#[tokio::test]
async fn a_kill_reaches_clients() {
    let shop = Shop::new().await;
    for (key, availability) in [("value", "values"), ("rules", "rules")] {
        shop.flag(boolean(key), json!({ "enabled": true, "availability": availability })).await;
    }
    let key = shop.client_key().await;
    let mut browser = shop.browser(&key, json!({})).await;
    browser.ready().await;
    let nobody = Context::anonymous();
    assert_eq!(browser.says("value", &nobody).0, json!(true));
    for flag in ["value", "rules"] {
        shop.kill(flag, "it burns").await;
        browser.until(|browser| browser.says(flag, &nobody).2 == Reason::Disabled).await;
        assert_eq!(browser.says(flag, &nobody).0, json!(false));
    }
}

#[tokio::test]
async fn who_comes_back_with_the_same_context_is_sent_nothing() {
    let shop = Shop::new().await;
    shop.flag(boolean("value"), for_pro("values")).await;
    let key = shop.client_key().await;
    let context = json!({ "plan": "pro" });
    let ask = |position: Json, context: &Json| {
        let body = json!({ "position": position, "context": context });
        shop.app.post("/api/v1/changes", body).by(&Caller::Bearer(key.clone()))
    };
    let first = ask(Json::Null, &context).send().await.expect(StatusCode::OK);
    let lines: Vec<Json> = first.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!((kinds, &lines[0]["transfer"]), (vec!["intent", "objects", "commit"], &json!("full")));
    let position = &lines[0]["to"];
    let transfer = async |position: &Json, context: &Json| {
        let answer = ask(position.clone(), context).send().await.expect(StatusCode::OK);
        let intent: Json = serde_json::from_str(answer.text.lines().next().unwrap()).unwrap();
        (intent["transfer"].as_str().unwrap().to_owned(), answer.text.contains("objects"))
    };
    assert_eq!(transfer(position, &context).await, ("none".to_owned(), false));
    assert_eq!(transfer(position, &json!({ "plan": "free" })).await, ("full".to_owned(), true));
    // Something that it does not see: it only learns the revision.
    shop.flag(boolean("private"), json!({ "enabled": true })).await;
    assert_eq!(transfer(position, &context).await, ("changes".to_owned(), false));
    let tag = first.headers["etag"].to_str().unwrap();
    ask(Json::Null, &context).header("if-none-match", tag).send().await.expect(StatusCode::OK);
    let again = ask(Json::Null, &context).send().await;
    let tag = again.headers["etag"].to_str().unwrap();
    ask(Json::Null, &context).header("if-none-match", tag).send().await.expect(StatusCode::NOT_MODIFIED);

    // Without a context, the key's own view is that of nobody in particular.
    let nobody = shop.app.get("/api/v1/changes").by(&Caller::Bearer(key.clone())).send().await.expect(StatusCode::OK);
    assert!(nobody.text.contains(r#""reason":"DEFAULT""#) && !nobody.text.contains("private"), "{}", nobody.text);
}

#[tokio::test]
async fn secure_mode_holds_on_the_stream_too() {
    let shop = Shop::new().await;
    shop.flag(boolean("value"), for_pro("values")).await;
    let new = NewSdkKey {
        name: "secure".to_owned(),
        kind: SdkKeyKind::Client,
        allowed_origins: Some(vec!["https://shop.example.org".to_owned()]),
        secure_mode: true,
    };
    let created = shop.app.new_sdk_key("shop", "test", new).await;
    let secret = SigningSecret(created.signing_secret.unwrap());
    let context = |signature: Option<String>| ClientContext { context: json!({ "targetingKey": "ada" }), signature };
    let mut vouched = Browser::open(shop.address, &created.key, context(Some(secret.sign("ada")))).await;
    vouched.ready().await;
    for signature in [None, Some(secret.sign("bob"))] {
        let mut stranger = Browser::open(shop.address, &created.key, context(signature)).await;
        stranger.until(|browser| browser.closed).await;
        assert!(stranger.heard.contains("forbidden") && !stranger.heard.contains("value"), "{}", stranger.heard);
    }
    // Nor does a context that comes later get further.
    vouched.change_context(json!({ "targetingKey": "bob" })).await;
    vouched.until(|browser| browser.closed).await;
    let body = json!({ "context": { "targetingKey": "ada" } });
    let key = Caller::Bearer(created.key);
    shop.app.post("/api/v1/changes", body.clone()).by(&key).send().await.expect_problem(403, "forbidden");
    let signed = json!({ "context": { "targetingKey": "ada" }, "signature": secret.sign("ada") });
    shop.app.post("/api/v1/changes", signed).by(&key).send().await.expect(StatusCode::OK);
}

/// Plants a word in every field that is not for clients, and listens wherever a client key can.
#[tokio::test]
async fn nothing_private_reaches_a_client_key() {
    const CANARY: &str = "canary";
    let shop = Shop::new().await;
    let canary = |what: &str| format!("{CANARY}-{what}");
    let segment = json!({
        "key": canary("segment"), "name": canary("segment-name"), "description": canary("segment-description"),
        "included": [canary("member")], "excluded": [canary("outsider")],
        "rules": [{ "conditions": [{ "attribute": canary("attribute"), "operator": "in", "values": [canary("operand")] }] }],
    });
    let path = "/api/v1/projects/shop/environments/test/segments";
    shop.app.post(path, segment).by(&shop.admin).send().await.expect(StatusCode::CREATED);
    let described = |key: &str| {
        json!({
            "key": key, "name": canary("name"), "description": canary("description"), "tags": [canary("tag")],
            "kind": "string", "offVariant": "off",
            "variants": [
                { "key": "on", "value": "on", "name": canary("variant-name") }, { "key": "off", "value": "off" },
                { "key": canary("variant"), "value": canary("value") },
            ],
        })
    };
    shop.flag(described(&canary("private")), json!({ "enabled": true, "default": { "variant": "on" } })).await;
    let in_segment = json!([{
        "conditions": [{ "operator": "segment", "values": [canary("segment")] }], "serve": { "variant": canary("variant") },
    }]);
    let targets = json!([{ "variant": "off", "values": [canary("target")] }]);
    let needs = json!([{ "flag": canary("private"), "variants": ["on"] }]);
    for (key, availability, more) in [
        ("value", "values", json!({ "rules": in_segment, "targets": targets, "prerequisites": needs })),
        ("rules", "rules", json!({})),
        ("rules-with-segment", "rules", json!({ "rules": in_segment })),
        ("rules-with-targets", "rules", json!({ "targets": targets })),
        ("rules-with-prerequisites", "rules", json!({ "prerequisites": needs })),
    ] {
        let mut configuration =
            json!({ "enabled": true, "availability": availability, "default": { "variant": "on" } });
        configuration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shop.flag(described(key), configuration).await;
    }
    let key = shop.client_key().await;
    let bearer = Caller::Bearer(key.clone());
    let context = json!({ "targetingKey": "ada" });

    let mut browser = shop.browser(&key, context.clone()).await;
    browser.ready().await;
    assert_eq!(browser.flags().len(), 5);
    let ctx = Context::new("ada");
    for flag in ["value", "rules", "rules-with-segment", "rules-with-targets", "rules-with-prerequisites"] {
        assert_eq!(browser.says(flag, &ctx).0, json!("on"), "{flag}");
    }
    let mut heard = vec![std::mem::take(&mut browser.heard)];
    shop.configure(&canary("private"), json!({ "enabled": false })).await;
    browser.until(|browser| browser.says("value", &ctx).0 == json!("off")).await;
    heard.push(std::mem::take(&mut browser.heard));
    shop.kill(&canary("private"), &canary("reason")).await;
    shop.configure("rules", json!({ "enabled": false })).await;
    browser.until(|browser| browser.says("rules", &ctx).0 == json!("off")).await;
    heard.push(std::mem::take(&mut browser.heard));

    let body = || json!({ "context": context });
    for path in [
        "/ofrep/v1/evaluate/flags".to_owned(),
        "/ofrep/v1/evaluate/flags/value".to_owned(),
        "/ofrep/v1/evaluate/flags/rules".to_owned(),
        "/ofrep/v1/evaluate/flags/unknown".to_owned(),
        "/api/v1/changes".to_owned(),
        "/api/v1/events".to_owned(),
        "/api/v1/projects/shop/environments/test/evaluate".to_owned(),
    ] {
        let answer = shop.app.post(&path, body()).by(&bearer).send().await;
        heard.push(format!("{:?} {}", answer.headers, answer.text));
    }
    for path in ["/api/v1/projects/shop/flags", "/api/v1/projects/shop/environments/test/receipts", "/metrics"] {
        heard.push(shop.app.get(path).by(&bearer).send().await.text);
    }
    for heard in heard {
        assert!(!heard.contains(CANARY), "{heard}");
    }
}

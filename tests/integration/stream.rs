//! Streams end to end: a real server on a loopback port, real SDKs, a store in memory.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tidegate::{Builder, Changed, Client, Context, ErrorCode, Event, Events, Reason, Status};
use tidegate_core::FlagFile;
use tidegate_protocol::{
    ClientMessage, Digest, Position, ServerMessage, Transfer, frame,
    message::{Ack, ClientHello, Commit, Heartbeat, Intent, Objects, Resync, ServerHello, goodbye},
};
use tidegate_server::{
    app::{self, App, SdkKeyKind, configurations::Mode, flag_file::ApplyFile, kill::KillTarget},
    audit::AuditEntry,
    http::{AppState, HttpConfig, router, serve},
    ports::store::{self, DocumentId, DocumentKind, EnvironmentId, Touched, TouchedKind, Write},
    store::{Location, SqlStore},
    stream,
    telemetry::Metrics,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    DEADLINE,
    app::{Caller, TestApp},
    postgres, within,
};

/// Short intervals: what the tests wait for comes soon.
pub fn settings() -> stream::Settings {
    stream::Settings {
        poll: Duration::from_millis(20),
        revocation_poll: Duration::from_millis(20),
        drain_spread: Duration::from_millis(20),
        receipt_spread: Duration::ZERO,
        ..stream::Settings::default()
    }
}

/// A server on a loopback port, over an application that outlives it.
pub struct Server {
    pub state: AppState,
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start(app: &App, settings: stream::Settings, address: SocketAddr) -> Self {
        let config = HttpConfig { streams: settings, ..HttpConfig::default() };
        let state = AppState::new(app.clone(), config, Arc::new(Metrics::new()));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router(state.clone()), stop.clone(), DEADLINE));
        Self { state, address, stop, task }
    }

    /// Stops it as the binary does.
    pub async fn stop(self) {
        within(self.state.streams.shutdown()).await;
        self.stop.cancel();
        within(self.task).await.unwrap().unwrap();
    }
}

/// A project `shop` with an environment `test`, a server key for it, and a server.
pub struct World {
    pub test: TestApp,
    pub key: String,
    pub server: Server,
}

impl World {
    pub async fn new() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: stream::Settings) -> Self {
        let test = TestApp::new();
        test.project("shop", &["test"]).await;
        let Caller::Bearer(key) = test.sdk_key("shop", "test", SdkKeyKind::Server).await else { unreachable!() };
        let server = Server::start(&test.app, settings, "127.0.0.1:0".parse().unwrap()).await;
        Self { test, key, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub fn builder(&self) -> Builder {
        Client::builder(&self.url(), &self.key)
    }

    /// A client that is in step, and its events from there.
    pub async fn client(&self) -> (Client, Events) {
        let client = self.builder().connect().unwrap();
        let mut events = client.events();
        told(&mut events, |event| matches!(event, Event::Ready)).await;
        assert_eq!(client.wait_ready(Duration::ZERO).await, Ok(Status::Ready));
        (client, events)
    }

    /// Stops the server, does `meanwhile`, and starts another at the same address.
    async fn restart(self, meanwhile: impl AsyncFnOnce(&App)) -> Self {
        let Self { test, key, server } = self;
        let address = server.address;
        server.stop().await;
        meanwhile(&test.app).await;
        let server = Server::start(&test.app, settings(), address).await;
        Self { test, key, server }
    }

    pub async fn connect(&self, position: Option<Position>) -> Wire {
        let mut wire = Wire::open(&self.url(), &[("authorization", &format!("Bearer {}", self.key))]).await.unwrap();
        wire.hello(position).await;
        wire
    }
}

pub fn environment() -> EnvironmentId {
    EnvironmentId { project: "shop".to_owned(), environment: "test".to_owned() }
}

pub async fn create(app: &App, key: &str) {
    let flag = serde_json::from_value(json!({ "key": key, "name": key, "kind": "boolean" })).unwrap();
    app.create_flag(&TestApp::request(), "shop", flag).await.unwrap();
}

pub async fn enable(app: &App, key: &str, enabled: bool) {
    let request = TestApp::request();
    let before = app.configuration(&request.principal, &environment(), key).await.unwrap();
    let patch = json!({ "enabled": enabled });
    app.configure(&request, &environment(), key, before.version, &patch, Mode::Commit).await.unwrap();
}

pub async fn kill(app: &App, key: &str) {
    let request = app::Request { reason: "it burns".to_owned(), ..TestApp::request() };
    let target = KillTarget { flag: Some(key.parse().unwrap()), tag: None };
    app.kill(&request, &environment(), &target).await.unwrap();
}

/// The next change that an SDK tells of.
pub async fn change(events: &mut Events) -> Changed {
    loop {
        if let Event::ConfigurationChanged(changed) = within(events.next()).await.unwrap() {
            return changed;
        }
    }
}

/// Waits until the SDK tells that it stands so.
pub async fn told(events: &mut Events, expected: impl Fn(&Event) -> bool) {
    while !expected(&within(events.next()).await.unwrap()) {}
}

pub fn keys(changed: &Changed) -> Vec<&str> {
    changed.flags.iter().map(tidegate::FlagKey::as_str).collect()
}

pub fn ada() -> Context {
    Context::new("ada")
}

/// The protocol, spoken by hand.
pub struct Wire {
    pub socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    read: VecDeque<ServerMessage>,
    /// What came, in bytes.
    bytes: usize,
}

impl Wire {
    pub async fn open(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let url = url.replacen("http", "ws", 1);
        let url = if url.contains("/api/") { url } else { url + "/api/v1/stream" };
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = within(Box::pin(connect_async(request))).await?;
        Ok(Self::over(socket))
    }

    /// Over a websocket that is open.
    pub fn over(socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>) -> Self {
        Self { socket, read: VecDeque::new(), bytes: 0 }
    }

    pub async fn send(&mut self, message: ClientMessage) {
        within(self.socket.send(Message::text(frame::encode([&message])))).await.unwrap();
    }

    /// Says hello and hears it.
    pub async fn hello(&mut self, position: Option<Position>) {
        let hello = ClientHello { protocol: 1, sdk: "wire/1".to_owned(), position, accepts: Vec::new(), context: None };
        self.send(ClientMessage::Hello(hello)).await;
        assert!(matches!(self.next().await, Some(ServerMessage::Hello(_))));
    }

    /// The next message but heartbeats; `None`: the server closed.
    pub async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            match self.read.pop_front() {
                Some(ServerMessage::Heartbeat(_)) => {}
                Some(message) => return Some(message),
                None => match within(self.socket.next()).await {
                    Some(Ok(Message::Binary(compressed))) => {
                        self.bytes += compressed.len();
                        let text = frame::decompress(&compressed, frame::MAX_SERVER_FRAME_BYTES).unwrap();
                        self.read.extend(frame::lines(&text).map(|line| ServerMessage::parse(line).unwrap()));
                    }
                    Some(Ok(Message::Text(text))) => {
                        self.bytes += text.len();
                        self.read.extend(frame::lines(&text).map(|line| ServerMessage::parse(line).unwrap()));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return None,
                },
            }
        }
    }

    /// The next change set: what kind it is, what it puts, where it leads.
    pub async fn change_set(&mut self) -> (Transfer, Vec<String>, Position) {
        let Some(ServerMessage::Intent(intent)) = self.next().await else { panic!("no intent") };
        let mut put = Vec::new();
        if intent.transfer == Transfer::None {
            return (intent.transfer, put, intent.to);
        }
        loop {
            match self.next().await {
                Some(ServerMessage::Objects(objects)) => {
                    put.extend(objects.put.iter().map(|object| format!("{}/{}", object.kind.as_str(), object.key)));
                }
                Some(ServerMessage::Commit(commit)) => {
                    assert_eq!(commit.to, intent.to);
                    return (intent.transfer, put, commit.to);
                }
                other => panic!("within a change set: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_toggle_changes_what_the_sdk_answers() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    create(&world.test.app, "other").await;
    let (client, mut events) = world.client().await;
    assert!(!client.bool("checkout", true, &ada()));
    assert_eq!(client.bool_details("checkout", true, &ada()).reason, Reason::Disabled);

    enable(&world.test.app, "checkout", true).await;
    let changed = change(&mut events).await;
    assert_eq!((keys(&changed), changed.killed), (vec!["checkout"], false));
    assert!(changed.changed_at.is_some());
    assert!(client.bool("checkout", false, &ada()));
    client.close().await;
    // A closed client goes on with what it has.
    assert!(client.bool("checkout", false, &ada()));
}

#[tokio::test]
async fn open_feature_s_own_client_answers_as_the_server_says() {
    use open_feature::{EvaluationContext, EvaluationReason, OpenFeature};

    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    enable(&world.test.app, "checkout", true).await;
    // Not in step yet: setting the provider waits for it.
    let client = world.builder().connect().unwrap();
    let mut events = client.events();
    let of = {
        let mut api = OpenFeature::singleton_mut().await;
        let provider = tidegate::open_feature::Provider::new(client.clone()).init_timeout(DEADLINE);
        within(api.set_named_provider("stream", provider)).await;
        api.create_named_client("stream")
    };
    let ctx = EvaluationContext::default().with_targeting_key("ada");
    let before = of.get_bool_details("checkout", Some(&ctx), None).await.unwrap();
    assert_eq!((before.value, before.reason), (true, Some(EvaluationReason::Static)));

    kill(&world.test.app, "checkout").await;
    while !change(&mut events).await.killed {}
    let after = of.get_bool_details("checkout", Some(&ctx), None).await.unwrap();
    assert_eq!((after.value, after.reason), (false, Some(EvaluationReason::Disabled)));
    client.close().await;
}

#[tokio::test]
async fn a_kill_comes_ahead_of_its_change_set() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    enable(&world.test.app, "checkout", true).await;
    let (client, mut events) = world.client().await;
    let mut wire = world.connect(None).await;
    wire.change_set().await;
    assert!(client.bool("checkout", false, &ada()));

    kill(&world.test.app, "checkout").await;
    let Some(ServerMessage::Kill(frame)) = wire.next().await else { panic!("no kill") };
    assert_eq!(frame.flags, ["checkout"]);
    let (transfer, put, to) = wire.change_set().await;
    assert_eq!((transfer, put, to.revision), (Transfer::Changes, vec!["flag/checkout".to_owned()], frame.revision));

    let first = change(&mut events).await;
    assert_eq!((keys(&first), first.killed), (vec!["checkout"], true));
    assert!(!client.bool("checkout", true, &ada()));
    let second = change(&mut events).await;
    assert_eq!((keys(&second), second.killed), (vec!["checkout"], false));
    assert!(!client.bool("checkout", true, &ada()));
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_and_no_more() {
    let world = World::new().await;
    for key in ["a", "b", "c"] {
        create(&world.test.app, key).await;
    }
    let mut wire = world.connect(None).await;
    let (transfer, put, position) = wire.change_set().await;
    assert_eq!((transfer, put.len()), (Transfer::Full, 3));
    drop(wire);

    let (transfer, ..) = world.connect(Some(position.clone())).await.change_set().await;
    assert_eq!(transfer, Transfer::None);

    enable(&world.test.app, "b", true).await;
    enable(&world.test.app, "b", false).await;
    let (transfer, put, newer) = world.connect(Some(position.clone())).await.change_set().await;
    assert_eq!((transfer, put), (Transfer::Changes, vec!["flag/b".to_owned()]));

    // A server that has just started remembers nothing by itself: the database does.
    let world = world.restart(async |_| {}).await;
    let (transfer, put, to) = world.connect(Some(position.clone())).await.change_set().await;
    assert_eq!((transfer, put, &to), (Transfer::Changes, vec!["flag/b".to_owned()], &newer));

    for lost in [Position { epoch: "another".into(), ..newer.clone() }, Position { digest: Digest(1), ..newer.clone() }]
    {
        let (transfer, ..) = world.connect(Some(lost)).await.change_set().await;
        assert_eq!(transfer, Transfer::Full);
    }
    // A client ahead of the database is never sent back.
    let ahead = Position { revision: newer.revision + 10, ..newer.clone() };
    let (transfer, _, to) = world.connect(Some(ahead)).await.change_set().await;
    assert_eq!((transfer, to), (Transfer::None, newer));
}

#[tokio::test]
async fn a_large_transfer_is_compressed_for_whom_can_read_it() {
    let world = World::new().await;
    for index in 0..40 {
        create(&world.test.app, &format!("flag-{index}")).await;
    }
    let mut plain = world.connect(None).await;
    plain.change_set().await;
    let mut wire = Wire::open(&world.url(), &[("authorization", &format!("Bearer {}", world.key))]).await.unwrap();
    let hello = ClientHello {
        protocol: 1,
        sdk: "wire/1".to_owned(),
        position: None,
        accepts: vec!["later".into(), "deflate".into()],
        context: None,
    };
    wire.send(ClientMessage::Hello(hello)).await;
    assert!(matches!(wire.next().await, Some(ServerMessage::Hello(_))));
    let (transfer, put, _) = wire.change_set().await;
    assert_eq!((transfer, put.len()), (Transfer::Full, 40));
    assert!(wire.bytes * 3 < plain.bytes, "{} {}", wire.bytes, plain.bytes);
    // One flag is not worth it: it is a packet as it is.
    let before = wire.bytes;
    enable(&world.test.app, "flag-0", true).await;
    assert_eq!(wire.change_set().await, plain.change_set().await);
    assert!(wire.bytes - before <= 1_024, "{}", wire.bytes - before);
}

/// As teams have them: releases, kill switches, experiments, rules; each with the salt that the server gave it.
fn a_thousand_flags() -> FlagFile {
    let areas = ["checkout", "search", "cart", "profile", "billing", "onboarding", "notifications", "recommendations"];
    let kinds = ["new-button", "faster-query", "dark-mode", "retry-policy", "layout"];
    let boolean = json!([{ "key": "on", "value": true }, { "key": "off", "value": false }]);
    let flags = (0..1_000).map(|number| {
        let key = format!("{}-{}-{number}", areas[number % 8], kinds[number % 5]);
        let weights = json!([{ "variant": "on", "weight": 25_000 }, { "variant": "off", "weight": 75_000 }]);
        let rule = json!({ "id": "first", "serve": { "variant": "on" }, "conditions": [
            { "attribute": "country", "operator": "in", "values": ["DE", "AT", "CH"] },
            { "attribute": "appVersion", "operator": "semverGreaterOrEqual", "values": [format!("4.{}.0", number % 20)] },
        ] });
        let (rules, default) = match number % 4 {
            0 => (json!([]), json!({ "variant": "on" })),
            1 => (json!([]), json!({ "distribution": { "weights": weights } })),
            2 => (json!([rule]), json!({ "variant": "off" })),
            _ => (json!([rule]), json!({ "distribution": { "weights": weights } })),
        };
        json!({
            "key": key, "kind": "boolean", "enabled": number % 3 > 0, "offVariant": "off", "variants": boolean,
            "rules": rules, "default": default,
        })
    });
    serde_json::from_value(json!({ "flags": flags.collect::<Vec<_>>() })).unwrap()
}

#[tokio::test]
async fn a_thousand_flags_are_forty_kilobytes() {
    let world = World::new().await;
    let command = ApplyFile { file: a_thousand_flags(), prune: false };
    world.test.app.apply_file(&TestApp::request(), &environment(), &command, Mode::Commit).await.unwrap();
    let mut wire = Wire::open(&world.url(), &[("authorization", &format!("Bearer {}", world.key))]).await.unwrap();
    let hello = ClientHello {
        protocol: 1,
        sdk: "wire/1".to_owned(),
        position: None,
        accepts: vec!["deflate".into()],
        context: None,
    };
    wire.send(ClientMessage::Hello(hello)).await;
    assert!(matches!(wire.next().await, Some(ServerMessage::Hello(_))));
    let (transfer, put, _) = wire.change_set().await;
    assert_eq!((transfer, put.len()), (Transfer::Full, 1_000));
    assert!(wire.bytes <= 40_000, "{} bytes", wire.bytes);
}

#[tokio::test]
async fn events_come_over_the_stream_too() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    let mut wire = world.connect(None).await;
    wire.change_set().await;
    let batch = r#"{"type":"events","id":"b1","exposures":[{"flag":"checkout","variant":"on","count":2,"at":1}]}"#;
    for _ in 0..2 {
        within(wire.socket.send(Message::text(batch))).await.unwrap();
        let Some(ServerMessage::Received(received)) = wire.next().await else { panic!("not taken") };
        assert_eq!(received.id, "b1");
    }
    let counted = r#"tidegate_exposures_total{project="shop",environment="test",flag="checkout",variant="on"} 2"#;
    assert!(world.server.state.metrics.render().contains(counted));
}

#[tokio::test]
async fn who_asks_to_start_over_gets_everything() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    let mut wire = world.connect(None).await;
    let first = wire.change_set().await;
    wire.send(ClientMessage::Resync(Resync { reason: "test".into() })).await;
    assert_eq!(wire.change_set().await, first);
}

#[tokio::test]
async fn a_change_that_nobody_announced_is_found() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    let (client, mut events) = world.client().await;
    // Another process has no way to announce it here.
    let (changes, _) = tokio::sync::broadcast::channel(1);
    let elsewhere = App { changes, ..world.test.app.clone() };
    enable(&elsewhere, "checkout", true).await;
    assert_eq!(keys(&change(&mut events).await), ["checkout"]);
    assert!(client.bool("checkout", false, &ada()));
}

#[tokio::test]
async fn what_one_server_accepts_the_clients_of_another_have() {
    let database = Location::Postgres(Box::new(postgres::database().await));
    let store = async || Arc::new(SqlStore::open(&database, "epoch").await.unwrap());
    let one = TestApp::on(store().await, HttpConfig::default());
    one.project("shop", &["test"]).await;
    create(&one.app, "checkout").await;
    let Caller::Bearer(key) = one.sdk_key("shop", "test", SdkKeyKind::Server).await else { unreachable!() };

    // The other does not poll: what it hears, the database told it.
    let settings = stream::Settings { poll: Duration::from_hours(1), ..settings() };
    let test = TestApp::on(store().await, HttpConfig::default());
    let server = Server::start(&test.app, settings, "127.0.0.1:0".parse().unwrap()).await;
    let other = World { test, key, server };
    let (client, mut events) = other.client().await;

    // It may not listen yet: changes go on until one is heard.
    let changing = async {
        loop {
            for enabled in [true, false] {
                enable(&one.app, "checkout", enabled).await;
            }
        }
    };
    let changed = tokio::select! {
        changed = change(&mut events) => changed,
        never = changing => never,
    };
    assert_eq!(keys(&changed), ["checkout"]);
    client.close().await;
    other.server.stop().await;
}

#[tokio::test]
async fn a_poisoned_flag_is_broken_alone() {
    let world = World::new().await;
    create(&world.test.app, "good").await;
    enable(&world.test.app, "good", true).await;
    poison(&world.test.app, "bad").await;
    let (client, mut events) = world.client().await;
    assert!(client.bool("good", false, &ada()));
    let details = client.bool_details("bad", true, &ada());
    assert_eq!((details.value, details.error), (true, Some(ErrorCode::ParseError)));
    let metrics = world.server.state.metrics.render();
    assert!(metrics.contains(r#"tidegate_broken_documents{project="shop",environment="test"} 1"#), "{metrics}");

    // Also one that is poisoned while clients are connected.
    poison(&world.test.app, "good").await;
    assert_eq!(keys(&change(&mut events).await), ["good"]);
    assert_eq!(client.bool_details("good", false, &ada()).error, Some(ErrorCode::ParseError));
    create(&world.test.app, "another").await;
    assert_eq!(keys(&change(&mut events).await), ["another"]);
}

/// Writes what no server would into the database.
pub async fn poison(app: &App, key: &str) {
    let id = DocumentId { kind: DocumentKind::Flag, scope: "shop".to_owned(), key: key.to_owned() };
    let entry = AuditEntry {
        at: app.clock.now(),
        actor: "cli:vandal".to_owned(),
        actor_name: "Vandal".to_owned(),
        action: "flag.update".to_owned(),
        project: None,
        environment: None,
        resource: format!("flag/{key}"),
        before: Json::Null,
        after: Json::Null,
        reason: String::new(),
        request_id: String::new(),
    };
    let commit = store::Commit {
        writes: vec![Write { id, body: "{\"kind\": \"boole".to_owned(), archived: false }],
        touched: vec![(environment(), vec![Touched { kind: TouchedKind::Flag, key: key.to_owned() }])],
        audit: vec![entry],
        at: app.clock.now(),
        ..store::Commit::default()
    };
    app.store.commit(commit).await.unwrap();
}

#[tokio::test]
async fn a_restart_of_the_server_is_an_interlude() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    enable(&world.test.app, "checkout", true).await;
    let (client, mut events) = world.client().await;

    let world = world
        .restart(async |app| {
            told(&mut events, |event| matches!(event, Event::Stale)).await;
            assert!(client.bool("checkout", false, &ada()), "the last good flags are gone");
            assert_eq!(client.bool_details("checkout", false, &ada()).reason, Reason::Static);
            enable(app, "checkout", false).await;
        })
        .await;
    assert_eq!(keys(&change(&mut events).await), ["checkout"]);
    told(&mut events, |event| matches!(event, Event::Ready)).await;
    assert!(!client.bool("checkout", true, &ada()));
    drop(world);
}

#[tokio::test]
async fn a_cache_file_is_enough_to_start_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags");
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    enable(&world.test.app, "checkout", true).await;
    let client = world.builder().cache_file(&path).connect().unwrap();
    client.wait_ready(DEADLINE).await.unwrap();
    client.close().await;
    let builder = world.builder().cache_file(&path);
    let nobody = Client::builder(&world.url(), "tgs_another").cache_file(&path);
    world.server.stop().await;

    let client = builder.clone().connect().unwrap();
    assert_eq!(client.wait_ready(Duration::ZERO).await, Ok(Status::Stale));
    assert!(client.bool("checkout", false, &ada()));
    assert_eq!(builder.clone().offline().status(), Status::Ready);
    assert!(nobody.offline().wait_ready(Duration::ZERO).await.is_err(), "the file was used for another key");

    std::fs::write(&path, "torn").unwrap();
    let client = builder.connect().unwrap();
    let not_ready = client.wait_ready(Duration::ZERO).await.unwrap_err();
    assert_eq!(not_ready.status, Status::NotReady);
    assert_eq!(client.bool_details("checkout", true, &ada()).error, Some(ErrorCode::ProviderNotReady));
}

#[tokio::test]
async fn a_revoked_key_closes_its_streams_and_the_flags_stay() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    enable(&world.test.app, "checkout", true).await;
    let (client, mut events) = world.client().await;
    let mut wire = world.connect(None).await;
    wire.change_set().await;

    let key = app::keys::authenticate_sdk(&world.test.app, &world.key).await.unwrap().key.clone();
    app::keys::revoke(&world.test.app, &TestApp::request(), &environment(), &key).await.unwrap();
    told(&mut events, |event| matches!(event, Event::Fatal)).await;
    assert!(client.bool("checkout", false, &ada()));
    assert_eq!(client.bool_details("checkout", false, &ada()).reason, Reason::Stale);
    let Some(ServerMessage::Goodbye(message)) = wire.next().await else { panic!("no goodbye") };
    assert_eq!(message.reason, goodbye::REVOKED);
    assert!(wire.next().await.is_none());

    let late = world.builder().connect().unwrap();
    let not_ready = late.wait_ready(DEADLINE).await.unwrap_err();
    assert_eq!(not_ready.status, Status::Fatal);
    assert!(not_ready.trouble.contains("the SDK key is not valid"), "{not_ready}");
}

#[tokio::test]
async fn an_archived_environment_closes_its_streams() {
    let world = World::new().await;
    let (_client, mut events) = world.client().await;
    world.test.user("grace", false, &[("shop", app::Role::Viewer)]).await;
    let Caller::Session(cookie) = world.test.sign_in("grace").await else { unreachable!() };
    let url = format!("{}/api/v1/stream?project=shop&environment=test", world.url());
    let own = format!("http://{}", world.server.address);
    let mut person = Wire::open(&url, &[("cookie", &cookie), ("origin", &own)]).await.unwrap();
    person.hello(None).await;
    person.change_set().await;
    world.test.app.archive_environment(&TestApp::request(), &environment(), 1).await.unwrap();
    told(&mut events, |event| matches!(event, Event::Fatal)).await;
    assert!(app::keys::authenticate_sdk(&world.test.app, &world.key).await.is_err());
    let Some(ServerMessage::Goodbye(message)) = person.next().await else { panic!("no goodbye") };
    assert_eq!(message.reason, goodbye::REVOKED);
}

#[tokio::test]
async fn a_client_key_gets_no_rules() {
    let world = World::new().await;
    let Caller::Bearer(key) = world.test.sdk_key("shop", "test", SdkKeyKind::Client).await else { unreachable!() };
    create(&world.test.app, "checkout").await;
    let client = Client::builder(&world.url(), &key).connect().unwrap();
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    assert_eq!(client.bool_details("checkout", true, &ada()).error, Some(ErrorCode::FlagNotFound));
}

#[tokio::test]
async fn people_watch_from_our_own_pages_only() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    world.test.user("grace", false, &[("shop", app::Role::Viewer)]).await;
    world.test.user("alan", false, &[]).await;
    let Caller::Session(cookie) = world.test.sign_in("grace").await else { unreachable!() };
    let Caller::Session(stranger) = world.test.sign_in("alan").await else { unreachable!() };
    let url = format!("{}/api/v1/stream?project=shop&environment=test", world.url());
    let own = format!("http://{}", world.server.address);

    let mut wire = Wire::open(&url, &[("cookie", &cookie), ("origin", &own)]).await.unwrap();
    wire.hello(None).await;
    assert_eq!(wire.change_set().await.0, Transfer::Full);

    for (cookie, origin, status) in
        [(&cookie, "http://evil.test", 403), (&stranger, own.as_str(), 404), (&"tidegate=x.y".to_owned(), &own, 401)]
    {
        let refused = Wire::open(&url, &[("cookie", cookie), ("origin", origin)]).await;
        let Err(Error::Http(response)) = refused else { panic!("from {origin}: it opened") };
        assert_eq!(response.status(), status, "from {origin}");
    }
}

#[tokio::test]
async fn receipts_say_how_far_a_change_has_come() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    let mut wire = world.connect(None).await;
    let (_, _, position) = wire.change_set().await;
    let path = "/api/v1/projects/shop/environments/test/receipts";
    let token = world.test.project_token("shop", app::Role::Viewer).await;
    let get = async || {
        let Caller::Bearer(token) = &token else { unreachable!() };
        let url = format!("{}{path}", world.url());
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        answer.json::<Json>().await.unwrap()
    };
    let before = get().await;
    assert_eq!((&before["connected"], &before["applied"]), (&json!(1), &json!(0)));
    assert_eq!(before["behind"][0]["sdk"], "wire/1");

    wire.send(ClientMessage::Ack(Ack { epoch: position.epoch, revision: position.revision, age_ms: 0 })).await;
    // What is answered after the receipt was read after it.
    wire.send(ClientMessage::Resync(Resync { reason: "test".into() })).await;
    wire.change_set().await;
    let after = get().await;
    assert_eq!((&after["connected"], &after["applied"], &after["behind"]), (&json!(1), &json!(1), &json!([])));
}

#[tokio::test]
async fn too_many_streams_are_turned_away_with_a_time_to_come_back() {
    let world = World::with(stream::Settings { max_streams: 1, ..settings() }).await;
    let _first = world.connect(None).await;
    let Err(Error::Http(response)) =
        Wire::open(&world.url(), &[("authorization", &format!("Bearer {}", world.key))]).await
    else {
        panic!("a second stream opened")
    };
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
}

#[tokio::test]
async fn who_does_not_speak_the_protocol_is_sent_away() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.key);
    for first in ["hello", r#"{"type":"ack","epoch":"e","revision":1}"#, r#"{"type":"hello","protocol":0,"sdk":""}"#] {
        let mut wire = Wire::open(&world.url(), &[("authorization", &bearer)]).await.unwrap();
        within(wire.socket.send(Message::text(first))).await.unwrap();
        let Some(ServerMessage::Goodbye(message)) = wire.next().await else { panic!("no goodbye to {first}") };
        assert_eq!(message.reason, goodbye::PROTOCOL);
    }
    // Who sends too much is cut off.
    let mut wire = world.connect(None).await;
    wire.change_set().await;
    let _ = wire.socket.send(Message::text("x".repeat(frame::MAX_CLIENT_FRAME_BYTES + 1))).await;
    assert!(wire.next().await.is_none());
    // A plain request is told what this is.
    let answer = reqwest::Client::new().get(format!("{}/api/v1/stream", world.url())).bearer_auth(&world.key);
    assert_eq!(answer.send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_a_living_one_is_not() {
    let heartbeat = Duration::from_millis(100);
    let world = World::with(stream::Settings { heartbeat, ..settings() }).await;
    let (client, mut events) = world.client().await;
    let mut silent = world.connect(None).await;
    silent.change_set().await;
    // It reads, and never says anything again.
    assert!(silent.next().await.is_none());
    assert_eq!(client.status(), Status::Ready);
    create(&world.test.app, "checkout").await;
    assert_eq!(keys(&change(&mut events).await), ["checkout"]);
}

#[tokio::test]
async fn receipts_add_up_over_the_servers() {
    let database = Location::Postgres(Box::new(postgres::database().await));
    let store = async || Arc::new(SqlStore::open(&database, "epoch").await.unwrap());
    let first = TestApp::on(store().await, HttpConfig::default());
    first.project("shop", &["test"]).await;
    create(&first.app, "checkout").await;
    let Caller::Bearer(key) = first.sdk_key("shop", "test", SdkKeyKind::Server).await else { unreachable!() };
    let second = TestApp::on(store().await, HttpConfig::default());
    let settings = stream::Settings { tell_receipts: Duration::from_millis(20), ..settings() };
    let mut worlds = Vec::new();
    for test in [first, second] {
        let server = Server::start(&test.app, settings, "127.0.0.1:0".parse().unwrap()).await;
        worlds.push(World { test, key: key.clone(), server });
    }
    let [one, other] = &worlds[..] else { unreachable!() };
    let clients = [one.client().await.0, one.client().await.0, other.client().await.0];
    // The metric is of the server's own.
    let metric = |world: &World| {
        let applied = if world.server.address == one.server.address { 2 } else { 1 };
        format!(r#"tidegate_receipts_applied{{project="shop",environment="test"}} {applied}"#)
    };
    enable(&one.test.app, "checkout", true).await;
    let [(_, newest)] = one.test.app.store.revisions().await.unwrap()[..] else {
        unreachable!("there is one environment")
    };
    // Asked as often as it is told: asking all the time keeps the servers, which run on this thread, from telling.
    let mut again = tokio::time::interval(settings.tell_receipts);
    for world in &worlds {
        let all_have_it = async {
            loop {
                let receipts = world.server.state.streams.receipts(&environment()).await.unwrap();
                let told = (receipts.revision, receipts.servers, receipts.connected, receipts.applied);
                if told == (newest, 2, 3, 3) && world.server.state.metrics.render().contains(&metric(world)) {
                    return;
                }
                again.tick().await;
            }
        };
        within(all_have_it).await;
    }
    for client in clients {
        client.close().await;
    }
    for world in worlds {
        world.server.stop().await;
    }
}

#[tokio::test]
async fn a_change_set_that_does_not_add_up_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(&url, "tgs_x").connect().unwrap();
    let mut events = client.events();
    let (socket, _) = within(listener.accept()).await.unwrap();
    let mut server = within(tokio_tungstenite::accept_async(socket)).await.unwrap();

    let flag = |version: u64| {
        let body = json!({
            "key": "a", "kind": "number", "version": version, "enabled": true,
            "variants": [{ "key": "v", "value": version }], "default": { "variant": "v" },
        });
        tidegate_protocol::WireObject::new(tidegate_protocol::ObjectKind::Flag, "a", &body).unwrap()
    };
    let full = |revision: u64, version: u64| {
        let to = Position { epoch: "e".into(), revision, digest: Digest::from(&flag(version)) };
        (Intent { transfer: Transfer::Full, from: None, to: to.clone() }, Commit { to, changed_at: None })
    };
    let frames = |intent: Intent, commit: Commit, version: u64| {
        [
            ServerMessage::Intent(intent),
            ServerMessage::Objects(Objects { put: vec![flag(version)], delete: vec![] }),
            ServerMessage::Commit(commit),
        ]
    };

    let hello = ServerMessage::Hello(ServerHello { protocol: 1, heartbeat_ms: 60_000, receipt_spread_ms: 0 });
    let (intent, commit) = full(1, 1);
    server.send(Message::text(frame::encode([&hello]))).await.unwrap();
    // Compressed, as the client said it reads.
    let compressed = frame::compress(&frame::encode(&frames(intent, commit, 1)));
    server.send(Message::binary(compressed)).await.unwrap();
    change(&mut events).await;

    let (intent, commit) = full(2, 2);
    let torn = frames(Intent { transfer: Transfer::Changes, from: Some(1), ..intent.clone() }, commit.clone(), 7);
    server.send(Message::text(frame::encode(&torn))).await.unwrap();
    loop {
        let Some(Ok(Message::Text(text))) = within(server.next()).await else { panic!("the client left") };
        if frame::lines(&text).any(|line| matches!(ClientMessage::parse(line), Ok(ClientMessage::Resync(_)))) {
            break;
        }
    }
    assert!((client.number("a", 0.0, &ada()) - 1.0).abs() < f64::EPSILON, "half a change was shown");
    server.send(Message::text(frame::encode(&frames(intent, commit, 2)))).await.unwrap();
    change(&mut events).await;
    assert!((client.number("a", 0.0, &ada()) - 2.0).abs() < f64::EPSILON);

    // A server that has lost a commit says so with its next heartbeat.
    let heartbeat = ServerMessage::Heartbeat(Heartbeat { revision: Some(3) });
    server.send(Message::text(frame::encode([&heartbeat]))).await.unwrap();
    loop {
        let Some(Ok(Message::Text(text))) = within(server.next()).await else { panic!("the client left") };
        if frame::lines(&text).any(|line| matches!(ClientMessage::parse(line), Ok(ClientMessage::Resync(_)))) {
            break;
        }
    }
}

//! What can fail, and what is promised then: each row of the table in `docs/reliability.md` that names a test here.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value as Json, json};
use tidegate::{Client, ErrorCode, Event, Events, Reason, Status};
use tidegate_protocol::{
    ClientMessage, Effect, ObjectKind, Position, ServerMessage, Synchronizer, Transfer, WireObject, frame,
    message::{Heartbeat, Intent, ServerHello, goodbye},
    sync::{Lost, Moment, Settings},
};
use tidegate_server::{
    app::{App, SdkKeyKind},
    http::HttpConfig,
    store::{Location, MemoryStore, SqlStore},
    stream,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use crate::{
    stream::{Server, Wire, World, ada, change, create, enable, environment, keys, settings, told},
    support::{
        DEADLINE,
        app::{Caller, TestApp},
        binary,
        peer::{self, Peer, flag, object},
        postgres,
        proxy::Proxy,
        shop::RealShop,
        until, within,
    },
};

/// Short, so that silence is noticed soon; not so short that a busy machine is taken for a dead one.
const HEARTBEAT: Duration = Duration::from_millis(400);

/// Long, so that silence means nothing.
const PATIENT: Duration = Duration::from_hours(1);

/// The statuses that the client tells until it says `last`, changes of flags aside.
async fn statuses(events: &mut Events, last: fn(&Event) -> bool) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let event = within(events.next()).await.unwrap();
        if !matches!(event, Event::ConfigurationChanged(_)) {
            told.push(format!("{event:?}"));
        }
        if last(&event) {
            return told;
        }
    }
}

async fn connected(server: &Server) -> usize {
    server.state.streams.receipts(&environment()).await.unwrap().connected
}

/// An application on a database of that timeline, with a project `shop` and its environment `test`. Ids repeat, so its
/// SDK key is the same each time.
async fn application(epoch: &str) -> (TestApp, String) {
    let test = TestApp::on(Arc::new(MemoryStore::new(epoch)), HttpConfig::default());
    test.project("shop", &["test"]).await;
    let Caller::Bearer(key) = test.sdk_key("shop", "test", SdkKeyKind::Server).await else { unreachable!() };
    (test, key)
}

// ── 6: an old snapshot after a failover or a restore ────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_server_that_has_gone_back_in_time_is_followed_only_on_another_timeline() {
    let (now, key) = application("epoch-1").await;
    create(&now.app, "checkout").await;
    enable(&now.app, "checkout", true).await;
    let server = Server::start(&now.app, settings(), "127.0.0.1:0".parse().unwrap()).await;
    let address = server.address;
    let client = Client::builder(&format!("http://{address}"), &key).connect().unwrap();
    let mut events = client.events();
    told(&mut events, |event| matches!(event, Event::Ready)).await;
    assert!(client.bool("checkout", false, &ada()));
    server.stop().await;

    // A replica that lags behind: the same timeline, fewer revisions.
    let (behind, same_key) = application("epoch-1").await;
    assert_eq!(same_key, key);
    create(&behind.app, "checkout").await;
    let server = Server::start(&behind.app, settings(), address).await;
    let told = statuses(&mut events, |event| matches!(event, Event::Ready)).await;
    assert_eq!(told, ["Stale", "Ready"]);
    assert!(client.bool("checkout", false, &ada()), "a flag went back in time");
    // Once it has caught up and more, it is followed.
    for enabled in [true, false] {
        enable(&behind.app, "checkout", enabled).await;
    }
    assert_eq!(keys(&change(&mut events).await), ["checkout"]);
    assert!(!client.bool("checkout", true, &ada()));
    server.stop().await;

    // A backup that was restored: fewer revisions, and another timeline says that this is meant.
    let (restored, same_key) = application("epoch-2").await;
    assert_eq!(same_key, key);
    create(&restored.app, "checkout").await;
    create(&restored.app, "newer").await;
    let server = Server::start(&restored.app, settings(), address).await;
    assert_eq!(keys(&change(&mut events).await), ["checkout", "newer"]);
    assert_eq!(client.bool_details("newer", true, &ada()).reason, Reason::Disabled);
    client.close().await;
    server.stop().await;
}

// ── 7 and 11: a partition, a half-open socket ───────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_partition_is_told_once_and_ends_in_agreement() {
    let world = World::with(stream::Settings { heartbeat: HEARTBEAT, ..settings() }).await;
    create(&world.test.app, "checkout").await;
    let (near, mut near_events) = world.client().await;
    let network = Proxy::new(world.server.address).await;
    let far = Client::builder(&network.url(), &world.key).connect().unwrap();
    let mut far_events = far.events();
    told(&mut far_events, |event| matches!(event, Event::Ready)).await;
    assert_eq!(connected(&world.server).await, 2);

    // Both directions are silent, and nobody says so: each side finds out by itself.
    network.freeze();
    told(&mut far_events, |event| matches!(event, Event::Stale)).await;
    until("the server drops the silent client", async || connected(&world.server).await == 1).await;

    // Each side goes on with what it has.
    enable(&world.test.app, "checkout", true).await;
    assert_eq!(keys(&change(&mut near_events).await), ["checkout"]);
    assert!(near.bool("checkout", false, &ada()));
    assert!(!far.bool("checkout", true, &ada()));
    assert_eq!(far.status(), Status::Stale);
    let details = far.bool_details("checkout", true, &ada());
    assert_eq!((details.reason, details.error), (Reason::Disabled, None));

    network.heal();
    let told = statuses(&mut far_events, |event| matches!(event, Event::Ready)).await;
    assert_eq!(told, ["Ready"], "staleness was told more than once");
    assert!(far.bool("checkout", false, &ada()));
    until("both are connected", async || connected(&world.server).await == 2).await;
    assert_eq!(near.status(), Status::Ready);
}

// ── 8: a lost notification ──────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn changes_are_found_without_any_notification() {
    // Every notification of this database goes nowhere: its own function of that name is found before the system's.
    let options = postgres::database().await.options([("search_path", "public,pg_catalog")]);
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let lost = "CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''";
    sqlx::query(lost).execute(&mut connection).await.unwrap();
    let database = Location::Postgres(Box::new(options));
    let store = async || Arc::new(SqlStore::open(&database, "epoch").await.unwrap());
    let one = TestApp::on(store().await, HttpConfig::default());
    one.project("shop", &["test"]).await;
    create(&one.app, "checkout").await;
    let Caller::Bearer(key) = one.sdk_key("shop", "test", SdkKeyKind::Server).await else { unreachable!() };

    let test = TestApp::on(store().await, HttpConfig::default());
    let server = Server::start(&test.app, settings(), "127.0.0.1:0".parse().unwrap()).await;
    let other = World { test, key, server };
    let (client, mut events) = other.client().await;
    for enabled in [true, false, true] {
        enable(&one.app, "checkout", enabled).await;
        assert_eq!(keys(&change(&mut events).await), ["checkout"]);
        assert_eq!(client.bool("checkout", !enabled, &ada()), enabled);
    }
    client.close().await;
    other.server.stop().await;
}

// ── 9: a thundering herd ────────────────────────────────────────────────────────────────────────────────────────────

/// Some thousands of sync machines on a clock of their own; the server dies, and is back after a while. The peak is in
/// percent of them.
#[test]
fn a_herd_comes_back_spread_out() {
    const CLIENTS: u64 = 4_000;
    const BUCKET_MS: u64 = 100;
    for (outage_ms, most_percent) in [(1_000, 15), (3_000, 6), (30_000, 6)] {
        let mut machines: Vec<_> = (0..CLIENTS).map(|n| Synchronizer::new(Settings::new("herd/1", n))).collect();
        let mut wakes: std::collections::BTreeSet<(u64, usize)> = std::collections::BTreeSet::new();
        let mut accepted = std::collections::BTreeMap::<u64, u64>::new();
        let mut last_ready = 0;
        // Lost by all in the same instant.
        for (n, machine) in machines.iter_mut().enumerate() {
            machine.start(Moment(0));
            greet(machine, Moment(0));
            machine.on_disconnected(Lost::Broken, Moment(0));
            wakes.insert((machine.wake_at().unwrap().0, n));
        }
        while let Some((at, n)) = wakes.pop_first() {
            let (now, machine) = (Moment(at), &mut machines[n]);
            if machine.on_timer(now).iter().any(|effect| matches!(effect, Effect::Connect)) {
                if at >= outage_ms {
                    *accepted.entry((at - outage_ms) / BUCKET_MS).or_default() += 1;
                    greet(machine, now);
                    last_ready = at - outage_ms;
                    continue;
                }
                machine.on_disconnected(Lost::Broken, now);
            }
            wakes.insert((machine.wake_at().unwrap().0, n));
        }
        let peak = accepted.values().max().unwrap() * 100 / CLIENTS;
        assert!(peak <= most_percent, "after {outage_ms} ms: {peak} % of all connect within {BUCKET_MS} ms");
        assert!(last_ready <= 5_000, "after {outage_ms} ms: the last one was ready {last_ready} ms later");
        assert!(machines.iter().all(|machine| machine.status() == tidegate_protocol::Status::Ready));
    }
}

/// Brings a machine that connects in step with an empty environment.
fn greet(machine: &mut Synchronizer, now: Moment) {
    machine.on_connected(now);
    let to = Position { epoch: "e".into(), revision: 1, digest: tidegate_protocol::Digest::default() };
    let intent = Intent { transfer: Transfer::Full, from: None, to: to.clone() };
    let messages = [
        ServerMessage::Hello(ServerHello { protocol: 1, heartbeat_ms: 15_000, receipt_spread_ms: 0 }),
        ServerMessage::Intent(intent),
        ServerMessage::Commit(tidegate_protocol::message::Commit { to, changed_at: None }),
    ];
    machine.on_message(&frame::encode(&messages), now);
}

/// The real server, killed, and a hundred real clients that evaluate all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_killed_server_are_all_ready_again_and_never_without_flags() {
    const CLIENTS: usize = 100;
    let shop = with_checkout(RealShop::new().await).await;
    let clients: Vec<_> = (0..CLIENTS).map(|_| shop.client().connect().unwrap()).collect();
    for client in &clients {
        assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    }
    let (done, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let evaluating = tokio::task::spawn_blocking({
        let (clients, done, failed) = (clients.clone(), Arc::clone(&done), Arc::clone(&failed));
        move || {
            let mut n_evaluations = 0_u64;
            while !done.load(Ordering::SeqCst) {
                for client in &clients {
                    n_evaluations += 1;
                    if client.bool_details("checkout", false, &ada()).variant.as_deref() != Some("on") {
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
                std::thread::yield_now();
            }
            n_evaluations
        }
    });

    let mut events: Vec<_> = clients.iter().map(Client::events).collect();
    let RealShop { folder, server, .. } = shop;
    let address = server.address().to_owned();
    server.kill();
    for events in &mut events {
        told(events, |event| matches!(event, Event::Stale)).await;
    }
    let _again = binary::Server::start(folder.path(), &["--listen", &address]);
    for events in &mut events {
        told(events, |event| matches!(event, Event::Ready)).await;
    }
    done.store(true, Ordering::SeqCst);
    assert!(evaluating.await.unwrap() > 0);
    assert_eq!(failed.load(Ordering::SeqCst), 0, "evaluations failed");
}

/// With a flag `checkout` that is on.
async fn with_checkout(shop: RealShop) -> RealShop {
    let flag = json!({
        "key": "checkout", "kind": "boolean", "enabled": true, "default": { "variant": "on" }, "offVariant": "off",
        "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
    });
    shop.with(&json!({ "flags": [flag] })).await
}

// ── 10: a slow consumer ─────────────────────────────────────────────────────────────────────────────────────────────

/// A client that says hello and reads nothing. The system keeps little for it.
async fn unread(world: &World) -> Wire {
    let mut request = format!("ws://{}/api/v1/stream", world.server.address).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", world.key).parse().unwrap());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let stream = socket.connect(world.server.address).await.unwrap();
    let stream = tokio_tungstenite::MaybeTlsStream::Plain(stream);
    let (socket, _) = within(Box::pin(tokio_tungstenite::client_async(request, stream))).await.unwrap();
    let mut wire = Wire::over(socket);
    wire.hello(None).await;
    wire
}

/// A change that no socket's buffers take: some 6 MB.
async fn change_much(app: &App) {
    let members: Vec<_> = (0..30_000).map(|n| format!("{n:0200}")).collect();
    let segment = serde_json::from_value(json!({ "key": "crowd", "name": "Crowd", "included": members })).unwrap();
    app.create_segment(&TestApp::request(), &environment(), segment).await.unwrap();
}

#[tokio::test]
async fn who_does_not_read_delays_nobody_and_is_dropped() {
    let world = World::with(stream::Settings { send_timeout: Duration::from_millis(500), ..settings() }).await;
    create(&world.test.app, "checkout").await;
    let (client, mut events) = world.client().await;
    let mut slow = Box::pin(unread(&world)).await;
    slow.change_set().await;
    assert_eq!(connected(&world.server).await, 2);
    change_much(&world.test.app).await;
    change(&mut events).await;
    for enabled in [true, false, true] {
        enable(&world.test.app, "checkout", enabled).await;
        assert_eq!(keys(&change(&mut events).await), ["checkout"]);
    }
    until("the client that does not read is dropped", async || connected(&world.server).await == 1).await;
    assert!(client.bool("checkout", false, &ada()));
    assert_eq!(client.status(), Status::Ready);
}

#[tokio::test]
async fn what_waits_for_who_does_not_read_is_the_newest_state_and_no_queue() {
    let world = World::with(stream::Settings { send_timeout: PATIENT, ..settings() }).await;
    create(&world.test.app, "checkout").await;
    let mut slow = Box::pin(unread(&world)).await;
    slow.change_set().await;
    change_much(&world.test.app).await;
    // More than a hundred changes, each of them announced on its own.
    let (_client, mut events) = world.client().await;
    for n in 0..100 {
        enable(&world.test.app, "checkout", n % 2 == 0).await;
        change(&mut events).await;
    }
    let newest = world.server.state.streams.hub(&environment()).await.unwrap().state().position.clone();
    let mut n_change_sets = 0;
    loop {
        let (_, _, to) = slow.change_set().await;
        n_change_sets += 1;
        if to == newest {
            break;
        }
    }
    // The one that stuck, and what brings it from there to the newest.
    assert!(n_change_sets <= 3, "{n_change_sets} change sets were kept for a client that does not read");
}

// ── 12: a black hole ────────────────────────────────────────────────────────────────────────────────────────────────

/// The client returns at its deadline, serves what it has, and goes on trying.
async fn check_black_hole(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = || {
        serde_json::from_value(json!({ "flags": [{
        "key": "a", "kind": "number", "enabled": true, "variants": [{ "key": "v", "value": 7 }],
        "default": { "variant": "v" },
    }] }))
    };
    let ms = Duration::from_millis;
    let builder = || {
        let builder = Client::builder(url, "tgs_x").cache_file(folder.path().join("flags"));
        builder.connect_timeout(ms(50)).handshake_timeout(ms(50)).transfer_timeout(ms(50))
    };
    let with_nothing = builder().connect().unwrap();
    let not_ready = within(with_nothing.wait_ready(ms(100))).await.unwrap_err();
    assert_eq!(not_ready.status, Status::NotReady);
    let details = with_nothing.number_details("a", 1.0, &ada());
    assert_eq!((details.value, details.error), (1.0, Some(ErrorCode::ProviderNotReady)));

    let client = builder().bootstrap(bootstrap().unwrap()).connect().unwrap();
    assert_eq!(within(client.wait_ready(ms(100))).await, Ok(Status::Stale));
    assert!((client.number("a", 1.0, &ada()) - 7.0).abs() < f64::EPSILON);
    within(client.close()).await;
    within(with_nothing.close()).await;
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_does_not_hold_up_the_start() {
    let peer = Peer::new().await;
    let holding = tokio::spawn({
        let url = peer.url();
        async move { check_black_hole(&url).await }
    });
    let mut held = Vec::new();
    loop {
        tokio::select! {
            socket = peer.accept_raw() => held.push(socket),
            () = until("the clients are through", async || holding.is_finished()) => break,
        }
    }
    holding.await.unwrap();

    // A client that nobody closes goes on trying.
    let _client = Client::builder(&peer.url(), "tgs_x").connect_timeout(HEARTBEAT).connect().unwrap();
    for _ in 0..3 {
        held.push(peer.accept_raw().await);
    }
}

#[tokio::test]
async fn a_server_that_greets_and_sends_nothing_does_not_hold_up_the_start() {
    let peer = Peer::new().await;
    let client = Client::builder(&peer.url(), "tgs_x").transfer_timeout(HEARTBEAT).connect().unwrap();
    for _ in 0..2 {
        let mut line = peer.accept().await;
        line.greet(PATIENT).await;
        assert!(line.next().await.is_none(), "the client waits for ever");
    }
    assert_eq!(client.wait_ready(Duration::ZERO).await.unwrap_err().status, Status::NotReady);
}

#[tokio::test]
async fn a_server_that_never_accepts_does_not_hold_up_the_start() {
    // With its queue full, the system answers no further attempt at all.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 100, "the queue has no end");
    }
    check_black_hole(&format!("http://{address}")).await;
}

// ── 13: a poison flag (in the database: `stream::a_poisoned_flag_is_broken_alone`) ──────────────────────────────────

#[tokio::test]
async fn a_malformed_flag_on_the_wire_is_broken_alone() {
    let good = json!({
        "key": "bad", "kind": "number", "version": 1, "enabled": true, "variants": [{ "key": "v", "value": 1 }],
        "default": { "variant": "v" },
    });
    let with = |field: &str, value: Json| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let corpus = [
        json!(null),
        json!([]),
        json!("flag"),
        json!({}),
        json!({ "key": "bad" }),
        with("key", json!("another")),
        with("key", json!("no key!")),
        with("kind", json!("quaternion")),
        with("kind", json!(7)),
        with("version", json!(-1)),
        with("version", json!("1")),
        with("enabled", json!("yes")),
        with("variants", json!([])),
        with("variants", json!([{ "key": "v", "value": "text" }])),
        with("variants", json!([{ "key": "v", "value": 1 }, { "key": "v", "value": 2 }])),
        with("variants", deep),
        with("default", json!({ "variant": "nowhere" })),
        with("default", json!({ "distribution": { "weights": [{ "variant": "v", "weight": 1 }] } })),
        with("default", json!(null)),
        with("prerequisites", json!([{ "flag": "bad", "variants": ["v"] }])),
        with("offVariant", json!("nowhere")),
        with("rules", json!([{ "serve": { "variant": "nowhere" } }])),
        with("targets", json!({})),
    ];
    let peer = Peer::new().await;
    let client = Client::builder(&peer.url(), "tgs_x").connect().unwrap();
    let mut line = peer.serve(PATIENT, 1, &[object("bad", &good), flag("good", 1)]).await;
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    assert!((client.number("bad", 0.0, &ada()) - 1.0).abs() < f64::EPSILON);

    for (revision, body) in (2..).zip(&corpus) {
        line.full(revision, &[object("bad", body), flag("good", revision)]).await;
        while !matches!(line.next().await, Some(ClientMessage::Ack(ack)) if ack.revision == revision) {}
        let details = client.number_details("bad", 0.5, &ada());
        assert_eq!((details.value, details.error), (0.5, Some(ErrorCode::ParseError)), "{body}");
        let good = client.number_details("good", 0.0, &ada());
        assert_eq!((good.value, good.error), (f64::from(u32::try_from(revision).unwrap()), None), "{body}");
    }
    // Mended, it is a flag again.
    line.full(99, &[object("bad", &good), flag("good", 99)]).await;
    while !matches!(line.next().await, Some(ClientMessage::Ack(ack)) if ack.revision == 99) {}
    assert!((client.number("bad", 0.0, &ada()) - 1.0).abs() < f64::EPSILON);
}

// ── 14: what is too large (a change set: in `tidegate-protocol`, `sync::tests`) ─────────────────────────────────────

#[tokio::test]
async fn frames_beyond_the_limit_are_refused_and_the_last_good_flags_kept() {
    let peer = Peer::new().await;
    let client = Client::builder(&peer.url(), "tgs_x").connect().unwrap();
    let mut line = peer.serve(PATIENT, 1, &[flag("a", 1)]).await;
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));

    // Ten times the limit, as a websocket frame announces it: final, text, not masked, 64 bits of length.
    let announced = u64::try_from(frame::MAX_SERVER_FRAME_BYTES).unwrap() * 10;
    let header = [&[0x81, 127][..], &announced.to_be_bytes()].concat();
    within(line.socket.get_mut().write_all(&header)).await.unwrap();
    assert!(line.next().await.is_none(), "the client takes anything");

    // The same within a compressed frame.
    let mut line = peer.serve(PATIENT, 2, &[flag("a", 2)]).await;
    let mut bomb = frame::compress("x");
    bomb[1..5].copy_from_slice(&u32::try_from(announced).unwrap().to_le_bytes());
    within(futures_util::SinkExt::send(&mut line.socket, Message::binary(bomb))).await.unwrap();
    assert!(line.next().await.is_none(), "the client inflates anything");
    assert!((client.number("a", 0.0, &ada()) - 2.0).abs() < f64::EPSILON);

    let _line = peer.serve(PATIENT, 3, &[flag("a", 3)]).await;
    until("the client is ready again", async || client.status() == Status::Ready).await;
    assert!((client.number("a", 0.0, &ada()) - 3.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_server_refuses_what_is_ten_times_too_large_and_says_where() {
    let (test, key) = application("epoch-1").await;
    let editor = test.project_token("shop", tidegate_server::app::Role::Editor).await;
    let server = Server::start(&test.app, settings(), "127.0.0.1:0".parse().unwrap()).await;
    let world = World { test, key, server };
    // A body.
    let large = json!({ "key": "a", "name": "x".repeat(10 * 1024 * 1024), "kind": "boolean" });
    let answer = world.test.post("/api/v1/projects/shop/flags", large).by(&editor).send().await;
    answer.expect_problem(413, "too_large");
    // A client's frame: the limit is checked by its announcement.
    let mut wire = world.connect(None).await;
    wire.change_set().await;
    let frame = Message::text("x".repeat(frame::MAX_CLIENT_FRAME_BYTES * 10));
    let _ = futures_util::SinkExt::send(&mut wire.socket, frame).await;
    assert!(wire.next().await.is_none());
    // What is nested deeper, or has more members, than a flag may.
    create(&world.test.app, "checkout").await;
    let mut condition = json!({ "attribute": "a", "operator": "exists" });
    for _ in 0..160 {
        condition = json!({ "group": { "kind": "all", "conditions": [condition] } });
    }
    for patch in [
        json!({ "rules": [{ "id": "deep", "conditions": [condition], "serve": { "variant": "on" } }] }),
        json!({ "targets": [{ "variant": "on", "values": ["x".repeat(40 * 1024)] }] }),
    ] {
        let call = world.test.patch("/api/v1/projects/shop/flags/checkout/environments/test", patch).if_match(0);
        let status = call.by(&editor).send().await.status;
        assert!(status.is_client_error(), "{status}");
    }
    world.server.stop().await;
}

// ── 15: versions ────────────────────────────────────────────────────────────────────────────────────────────────────

/// A server that is newer than the SDK: what it may say, and what the SDK makes of it.
#[tokio::test]
async fn an_sdk_understands_what_it_can_of_a_newer_server() {
    let on = |key: &str, rest: Json| {
        let mut body = json!({
            "key": key, "kind": "boolean", "version": 1, "enabled": true, "default": { "variant": "off" },
            "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
        });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object(key, &body)
    };
    let rule = |condition: Json| json!({ "rules": [{ "conditions": [condition], "serve": { "variant": "on" } }] });
    let of_kind = |kind: &str| WireObject::new(ObjectKind::from(kind), "x", &json!({ "anything": [1] })).unwrap();
    // What is sent, and what `x` answers then: value, reason, error.
    let table = [
        ("an unknown field", on("x", json!({ "moonPhase": "full" })), (false, Reason::Static, None)),
        (
            "an unknown field of a rule",
            on("x", json!({ "rules": [{ "later": 1, "conditions": [], "serve": { "variant": "on" } }] })),
            (true, Reason::TargetingMatch, None),
        ),
        (
            "an unknown way to serve",
            on("x", json!({ "rules": [{ "conditions": [], "serve": { "bandit": {} } }] })),
            (true, Reason::Error, Some(ErrorCode::ParseError)),
        ),
        (
            "an unknown operator never matches",
            on("x", rule(json!({ "attribute": "a", "operator": "soundsLike", "values": ["b"] }))),
            (false, Reason::Default, None),
        ),
        (
            "an unknown operator never matches, negated",
            on("x", rule(json!({ "attribute": "a", "operator": "soundsLike", "values": ["b"], "negate": true }))),
            (false, Reason::Default, None),
        ),
        (
            "an unknown kind of flag",
            on("x", json!({ "kind": "quaternion" })),
            (true, Reason::Error, Some(ErrorCode::ParseError)),
        ),
        ("an unknown kind of object", of_kind("rollout"), (true, Reason::Error, Some(ErrorCode::FlagNotFound))),
    ];
    let peer = Peer::new().await;
    let client = Client::builder(&peer.url(), "tgs_x").connect().unwrap();
    let mut line = peer.accept().await;
    // Unknown fields and messages from the first frame on; also a protocol below ours.
    line.send(r#"{"type":"weather","is":"fine"}"#).await;
    line.send(r#"{"type":"hello","protocol":1,"heartbeatMs":3600000,"region":"nz"}"#).await;
    for (revision, (what, object, expected)) in (1..).zip(&table) {
        line.send(r#"{"type":"weather","is":"fine"}"#).await;
        line.full(revision, &[object.clone(), flag("good", revision)]).await;
        while !matches!(line.next().await, Some(ClientMessage::Ack(ack)) if ack.revision == revision) {}
        let details = client.bool_details("x", true, &ada().with("a", "b"));
        assert_eq!((details.value, details.reason, details.error), *expected, "{what}");
        assert_eq!(client.number_details("good", 0.0, &ada()).flag_version, revision, "{what}");
    }
    // A message that is broken, and a way of transfer that is not known, are skipped; what was missed is noticed by the
    // next heartbeat.
    line.send(r#"{"type":"commit"}"#).await;
    line.send(r#"{"type":"intent","transfer":"rewind","to":{"epoch":"e","revision":90,"digest":"00"}}"#).await;
    line.say(&ServerMessage::Heartbeat(Heartbeat { revision: Some(90) })).await;
    assert!(matches!(line.next().await, Some(ClientMessage::Resync(_))));
    // A goodbye for an unknown reason is a goodbye.
    line.send(r#"{"type":"goodbye","reason":"fullMoon","retryAfterMs":0}"#).await;
    let mut line = peer.accept().await;
    assert_eq!(client.status(), Status::Stale);
    // A server that speaks a later protocol only is hopeless.
    let mut events = client.events();
    line.send(r#"{"type":"hello","protocol":2,"heartbeatMs":1000}"#).await;
    told(&mut events, |event| matches!(event, Event::Fatal)).await;
    assert_eq!(client.number_details("good", 0.0, &ada()).reason, Reason::Stale);
}

/// An SDK that is newer or older than the server: what it may say, and what the server makes of it.
#[tokio::test]
async fn a_server_understands_what_it_can_of_another_sdk() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    let bearer = format!("Bearer {}", world.key);
    for (what, first, greeted) in [
        ("a later protocol", r#"{"type":"hello","protocol":99,"sdk":"later/9"}"#, true),
        ("unknown fields", r#"{"type":"hello","protocol":1,"sdk":"later/9","mood":{"is":"fine"}}"#, true),
        ("unknown compressions", r#"{"type":"hello","protocol":1,"sdk":"later/9","accepts":["zstd"]}"#, true),
        (
            "a position with unknown fields",
            r#"{"type":"hello","protocol":1,"sdk":"later/9","position":{"epoch":"e","revision":1,"digest":"00000000000000000000000000000001","later":1}}"#,
            true,
        ),
        ("no protocol", r#"{"type":"hello","sdk":"early/0"}"#, false),
        ("an earlier protocol", r#"{"type":"hello","protocol":0,"sdk":"early/0"}"#, false),
        ("something else first", r#"{"type":"weather","is":"fine"}"#, false),
    ] {
        let mut wire = Wire::open(&world.url(), &[("authorization", &bearer)]).await.unwrap();
        within(futures_util::SinkExt::send(&mut wire.socket, Message::text(first))).await.unwrap();
        match wire.next().await {
            Some(ServerMessage::Hello(hello)) => assert_eq!((greeted, hello.protocol), (true, 1), "{what}"),
            Some(ServerMessage::Goodbye(message)) => {
                assert_eq!((greeted, message.reason.as_ref()), (false, goodbye::PROTOCOL), "{what}");
                continue;
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(wire.change_set().await.0, Transfer::Full, "{what}");
        // Later on, too.
        let unknown = Message::text(r#"{"type":"weather","is":"fine"}"#);
        within(futures_util::SinkExt::send(&mut wire.socket, unknown)).await.unwrap();
        let resync = Message::text(r#"{"type":"resync","reason":"test","later":1}"#);
        within(futures_util::SinkExt::send(&mut wire.socket, resync)).await.unwrap();
        assert_eq!(wire.change_set().await.0, Transfer::Full, "{what}");
    }
}

// ── 16: a snapshot that gets old ────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_frozen_stream_is_stale_then_an_error_and_the_answers_say_so() {
    let peer = Peer::new().await;
    let client = Client::builder(&peer.url(), "tgs_x").connect().unwrap();
    let line = peer.serve(Duration::from_secs(15), 1, &[flag("a", 7)]).await;
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    let mut events = client.events();
    let details = || client.number_details("a", 0.0, &ada());
    assert_eq!((details().value, details().reason), (7.0, Reason::Static));

    // From here time passes as fast as everybody waits, and the server does nothing any more: the connection is open, and
    // so is every further one.
    tokio::time::pause();
    let start = now();
    assert!(matches!(events.next().await, Some(Event::Stale)));
    let stale = now();
    // Since the server was heard, which was a moment ago.
    assert!((31..=45).contains(&(stale - start).as_secs()), "three heartbeats, not {:?}", stale - start);
    assert_eq!((details().value, details().reason), (7.0, Reason::Static));
    assert!(matches!(events.next().await, Some(Event::Error)));
    assert_eq!((now() - stale).as_secs(), 10, "the grace period");
    assert_eq!((client.status(), details().value, details().reason), (Status::Error, 7.0, Reason::Stale));

    // The server is back.
    tokio::time::resume();
    drop(line);
    loop {
        let mut line = peer.accept_raw().await;
        // Those that were given up meanwhile end at once.
        let mut byte = [0];
        if within(line.peek(&mut byte)).await.unwrap_or(0) == 0 {
            continue;
        }
        let _ = line.shutdown().await;
        break;
    }
    let _line = peer.serve(Duration::from_secs(15), 2, &[flag("a", 8)]).await;
    told(&mut events, |event| matches!(event, Event::Ready)).await;
    assert_eq!((details().value, details().reason), (8.0, Reason::Static));
}

#[expect(clippy::disallowed_methods, reason = "paused time: it is what the test says")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

// ── 17: a corrupted cache file ──────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn a_damaged_cache_file_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags");
    let peer = Peer::new().await;
    let builder = || Client::builder(&peer.url(), "tgs_x").cache_file(&path);
    let client = builder().connect().unwrap();
    let _line = peer.serve(PATIENT, 1, &[flag("a", 7)]).await;
    client.wait_ready(DEADLINE).await.unwrap();
    client.close().await;
    let whole = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let details = builder().offline().number_details("a", 0.5, &ada());
        (details.value, details.error)
    };
    let (good, none) = ((7.0, None), (0.5, Some(ErrorCode::ProviderNotReady)));
    assert_eq!(read(&whole), good);
    for end in 0..whole.len() {
        assert_eq!(read(&whole[..end]), none, "cut at {end}");
    }
    for at in 0..whole.len() {
        for bits in [0x01, 0x20, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= bits;
            // A letter of the checksum may change its case, and a space be none: then it says the same.
            let answer = read(&bytes);
            assert!(answer == none || answer == good, "byte {at} with {bits:#x}: {answer:?}");
        }
    }
    assert_eq!(read(&[&whole[..], b"{}\n"].concat()), none);
    // What another process left half-written beside it disturbs nobody.
    std::fs::write(path.with_file_name("flags.1.tmp"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(read(&whole), good);
}

/// Where the process that writes and gets killed connects to, and what it writes.
const CACHE: &str = "TIDEGATE_FAILURES_CACHE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_while_it_writes_leaves_a_file_that_can_be_used() {
    const KILLS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags");
    let peer = Peer::new().await;
    let url = peer.url();
    // Large enough that writing takes a while, and never the same twice.
    let serving = tokio::spawn(async move {
        let mut lines = JoinSet::new();
        for revision in 1.. {
            let stream = peer.accept_raw().await;
            lines.spawn(async move {
                let flags: Vec<_> = (0..500).map(|n| flag(&format!("flag-{n:04}"), revision)).collect();
                peer::serve_mortal(stream, revision, &flags).await;
            });
        }
    });
    let mut last = 0.0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["failures::cache_writer", "--exact", "--nocapture"])
            .env(CACHE, format!("{url} {}", path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let written = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Killed somewhere in the write after that.
        let n_written = written.filter(|line| line.ends_with("written")).take(1 + round % 3).count();
        for _ in 0..round * 60_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(n_written, 1 + round % 3, "the writer ended by itself");

        let client = Client::builder(&url, "tgs_x").cache_file(&path).offline();
        let first = client.number_details("flag-0000", 0.0, &ada());
        assert!(first.error.is_none() && first.value > last, "{first:?} after {last}");
        assert!((client.number("flag-0499", 0.0, &ada()) - first.value).abs() < f64::EPSILON, "half a snapshot");
        last = first.value;
    }
    serving.abort();
}

/// No test of its own: what [`a_process_killed_while_it_writes_leaves_a_file_that_can_be_used`] runs and kills.
#[tokio::test]
async fn cache_writer() {
    let Ok(told) = std::env::var(CACHE) else { return };
    let (url, path) = told.split_once(' ').unwrap();
    loop {
        let client = Client::builder(url, "tgs_x").cache_file(path).connect().unwrap();
        let mut events = client.events();
        self::told(&mut events, |event| matches!(event, Event::Ready)).await;
        // Writes the file.
        client.close().await;
        println!("written");
    }
}

// ── 27: a graceful shutdown ─────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_told_to_stop_under_load_fails_no_request_and_no_evaluation() {
    const WORKERS: usize = 8;
    let shop = with_checkout(RealShop::new().await).await;
    let client = shop.client().connect().unwrap();
    client.wait_ready(DEADLINE).await.unwrap();
    let mut events = client.events();
    let answered = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (url, key, client) = (shop.server.url.clone(), shop.key.clone(), client.clone());
        let answered = Arc::clone(&answered);
        workers.spawn(async move {
            let http = reqwest::Client::new();
            loop {
                assert!(client.bool("checkout", false, &ada()), "an evaluation failed");
                let request = http.post(format!("{url}/ofrep/v1/evaluate/flags/checkout")).bearer_auth(&key);
                let request = request.json(&json!({ "context": { "targetingKey": "ada" } }));
                let answer = request.send().await.unwrap_or_else(|error| panic!("a request failed: {error:?}"));
                let status = answer.status();
                let is_last = answer.headers().get("connection").is_some_and(|value| value == "close");
                let body: Json = answer.json().await.unwrap();
                assert_eq!((status.as_u16(), &body["value"]), (200, &json!(true)), "{body}");
                answered.fetch_add(1, Ordering::SeqCst);
                // The server says that it is going: whoever is in front of several asks another from now on.
                if is_last {
                    return;
                }
            }
        });
    }
    until("there is load", async || answered.load(Ordering::SeqCst) > 200).await;
    let RealShop { server, .. } = shop;
    let status = tokio::task::spawn_blocking(move || server.terminate()).await.unwrap();
    assert!(status.success(), "{status}");
    while let Some(worker) = within(workers.join_next()).await {
        worker.unwrap();
    }
    told(&mut events, |event| matches!(event, Event::Stale)).await;
    assert!(client.bool("checkout", false, &ada()));
}

// ── 28: no descriptors left ─────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_out_of_descriptors_goes_on_and_recovers() {
    const DESCRIPTORS: usize = 80;
    let shop = RealShop::on(|folder| binary::Server::start_with_descriptors(folder, DESCRIPTORS)).await;
    let shop = with_checkout(shop).await;
    let client = shop.client().connect().unwrap();
    client.wait_ready(DEADLINE).await.unwrap();
    let mut events = client.events();
    // A probe that keeps its connection, as probes do.
    let mut probe = TcpStream::connect(shop.server.address()).await.unwrap();
    live(&mut probe).await;

    // More connections than it has descriptors. The system accepts them all; the server cannot.
    let mut crowd = Vec::new();
    for _ in 0..DESCRIPTORS * 2 {
        crowd.push(within(TcpStream::connect(shop.server.address())).await.unwrap());
    }
    for _ in 0..10 {
        live(&mut probe).await;
        assert!(client.bool("checkout", false, &ada()));
    }
    assert_eq!(client.status(), Status::Ready, "a stream that was open is lost");

    // They go, and all is as before: also for new connections and changes.
    drop(crowd);
    let path = "projects/shop/environments/test/kill";
    let kill = json!({ "flag": "checkout", "reason": "it burns" });
    let answer = within(shop.request(reqwest::Method::POST, path).json(&kill).send()).await.unwrap();
    answer.error_for_status().unwrap();
    assert!(change(&mut events).await.killed);
    assert!(!client.bool("checkout", true, &ada()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_leave_descriptors_to_other_callers() {
    const DESCRIPTORS: usize = 80;
    let shop =
        with_checkout(RealShop::on(|folder| binary::Server::start_with_descriptors(folder, DESCRIPTORS)).await).await;
    let mut streams = Vec::new();
    let refused = loop {
        let mut request = format!("ws://{}/api/v1/stream", shop.server.address()).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", shop.key).parse().unwrap());
        match within(Box::pin(connect_async(request))).await {
            Ok((stream, _)) => streams.push(stream),
            Err(tungstenite::Error::Http(response)) => break response,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!((streams.len(), refused.status().as_u16()), (DESCRIPTORS / 2, 503));
    assert!(refused.headers().contains_key("retry-after"));
    // There is room for people.
    let path = "projects/shop/environments/test/kill";
    let kill = json!({ "flag": "checkout", "reason": "it burns" });
    let answer = within(shop.request(reqwest::Method::POST, path).json(&kill).send()).await.unwrap();
    answer.error_for_status().unwrap();
}

/// One request to `/livez` on a connection that stays.
async fn live(probe: &mut TcpStream) {
    within(probe.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let n = within(probe.read(&mut buffer)).await.unwrap();
        assert!(n > 0, "the server hung up");
        answer.extend_from_slice(&buffer[..n]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer));
}

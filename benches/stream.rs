//! Fan-out: one change to thousands of connected clients, beside the floors of the same run.
//!
//! The server runs on one core, all clients on the other, over several loopback addresses. A round is one change: the time is from the
//! store's acknowledgement to the last client that has it. A client is what an SDK is below its API: a websocket, the sync machine, a
//! ruleset, a receipt. The floors send the same bytes: `tcp` in one loop of writes to plain sockets, `websocket` by a bare axum
//! broadcast; their clients only read.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use axum::{
    Router,
    extract::{
        State,
        ws::{Message, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tempfile::TempDir;
use tidegate_benches::{
    rig::{self, ASKING_CORE, Actor, SERVING_CORE, percentile},
    workload,
};
use tidegate_core::Ruleset;
use tidegate_protocol::{
    Effect, Synchronizer,
    sync::{Cause, Moment, Onto, Settings},
};
use tidegate_server::{
    app::{
        Actor as AuditActor, App, Principal, Request, SdkKeyKind,
        configurations::Mode,
        flag_file::ApplyFile,
        keys::{self, NewSdkKey},
        kill::KillTarget,
    },
    config::{Config, Sources},
    ports::store::EnvironmentId,
    store::Location,
    wiring,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{broadcast, mpsc},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

const ROUNDS: usize = 15;
const SIZES: [usize; 3] = [1_000, 5_000, 10_000];

/// About what one flag's change is on the wire.
const CHANGE_BYTES: usize = 620;

/// Clients per loopback address: well below the ports that one has.
const PER_ADDRESS: usize = 5_000;

fn main() -> Result<()> {
    // `cargo bench -- FILTER` names other benches; `--test` and the like are criterion's.
    let named: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    match rig::part().as_deref() {
        Some("server") => run(serve_tidegate()),
        Some("tcp") => run(serve_tcp()),
        Some("websocket") => run(serve_websocket()),
        Some("clients") => run(clients(&named)),
        Some(part) => bail!("`{part}` is no part"),
        None if named.iter().all(|name| name == "stream") => direct(),
        None => Ok(()),
    }
}

fn run(part: impl Future<Output = Result<()>>) -> Result<()> {
    // As many workers as there are cores to run on: one.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(part)
}

fn direct() -> Result<()> {
    println!("| clients | | half have it | all have it | all, to the tcp floor | memory a connection |");
    println!("|--:|---|--:|--:|--:|--:|");
    for n_clients in SIZES {
        let tcp = measure("tcp", n_clients, "change")?;
        row(n_clients, "plain TCP, one loop of writes", &tcp, &tcp);
        row(n_clients, "bare axum websocket, broadcast", &measure("websocket", n_clients, "change")?, &tcp);
        row(n_clients, "Tidegate, a change", &measure("server", n_clients, "change")?, &tcp);
        row(n_clients, "Tidegate, a kill", &measure("server", n_clients, "kill")?, &tcp);
    }
    Ok(())
}

fn row(n_clients: usize, what: &str, figures: &Figures, floor: &Figures) {
    let Figures { half_ms, all_ms, bytes } = figures;
    let ratio = all_ms / floor.all_ms;
    println!("| {n_clients} | {what} | {half_ms:.1} ms | {all_ms:.1} ms | {ratio:.2} × | {:.1} KiB |", bytes / 1_024.0);
}

/// Medians of the rounds, and memory after them.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    half_ms: f64,
    all_ms: f64,
    bytes: f64,
}

fn measure(part: &str, n_clients: usize, round: &str) -> Result<Figures> {
    let mut server = Actor::start(part, SERVING_CORE, &[])?;
    let place = server.line()?;
    let before = server.usage()?.resident;
    let mut clients = Actor::start("clients", ASKING_CORE, &[part, &place, &n_clients.to_string(), round])?;
    clients.line().context("connecting")?;
    let (mut half, mut all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        server.say(round)?;
        let started: f64 = server.line()?.parse()?;
        let told = clients.line()?;
        let (middle, last) = told.split_once(' ').context("two times")?;
        half.push((middle.parse::<f64>()? - started) / 1e3);
        all.push((last.parse::<f64>()? - started) / 1e3);
    }
    let after = server.usage()?.resident;
    half.sort_by(f64::total_cmp);
    all.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let bytes = after.saturating_sub(before) as f64 / n_clients as f64;
    Ok(Figures { half_ms: percentile(&half, 0.5), all_ms: percentile(&all, 0.5), bytes })
}

/// Microseconds since 1970: the one clock that processes share.
fn now_us() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64() * 1e6
}

fn tell(line: &str) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}

/// The lines of our input, as they come; ends with it.
fn orders() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Connects, then tells of each round when half and all have it.
async fn clients(arguments: &[String]) -> Result<()> {
    let [part, place, n_clients, round] = arguments else { bail!("say what, where, how many and of what") };
    let round = if round == "kill" { Round::Kill } else { Round::Change };
    let (address, key) = place.split_once(' ').context("an address and a key")?;
    let address: SocketAddr = address.parse()?;
    let n_clients: usize = n_clients.parse()?;
    let (have, mut having) = mpsc::channel(n_clients);
    let (ready, mut readied) = mpsc::channel(64);
    for number in 0..n_clients {
        let socket = connect(address, number).await?;
        let (have, ready) = (have.clone(), ready.clone());
        match part.as_str() {
            "tcp" => tokio::spawn(read_tcp(socket, ready, have)),
            "websocket" => tokio::spawn(read_websocket(upgrade(socket, address, None).await?, ready, have)),
            _ => tokio::spawn(follow(upgrade(socket, address, Some(key)).await?, round, ready, have)),
        };
        readied.recv().await.context("a client that is ready")?;
    }
    tell("ready")?;
    loop {
        let mut half = 0.0;
        for number in 0..n_clients {
            having.recv().await.context("a client that has it")?;
            if number == n_clients / 2 {
                half = now_us();
            }
        }
        tell(&format!("{half} {}", now_us()))?;
    }
}

async fn connect(address: SocketAddr, number: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(2 + number / PER_ADDRESS)?;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn upgrade(socket: TcpStream, address: SocketAddr, key: Option<&str>) -> Result<WebSocketStream<TcpStream>> {
    let mut request = format!("ws://{address}/api/v1/stream").into_client_request()?;
    if let Some(key) = key {
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse()?);
    }
    let config = WebSocketConfig::default().read_buffer_size(2 * 1_024).write_buffer_size(0);
    Ok(client_async_with_config(request, socket, Some(config)).await?.0)
}

async fn read_tcp(mut socket: TcpStream, ready: mpsc::Sender<()>, have: mpsc::Sender<()>) -> Result<()> {
    ready.send(()).await?;
    let mut change = [0; CHANGE_BYTES];
    loop {
        socket.read_exact(&mut change).await?;
        have.send(()).await?;
    }
}

async fn read_websocket(
    mut socket: WebSocketStream<TcpStream>,
    ready: mpsc::Sender<()>,
    have: mpsc::Sender<()>,
) -> Result<()> {
    ready.send(()).await?;
    while socket.next().await.transpose()?.is_some() {
        have.send(()).await?;
    }
    Ok(())
}

/// What is sent in a round, and what a client that has it has applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Change,
    /// The kill's own frame; the change set that follows counts for nothing.
    Kill,
}

/// What an SDK does.
async fn follow(
    mut socket: WebSocketStream<TcpStream>,
    round: Round,
    ready: mpsc::Sender<()>,
    have: mpsc::Sender<()>,
) -> Result<()> {
    let mut machine = Synchronizer::new(Settings::new("bench/1", 1));
    let mut ruleset = Ruleset::default();
    let mut is_ready = false;
    machine.start(Moment(0));
    let mut effects = machine.on_connected(Moment(0));
    loop {
        let mut applied = false;
        for effect in effects {
            match effect {
                Effect::Apply(update) => {
                    let base = if update.onto == Onto::Nothing { Ruleset::default() } else { ruleset };
                    applied |= matches!(update.cause, Cause::Kill { .. }) == (round == Round::Kill);
                    ruleset = base.update(update.changes).0;
                }
                Effect::Send(frame) => socket.send(tungstenite::Message::text(frame)).await?,
                Effect::Disconnect { reason } => bail!("{reason}"),
                _ => {}
            }
        }
        if !is_ready && machine.position().is_some() {
            is_ready = true;
            ready.send(()).await?;
        } else if applied {
            have.send(()).await?;
        }
        effects = match socket.next().await.context("the server hung up")?? {
            tungstenite::Message::Text(frame) => machine.on_message(&frame, Moment(0)),
            tungstenite::Message::Binary(frame) => machine.on_binary(&frame, Moment(0)),
            _ => Vec::new(),
        };
    }
}

/// A plain socket for each client, and one loop of writes.
async fn serve_tcp() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    tell(&format!("{} -", listener.local_addr()?))?;
    let (mut orders, mut sockets) = (orders(), Vec::new());
    let change = [b'x'; CHANGE_BYTES];
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let socket = accepted?.0;
                socket.set_nodelay(true)?;
                sockets.push(socket);
            }
            order = orders.recv() => {
                if order.is_none() {
                    return Ok(());
                }
                let started = now_us();
                for socket in &mut sockets {
                    socket.write_all(&change).await?;
                }
                tell(&started.to_string())?;
            }
        }
    }
}

/// A task for each socket on a broadcast channel, with small buffers, and nothing else.
async fn serve_websocket() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (changes, _) = broadcast::channel::<Message>(16);
    let app = Router::new().route("/api/v1/stream", get(broadcast_to)).with_state(changes.clone());
    tell(&format!("{} -", listener.local_addr()?))?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let change = Message::text("x".repeat(CHANGE_BYTES));
    let mut orders = orders();
    while orders.recv().await.is_some() {
        let started = now_us();
        changes.send(change.clone())?;
        tell(&started.to_string())?;
    }
    Ok(())
}

async fn broadcast_to(State(changes): State<broadcast::Sender<Message>>, upgrade: WebSocketUpgrade) -> Response {
    let mut changes = changes.subscribe();
    upgrade.read_buffer_size(1_024).write_buffer_size(0).on_upgrade(async move |mut socket| {
        while let Ok(change) = changes.recv().await {
            if socket.send(change).await.is_err() {
                return;
            }
        }
    })
}

async fn serve_tidegate() -> Result<()> {
    let folder = TempDir::new()?;
    let app = wiring::open(&Location::Sqlite(folder.path().join("stream.db"))).await?;
    let key = fill(&app).await?;
    let sources = BTreeMap::from([
        ("data_dir", folder.path().display().to_string()),
        ("listen", "127.0.0.1:0".to_owned()),
        ("log_level", "warn".to_owned()),
    ]);
    let config = Config::read(&Sources { flags: sources, ..Sources::default() })?;
    let server = wiring::Server::bind(app.clone(), &config).await?;
    tell(&format!("{} {key}", server.address()))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let mut orders = orders();
    let mut round = 0;
    while let Some(order) = orders.recv().await {
        let flag = format!("bulk-flag-{round:03}");
        if order == "kill" {
            let target = KillTarget { flag: Some(flag.parse()?), tag: None };
            app.kill(&request(), &environment(), &target).await?;
        } else {
            let version = app.configuration(&request().principal, &environment(), &flag).await?.version;
            let patch = json!({ "enabled": false });
            app.configure(&request(), &environment(), &flag, version, &patch, Mode::Commit).await?;
        }
        tell(&now_us().to_string())?;
        round += 1;
    }
    drop(stop);
    serving.await?
}

async fn fill(app: &App) -> Result<String> {
    let request = request();
    app.create_project(&request, serde_json::from_value(json!({ "key": "bench", "name": "Bench" }))?).await?;
    let production = json!({ "key": "production", "name": "Production", "production": true });
    app.create_environment(&request, "bench", serde_json::from_value(production)?).await?;
    let mut file = workload::flag_file();
    file.flags.retain(|flag| flag.key.as_str().starts_with("bulk-"));
    file.segments.clear();
    app.apply_file(&request, &environment(), &ApplyFile { file, prune: false }, Mode::Commit).await?;
    let new =
        NewSdkKey { name: "bench".to_owned(), kind: SdkKeyKind::Server, allowed_origins: None, secure_mode: false };
    Ok(keys::create(app, &request, &environment(), new).await?.key)
}

fn environment() -> EnvironmentId {
    EnvironmentId { project: "bench".to_owned(), environment: "production".to_owned() }
}

fn request() -> Request {
    let actor = AuditActor { id: "system".to_owned(), name: "bench".to_owned() };
    let principal = Principal { actor, instance_admin: true, roles: BTreeMap::new() };
    Request { principal, reason: "measuring".to_owned(), request_id: "bench".to_owned(), idempotency: None }
}

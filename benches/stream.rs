//! Fan-out: one change to thousands of connected clients, beside the floors of the same run.
//!
//! The server runs on one core, all clients on the other, over several loopback addresses. A round is one change: the time is from the
//! store's acknowledgement to the last client that has it. One client in fifty is what an SDK is below its API: a websocket, the sync
//! machine, a ruleset, and it has the change when it evaluates with it. The others have it when its bytes are there, as the floors'
//! clients have: thousands of SDKs on one core would measure that core. All send the receipts that SDKs send. The floors send as
//! many bytes: `tcp` in one loop of writes to plain sockets, `websocket` by a bare axum broadcast.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    mem,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
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
    rig::{self, ASKING_CORE, Actor, SERVING_CORE, now_us, orders, percentile, tell},
    served::{self, environment, request},
};
use tidegate_core::Ruleset;
use tidegate_protocol::{
    ClientMessage, Effect, ServerMessage, Synchronizer, frame,
    message::{Ack, ClientHello, PROTOCOL_VERSION, encoding},
    sync::{Cause, Moment, Onto, Settings},
};
use tidegate_server::app::{App, configurations::Mode, kill::KillTarget};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream, tcp::OwnedWriteHalf},
    sync::{broadcast, mpsc},
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

const ROUNDS: usize = 15;

/// With the server's own descriptors, all that fits into the 20,000 that a process often has at most.
const SIZES: [usize; 4] = [1_000, 5_000, 10_000, 19_500];

/// About what one flag's change is on the wire.
const CHANGE_BYTES: usize = 620;

/// Clients per loopback address: the more an address has, the longer the system looks for a free port.
const PER_ADDRESS: usize = 1_000;

/// One client in so many is a whole SDK.
const SDK_EVERY: usize = 50;

/// Changes a second while a kill is measured among them.
const STORM_PER_S: u32 = 100;

/// More clients on one core cannot read that many changes, and would measure themselves.
const STORM_CLIENTS: usize = 1_000;

/// After a round: its receipts are on their way until then.
const PAUSE: Duration = Duration::from_millis(800);

fn main() -> Result<()> {
    let named = rig::named();
    match rig::part().as_deref() {
        Some("server") => rig::play(serve_tidegate()),
        Some("tcp") => rig::play(serve_tcp()),
        Some("websocket") => rig::play(serve_websocket()),
        Some("clients") => rig::play(clients(&named)),
        Some(part) => bail!("`{part}` is no part"),
        None => {
            let (numbers, others): (Vec<_>, Vec<_>) = named.into_iter().partition(|name| name.parse::<usize>().is_ok());
            let sizes: Vec<usize> = numbers.iter().filter_map(|size| size.parse().ok()).collect();
            if others.iter().any(|name| name != "stream") {
                return Ok(());
            }
            direct(if sizes.is_empty() { &SIZES } else { &sizes })
        }
    }
}

/// What is measured: who sends, what happens, and what is waited for.
const ROWS: [(&str, &str, Round, What); 7] = [
    ("plain TCP, one loop of writes", "tcp", Round::Change, What::Change),
    ("bare axum websocket, broadcast", "websocket", Round::Change, What::Change),
    ("Tidegate, a change", "server", Round::Change, What::Change),
    ("Tidegate, a kill", "server", Round::Kill, What::Kill),
    ("Tidegate, a change just before a kill", "server", Round::Race, What::Change),
    ("Tidegate, that kill", "server", Round::Race, What::Kill),
    ("Tidegate, a kill among 100 changes/s", "server", Round::Storm, What::Kill),
];

fn direct(sizes: &[usize]) -> Result<()> {
    println!(
        "| clients | | half have it | all have it | all, to the tcp floor | server CPU a client | clients' CPU | memory a connection |"
    );
    println!("|--:|---|--:|--:|--:|--:|--:|--:|");
    for &n_clients in sizes {
        let mut pairs: Vec<Pair> = Vec::new();
        for (_, part, round, _) in ROWS {
            let is_known = pairs.iter().any(|pair| pair.plays(part, round));
            if !is_known && (round != Round::Storm || n_clients <= STORM_CLIENTS) {
                pairs.push(Pair::start(part, round, n_clients, pairs.len())?);
            }
        }
        // In turns, as a machine is not the same from minute to minute; a storm would blow on the others.
        let (mut storm, mut calm): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|pair| pair.round == Round::Storm);
        for pairs in [&mut calm, &mut storm] {
            for _ in 0..ROUNDS {
                pairs.iter_mut().try_for_each(Pair::play)?;
            }
        }
        let mut floor_ms = f64::NAN;
        for (name, part, round, what) in ROWS {
            let Some(pair) = calm.iter().chain(&storm).find(|pair| pair.plays(part, round)) else { continue };
            let (half_ms, all_ms) =
                (pair.median(|it| it.spread(what).half_ms), pair.median(|it| it.spread(what).all_ms));
            if part == "tcp" {
                floor_ms = all_ms;
            }
            println!(
                "| {n_clients} | {name} | {half_ms:.1} ms | {all_ms:.1} ms | {:.2} × | {:.1} µs | {:.1} µs | {:.1} KiB |",
                all_ms / floor_ms,
                pair.mean(|it| it.server_us),
                pair.mean(|it| it.clients_us),
                pair.bytes_a_client()? / 1_024.0,
            );
        }
    }
    Ok(())
}

/// What happens in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Change,
    Kill,
    /// A change, and a kill on its heels.
    Race,
    /// A kill among many changes.
    Storm,
}

impl Round {
    fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Kill => "kill",
            Self::Race => "race",
            Self::Storm => "storm",
        }
    }

    fn parse(name: &str) -> Result<Self> {
        let all = [Self::Change, Self::Kill, Self::Race, Self::Storm];
        all.into_iter().find(|round| round.name() == name).with_context(|| format!("`{name}` is no round"))
    }
}

/// When half of the clients have something, and when all do, after it was accepted.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    half_ms: f64,
    all_ms: f64,
}

/// Of one round; CPU time of each side a client, receipts included.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    change: Spread,
    kill: Spread,
    server_us: f64,
    clients_us: f64,
}

impl Figures {
    fn spread(&self, what: What) -> Spread {
        match what {
            What::Change => self.change,
            What::Kill => self.kill,
        }
    }
}

/// A server on one core, its clients on the other, and what they measured.
struct Pair {
    part: &'static str,
    round: Round,
    n_clients: f64,
    // The clients go first: they would complain of a server that has gone.
    clients: Actor,
    server: Actor,
    /// The server's memory before they came, in bytes.
    bytes_before: u64,
    figures: Vec<Figures>,
}

impl Pair {
    /// `place`: its number among all pairs.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn start(part: &'static str, round: Round, n_clients: usize, place: usize) -> Result<Self> {
        let mut server = Actor::start(part, SERVING_CORE, &[])?;
        let address = server.line()?;
        let bytes_before = server.usage()?.resident;
        let arguments = [part, &address, &n_clients.to_string(), &place.to_string()];
        let mut clients = Actor::start("clients", ASKING_CORE, &arguments)?;
        clients.line().context("connecting")?;
        Ok(Self { part, round, n_clients: n_clients as f64, clients, server, bytes_before, figures: Vec::new() })
    }

    fn plays(&self, part: &str, round: Round) -> bool {
        self.part == part && self.round == round
    }

    fn play(&mut self) -> Result<()> {
        let before = (self.server.usage()?.cpu, self.clients.usage()?.cpu);
        self.server.say(self.round.name())?;
        // When it was accepted, and the revisions of the change and of the kill; 0: there is none.
        let accepted = self.server.line()?;
        self.clients.say(&accepted)?;
        let (started, _) = accepted.split_once(' ').context("a time")?;
        let started: f64 = started.parse()?;
        let told = self.clients.line()?;
        let mut times = told.split(' ').map(|at| Ok::<_, anyhow::Error>((at.parse::<f64>()? - started) / 1e3));
        let mut next = || times.next().context("four times")?;
        let mut spread = || Ok::<_, anyhow::Error>(Spread { half_ms: next()?, all_ms: next()? });
        let us_a_client = |after: Duration, before| after.saturating_sub(before).as_secs_f64() * 1e6 / self.n_clients;
        self.figures.push(Figures {
            change: spread()?,
            kill: spread()?,
            server_us: us_a_client(self.server.usage()?.cpu, before.0),
            clients_us: us_a_client(self.clients.usage()?.cpu, before.1),
        });
        Ok(())
    }

    fn median(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<_> = self.figures.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        percentile(&values, 0.5)
    }

    /// For CPU time, which is counted in large steps.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn mean(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        self.figures.iter().map(of).sum::<f64>() / self.figures.len() as f64
    }

    fn bytes_a_client(&self) -> Result<f64> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let grown = self.server.usage()?.resident.saturating_sub(self.bytes_before) as f64;
        Ok(grown / self.n_clients)
    }
}

/// What a client has since a moment, in microseconds since 1970: the first that is not before a revision counts.
#[derive(Clone, Copy, Debug)]
struct Seen {
    client: usize,
    what: What,
    revision: u64,
    at: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Change,
    Kill,
}

/// Tells what a client sees.
#[derive(Clone, Debug)]
struct Eye {
    client: usize,
    sightings: mpsc::UnboundedSender<Seen>,
}

impl Eye {
    fn sees(&self, what: What, revision: u64) {
        // Nobody looks any more: it is over.
        let _ = self.sightings.send(Seen { client: self.client, what, revision, at: now_us() });
    }
}

/// Connects, then tells of each round when half and all have the change, and the kill.
async fn clients(arguments: &[String]) -> Result<()> {
    let [part, place, n_clients, own_place] = arguments else { bail!("say what, where, how many and from where") };
    let own_place: u8 = own_place.parse()?;
    let (address, key) = place.split_once(' ').context("an address and a key")?;
    let address: SocketAddr = address.parse()?;
    let n_clients: usize = n_clients.parse()?;
    let (sightings, mut seen) = mpsc::unbounded_channel();
    let (ready, mut readied) = mpsc::channel(64);
    let answers = Answers::default();
    tokio::spawn(answers.clone().send());
    for client in 0..n_clients {
        let socket = connect(address, own_place, client).await?;
        let (eye, ready) = (Eye { client, sightings: sightings.clone() }, ready.clone());
        match part.as_str() {
            "tcp" => spawn(read_tcp(socket, ready, eye)),
            "websocket" => spawn(read_websocket(upgrade(socket, address, None).await?, ready, eye)),
            _ if client % SDK_EVERY == 0 => spawn(follow(upgrade(socket, address, Some(key)).await?, ready, eye)),
            _ => spawn(listen(upgrade(socket, address, Some(key)).await?, ready, answers.clone(), eye)),
        }
        readied.recv().await.context("a client that is ready")?;
    }
    sleep(PAUSE).await;
    tell("ready")?;
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        let [_, change, kill] = order.split(' ').collect::<Vec<_>>()[..] else { bail!("`{order}` is no round") };
        let mut awaited = [Awaited::new(What::Change, change.parse()?), Awaited::new(What::Kill, kill.parse()?)];
        let mut last = awaited.each_ref().map(|awaited| vec![None; if awaited.revision > 0 { n_clients } else { 0 }]);
        while awaited.iter().any(|awaited| awaited.revision > 0 && awaited.had < n_clients) {
            let Seen { client, what, revision, at } = seen.recv().await.context("a client that has it")?;
            for (awaited, have) in awaited.iter_mut().zip(&mut last) {
                let counts = what == awaited.what && revision >= awaited.revision;
                if let Some(first @ None) = have.get_mut(client).filter(|_| counts) {
                    *first = Some(at);
                    awaited.had += 1;
                }
            }
        }
        let times = last.map(|have| {
            let mut times: Vec<_> = have.into_iter().flatten().collect();
            times.sort_by(f64::total_cmp);
            format!("{} {}", percentile(&times, 0.5), percentile(&times, 1.0))
        });
        sleep(PAUSE).await;
        tell(&times.join(" "))?;
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the other end is the terminal")]
fn spawn(client: impl Future<Output = Result<()>> + Send + 'static) {
    tokio::spawn(async {
        if let Err(error) = client.await {
            eprintln!("a client: {error:#}");
        }
    });
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    what: What,
    /// 0: none is.
    revision: u64,
    /// By so many clients.
    had: usize,
}

impl Awaited {
    fn new(what: What, revision: u64) -> Self {
        Self { what, revision, had: 0 }
    }
}

async fn connect(address: SocketAddr, place: u8, number: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(1 + number / PER_ADDRESS)?;
    socket.bind((Ipv4Addr::new(127, 0, 1 + place, last), 0).into())?;
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

async fn read_tcp(mut socket: TcpStream, ready: mpsc::Sender<()>, eye: Eye) -> Result<()> {
    ready.send(()).await?;
    let mut change = [0; CHANGE_BYTES];
    for round in 1.. {
        socket.read_exact(&mut change).await?;
        eye.sees(What::Change, round);
    }
    Ok(())
}

async fn read_websocket(mut socket: WebSocketStream<TcpStream>, ready: mpsc::Sender<()>, eye: Eye) -> Result<()> {
    ready.send(()).await?;
    for round in 1.. {
        if socket.next().await.transpose()?.is_none() {
            break;
        }
        eye.sees(What::Change, round);
    }
    Ok(())
}

/// Reads what an SDK is sent, and has sent what one would send, but applies nothing: as little work as the floors' clients have.
async fn listen(
    mut socket: WebSocketStream<TcpStream>,
    ready: mpsc::Sender<()>,
    answers: Answers,
    eye: Eye,
) -> Result<()> {
    let hello = ClientMessage::Hello(ClientHello {
        protocol: PROTOCOL_VERSION,
        sdk: "bench/1".to_owned(),
        position: None,
        accepts: vec![encoding::DEFLATE.into()],
        context: None,
    });
    socket.send(tungstenite::Message::text(frame::encode([&hello]))).await?;
    let mut spread_ms = 0;
    let mut held = None;
    while held.is_none() {
        let frame = match socket.next().await.context("the server hung up")?? {
            tungstenite::Message::Text(frame) => frame.as_str().to_owned(),
            tungstenite::Message::Binary(frame) => frame::decompress(&frame, frame::MAX_SERVER_FRAME_BYTES)?,
            _ => continue,
        };
        for line in frame::lines(&frame) {
            match ServerMessage::parse(line)? {
                ServerMessage::Hello(hello) => spread_ms = hello.receipt_spread_ms,
                ServerMessage::Commit(commit) => held = Some(commit.to.epoch),
                _ => {}
            }
        }
    }
    let client = eye.client;
    let epoch = held.unwrap_or_default();
    let (mut socket, writer) = socket.into_inner().into_split();
    answers.give(Answer::Of(client, writer));
    ready.send(()).await?;
    // Spread evenly, as SDKs' are at random.
    let wait = Duration::from_millis(spread_ms * u64::try_from(client * 7_919 % 1_000)? / 1_000);
    let answer = |message| answers.give(Answer::Send(client, Instant::now() + wait, message));
    let mut buffer = Vec::with_capacity(4 * 1_024);
    loop {
        if socket.read_buf(&mut buffer).await? == 0 {
            bail!("the server hung up");
        }
        while let Some((text, end)) = first_frame(&buffer)? {
            // The last line says what it was.
            let line = text.rsplit('\n').next().unwrap_or_default();
            if line.starts_with(r#"{"type":"kill""#) {
                eye.sees(What::Kill, revision_in(line)?);
            } else if line.starts_with(r#"{"type":"commit""#) {
                let revision = revision_in(line)?;
                eye.sees(What::Change, revision);
                answer(ClientMessage::Ack(Ack { epoch: epoch.clone(), revision, age_ms: 0 }));
            } else {
                answer(ClientMessage::Heartbeat);
            }
            buffer.drain(..end);
        }
    }
}

/// The revision that a message tells.
fn revision_in(message: &str) -> Result<u64> {
    let (_, rest) = message.split_once(r#""revision":"#).context("a revision")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    Ok(digits.parse()?)
}

/// The first websocket frame in `bytes` (RFC 6455, section 5.2) as text, and where it ends; none: it is not whole yet.
fn first_frame(bytes: &[u8]) -> Result<Option<(Cow<'_, str>, usize)>> {
    const BINARY: u8 = 0x82;
    let (header, length) = match bytes {
        [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        [_, length @ ..126, ..] => (2, usize::from(*length)),
        _ => return Ok(None),
    };
    let Some(payload) = bytes.get(header..header + length) else { return Ok(None) };
    let text = match bytes.first() {
        Some(&BINARY) => frame::decompress(payload, frame::MAX_SERVER_FRAME_BYTES)?.into(),
        _ => std::str::from_utf8(payload)?.into(),
    };
    Ok(Some((text, header + length)))
}

/// What listening clients answer, sent for all of them by one task.
enum Answer {
    /// Where a client's answers go.
    Of(usize, OwnedWriteHalf),
    /// From a client, at a time. The one that waits is replaced, and goes when it was to go: as SDKs do it.
    Send(usize, Instant, ClientMessage),
}

/// What was not looked at yet.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<Answer>>>);

/// Often enough that what is spread stays spread.
const ANSWER_EVERY: Duration = Duration::from_millis(5);

impl Answers {
    fn give(&self, answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    }

    async fn send(self) {
        let mut writers = HashMap::new();
        let mut waiting = HashMap::new();
        let mut due = BTreeSet::new();
        let mut turn = interval(ANSWER_EVERY);
        loop {
            let now = turn.tick().await;
            let new = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            for answer in new {
                match answer {
                    Answer::Of(client, writer) => drop(writers.insert(client, writer)),
                    Answer::Send(client, at, message) => {
                        if waiting.insert(client, message).is_none() {
                            due.insert((at, client));
                        }
                    }
                }
            }
            while let Some((_, client)) = due.first().filter(|(at, _)| *at <= now).copied() {
                due.pop_first();
                let (Some(message), Some(writer)): (_, Option<&OwnedWriteHalf>) =
                    (waiting.remove(&client), writers.get(&client))
                else {
                    continue;
                };
                // It fits, or the server reads nothing any more.
                let _ = writer.try_write(&masked(&frame::encode([&message])));
            }
        }
    }
}

/// A text frame as clients send it, under a mask of zeros; for fewer than 126 bytes.
fn masked(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).unwrap_or_default();
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

/// What an SDK does.
async fn follow(mut socket: WebSocketStream<TcpStream>, ready: mpsc::Sender<()>, eye: Eye) -> Result<()> {
    let started = Instant::now();
    let now = || Moment(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    let mut machine = Synchronizer::new(Settings::new("bench/1", u64::try_from(eye.client)?));
    let mut ruleset = Ruleset::default();
    let mut is_ready = false;
    machine.start(now());
    let mut effects = machine.on_connected(now());
    loop {
        for effect in effects {
            match effect {
                Effect::Apply(update) => {
                    let base = if update.onto == Onto::Nothing { Ruleset::default() } else { ruleset };
                    ruleset = base.update(update.changes).0;
                    match update.cause {
                        Cause::Kill { revision, .. } => eye.sees(What::Kill, revision),
                        _ if is_ready => eye.sees(What::Change, machine.position().map_or(0, |held| held.revision)),
                        _ => {
                            is_ready = true;
                            ready.send(()).await?;
                        }
                    }
                }
                Effect::Send(frame) => socket.send(tungstenite::Message::text(frame)).await?,
                Effect::Disconnect { reason } => bail!("{reason}"),
                _ => {}
            }
        }
        let wake = machine.wake_at().map_or_else(far_away, |Moment(at)| started + Duration::from_millis(at));
        effects = tokio::select! {
            frame = socket.next() => match frame.context("the server hung up")?? {
                tungstenite::Message::Text(frame) => machine.on_message(&frame, now()),
                tungstenite::Message::Binary(frame) => machine.on_binary(&frame, now()),
                _ => Vec::new(),
            },
            () = sleep_until(wake) => machine.on_timer(now()),
        };
    }
}

/// A plain socket for each client, and one loop of writes.
async fn serve_tcp() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    tell(&format!("{} -", listener.local_addr()?))?;
    let (mut orders, mut sockets) = (orders(), Vec::new());
    let change = [b'x'; CHANGE_BYTES];
    let mut round = 0;
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
                round += 1;
                let started = now_us();
                for socket in &mut sockets {
                    socket.write_all(&change).await?;
                }
                tell(&format!("{started} {round} 0"))?;
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
    for round in 1.. {
        if orders.recv().await.is_none() {
            break;
        }
        let started = now_us();
        changes.send(change.clone())?;
        tell(&format!("{started} {round} 0"))?;
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
    let app = served::open(folder.path()).await?;
    let key = served::fill(&app).await?;
    let server = served::bind(app.clone(), folder.path(), 0).await?;
    tell(&format!("{} {key}", server.address()))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let mut orders = orders();
    let mut number = 0;
    let mut storm = JoinSet::new();
    while let Some(order) = orders.recv().await {
        let round = Round::parse(&order)?;
        if round == Round::Storm && storm.is_empty() {
            storm.spawn(rage(app.clone()));
            sleep(Duration::from_secs(1)).await;
        }
        // Two of every five are on for everybody, and about as long as the floors' changes.
        let mut flags = (number * 2..).map(|flag| format!("bulk-flag-{:03}", flag / 2 * 5 + flag % 2));
        let mut accepted = None;
        let (mut change, mut kill) = (0, 0);
        if matches!(round, Round::Change | Round::Race) {
            change = toggle(&app, &flags.next().context("a flag")?, false).await?;
            accepted = Some(now_us());
        }
        if round != Round::Change {
            let target = KillTarget { flag: Some(flags.next().context("a flag")?.parse()?), tag: None };
            kill = app.kill(&request(), &environment(), &target).await?.revision;
        }
        // A kill on the heels of a change: both times count from the change.
        let accepted = accepted.unwrap_or_else(now_us);
        tell(&format!("{accepted} {change} {kill}"))?;
        number += 1;
    }
    storm.shutdown().await;
    drop(stop);
    serving.await?
}

/// Returns the environment's revision.
async fn toggle(app: &App, flag: &str, enabled: bool) -> Result<u64> {
    let version = app.configuration(&request().principal, &environment(), flag).await?.version;
    let patch = json!({ "enabled": enabled });
    app.configure(&request(), &environment(), flag, version, &patch, Mode::Commit).await?;
    Ok(app.heads.get(&environment()).map_or(0, |head| *head))
}

/// Changes one flag again and again.
async fn rage(app: App) -> Result<()> {
    let mut turn = interval(Duration::from_secs(1) / STORM_PER_S);
    loop {
        for enabled in [false, true] {
            turn.tick().await;
            toggle(&app, "bulk-flag-099", enabled).await?;
        }
    }
}

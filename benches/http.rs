//! OFREP over HTTP on one core: one flag, and all of 100, beside bare handlers as the floor.
//!
//! The server and each floor run on one core, 64 connections on the other, one after the other in the same run. A floor has no
//! key, no signature, no entity tag, no metrics, no layers: `evaluate` reads the same context, evaluates with the same ruleset and
//! writes the same body; `prepared` sends a body of that size.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use axum::{Router, body::Bytes, extract::State, http::header, routing::post};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tidegate_benches::{
    rig::{self, ASKING_CORE, Actor, SERVING_CORE, percentile, tell, until_alone},
    served::{self, flags},
    wire::answer,
    workload,
};
use tidegate_core::{Context, Ruleset, Timestamp, compile, evaluate_all};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

const CONNECTIONS: usize = 64;
const USERS: usize = 1_000;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let named = rig::named();
    match rig::part().as_deref() {
        Some("server") => rig::play(serve_tidegate()),
        Some("evaluate") => rig::play(serve_floor(Floor::Evaluate)),
        Some("prepared") => rig::play(serve_floor(Floor::Prepared)),
        Some("ask") => rig::play(ask(&named)),
        Some(part) => bail!("`{part}` is no part"),
        None if named.iter().all(|name| name == "http") => direct(),
        None => Ok(()),
    }
}

/// What was measured of one server and one question.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    requests_per_s: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    body_bytes: f64,
}

fn direct() -> Result<()> {
    println!(
        "| on one core, {CONNECTIONS} connections | body | requests/s | CPU a request | p50 | p99 | CPU to the floor |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (question, what) in [("one", "one flag"), ("all", "100 flags")] {
        let floor = measure("evaluate", question)?;
        let prepared = measure("prepared", question)?;
        let ours = measure("server", question)?;
        for (name, figures) in
            [("bare axum, prepared body", prepared), ("bare axum, evaluates and writes", floor), ("OFREP", ours)]
        {
            println!(
                "| {what}: {name} | {:.0} B | {:.0} | {:.1} µs | {:.2} ms | {:.2} ms | {:.2} × |",
                figures.body_bytes,
                figures.requests_per_s,
                figures.cpu_us,
                figures.p50_us / 1e3,
                figures.p99_us / 1e3,
                figures.cpu_us / floor.cpu_us,
            );
        }
    }
    Ok(())
}

/// The median round.
fn measure(part: &str, question: &str) -> Result<Figures> {
    let mut server = Actor::start(part, SERVING_CORE, &[])?;
    let place = server.line()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut asking = Actor::start("ask", ASKING_CORE, &[&place, question])?;
        asking.line().context("warming up")?;
        let before = server.usage()?.cpu;
        let told = asking.line()?;
        let cpu = server.usage()?.cpu.saturating_sub(before);
        let numbers: Vec<f64> = told.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [requests, seconds, p50_us, p99_us, body_bytes] = numbers[..] else { bail!("it told `{told}`") };
        rounds.push(Figures {
            requests_per_s: requests / seconds,
            cpu_us: cpu.as_secs_f64() * 1e6 / requests,
            p50_us,
            p99_us,
            body_bytes,
        });
    }
    rounds.sort_by(|a, b| a.requests_per_s.total_cmp(&b.requests_per_s));
    rounds.get(ROUNDS / 2).copied().context("no rounds")
}

/// Asks for a while, and tells how often, how long and how large.
async fn ask(arguments: &[String]) -> Result<()> {
    let [place, question] = arguments else { bail!("say where and what") };
    let (address, key) = place.split_once(' ').context("an address and a key")?;
    let path = match question.as_str() {
        "one" => "/ofrep/v1/evaluate/flags/bulk-flag-002",
        _ => "/ofrep/v1/evaluate/flags",
    };
    let requests: Arc<[Vec<u8>]> = workload::users().iter().take(USERS).map(|user| request(path, key, user)).collect();
    let begin = Instant::now() + WARM_UP;
    let end = begin + MEASURED;
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(connection(address.to_owned(), Arc::clone(&requests), number, begin, end)))
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    tell("warm")?;
    let (mut times, mut bytes) = (Vec::new(), 0);
    for connection in connections {
        let (taken, body) = connection.await??;
        times.extend(taken);
        bytes = body;
    }
    times.sort_unstable();
    let (p50, p99) = (percentile(&times, 0.5), percentile(&times, 0.99));
    tell(&format!("{} {} {p50} {p99} {bytes}", times.len(), MEASURED.as_secs_f64()))
}

fn request(path: &str, key: &str, user: &workload::User) -> Vec<u8> {
    let body = json!({ "context": {
        "targetingKey": user.key, "country": user.country, "email": user.email, "appVersion": user.app_version,
        "plan": user.plan, "age": user.age,
    } })
    .to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One request after the other: the microseconds of each that ended in time, and the size of the last body.
async fn connection(
    address: String,
    requests: Arc<[Vec<u8>]>,
    first: usize,
    begin: Instant,
    end: Instant,
) -> Result<(Vec<u32>, usize)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 256 * 1024];
    let (mut times, mut bytes) = (Vec::new(), 0);
    for request in requests.iter().cycle().skip(first * 7) {
        let started = Instant::now();
        if started >= end {
            break;
        }
        stream.write_all(request).await?;
        bytes = answer(&mut stream, &mut buffer).await?;
        let ended = Instant::now();
        if started >= begin && ended < end {
            times.push(u32::try_from(ended.duration_since(started).as_micros())?);
        }
    }
    Ok((times, bytes))
}

async fn serve_tidegate() -> Result<()> {
    let folder = TempDir::new()?;
    let app = served::open(folder.path()).await?;
    let key = served::fill(&app).await?;
    let server = served::bind(app, folder.path(), 0).await?;
    tell(&format!("{} {key}", server.address()))?;
    server.run(until_alone()).await
}

#[derive(Clone, Copy)]
enum Floor {
    Evaluate,
    Prepared,
}

#[derive(Deserialize)]
struct Question {
    context: Context,
}

async fn serve_floor(floor: Floor) -> Result<()> {
    let (ruleset, _) = compile(&flags());
    let ruleset = Arc::new(ruleset);
    let app = match floor {
        Floor::Evaluate => Router::new()
            .route("/ofrep/v1/evaluate/flags", post(evaluate_floor))
            .route("/ofrep/v1/evaluate/flags/{key}", post(evaluate_one_floor))
            .with_state(ruleset),
        Floor::Prepared => {
            let user = workload::contexts(&workload::users()).swap_remove(0);
            let all = Bytes::from(write_all(&ruleset, &user));
            let one = Bytes::from(write_one(&ruleset, "bulk-flag-002", &user));
            let prepared = |body: Bytes| post(async move || ([(header::CONTENT_TYPE, "application/json")], body));
            Router::new()
                .route("/ofrep/v1/evaluate/flags", prepared(all))
                .route("/ofrep/v1/evaluate/flags/{key}", prepared(one))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    tell(&format!("{} -", listener.local_addr()?))?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, app).with_graceful_shutdown(until_alone()).await?)
}

type Answered = ([(header::HeaderName, &'static str); 1], Vec<u8>);

async fn evaluate_floor(State(ruleset): State<Arc<Ruleset>>, body: Bytes) -> Answered {
    let context = serde_json::from_slice::<Question>(&body).map(|question| question.context).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], write_all(&ruleset, &context))
}

async fn evaluate_one_floor(
    State(ruleset): State<Arc<Ruleset>>,
    axum::extract::Path(key): axum::extract::Path<String>,
    body: Bytes,
) -> Answered {
    let context = serde_json::from_slice::<Question>(&body).map(|question| question.context).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], write_one(&ruleset, &key, &context))
}

/// What the server writes, put together by hand: keys and the workload's values need no escaping.
fn write_all(ruleset: &Ruleset, context: &Context) -> Vec<u8> {
    let mut body = Vec::with_capacity(10 * 1024);
    body.extend_from_slice(br#"{"flags":["#);
    for (index, (key, said)) in evaluate_all(ruleset, context, Timestamp(0)).enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_flag(&mut body, key, &said);
    }
    // As long as the address of the event stream.
    body.extend_from_slice(br#"],"eventStreams":[{"type":"sse","endpoint":{"requestUri":"#);
    body.push(b'"');
    body.extend(std::iter::repeat_n(b'x', 140));
    body.extend_from_slice(br#""},"inactivityDelaySec":120}]}"#);
    body
}

fn write_one(ruleset: &Ruleset, key: &str, context: &Context) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    write_flag(&mut body, key, &tidegate_core::evaluate(ruleset, key, context, Timestamp(0)));
    body
}

fn write_flag(body: &mut Vec<u8>, key: &str, said: &tidegate_core::Evaluation<'_>) {
    body.extend_from_slice(br#"{"key":""#);
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(br#"","reason":""#);
    body.extend_from_slice(said.reason.as_str().as_bytes());
    body.extend_from_slice(br#"","variant":""#);
    body.extend_from_slice(said.variant.unwrap_or_default().as_bytes());
    body.extend_from_slice(br#"","value":"#);
    let _ = serde_json::to_writer(&mut *body, &said.value);
    body.extend_from_slice(br#","metadata":{"version":"#);
    let _ = serde_json::to_writer(&mut *body, &said.flag_version);
    body.extend_from_slice(b"}}");
}

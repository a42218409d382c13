//! An outage: the server is killed with thousands of SDKs connected, and started again.
//!
//! The SDKs are whole ones, in one process on the other core; each is asked for a flag all the time, by turns. Told are the time from
//! the start of the new server until all are ready again, how many were accepted in the busiest tenth of a second, and how many of
//! the answers were not the flag's.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tidegate::{Client, Context, Event, Events};
use tidegate_benches::{
    rig::{self, ASKING_CORE, Actor, SERVING_CORE, now_us, orders, tell, until_alone},
    served,
};
use tokio::{sync::mpsc, time::sleep};

/// SDKs connected when the server is killed.
const CLIENTS: usize = 10_000;

/// How long the server is away.
const AWAY: Duration = Duration::from_secs(3);

/// A flag that is on for everybody.
const FLAG: &str = "bulk-flag-001";

fn main() -> Result<()> {
    let named = rig::named();
    match rig::part().as_deref() {
        Some("server") => rig::play(serve(&named)),
        Some("clients") => rig::play(clients(&named)),
        Some(part) => bail!("`{part}` is no part"),
        None if named.iter().all(|name| name == "outage") => direct(),
        None => Ok(()),
    }
}

fn direct() -> Result<()> {
    let folder = TempDir::new()?;
    let folder = folder.path().to_str().context("a folder with a name")?;
    let mut server = Actor::start("server", SERVING_CORE, &[folder, "0"])?;
    let place = server.line()?;
    let (address, key) = place.split_once(' ').context("an address and a key")?;
    let port = address.rsplit_once(':').context("a port")?.1.to_owned();
    let mut clients = Actor::start("clients", ASKING_CORE, &[address, key])?;
    println!("{CLIENTS} SDKs connected in {} s", clients.line()?);
    // kill -9.
    drop(server);
    clients.say("killed")?;
    println!("{} of them noticed within {} s", clients.line()?, AWAY.as_secs());
    let started = now_us();
    let mut server = Actor::start("server", SERVING_CORE, &[folder, &port])?;
    server.line()?;
    clients.say("started")?;
    let told = clients.line()?;
    let [ready, busiest, asked, wrong] = told.split(' ').collect::<Vec<_>>()[..] else { bail!("`{told}`") };
    let took_s = (ready.parse::<f64>()? - started) / 1e6;
    println!("all ready again {took_s:.1} s after the server was started; in the busiest 100 ms: {busiest}");
    println!("asked {asked} times since they were connected: {wrong} times without the flag's value");
    Ok(())
}

/// With a new folder, also fills the database, and tells the key.
async fn serve(arguments: &[String]) -> Result<()> {
    let [folder, port] = arguments else { bail!("say in which folder and on which port") };
    let folder = std::path::Path::new(folder);
    let app = served::open(folder).await?;
    let key = if port == "0" { served::fill(&app).await? } else { String::new() };
    let server = served::bind(app, folder, port.parse()?).await?;
    tell(&format!("{} {key}", server.address()))?;
    server.run(until_alone()).await
}

/// What the SDKs were asked.
#[derive(Debug, Default)]
struct Asked {
    times: AtomicU64,
    without_value: AtomicU64,
}

/// An SDK is in step with the server, or not any more.
struct Turn {
    client: usize,
    is_ready: bool,
    at: f64,
}

async fn clients(arguments: &[String]) -> Result<()> {
    let [address, key] = arguments else { bail!("say where, and with which key") };
    let began = now_us();
    let (told, mut turns) = mpsc::unbounded_channel();
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let client = Client::builder(&format!("http://{address}"), key).without_telemetry().connect()?;
        tokio::spawn(watch(number, client.events(), told.clone()));
        client.wait_ready(Duration::from_mins(1)).await?;
        clients.push(client);
    }
    tell(&format!("{:.1}", (now_us() - began) / 1e6))?;
    let asked = Arc::new(Asked::default());
    let asking = tokio::spawn(ask(clients, Arc::clone(&asked)));

    let mut orders = orders();
    orders.recv().await.context("the news that the server is dead")?;
    sleep(AWAY).await;
    let mut ready = vec![true; CLIENTS];
    while let Ok(Turn { client, is_ready, .. }) = turns.try_recv() {
        set(&mut ready, client, is_ready);
    }
    tell(&ready.iter().filter(|ready| !**ready).count().to_string())?;

    orders.recv().await.context("the news that there is a new one")?;
    let mut last = now_us();
    let mut accepted = BTreeMap::<u64, usize>::new();
    while ready.contains(&false) {
        let Turn { client, is_ready, at } = turns.recv().await.context("an SDK")?;
        set(&mut ready, client, is_ready);
        if is_ready {
            last = at;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time after 1970")]
            let tenth = (at / 1e5) as u64;
            *accepted.entry(tenth).or_default() += 1;
        }
    }
    asking.abort();
    let busiest = accepted.values().max().copied().unwrap_or_default();
    let Asked { times, without_value } = &*asked;
    tell(&format!("{last} {busiest} {} {}", times.load(Relaxed), without_value.load(Relaxed)))
}

fn set(all: &mut [bool], client: usize, is_ready: bool) {
    if let Some(ready) = all.get_mut(client) {
        *ready = is_ready;
    }
}

async fn watch(client: usize, mut events: Events, told: mpsc::UnboundedSender<Turn>) {
    while let Some(event) = events.next().await {
        if matches!(event, Event::Ready | Event::Stale) {
            // Nobody counts any more: it is over.
            let _ = told.send(Turn { client, is_ready: matches!(event, Event::Ready), at: now_us() });
        }
    }
}

/// Asks one after the other, and leaves the core to them in between.
async fn ask(clients: Vec<Client>, asked: Arc<Asked>) {
    let ctx = Context::new("ada");
    loop {
        for some in clients.chunks(100) {
            for client in some {
                asked.times.fetch_add(1, Relaxed);
                asked.without_value.fetch_add(u64::from(!client.bool(FLAG, false, &ctx)), Relaxed);
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

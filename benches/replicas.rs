//! Two servers on one PostgreSQL: what one accepts, an SDK of the other has how much later?
//!
//! Everything is real: Debian's PostgreSQL as the tests start it, two servers, websockets, the Rust SDK.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

#[expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is the tests'")]
#[path = "../tests/integration/support/postgres.rs"]
mod postgres;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;
use tempfile::TempDir;
use tidegate::{Client, Event, Events};
use tidegate_benches::{
    rig::{self, percentile},
    served::{self, environment, request},
};
use tidegate_server::{
    app::{App, configurations::Mode},
    store::Location,
    wiring,
};
use tokio::sync::oneshot;

const CHANGES: usize = 500;

fn main() -> Result<()> {
    if rig::named().iter().all(|name| name == "replicas") { rig::play(measure()) } else { Ok(()) }
}

async fn measure() -> Result<()> {
    let folder = TempDir::new()?;
    let database = Location::Postgres(Box::new(postgres::database().await));
    let (one, other) = (wiring::open(&database).await?, wiring::open(&database).await?);
    let key = served::fill(&one).await?;
    let mut running = Vec::new();
    let mut clients = Vec::new();
    for app in [&one, &other] {
        let server = served::bind(app.clone(), folder.path(), 0).await?;
        let client = Client::builder(&format!("http://{}", server.address()), &key).connect()?;
        let (stop, stopped) = oneshot::channel::<()>();
        running.push((stop, tokio::spawn(server.run(async move { drop(stopped.await) }))));
        client.wait_ready(Duration::from_mins(1)).await?;
        clients.push(client);
    }
    println!("| {CHANGES} changes accepted by one of two servers, applied in an SDK of | median | p99 | worst |");
    println!("|---|--:|--:|--:|");
    for (client, what) in clients.iter().zip(["the same", "the other"]) {
        let mut took = changes(&one, &mut client.events()).await?;
        took.sort_by(f64::total_cmp);
        let [median, p99, worst] = [0.5, 0.99, 1.0].map(|share| percentile(&took, share));
        println!("| {what} | {median:.1} ms | {p99:.1} ms | {worst:.1} ms |");
    }
    for client in clients {
        client.close().await;
    }
    for (stop, serving) in running {
        drop(stop);
        serving.await??;
    }
    Ok(())
}

/// Milliseconds from each acceptance to the SDK's event.
async fn changes(app: &App, events: &mut Events) -> Result<Vec<f64>> {
    let flag = "bulk-flag-001";
    let mut took = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let version = app.configuration(&request().principal, &environment(), flag).await?.version;
        let patch = json!({ "enabled": number % 2 == 1 });
        app.configure(&request(), &environment(), flag, version, &patch, Mode::Commit).await?;
        let accepted = Instant::now();
        loop {
            match events.next().await {
                Some(Event::ConfigurationChanged(_)) => break,
                Some(_) => {}
                None => bail!("the client is closed"),
            }
        }
        took.push(accepted.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

//! A large environment, with everything real: SQLite on disk, the server, a websocket, the Rust SDK.
//!
//! 10,000 flags, half of them with a targeting rule, and a segment of 100,000 members. Start-up is from opening the database to
//! an SDK that has the whole snapshot; a change is from the command to the SDK's event.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tidegate::{Client, Event};
use tidegate_benches::{
    rig,
    served::{self, environment, request},
};
use tidegate_server::{
    app::{
        App, SdkKeyKind,
        configurations::Mode,
        keys::{self, NewSdkKey},
    },
    ports::store::{Commit, DocumentId, DocumentKind, Expected, Touched, TouchedKind, Write},
    store::Location,
    wiring,
};
use tokio::sync::oneshot;

const FLAGS: usize = 10_000;
const MEMBERS: usize = 100_000;
const CHANGES: usize = 51;

#[tokio::main]
async fn main() -> Result<()> {
    if rig::named().iter().any(|name| name != "scale") {
        return Ok(());
    }
    let folder = TempDir::new()?;
    let location = Location::Sqlite(folder.path().join("scale.db"));
    let key = fill(&wiring::open(&location).await?).await?;

    let started = Instant::now();
    let app = wiring::open(&location).await?;
    let server = served::bind(app.clone(), folder.path(), 0).await?;
    let url = format!("http://{}", server.address());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let listening = started.elapsed();
    let client = Client::builder(&url, &key).connect()?;
    client.wait_ready(Duration::from_mins(1)).await?;
    let ready = started.elapsed();

    println!("| {FLAGS} flags, a segment of {MEMBERS} members | |");
    println!("|---|--:|");
    row("start-up: open, migrate, listen", listening);
    row("start-up until an SDK has the whole snapshot", ready);
    report("one flag", flag_changes(&app, &client).await?);
    report("the segment, one member", segment_changes(&app, &client).await?);

    client.close().await;
    drop(stop);
    serving.await??;
    Ok(())
}

/// How long one change took: until it was committed, and until the SDK had it.
struct Change {
    committed: Duration,
    applied: Duration,
}

fn report(what: &str, mut changes: Vec<Change>) {
    changes.sort_by_key(|change| change.applied.saturating_sub(change.committed));
    let sent = |change: &Change| change.applied.saturating_sub(change.committed);
    let middle = changes.get(changes.len() / 2);
    if let (Some(middle), Some(worst)) = (middle, changes.last()) {
        row(&format!("{what}: commit on SQLite"), middle.committed);
        row(&format!("{what}: committed → applied in the SDK, median"), sent(middle));
        row(&format!("{what}: committed → applied in the SDK, worst of {}", changes.len()), sent(worst));
    }
}

fn row(what: &str, duration: Duration) {
    println!("| {what} | {:.2} ms |", duration.as_secs_f64() * 1e3);
}

async fn flag_changes(app: &App, client: &Client) -> Result<Vec<Change>> {
    let (request, environment, flag) = (request(), environment(), "flag-05000");
    let mut events = client.events();
    let mut changes = Vec::new();
    for number in 0..CHANGES {
        let version = app.configuration(&request.principal, &environment, flag).await?.version;
        let patch = json!({ "enabled": number % 2 == 1 });
        let started = Instant::now();
        app.configure(&request, &environment, flag, version, &patch, Mode::Commit).await?;
        let committed = started.elapsed();
        changed(&mut events).await?;
        changes.push(Change { committed, applied: started.elapsed() });
    }
    Ok(changes)
}

async fn segment_changes(app: &App, client: &Client) -> Result<Vec<Change>> {
    let (request, environment) = (request(), environment());
    let mut events = client.events();
    let mut changes = Vec::new();
    for number in 0..11 {
        let version = app.segment(&request.principal, &environment, "members").await?.version;
        let members: Vec<_> = members().chain([format!("one-more-{number}")]).collect();
        let started = Instant::now();
        app.update_segment(&request, &environment, "members", version, &json!({ "included": members })).await?;
        let committed = started.elapsed();
        changed(&mut events).await?;
        changes.push(Change { committed, applied: started.elapsed() });
    }
    Ok(changes)
}

async fn changed(events: &mut tidegate::Events) -> Result<()> {
    loop {
        match events.next().await {
            Some(Event::ConfigurationChanged(_)) => return Ok(()),
            Some(_) => {}
            None => bail!("the client is closed"),
        }
    }
}

/// Writes the environment and returns a server key of it.
async fn fill(app: &App) -> Result<String> {
    let (request, environment) = (request(), environment());
    app.create_project(&request, serde_json::from_value(json!({ "key": "bench", "name": "Bench" }))?).await?;
    let production = json!({ "key": "production", "name": "Production", "production": true });
    app.create_environment(&request, "bench", serde_json::from_value(production)?).await?;
    let segment = json!({ "key": "members", "name": "Members", "included": members().collect::<Vec<_>>() });
    app.create_segment(&request, &environment, serde_json::from_value(segment)?).await?;
    // Through the store: ten thousand commands would take a minute and measure nothing.
    for numbers in (0..FLAGS).collect::<Vec<_>>().chunks(1_000) {
        app.store.commit(flags(app, numbers)).await?;
    }
    let key =
        NewSdkKey { name: "scale".to_owned(), kind: SdkKeyKind::Server, allowed_origins: None, secure_mode: false };
    Ok(keys::create(app, &request, &environment, key).await?.key)
}

fn flags(app: &App, numbers: &[usize]) -> Commit {
    let at = app.clock.now();
    let keys: Vec<_> = numbers.iter().map(|number| format!("flag-{number:05}")).collect();
    let document = |kind, scope: String, key: &str, body: &Json| Write {
        id: DocumentId { kind, scope, key: key.to_owned() },
        body: body.to_string(),
        archived: false,
    };
    let writes = numbers.iter().zip(&keys).flat_map(|(number, key)| {
        [
            document(DocumentKind::Flag, "bench".to_owned(), key, &flag(*number)),
            document(DocumentKind::FlagEnvironment, environment().scope(), key, &configuration(*number)),
        ]
    });
    let writes: Vec<_> = writes.collect();
    let touched = keys.into_iter().map(|key| Touched { kind: TouchedKind::Flag, key }).collect();
    Commit {
        at,
        expected: writes.iter().map(|write| (write.id.clone(), Expected::Absent)).collect(),
        writes,
        touched: vec![(environment(), touched)],
        audit: vec![request().audit(at, "flags.generate", "project/bench".to_owned())],
        ..Commit::default()
    }
}

fn flag(number: usize) -> Json {
    json!({
        "name": format!("Flag {number}"), "description": "One of ten thousand.", "kind": "boolean", "tags": ["scale"],
        "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
        "offVariant": "off", "defaultVariant": "on", "salt": format!("salt-{number}"),
    })
}

fn configuration(number: usize) -> Json {
    let rules = json!([
        { "id": "members", "conditions": [{ "operator": "segment", "values": ["members"] }], "serve": { "variant": "on" } },
        { "id": "recent", "conditions": [
            { "attribute": "country", "operator": "in", "values": ["DE", "AT", "CH", "NL"] },
            { "attribute": "appVersion", "operator": "semverGreaterOrEqual", "values": ["4.2.0"] },
        ], "serve": { "variant": "on" } },
    ]);
    let ranges =
        json!([{ "start": 0, "end": 25_000, "variant": "on" }, { "start": 25_000, "end": 100_000, "variant": "off" }]);
    json!({
        "enabled": true, "offVariant": "off", "salt": format!("salt-{number}/production"),
        "rules": if number.is_multiple_of(2) { rules } else { json!([]) },
        "default": { "distribution": { "ranges": ranges } },
    })
}

fn members() -> impl Iterator<Item = String> {
    (0..MEMBERS).map(|number| format!("member-{number:06}"))
}

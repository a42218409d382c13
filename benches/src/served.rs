//! The server as benches run it: the whole, on SQLite, with the workload's 100 flags.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use serde_json::json;
use tidegate_core::FlagFile;
use tidegate_server::{
    app::{
        Actor, App, Principal, Request, SdkKeyKind,
        configurations::Mode,
        flag_file::ApplyFile,
        keys::{self, NewSdkKey},
    },
    config::{Config, Sources},
    ports::store::EnvironmentId,
    store::Location,
    wiring,
};

use crate::workload;

/// The 100 flags.
pub fn flags() -> FlagFile {
    let mut file = workload::flag_file();
    file.flags.retain(|flag| flag.key.as_str().starts_with("bulk-"));
    file.segments.clear();
    file
}

/// The environment that has them.
pub fn environment() -> EnvironmentId {
    EnvironmentId { project: "bench".to_owned(), environment: "production".to_owned() }
}

/// A request that may do everything.
pub fn request() -> Request {
    let actor = Actor { id: "system".to_owned(), name: "bench".to_owned() };
    let principal = Principal { actor, instance_admin: true, roles: BTreeMap::new() };
    Request { principal, reason: "measuring".to_owned(), request_id: "bench".to_owned(), idempotency: None }
}

/// The application on the database in `folder`, which may be new.
///
/// # Errors
/// As [`wiring::open`].
pub async fn open(folder: &Path) -> Result<App> {
    wiring::open(&Location::Sqlite(folder.join("bench.db"))).await
}

/// Makes the project, the environment and its flags, and a server key, which it returns.
///
/// # Errors
/// Where there is one already.
pub async fn fill(app: &App) -> Result<String> {
    let request = request();
    app.create_project(&request, serde_json::from_value(json!({ "key": "bench", "name": "Bench" }))?).await?;
    let production = json!({ "key": "production", "name": "Production", "production": true });
    app.create_environment(&request, "bench", serde_json::from_value(production)?).await?;
    app.apply_file(&request, &environment(), &ApplyFile { file: flags(), prune: false }, Mode::Commit).await?;
    let new =
        NewSdkKey { name: "bench".to_owned(), kind: SdkKeyKind::Server, allowed_origins: None, secure_mode: false };
    Ok(keys::create(app, &request, &environment(), new).await?.key)
}

/// The server, on `port` of the loopback address; 0: on any.
///
/// # Errors
/// As [`wiring::Server::bind`].
pub async fn bind(app: App, folder: &Path, port: u16) -> Result<wiring::Server> {
    let sources = BTreeMap::from([
        ("data_dir", folder.display().to_string()),
        ("listen", format!("127.0.0.1:{port}")),
        ("log_level", "warn".to_owned()),
    ]);
    let config = Config::read(&Sources { flags: sources, ..Sources::default() })?;
    wiring::Server::bind(app, &config).await
}

//! Puts the adapters behind the ports: the one place that knows them all.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};

use crate::{
    app::App,
    config::Config,
    ports::{Clock as _, IdSource as _, Store},
    store::{Location, SqlStore},
    system::{SystemClock, SystemIds},
};

/// The application on the configured database, which is made or brought up to date where needed.
///
/// # Errors
/// Where the database cannot be opened; the message never holds its password.
pub async fn open(config: &Config) -> Result<App> {
    let store = open_store(&config.database).await?;
    Ok(App::new(store, Arc::new(SystemClock), Arc::new(SystemIds)))
}

async fn open_store(location: &Location) -> Result<Arc<dyn Store>> {
    if let Location::Sqlite(path) = location
        && let Some(folder) = path.parent()
    {
        make_private_folder(folder)?;
    }
    Ok(Arc::new(SqlStore::open(location, &SystemIds.ulid(SystemClock.now())).await?))
}

/// A folder for this user only: it holds password hashes.
fn make_private_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

//! Puts the adapters behind the ports: the one place that knows them all.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result};

use crate::{
    app::App,
    config::{Config, Database},
    ports::{Clock as _, IdSource as _, Store},
    store::{PgConnectOptions, SqlStore},
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

async fn open_store(database: &Database) -> Result<Arc<dyn Store>> {
    let new_epoch = SystemIds.ulid(SystemClock.now());
    let store = match database {
        Database::Sqlite(path) => {
            if let Some(folder) = path.parent() {
                make_private_folder(folder)?;
            }
            SqlStore::open_sqlite(path, &new_epoch).await?
        }
        Database::Postgres(url) => {
            // Without the parser's own words: they may quote the URL.
            let options =
                url.parse::<PgConnectOptions>().ok().with_context(|| format!("`{database}` is no database URL"))?;
            SqlStore::open_postgres(options, &new_epoch).await?
        }
    };
    Ok(Arc::new(store))
}

/// A folder for this user only: it holds password hashes.
fn make_private_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

//! What only PostgreSQL needs.

use std::{future::ready, time::Duration};

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgNotification, PgPoolOptions},
};
use tokio::time::sleep;

use super::{
    OpenError,
    engine::{Engine, Sorted},
};
use crate::ports::store::{EnvironmentId, StoreError};

/// Several statements, one state.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Each statement sees what was committed before it: after the lock below, that is everything.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Lets one writing transaction through at a time, over all replicas.
pub(super) const LOCK_WRITES: &str = "SELECT epoch FROM meta FOR UPDATE";

/// Columns: bytes.
pub(super) const SIZE: &str = "SELECT pg_database_size(current_database())";

/// `$1` `project/environment`: tells listening replicas, when the transaction commits, that it changed. Only a hint:
/// notifications get lost with their connection.
pub(super) const ANNOUNCE: &str = "SELECT pg_notify('tidegate_changes', $1)";

/// Where [`ANNOUNCE`] is heard.
const CHANNEL: &str = "tidegate_changes";

/// How long after a failure to listen it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// How long a use case waits for a connection before the answer is "try again later".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

const N_CONNECTIONS: u32 = 16;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// Connects to the database and brings it up to date.
pub(super) async fn open(options: &PgConnectOptions, place: &str) -> Result<Engine, OpenError> {
    let refused = |error: sqlx::Error| OpenError::Unavailable { place: place.to_owned(), source: error.into() };
    let pool = PgPoolOptions::new()
        .max_connections(N_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(refused)?;
    MIGRATIONS.run(&pool).await.map_err(|error| OpenError::migration(place, error, refused))?;
    Ok(Engine::Postgres(pool))
}

/// What any replica [announces](ANNOUNCE). Connects when it is first polled, and again when the connection is lost; ends
/// with the pool.
pub(super) fn announcements(pool: PgPool) -> BoxStream<'static, EnvironmentId> {
    let heard = stream::unfold(None, move |listener| {
        let pool = pool.clone();
        async move {
            match hear(&pool, listener).await {
                Ok((announcement, listener)) => Some((environment(announcement.payload()), Some(listener))),
                Err(sqlx::Error::PoolClosed) => None,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "changes of other servers are not heard");
                    sleep(LISTEN_AGAIN).await;
                    Some((None, None))
                }
            }
        }
    });
    heard.filter_map(ready).boxed()
}

async fn hear(pool: &PgPool, listener: Option<PgListener>) -> Result<(PgNotification, PgListener), sqlx::Error> {
    let mut listener = if let Some(listener) = listener {
        listener
    } else {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        listener
    };
    let announcement = listener.recv().await?;
    Ok((announcement, listener))
}

/// The environment of a scope.
fn environment(scope: &str) -> Option<EnvironmentId> {
    let (project, environment) = scope.split_once('/')?;
    Some(EnvironmentId { project: project.to_owned(), environment: environment.to_owned() })
}

/// What the caller can do about an SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn sort(code: &str) -> Sorted {
    match code {
        "53100" => StoreError::Full,
        // Too many connections, out of memory; shutting down, starting up; a standby; a deadlock or a lost race.
        "53200" | "53300" | "53400" | "57P01" | "57P02" | "57P03" | "25006" | "40001" | "40P01" => {
            StoreError::Unavailable
        }
        code if code.starts_with("08") => StoreError::Unavailable,
        _ => StoreError::Internal,
    }
}

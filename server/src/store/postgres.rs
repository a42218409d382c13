//! What only PostgreSQL needs.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{
    OpenError,
    engine::{Engine, Sorted},
};
use crate::ports::store::StoreError;

/// Several statements, one state.
pub(super) const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Each statement sees what was committed before it: after the lock below, that is everything.
pub(super) const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Lets one writing transaction through at a time, over all replicas.
pub(super) const LOCK_WRITES: &str = "SELECT epoch FROM meta FOR UPDATE";

/// `$1` `project/environment`: tells listening replicas, when the transaction commits, that it changed. Only a hint:
/// notifications get lost with their connection.
pub(super) const ANNOUNCE: &str = "SELECT pg_notify('tidegate_changes', $1)";

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

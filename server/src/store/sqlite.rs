//! What only SQLite needs.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    BackupError, Cause, OpenError,
    engine::{Engine, Sorted},
    sql,
};
use crate::ports::store::StoreError;

/// A transaction that reads first and writes then would fail as soon as another one wrote in between, whatever the
/// timeout: this one waits at its start.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// How long a statement waits for another *process* that writes; our own writers queue for the one connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a use case waits for a connection before the answer is "try again later".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

const N_READERS: u32 = 4;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// Opens the database in that file and brings it up to date; makes it where there is none.
pub(super) async fn open(path: &Path, place: &str) -> Result<Engine, OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Every commit reaches the disk before it is acknowledged; NORMAL can lose the last ones when power fails.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            // A connection to a file does not break while it lies idle.
            .test_before_acquire(false)
    };
    let refused = |error| refused(place, error);

    let writer = pool().max_connections(1).connect_with(options.clone()).await.map_err(refused)?;
    MIGRATIONS.run(&writer).await.map_err(|error| OpenError::migration(place, error, refused))?;
    check(&writer, place).await?;

    let readers =
        pool().max_connections(N_READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(refused)?;
    Ok(Engine::Sqlite { writer, readers })
}

/// Whether what is served can be read: the small tables page by page. The audit log may be huge, and has its own proof
/// (`audit verify`).
async fn check(writer: &SqlitePool, place: &str) -> Result<(), OpenError> {
    for sql in ["PRAGMA quick_check(documents)", "PRAGMA quick_check(revisions)", "PRAGMA quick_check(meta)"] {
        let findings: Vec<(String,)> =
            sqlx::query_as(sql).fetch_all(writer).await.map_err(|error| refused(place, error))?;
        if let Some((finding,)) = findings.into_iter().find(|(finding,)| finding != "ok") {
            return Err(OpenError::Damaged { place: place.to_owned(), source: finding.into() });
        }
    }
    Ok(())
}

/// Columns: bytes.
pub(super) const SIZE: &str = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";

/// Copies the database, as it is at one moment, to a file that is not there yet.
pub(super) async fn back_up(readers: &SqlitePool, file: &Path, new_epoch: &str) -> Result<(), BackupError> {
    let name = || file.display().to_string();
    let partial = file.with_added_extension("partial");
    // SQLite writes into a file that is there and empty: this one is for this user only, as it holds password hashes.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let opened = if file.exists() { Err(io::ErrorKind::AlreadyExists.into()) } else { options.open(&partial) };
    opened.map_err(|source| BackupError::File { file: name(), source })?;
    let copied = async {
        let text = partial.to_str().ok_or_else(|| sqlx::Error::Configuration("the file's name is no UTF-8".into()))?;
        // On a connection of its own: the readers refuse every write, and the writer has other things to do.
        let from = readers.connect_options().as_ref().clone().pragma("query_only", "OFF");
        let mut from = from.connect().await?;
        sqlx::query("VACUUM INTO $1").bind(text).execute(&mut from).await?;
        from.close().await?;
        let to = SqliteConnectOptions::new().filename(&partial).journal_mode(SqliteJournalMode::Delete);
        let mut to = to.synchronous(SqliteSynchronous::Full).connect().await?;
        sqlx::query(sql::BEGIN_TIMELINE).bind(new_epoch).execute(&mut to).await?;
        to.close().await
    };
    let copied: Result<(), sqlx::Error> = copied.await;
    // Whole, or not there.
    let named = copied.map_err(Into::into).and_then(|()| fs::rename(&partial, file).map_err(Cause::from));
    named.map_err(|source| {
        // What cannot be removed is seen by its name to be no backup.
        let _ = fs::remove_file(&partial);
        BackupError::Copy { file: name(), source }
    })
}

fn refused(place: &str, error: sqlx::Error) -> OpenError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.as_deref().map(primary) {
        Some(CORRUPT | NOT_A_DATABASE) => OpenError::Damaged { place: place.to_owned(), source: error.into() },
        _ => OpenError::Unavailable { place: place.to_owned(), source: error.into() },
    }
}

// Primary result codes, https://www.sqlite.org/rescode.html.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const IO_ERROR: u32 = 10;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;

/// `SQLITE_IOERR_SHMSIZE`: the shared-memory file could not grow, which is how WAL mode meets a full disk.
const SHM_SIZE: &str = "4874";

/// The low byte of an extended result code.
fn primary(code: &str) -> u32 {
    code.parse::<u32>().map_or(0, |code| code & 0xff)
}

/// What the caller can do about an extended result code.
pub(super) fn sort(code: &str) -> Sorted {
    match primary(code) {
        FULL => StoreError::Full,
        IO_ERROR if code == SHM_SIZE => StoreError::Full,
        BUSY | LOCKED | IO_ERROR | CANNOT_OPEN => StoreError::Unavailable,
        _ => StoreError::Internal,
    }
}

//! The store adapters: memory, SQLite, PostgreSQL.
//!
//! The SQL text (`sql`), the rows (`rows`) and what is done with them (`database`) are the same for both databases;
//! `engine` picks the one at hand, `sqlite` and `postgres` hold the few lines that only one of them needs.

mod memory;

mod database;

mod rows;
mod sql;

mod engine;
mod postgres;
mod sqlite;

use std::{fmt, path::PathBuf, str::FromStr};

use serde_json::Value as Json;
use sqlx::postgres::PgConnectOptions;

use crate::{
    audit::AuditEntry,
    ports::store::{Commit, StoreError},
};

pub use database::SqlStore;
pub use memory::MemoryStore;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where a database is.
#[derive(Clone)]
pub enum Location {
    /// In a file.
    Sqlite(PathBuf),
    /// On a server.
    Postgres(Box<PgConnectOptions>),
}

impl FromStr for Location {
    type Err = MalformedLocation;

    /// `postgres://user:password@host/database` (or `postgresql://…`), else the path of a file, with or without
    /// `sqlite:` before it.
    fn from_str(text: &str) -> Result<Self, MalformedLocation> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return match text.parse() {
                Ok(options) => Ok(Self::Postgres(Box::new(options))),
                Err(_) => Err(MalformedLocation),
            };
        }
        match text.strip_prefix("sqlite:").unwrap_or(text) {
            "" => Err(MalformedLocation),
            path => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }
}

/// The file, or host and database: nothing secret.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(options) => {
                write!(f, "{}/{}", options.get_host(), options.get_database().unwrap_or_default())
            }
        }
    }
}

/// By hand: the options of a connection show their password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// The text is neither a file's path nor a PostgreSQL address. It is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is neither a file nor an address like `postgres://user:password@host/database`")]
pub struct MalformedLocation;

/// Why a database did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be reached, read or written: look at the cause.
    #[error("the database `{place}` does not open")]
    Unavailable {
        /// The file, or host and database.
        place: String,
        /// What the database said.
        source: Cause,
    },
    /// It is no database, or damaged: put a backup in its place. Nothing was served from it.
    #[error("`{place}` is not a database, or is damaged: restore a backup in its place")]
    Damaged {
        /// The file.
        place: String,
        /// What was found.
        source: Cause,
    },
    /// A newer version of Tidegate has been there: use that one.
    #[error("the database `{place}` was brought up to date by another, newer version of Tidegate: use that one")]
    Newer {
        /// The file, or host and database.
        place: String,
        /// Which migration is unknown here.
        source: Cause,
    },
    /// It is not as this version left it, or does not let itself be changed.
    #[error("the database `{place}` could not be brought up to date")]
    Migration {
        /// The file, or host and database.
        place: String,
        /// Which migration, and why.
        source: Cause,
    },
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The database is on a server, which has tools of its own.
    #[error("PostgreSQL is backed up with `pg_dump`; once it is restored, run `tidegate migrate --restored`")]
    NotHere,
    /// There is a file already, or it cannot be made: name another one.
    #[error("cannot make the file `{file}`")]
    File {
        /// The backup.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The copy did not succeed; nothing is left of it.
    #[error("the database could not be copied to `{file}`")]
    Copy {
        /// The backup.
        file: String,
        /// What the database said.
        source: Cause,
    },
}

impl OpenError {
    fn migration(place: &str, error: sqlx::migrate::MigrateError, refused: impl Fn(sqlx::Error) -> Self) -> Self {
        use sqlx::migrate::MigrateError;
        let place = place.to_owned();
        match error {
            // Before the first migration, hence about the connection.
            MigrateError::Execute(error) => refused(error),
            MigrateError::VersionMissing(_) => Self::Newer { place, source: error.into() },
            _ => Self::Migration { place, source: error.into() },
        }
    }
}

/// How deep a state may nest: less than the 128 levels that `serde_json` reads, or its audit row would not read back as
/// it was written.
const MAX_STATE_DEPTH: usize = 120;

/// What every store refuses before it looks at anything, because one of them could not keep it as it is.
fn admit(commit: &Commit) -> Result<(), StoreError> {
    let Commit { expected: _, judged: _, writes, touched: _, audit, idempotency, fence: _, logged: _, at: _ } = commit;
    let refuse = |why: String| Err(StoreError::Internal(why.into()));
    if audit.is_empty() {
        return refuse("a commit needs an audit row".to_owned());
    }
    for entry in audit {
        let AuditEntry { actor, actor_name, action, project, environment, resource, reason, request_id, .. } = entry;
        if !nests_within(MAX_STATE_DEPTH, &entry.before) || !nests_within(MAX_STATE_DEPTH, &entry.after) {
            return refuse(format!("the state of `{resource}` nests too deeply"));
        }
        let texts = [actor, actor_name, action, resource, reason, request_id];
        if texts.into_iter().chain(project).chain(environment).any(|text| text.contains(NUL)) {
            return refuse(format!("an audit row of {resource:?} has a NUL"));
        }
    }
    let bodies = writes.iter().map(|write| &write.body).chain(idempotency.iter().map(|record| &record.body));
    let keys = writes.iter().flat_map(|write| [&write.id.scope, &write.id.key]);
    if bodies.chain(keys).any(|text| text.contains(NUL)) {
        return refuse("a document has a NUL".to_owned());
    }
    Ok(())
}

/// Text in PostgreSQL has none. JSON writes it as `\u0000`.
const NUL: char = '\0';

fn nests_within(depth: usize, json: &Json) -> bool {
    match json {
        Json::Array(items) => depth > 0 && items.iter().all(|item| nests_within(depth - 1, item)),
        Json::Object(fields) => depth > 0 && fields.values().all(|field| nests_within(depth - 1, field)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let location: Result<Location, _> = text.parse();
        assert_eq!(location.ok().map(|location| format!("{location:?}")).as_deref(), expected, "{text}");
    }

    #[test]
    fn locations_are_files_or_addresses() {
        check("data/tidegate.db", Some("Location(data/tidegate.db)"));
        check("sqlite:/var/lib/tidegate.db", Some("Location(/var/lib/tidegate.db)"));
        check("postgres://ada:secret@db.example/flags", Some("Location(db.example/flags)"));
        check("postgresql://db.example:5433/flags", Some("Location(db.example/flags)"));
        check("postgres://ada:secret@db.example:port/flags", None);
        check("sqlite:", None);
        check("", None);
    }
}

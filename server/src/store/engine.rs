//! SQLite or PostgreSQL: connections, transactions and parameters under one hand.
//!
//! sqlx types a query by its database. The choice is made here, per statement, by a `match`; everything above is plain
//! code, written once (docs/decisions/0001-store.md).

use sqlx::{
    Arguments, Database, Encode, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
    Type, pool::PoolConnection,
};
use tidegate_core::Timestamp;

use super::{NUL, postgres, rows::Row, sqlite};
use crate::ports::store::StoreError;

/// The database behind a store.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// One file: one connection writes, several read.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    /// A server.
    Postgres(PgPool),
}

/// A connection for single statements.
pub(super) enum Single {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

/// A transaction: rolled back when dropped.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Where a statement runs.
pub(super) enum On<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Engine {
    /// For single statements that read.
    pub(super) async fn reader(&self) -> Result<Single, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Single::Sqlite(readers.acquire().await.map_err(failure)?),
            Self::Postgres(pool) => Single::Postgres(pool.acquire().await.map_err(failure)?),
        })
    }

    /// For single statements that write what no transaction reads: on a server they wait for none, and none for them.
    pub(super) async fn writer(&self) -> Result<Single, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Single::Sqlite(writer.acquire().await.map_err(failure)?),
            Self::Postgres(pool) => Single::Postgres(pool.acquire().await.map_err(failure)?),
        })
    }

    /// For several reads of one state of the database.
    pub(super) async fn begin_read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await.map_err(failure)?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(postgres::BEGIN_READ).await.map_err(failure)?),
        })
    }

    /// For writes. There is one such transaction at a time: the audit chain has one end.
    pub(super) async fn begin_write(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with(sqlite::BEGIN_WRITE).await.map_err(failure)?),
            Self::Postgres(pool) => {
                let mut tx = Tx::Postgres(pool.begin_with(postgres::BEGIN_WRITE).await.map_err(failure)?);
                tx.on().execute(postgres::LOCK_WRITES, &[]).await?;
                tx
            }
        })
    }

    /// For writes beside the commits: on a server they wait for none, and none for them.
    pub(super) async fn begin_append(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with(sqlite::BEGIN_WRITE).await.map_err(failure)?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(postgres::BEGIN_WRITE).await.map_err(failure)?),
        })
    }

    /// Ends every connection, once those in use come back.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                // The last connection to go checkpoints and removes the write-ahead log; it must be one that writes.
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Single {
    pub(super) fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(connection) => On::Sqlite(connection),
            Self::Postgres(connection) => On::Postgres(connection),
        }
    }
}

impl Tx {
    pub(super) fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(tx) => On::Sqlite(tx),
            Self::Postgres(tx) => On::Postgres(tx),
        }
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(failure)
    }
}

impl On<'_> {
    /// Every row.
    pub(super) async fn all<R: Row>(self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<R>, StoreError> {
        match self {
            Self::Sqlite(connection) => sqlx::query_as_with(sql, bind::<Sqlite>(args)?).fetch_all(connection).await,
            Self::Postgres(connection) => sqlx::query_as_with(sql, bind::<Postgres>(args)?).fetch_all(connection).await,
        }
        .map_err(failure)
    }

    /// The row, where there is one.
    pub(super) async fn optional<R: Row>(self, sql: &'static str, args: &[Arg<'_>]) -> Result<Option<R>, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::query_as_with(sql, bind::<Sqlite>(args)?).fetch_optional(connection).await
            }
            Self::Postgres(connection) => {
                sqlx::query_as_with(sql, bind::<Postgres>(args)?).fetch_optional(connection).await
            }
        }
        .map_err(failure)
    }

    /// The row that is always there.
    pub(super) async fn one<R: Row>(self, sql: &'static str, args: &[Arg<'_>]) -> Result<R, StoreError> {
        self.optional(sql, args).await?.ok_or_else(|| failure(sqlx::Error::RowNotFound))
    }

    /// Returns how many rows it concerned.
    pub(super) async fn execute(self, sql: &'static str, args: &[Arg<'_>]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(connection) => {
                sqlx::query_with(sql, bind::<Sqlite>(args)?).execute(connection).await.map(|done| done.rows_affected())
            }
            Self::Postgres(connection) => sqlx::query_with(sql, bind::<Postgres>(args)?)
                .execute(connection)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err(failure)
    }
}

/// A parameter.
pub(super) enum Arg<'a> {
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Bytes(&'a [u8]),
    Integer(i64),
    OptionalInteger(Option<i64>),
    Flag(bool),
}

/// `args![a, b]`: parameters of whatever types [`Arg`] knows.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::store::engine::Arg::from($value)),*] };
}
pub(super) use args;

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Option<String>> for Arg<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::OptionalText(text.as_deref())
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<u64> for Arg<'_> {
    /// Past `i64::MAX` there is nothing in a database: the largest number says the same.
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Arg<'_> {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<Timestamp> for Arg<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Integer(time.0)
    }
}

impl From<Option<u64>> for Arg<'_> {
    fn from(number: Option<u64>) -> Self {
        Self::OptionalInteger(number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<Option<Timestamp>> for Arg<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Self::OptionalInteger(time.map(|time| time.0))
    }
}

impl From<bool> for Arg<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

fn bind<'a, D: Database>(args: &[Arg<'a>]) -> Result<D::Arguments, StoreError>
where
    &'a str: Encode<'a, D> + Type<D>,
    String: Encode<'a, D> + Type<D>,
    Option<&'a str>: Encode<'a, D> + Type<D>,
    &'a [u8]: Encode<'a, D> + Type<D>,
    i64: Encode<'a, D> + Type<D>,
    Option<i64>: Encode<'a, D> + Type<D>,
    bool: Encode<'a, D> + Type<D>,
{
    let mut bound = D::Arguments::default();
    for arg in args {
        match *arg {
            // Only somebody's made-up cursor or filter: nothing stored has a NUL. U+0001 is as absent, and sorts the same.
            Arg::Text(text) | Arg::OptionalText(Some(text)) if text.contains(NUL) => {
                bound.add(text.replace(NUL, "\u{1}"))
            }
            Arg::Text(text) => bound.add(text),
            Arg::OptionalText(text) => bound.add(text),
            Arg::Bytes(bytes) => bound.add(bytes),
            Arg::Integer(number) => bound.add(number),
            Arg::OptionalInteger(number) => bound.add(number),
            Arg::Flag(flag) => bound.add(flag),
        }
        .map_err(StoreError::Internal)?;
    }
    Ok(bound)
}

/// What the caller can do about it.
pub(super) fn failure(error: sqlx::Error) -> StoreError {
    use sqlx::{Error, postgres::PgDatabaseError, sqlite::SqliteError};
    match &error {
        Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            if refusal.try_downcast_ref::<SqliteError>().is_some() {
                sqlite::sort(&code)(error.into())
            } else if refusal.try_downcast_ref::<PgDatabaseError>().is_some() {
                postgres::sort(&code)(error.into())
            } else {
                StoreError::Internal(error.into())
            }
        }
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => {
            StoreError::Unavailable(error.into())
        }
        _ => StoreError::Internal(error.into()),
    }
}

/// Makes the error that says what to do.
pub(super) type Sorted = fn(Box<dyn std::error::Error + Send + Sync>) -> StoreError;

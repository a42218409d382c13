//! The store in a database: each use case as one transaction, the same for SQLite and PostgreSQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidegate_core::Timestamp;

use super::{
    BackupError, Location, OpenError, admit,
    engine::{Engine, Tx, args},
    postgres,
    rows::{AuditLogRow, DeliveryRow, DocumentRow, IdempotencyRow, LeaseRow, LinkRow, SessionRow, TouchedRow, count},
    sql, sqlite,
};
use crate::{
    audit::{self, AuditRow, GENESIS, canonical},
    ports::store::{
        AuditQuery, Commit, Committed, Delivery, DeliveryAttempt, DeliveryPage, DeliveryQueue, DeliveryState, Document,
        DocumentId, DocumentKind, DocumentQuery, Enqueue, EnvironmentDelta, EnvironmentId, EnvironmentSnapshot, Fence,
        IdempotencyRecord, KEPT_LOOKS_MS, Lease, LiveObject, LoggedEvents, OneTimeLink, PutLease, Session, Store,
        StoreError, ToldLook, ToldReceipts, Touched, TouchedKind, Write,
    },
};

/// A store in SQLite or PostgreSQL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqlStore {
    engine: Engine,
}

impl SqlStore {
    /// Opens the database and brings its schema up to date. A new one (a file that is not there, an empty database on
    /// a server) gets the timeline `new_epoch`.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with it.
    pub async fn open(location: &Location, new_epoch: &str) -> Result<Self, OpenError> {
        let place = location.to_string();
        let engine = match location {
            Location::Sqlite(path) => sqlite::open(path, &place).await?,
            Location::Postgres(options) => postgres::open(options, &place).await?,
        };
        let put_epoch = async {
            let mut tx = engine.begin_write().await?;
            tx.on().execute(sql::PUT_EPOCH, args![new_epoch]).await?;
            tx.commit().await
        };
        match put_epoch.await {
            Ok(()) => Ok(Self { engine }),
            Err(error) => Err(OpenError::Unavailable { place, source: error.into() }),
        }
    }

    /// Writes a copy of the database, as it is at one moment, to a file that is not there yet. The copy is the timeline `new_epoch`: SDKs
    /// follow the server that it is restored to, although its revisions are older than theirs. Others may read and write meanwhile.
    ///
    /// # Errors
    /// [`BackupError`] says what to do instead.
    pub async fn back_up(&self, file: &Path, new_epoch: &str) -> Result<(), BackupError> {
        match &self.engine {
            Engine::Sqlite { readers, .. } => sqlite::back_up(readers, file, new_epoch).await,
            Engine::Postgres(_) => Err(BackupError::NotHere),
        }
    }

    /// From now on the database is the timeline `new_epoch`: it was restored, and SDKs may have seen later revisions.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn begin_timeline(&self, new_epoch: &str) -> Result<(), StoreError> {
        self.execute(sql::BEGIN_TIMELINE, args![new_epoch]).await
    }

    /// Ends every connection, once those in use come back. A store that is dropped instead loses nothing.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// One statement that writes, in its own transaction.
    async fn execute(&self, sql: &'static str, args: &[super::engine::Arg<'_>]) -> Result<(), StoreError> {
        let mut tx = self.engine.begin_write().await?;
        tx.on().execute(sql, args).await?;
        tx.commit().await
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn epoch(&self) -> Result<String, StoreError> {
        epoch(&mut self.engine.begin_read().await?).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.epoch().await.map(drop)
    }

    async fn size(&self) -> Result<u64, StoreError> {
        let sql = match &self.engine {
            Engine::Sqlite { .. } => sqlite::SIZE,
            Engine::Postgres(_) => postgres::SIZE,
        };
        let (bytes,): (i64,) = self.engine.reader().await?.on().one(sql, &[]).await?;
        Ok(bytes.unsigned_abs())
    }

    async fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        let DocumentId { kind, scope, key } = id;
        let mut reader = self.engine.reader().await?;
        let row: Option<DocumentRow> = reader.on().optional(sql::DOCUMENT, args![kind.as_str(), scope, key]).await?;
        row.map(Document::try_from).transpose()
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError> {
        let DocumentQuery { kind, scope, after, limit, include_archived } = query;
        let after = after.as_deref().unwrap_or_default();
        let sql = if *include_archived { sql::DOCUMENT_PAGE } else { sql::LIVE_DOCUMENT_PAGE };
        let mut reader = self.engine.reader().await?;
        let rows: Vec<DocumentRow> = reader.on().all(sql, args![kind.as_str(), scope, after, *limit]).await?;
        rows.into_iter().map(Document::try_from).collect()
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        admit(&commit)?;
        let mut tx = self.engine.begin_write().await?;
        let committed = carry_out(&mut tx, commit).await?;
        tx.commit().await?;
        Ok(committed)
    }

    async fn environment_snapshot(&self, environment: &EnvironmentId) -> Result<EnvironmentSnapshot, StoreError> {
        let scope = environment.scope();
        let mut tx = self.engine.begin_read().await?;
        let epoch = epoch(&mut tx).await?;
        let (revision, _) = reach(&mut tx, environment).await?;
        let flags = live(&mut tx, DocumentKind::Flag, &environment.project).await?;
        let configurations = live(&mut tx, DocumentKind::FlagEnvironment, &scope).await?;
        let segments = live(&mut tx, DocumentKind::Segment, &scope).await?;
        Ok(EnvironmentSnapshot { epoch, revision, flags: pair(flags, configurations), segments })
    }

    async fn environment_delta(
        &self,
        environment: &EnvironmentId,
        revision: u64,
    ) -> Result<EnvironmentDelta, StoreError> {
        let mut tx = self.engine.begin_read().await?;
        let (newest, floor) = reach(&mut tx, environment).await?;
        if revision < floor || revision > newest {
            return Ok(EnvironmentDelta::OutOfReach);
        }
        if revision == newest {
            return Ok(EnvironmentDelta::Changes { revision, objects: Vec::new() });
        }

        let EnvironmentId { project, environment: name } = environment;
        let rows: Vec<TouchedRow> = tx.on().all(sql::CHANGES, args![project, name, revision]).await?;
        let touched: BTreeSet<Touched> = rows.into_iter().map(Touched::try_from).collect::<Result<_, _>>()?;

        let mut alive: BTreeMap<Touched, LiveObject> = BTreeMap::new();
        if touched.iter().any(|object| object.kind == TouchedKind::Flag) {
            let flags = changed(&mut tx, DocumentKind::Flag, environment, revision).await?;
            let configurations = changed(&mut tx, DocumentKind::FlagEnvironment, environment, revision).await?;
            alive.extend(pair(flags, configurations).into_iter().map(|object| named(TouchedKind::Flag, object)));
        }
        if touched.iter().any(|object| object.kind == TouchedKind::Segment) {
            let segments = changed(&mut tx, DocumentKind::Segment, environment, revision).await?;
            alive.extend(segments.into_iter().map(|segment| named(TouchedKind::Segment, (segment, None))));
        }
        let objects = touched.into_iter().map(|object| {
            let documents = alive.remove(&object);
            (object, documents)
        });
        Ok(EnvironmentDelta::Changes { revision: newest, objects: objects.collect() })
    }

    async fn revisions(&self) -> Result<Vec<(EnvironmentId, u64)>, StoreError> {
        let rows: Vec<(String, String, i64)> = self.engine.reader().await?.on().all(sql::REVISIONS, &[]).await?;
        rows.into_iter()
            .map(|(project, environment, revision)| Ok((EnvironmentId { project, environment }, count(revision)?)))
            .collect()
    }

    fn announcements(&self) -> BoxStream<'static, EnvironmentId> {
        match &self.engine {
            // One server has the file.
            Engine::Sqlite { .. } => stream::pending().boxed(),
            Engine::Postgres(pool) => postgres::announcements(pool.clone()),
        }
    }

    fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    async fn tell_receipts(&self, told: &ToldReceipts) -> Result<(), StoreError> {
        let ToldReceipts { process, environment: EnvironmentId { project, environment }, body, at } = told;
        let args = args![process, project, environment, body, *at];
        self.engine.writer().await?.on().execute(sql::TELL_RECEIPTS, args).await.map(drop)
    }

    async fn told_receipts(
        &self,
        environment: &EnvironmentId,
        since: Timestamp,
    ) -> Result<Vec<ToldReceipts>, StoreError> {
        let EnvironmentId { project, environment: name } = environment;
        let rows: Vec<(String, String, i64)> =
            self.engine.reader().await?.on().all(sql::TOLD_RECEIPTS, args![project, name, since]).await?;
        let told = rows.into_iter().map(|(process, body, at)| ToldReceipts {
            process,
            environment: environment.clone(),
            body,
            at: Timestamp(at),
        });
        Ok(told.collect())
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let row: Option<LeaseRow> = self.engine.reader().await?.on().optional(sql::LEASE, args![name]).await?;
        Ok(row.map(Lease::from))
    }

    async fn put_lease(&self, put: &PutLease) -> Result<Option<Lease>, StoreError> {
        let PutLease { name, seen, holder, since, at } = put;
        let mut tx = self.engine.begin_write().await?;
        let row: Option<LeaseRow> = match *seen {
            None => tx.on().optional(sql::FIRST_LEASE, args![name, holder, *since, *at]).await?,
            Some((epoch, beat)) => {
                tx.on().optional(sql::NEXT_LEASE, args![name, holder, *since, *at, epoch, beat]).await?
            }
        };
        tx.commit().await?;
        Ok(row.map(Lease::from))
    }

    async fn append_events(&self, bodies: &[Vec<u8>], at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.engine.begin_append().await?;
        for body in bodies {
            append_events(&mut tx, body, at).await?;
        }
        tx.commit().await
    }

    async fn events_after(&self, position: u64, limit: u32) -> Result<Vec<LoggedEvents>, StoreError> {
        let mut reader = self.engine.reader().await?;
        let rows: Vec<(i64, i64, Vec<u8>)> = reader.on().all(sql::EVENTS, args![position, limit]).await?;
        rows.into_iter()
            .map(|(position, at, body)| Ok(LoggedEvents { position: count(position)?, at: Timestamp(at), body }))
            .collect()
    }

    async fn checkpoint(&self) -> Result<u64, StoreError> {
        let (position,): (i64,) = self.engine.reader().await?.on().one(sql::CHECKPOINT, &[]).await?;
        count(position)
    }

    async fn checkpoint_part(&self, position: u64, part: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let mut reader = self.engine.reader().await?;
        let row: Option<(Vec<u8>,)> = reader.on().optional(sql::CHECKPOINT_PART, args![position, part]).await?;
        Ok(row.map(|(body,)| body))
    }

    async fn put_checkpoint_part(
        &self,
        fence: &Fence,
        position: u64,
        part: u32,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let mut tx = self.engine.begin_write().await?;
        check_fence(&mut tx, fence.clone()).await?;
        if part == 0 {
            tx.on().execute(sql::DELETE_CHECKPOINTS, &[]).await?;
        }
        tx.on().execute(sql::PUT_CHECKPOINT_PART, args![position, part, body]).await?;
        tx.commit().await
    }

    async fn finish_checkpoint(&self, fence: &Fence, position: u64) -> Result<(), StoreError> {
        let mut tx = self.engine.begin_write().await?;
        check_fence(&mut tx, fence.clone()).await?;
        tx.on().execute(sql::PUT_CHECKPOINT, args![position]).await?;
        tx.on().execute(sql::DELETE_CHECKPOINTS, &[]).await?;
        tx.on().execute(sql::DELETE_EVENTS, args![position]).await?;
        tx.commit().await
    }

    async fn tell_looks(&self, looks: &[ToldLook]) -> Result<(), StoreError> {
        let mut tx = self.engine.begin_append().await?;
        for ToldLook { rollout, body, at } in looks {
            tx.on().execute(sql::TELL_LOOK, args![rollout, body, *at]).await?;
        }
        tx.commit().await
    }

    async fn told_look(&self, rollout: &str) -> Result<Option<ToldLook>, StoreError> {
        let mut reader = self.engine.reader().await?;
        let row: Option<(String, String, i64)> = reader.on().optional(sql::TOLD_LOOK, args![rollout]).await?;
        Ok(row.map(|(rollout, body, at)| ToldLook { rollout, body, at: Timestamp(at) }))
    }

    async fn note_use(&self, credential: &str, at: Timestamp) -> Result<(), StoreError> {
        self.engine.writer().await?.on().execute(sql::NOTE_USE, args![credential, at]).await.map(drop)
    }

    async fn uses(&self, prefix: &str) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows: Vec<(String, i64)> = self.engine.reader().await?.on().all(sql::USES, args![prefix]).await?;
        Ok(rows.into_iter().map(|(credential, at)| (credential, Timestamp(at))).collect())
    }

    async fn keep_looks(&self, looks: &[ToldLook]) -> Result<(), StoreError> {
        let mut tx = self.engine.begin_append().await?;
        for ToldLook { rollout, body, at } in looks {
            tx.on().execute(sql::KEEP_LOOK, args![rollout, *at, body]).await?;
        }
        tx.commit().await
    }

    async fn kept_looks(&self, rollout: &str, after: Timestamp, limit: u32) -> Result<Vec<ToldLook>, StoreError> {
        let mut reader = self.engine.reader().await?;
        let rows: Vec<(String, String, i64)> = reader.on().all(sql::KEPT_LOOKS, args![rollout, after, limit]).await?;
        let told = |(rollout, body, at)| ToldLook { rollout, body, at: Timestamp(at) };
        Ok(rows.into_iter().map(told).collect())
    }

    async fn prune_changes(&self, keep: u64) -> Result<u64, StoreError> {
        let mut tx = self.engine.begin_write().await?;
        tx.on().execute(sql::RAISE_FLOORS, args![keep]).await?;
        let n_pruned = tx.on().execute(sql::DELETE_CHANGES, &[]).await?;
        tx.commit().await?;
        Ok(n_pruned)
    }

    async fn audit_page(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let AuditQuery { project, environment, resource, actor, action, since, until, before, limit } = query;
        let sql = if resource.is_some() {
            sql::AUDIT_PAGE_OF_RESOURCE
        } else if actor.is_some() {
            sql::AUDIT_PAGE_OF_ACTOR
        } else if project.is_some() {
            sql::AUDIT_PAGE_OF_PROJECT
        } else {
            sql::AUDIT_PAGE
        };
        let before = before.unwrap_or(u64::MAX);
        let (since, until) = (since.unwrap_or(Timestamp(i64::MIN)), until.unwrap_or(Timestamp(i64::MAX)));
        let mut reader = self.engine.reader().await?;
        let args = args![project, environment, resource, actor, before, *limit, action, since, until];
        let rows: Vec<AuditLogRow> = reader.on().all(sql, args).await?;
        Ok(rows.into_iter().map(AuditRow::from).collect())
    }

    async fn audit_chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let mut reader = self.engine.reader().await?;
        let rows: Vec<AuditLogRow> = reader.on().all(sql::AUDIT_CHAIN, args![after, limit]).await?;
        Ok(rows.into_iter().map(AuditRow::from).collect())
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>, StoreError> {
        let row: Option<IdempotencyRow> =
            self.engine.reader().await?.on().optional(sql::IDEMPOTENCY, args![key]).await?;
        Ok(row.map(IdempotencyRecord::from))
    }

    async fn prune_expired(
        &self,
        idempotency_before: Timestamp,
        sessions_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut tx = self.engine.begin_write().await?;
        let n_records = tx.on().execute(sql::PRUNE_IDEMPOTENCY, args![idempotency_before]).await?;
        let n_sessions = tx.on().execute(sql::PRUNE_SESSIONS, args![sessions_before]).await?;
        let n_links = tx.on().execute(sql::PRUNE_LINKS, args![now]).await?;
        let n_receipts = tx.on().execute(sql::PRUNE_RECEIPTS, args![idempotency_before]).await?;
        let n_looks = tx.on().execute(sql::PRUNE_LOOKS, args![idempotency_before]).await?;
        let kept_before = Timestamp(now.0.saturating_sub(KEPT_LOOKS_MS));
        let n_kept = tx.on().execute(sql::PRUNE_KEPT_LOOKS, args![kept_before]).await?;
        tx.commit().await?;
        Ok(n_records + n_sessions + n_links + n_receipts + n_looks + n_kept)
    }

    async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        let Session { id, secret_hash, user, created_at, seen_at } = session;
        self.execute(sql::PUT_SESSION, args![id, secret_hash, user, *created_at, *seen_at]).await
    }

    async fn session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        let row: Option<SessionRow> = self.engine.reader().await?.on().optional(sql::SESSION, args![id]).await?;
        Ok(row.map(Session::from))
    }

    async fn touch_session(&self, id: &str, seen_at: Timestamp) -> Result<(), StoreError> {
        self.execute(sql::TOUCH_SESSION, args![id, seen_at]).await
    }

    async fn delete_session(&self, id: &str) -> Result<(), StoreError> {
        self.execute(sql::DELETE_SESSION, args![id]).await
    }

    async fn delete_user_sessions(&self, user: &str) -> Result<(), StoreError> {
        self.execute(sql::DELETE_USER_SESSIONS, args![user]).await
    }

    async fn put_link(&self, link: &OneTimeLink) -> Result<(), StoreError> {
        let OneTimeLink { secret_hash, user, expires_at } = link;
        self.execute(sql::PUT_LINK, args![secret_hash, user, *expires_at]).await
    }

    async fn take_link(&self, secret_hash: &str, now: Timestamp) -> Result<Option<OneTimeLink>, StoreError> {
        let mut tx = self.engine.begin_write().await?;
        let row: Option<LinkRow> = tx.on().optional(sql::TAKE_LINK, args![secret_hash]).await?;
        tx.commit().await?;
        Ok(row.map(OneTimeLink::from).filter(|link| link.expires_at > now))
    }

    async fn notifier_cursor(&self) -> Result<u64, StoreError> {
        let (cursor,): (i64,) = self.engine.reader().await?.on().one(sql::NOTIFIER_CURSOR, &[]).await?;
        count(cursor)
    }

    async fn enqueue_deliveries(&self, enqueue: &Enqueue) -> Result<Option<u64>, StoreError> {
        let Enqueue { from, to, deliveries, max_waiting, at } = enqueue;
        let mut tx = self.engine.begin_write().await?;
        if tx.on().execute(sql::MOVE_NOTIFIER_CURSOR, args![*from, *to]).await? == 0 {
            return Ok(None);
        }
        let mut n_dropped = 0;
        for delivery in deliveries {
            n_dropped += put_delivery(&mut tx, delivery, *max_waiting, *at).await?;
        }
        tx.commit().await?;
        Ok(Some(n_dropped))
    }

    async fn delivery_queue(&self) -> Result<DeliveryQueue, StoreError> {
        let row: (i64, Option<i64>, Option<i64>) =
            self.engine.reader().await?.on().one(sql::DELIVERY_QUEUE, &[]).await?;
        let (n_waiting, oldest, next_due) = row;
        Ok(DeliveryQueue {
            n_waiting: count(n_waiting)?,
            oldest: oldest.map(Timestamp),
            next_due: next_due.map(Timestamp),
        })
    }

    async fn take_deliveries(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let mut tx = self.engine.begin_write().await?;
        let rows: Vec<DeliveryRow> = tx.on().all(sql::TAKE_DELIVERIES, args![now, until, limit]).await?;
        tx.commit().await?;
        rows.into_iter().map(Delivery::try_from).collect()
    }

    async fn record_attempt(&self, attempt: &DeliveryAttempt) -> Result<bool, StoreError> {
        let DeliveryAttempt { id, n_before, state, due_at, tried_at, status, duration_ms, problem } = attempt;
        let status = status.map(u64::from);
        let args = args![id, *n_before, state.as_str(), *due_at, *tried_at, status, *duration_ms, problem];
        let mut tx = self.engine.begin_write().await?;
        let recorded = tx.on().execute(sql::RECORD_ATTEMPT, args).await? > 0;
        if recorded && *state == DeliveryState::Delivered {
            tx.on().execute(sql::DELIVER_CHANNEL_NOW, args![id, *tried_at]).await?;
        }
        tx.commit().await?;
        Ok(recorded)
    }

    async fn delivery_page(&self, page: &DeliveryPage) -> Result<Vec<Delivery>, StoreError> {
        let DeliveryPage { project, channel, before, limit } = page;
        let args = args![project, channel, before.unwrap_or(u64::MAX), *limit];
        let rows: Vec<DeliveryRow> = self.engine.reader().await?.on().all(sql::DELIVERY_PAGE, args).await?;
        rows.into_iter().map(Delivery::try_from).collect()
    }

    async fn retry_delivery(
        &self,
        project: &str,
        channel: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let mut tx = self.engine.begin_write().await?;
        let row: Option<DeliveryRow> = tx.on().optional(sql::RETRY_DELIVERY, args![project, channel, id, now]).await?;
        tx.commit().await?;
        row.map(Delivery::try_from).transpose()
    }

    async fn prune_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tx = self.engine.begin_write().await?;
        let n_pruned = tx.on().execute(sql::PRUNE_DELIVERIES, args![before, limit]).await?;
        tx.commit().await?;
        Ok(n_pruned)
    }
}

/// One more delivery, unless it is there; dead where too many wait: 1, where that is so.
async fn put_delivery(tx: &mut Tx, delivery: &Delivery, max_waiting: u32, at: Timestamp) -> Result<u64, StoreError> {
    let Delivery { id, project, channel, sequence, subject, notification, n_attempts, due_at, created_at, .. } =
        delivery;
    let (n_waiting,): (i64,) = tx.on().one(sql::N_WAITING, args![project, channel]).await?;
    let wanted = delivery.state;
    let delivery = &delivery.clone().admitted(count(n_waiting)?, max_waiting);
    let Delivery { state, tried_at, status, duration_ms, problem, .. } = delivery;
    let args = args![
        id,
        project,
        channel,
        *sequence,
        subject,
        notification,
        state.as_str(),
        *n_attempts,
        *due_at,
        *created_at,
        *tried_at,
        status.map(u64::from),
        *duration_ms,
        problem
    ];
    let n_put = tx.on().execute(sql::PUT_DELIVERY, args).await?;
    tx.on().execute(sql::DELIVER_SUBJECT_NOW, args![project, channel, subject, at]).await?;
    Ok(if *state == wanted { 0 } else { n_put })
}

/// Everything that a commit does, in a transaction that sees no other writer.
async fn carry_out(tx: &mut Tx, commit: Commit) -> Result<Committed, StoreError> {
    let Commit { expected, judged, writes, touched, audit, idempotency, fence, logged, at } = commit;
    if let Some(fence) = fence {
        check_fence(tx, fence).await?;
    }
    if let Some(record) = idempotency {
        let IdempotencyRecord { key, request, status, body } = &record;
        let status = u32::from(*status);
        if tx.on().execute(sql::PUT_IDEMPOTENCY, args![key, request, status, body, at]).await? == 0 {
            return Err(StoreError::DuplicateRequest);
        }
    }
    for (id, expected) in expected {
        let DocumentId { kind, scope, key } = &id;
        let stored: Option<(i64, bool)> =
            tx.on().optional(sql::DOCUMENT_STATE, args![kind.as_str(), scope, key]).await?;
        let stored = stored.map(|(version, archived)| Ok((count(version)?, archived))).transpose()?;
        if !expected.holds(stored) {
            return Err(StoreError::Conflict { id, expected, actual: stored.map(|(version, _)| version) });
        }
    }
    for (environment, judged) in judged {
        let (actual, _) = reach(tx, &environment).await?;
        if actual != judged {
            return Err(StoreError::Outdated { environment, judged, actual });
        }
    }

    let mut committed = Committed::default();
    for Write { id: DocumentId { kind, scope, key }, body, archived } in &writes {
        let (version,): (i64,) =
            tx.on().one(sql::PUT_DOCUMENT, args![kind.as_str(), scope, key, *archived, body, at]).await?;
        committed.versions.push(count(version)?);
    }
    for (environment, objects) in touched {
        let EnvironmentId { project, environment: name } = &environment;
        let (revision,): (i64,) = tx.on().one(sql::NEXT_REVISION, args![project, name]).await?;
        let revision = count(revision)?;
        for Touched { kind, key } in &objects {
            tx.on().execute(sql::PUT_CHANGE, args![project, name, revision, kind.as_str(), key]).await?;
        }
        if let Tx::Postgres(_) = tx {
            tx.on().execute(postgres::ANNOUNCE, args![&environment.scope()]).await?;
        }
        committed.revisions.push((environment, revision));
    }

    let head: Option<(i64, String)> = tx.on().optional(sql::AUDIT_HEAD, &[]).await?;
    let (mut sequence, mut previous_hash) = match head {
        Some((sequence, hash)) => (count(sequence)?, hash),
        None => (0, GENESIS.to_owned()),
    };
    for entry in audit {
        sequence += 1;
        let row = audit::chain(entry, sequence, &previous_hash);
        append(tx, &row).await?;
        previous_hash = row.hash;
    }
    committed.audit_sequence = sequence;
    // Last: on a server, others who append wait from here until the transaction ends.
    if let Some(body) = logged {
        append_events(tx, &body, at).await?;
    }
    Ok(committed)
}

async fn append_events(tx: &mut Tx, body: &[u8], at: Timestamp) -> Result<(), StoreError> {
    let (position,): (i64,) = tx.on().one(sql::NEXT_POSITION, &[]).await?;
    tx.on().execute(sql::PUT_EVENTS, args![count(position)?, at, body]).await.map(drop)
}

/// Nobody else takes the lease before the transaction ends: that is a write, too.
async fn check_fence(tx: &mut Tx, fence: Fence) -> Result<(), StoreError> {
    let lease: Option<LeaseRow> = tx.on().optional(sql::LEASE, args![&fence.lease]).await?;
    if lease.is_some_and(|lease| Lease::from(lease).epoch == fence.epoch) {
        return Ok(());
    }
    Err(StoreError::Fenced { fence })
}

async fn append(tx: &mut Tx, row: &AuditRow) -> Result<(), StoreError> {
    let AuditRow { sequence, entry, leaf_version, previous_hash, hash } = row;
    let audit::AuditEntry {
        at,
        actor,
        actor_name,
        action,
        project,
        environment,
        resource,
        before,
        after,
        reason,
        request_id,
    } = entry;
    let (before, after) = (canonical(before), canonical(after));
    let args = args![
        *sequence,
        *at,
        actor,
        actor_name,
        action,
        project,
        environment,
        resource,
        &before,
        &after,
        reason,
        request_id,
        *leaf_version,
        previous_hash,
        hash
    ];
    tx.on().execute(sql::PUT_AUDIT, args).await.map(drop)
}

async fn epoch(tx: &mut Tx) -> Result<String, StoreError> {
    let (epoch,): (String,) = tx.on().one(sql::EPOCH, &[]).await?;
    Ok(epoch)
}

/// The environment's revision, and the one its change log begins after.
async fn reach(tx: &mut Tx, environment: &EnvironmentId) -> Result<(u64, u64), StoreError> {
    let EnvironmentId { project, environment } = environment;
    let row: Option<(i64, i64)> = tx.on().optional(sql::REVISION, args![project, environment]).await?;
    row.map_or(Ok((0, 0)), |(revision, floor)| Ok((count(revision)?, count(floor)?)))
}

async fn live(tx: &mut Tx, kind: DocumentKind, scope: &str) -> Result<Vec<Document>, StoreError> {
    let rows: Vec<DocumentRow> = tx.on().all(sql::LIVE_DOCUMENTS, args![kind.as_str(), scope]).await?;
    rows.into_iter().map(Document::try_from).collect()
}

/// The live documents of what changed in the environment since `revision`.
async fn changed(
    tx: &mut Tx,
    kind: DocumentKind,
    environment: &EnvironmentId,
    revision: u64,
) -> Result<Vec<Document>, StoreError> {
    let EnvironmentId { project, environment: name } = environment;
    let (scope, touched) = match kind {
        DocumentKind::Flag => (project.clone(), TouchedKind::Flag),
        DocumentKind::Segment => (environment.scope(), TouchedKind::Segment),
        _ => (environment.scope(), TouchedKind::Flag),
    };
    let args = args![kind.as_str(), &scope, project, name, revision, touched.as_str()];
    let rows: Vec<DocumentRow> = tx.on().all(sql::CHANGED_DOCUMENTS, args).await?;
    rows.into_iter().map(Document::try_from).collect()
}

/// Gives each flag its configuration.
fn pair(flags: Vec<Document>, configurations: Vec<Document>) -> Vec<LiveObject> {
    let mut configurations: BTreeMap<String, Document> =
        configurations.into_iter().map(|document| (document.id.key.clone(), document)).collect();
    let pair = |flag: Document| {
        let configuration = configurations.remove(&flag.id.key);
        (flag, configuration)
    };
    flags.into_iter().map(pair).collect()
}

fn named(kind: TouchedKind, object: LiveObject) -> (Touched, LiveObject) {
    (Touched { kind, key: object.0.id.key.clone() }, object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::AuditEntry;

    fn commit(body: &str) -> Commit {
        let id = DocumentId { kind: DocumentKind::Flag, scope: "shop".to_owned(), key: "checkout".to_owned() };
        let entry = AuditEntry {
            at: Timestamp(0),
            actor: "system".to_owned(),
            actor_name: "System".to_owned(),
            action: "flag.update".to_owned(),
            project: None,
            environment: None,
            resource: "flag/checkout".to_owned(),
            before: json!(null),
            after: json!({}),
            reason: String::new(),
            request_id: String::new(),
        };
        Commit {
            writes: vec![Write { id, body: body.to_owned(), archived: false }],
            audit: vec![entry],
            ..Commit::default()
        }
    }

    #[tokio::test]
    async fn a_full_disk_refuses_writes_until_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlStore::open(&Location::Sqlite(dir.path().join("tidegate.db")), "epoch").await.unwrap();
        let Engine::Sqlite { writer, .. } = &store.engine else { unreachable!() };
        store.commit(commit("small")).await.unwrap();

        // As if there were no room: the file may not grow.
        sqlx::raw_sql("PRAGMA max_page_count = 1").execute(writer).await.unwrap();
        let refusal = store.commit(commit(&"large".repeat(100_000))).await.unwrap_err();
        assert!(matches!(refusal, StoreError::Full(_)), "{refusal:?}");
        let id = commit("").writes.remove(0).id;
        assert_eq!(store.document(&id).await.unwrap().unwrap().body, "small", "reads go on");

        sqlx::raw_sql("PRAGMA max_page_count = 1000000").execute(writer).await.unwrap();
        assert_eq!(store.commit(commit("large")).await.unwrap().versions, [2]);
        assert_eq!(audit::verify(&store).await.unwrap().rows, 2);
    }

    /// A use case that is given up half-way (its caller went away) leaves nothing, and the writer is free again.
    #[tokio::test]
    async fn an_abandoned_commit_is_rolled_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlStore::open(&Location::Sqlite(dir.path().join("tidegate.db")), "epoch").await.unwrap();
        let mut tx = store.engine.begin_write().await.unwrap();
        carry_out(&mut tx, commit("abandoned")).await.unwrap();
        drop(tx);
        assert_eq!(store.commit(commit("kept")).await.unwrap().versions, [1]);
        assert_eq!(audit::verify(&store).await.unwrap().rows, 1);
    }

    #[test]
    fn codes_say_what_the_caller_can_do() {
        #[track_caller]
        fn check(sorted: fn(&str) -> super::super::engine::Sorted, code: &str, expected: &str) {
            let kind = match sorted(code)("cause".into()) {
                StoreError::Full(_) => "full",
                StoreError::Unavailable(_) => "unavailable",
                _ => "internal",
            };
            assert_eq!(kind, expected, "{code}");
        }
        for (code, expected) in [
            ("13", "full"),
            ("4874", "full"),
            ("5", "unavailable"),
            ("517", "unavailable"),
            ("6", "unavailable"),
            ("778", "unavailable"),
            ("14", "unavailable"),
            ("11", "internal"),
            ("26", "internal"),
            ("1811", "internal"),
            ("nonsense", "internal"),
        ] {
            check(sqlite::sort, code, expected);
        }
        for (code, expected) in [
            ("53100", "full"),
            ("08006", "unavailable"),
            ("57P01", "unavailable"),
            ("40001", "unavailable"),
            ("25006", "unavailable"),
            ("23505", "internal"),
            ("", "internal"),
        ] {
            check(postgres::sort, code, expected);
        }
    }
}

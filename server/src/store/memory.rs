//! The store in memory: what the others must do, in the fewest words. For tests and simulations.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidegate_core::Timestamp;

use super::admit;
use crate::{
    audit::{self, AuditRow, GENESIS},
    ports::store::{
        AuditQuery, Commit, Committed, Document, DocumentId, DocumentKind, DocumentQuery, EnvironmentDelta,
        EnvironmentId, EnvironmentSnapshot, Fence, IdempotencyRecord, Lease, LiveObject, OneTimeLink, PutLease,
        Session, Store, StoreError, ToldReceipts, Touched, TouchedKind,
    },
};

/// A store that forgets everything when it is dropped.
#[derive(Debug)]
pub struct MemoryStore {
    epoch: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<DocumentId, Document>,
    environments: BTreeMap<EnvironmentId, EnvironmentLog>,
    /// Row n is at index n − 1.
    audit: Vec<AuditRow>,
    /// With the time of its commit.
    idempotency: BTreeMap<String, (Timestamp, IdempotencyRecord)>,
    sessions: BTreeMap<String, Session>,
    links: BTreeMap<String, OneTimeLink>,
    /// By environment and process.
    receipts: BTreeMap<(EnvironmentId, String), ToldReceipts>,
    leases: BTreeMap<String, Lease>,
}

#[derive(Debug, Default)]
struct EnvironmentLog {
    revision: u64,
    /// Changes up to this revision are forgotten.
    floor: u64,
    changes: BTreeSet<(u64, Touched)>,
}

impl MemoryStore {
    /// An empty store of that epoch.
    pub fn new(epoch: &str) -> Self {
        Self { epoch: epoch.to_owned(), state: Mutex::default() }
    }

    /// Every change below is checked first and cannot fail half-way: a poisoned state is still whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn commit(&mut self, commit: Commit) -> Result<Committed, StoreError> {
        let Commit { expected, writes, touched, audit, idempotency, fence, at } = commit;
        if let Some(fence) = fence {
            self.check(fence)?;
        }
        if idempotency.as_ref().is_some_and(|record| self.idempotency.contains_key(&record.key)) {
            return Err(StoreError::DuplicateRequest);
        }
        for (id, expected) in expected {
            let stored = self.documents.get(&id).map(|document| (document.version, document.archived));
            if !expected.holds(stored) {
                return Err(StoreError::Conflict { id, expected, actual: stored.map(|(version, _)| version) });
            }
        }

        let mut committed = Committed::default();
        for write in writes {
            let document = self.documents.entry(write.id).or_insert_with_key(|id| Document {
                id: id.clone(),
                version: 0,
                archived: false,
                body: String::new(),
                created_at: at,
                updated_at: at,
            });
            document.version += 1;
            document.archived = write.archived;
            document.body = write.body;
            document.updated_at = at;
            committed.versions.push(document.version);
        }
        for (environment, objects) in touched {
            let log = self.environments.entry(environment.clone()).or_default();
            log.revision += 1;
            log.changes.extend(objects.into_iter().map(|object| (log.revision, object)));
            committed.revisions.push((environment, log.revision));
        }
        for entry in audit {
            committed.audit_sequence = self.audit.len() as u64 + 1;
            let previous_hash = self.audit.last().map_or(GENESIS, |row| &row.hash);
            let row = audit::chain(entry, committed.audit_sequence, previous_hash);
            self.audit.push(row);
        }
        self.idempotency.extend(idempotency.map(|record| (record.key.clone(), (at, record))));
        Ok(committed)
    }

    fn check(&self, fence: Fence) -> Result<(), StoreError> {
        if self.leases.get(&fence.lease).is_some_and(|lease| lease.epoch == fence.epoch) {
            return Ok(());
        }
        Err(StoreError::Fenced { fence })
    }

    fn live(&self, kind: DocumentKind, scope: &str, key: &str) -> Option<Document> {
        let id = DocumentId { kind, scope: scope.to_owned(), key: key.to_owned() };
        self.documents.get(&id).filter(|document| !document.archived).cloned()
    }

    /// The documents of one kind and scope whose key is after `after`, in the order of their keys.
    fn scan(&self, kind: DocumentKind, scope: &str, after: Option<&str>) -> impl Iterator<Item = &Document> {
        let start = DocumentId { kind, scope: scope.to_owned(), key: after.unwrap_or_default().to_owned() };
        let bound = if after.is_some() { Bound::Excluded(start) } else { Bound::Included(start) };
        self.documents
            .range((bound, Bound::Unbounded))
            .map(|(_, document)| document)
            .take_while(move |document| document.id.kind == kind && document.id.scope == scope)
    }

    fn object(&self, environment: &EnvironmentId, touched: &Touched) -> Option<LiveObject> {
        let Touched { kind, key } = touched;
        match kind {
            TouchedKind::Flag => {
                let flag = self.live(DocumentKind::Flag, &environment.project, key)?;
                Some((flag, self.live(DocumentKind::FlagEnvironment, &environment.scope(), key)))
            }
            TouchedKind::Segment => Some((self.live(DocumentKind::Segment, &environment.scope(), key)?, None)),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn epoch(&self) -> Result<String, StoreError> {
        Ok(self.epoch.clone())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn document(&self, id: &DocumentId) -> Result<Option<Document>, StoreError> {
        Ok(self.state().documents.get(id).cloned())
    }

    async fn documents(&self, query: &DocumentQuery) -> Result<Vec<Document>, StoreError> {
        let DocumentQuery { kind, scope, after, limit, include_archived } = query;
        Ok(self
            .state()
            .scan(*kind, scope, after.as_deref())
            .filter(|document| *include_archived || !document.archived)
            .take(*limit as usize)
            .cloned()
            .collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        admit(&commit)?;
        self.state().commit(commit)
    }

    async fn environment_snapshot(&self, environment: &EnvironmentId) -> Result<EnvironmentSnapshot, StoreError> {
        let state = self.state();
        let live = |kind, scope: &str| -> Vec<Document> {
            state.scan(kind, scope, None).filter(|document| !document.archived).cloned().collect()
        };
        let scope = environment.scope();
        let flags = live(DocumentKind::Flag, &environment.project).into_iter().map(|flag| {
            let configuration = state.live(DocumentKind::FlagEnvironment, &scope, &flag.id.key);
            (flag, configuration)
        });
        Ok(EnvironmentSnapshot {
            epoch: self.epoch.clone(),
            revision: state.environments.get(environment).map_or(0, |log| log.revision),
            flags: flags.collect(),
            segments: live(DocumentKind::Segment, &scope),
        })
    }

    async fn environment_delta(
        &self,
        environment: &EnvironmentId,
        revision: u64,
    ) -> Result<EnvironmentDelta, StoreError> {
        let state = self.state();
        let nothing = EnvironmentLog::default();
        let log = state.environments.get(environment).unwrap_or(&nothing);
        if revision < log.floor || revision > log.revision {
            return Ok(EnvironmentDelta::OutOfReach);
        }
        let touched: BTreeSet<&Touched> =
            log.changes.iter().filter(|(at, _)| *at > revision).map(|(_, touched)| touched).collect();
        let objects = touched.into_iter().map(|touched| (touched.clone(), state.object(environment, touched)));
        Ok(EnvironmentDelta::Changes { revision: log.revision, objects: objects.collect() })
    }

    async fn revisions(&self) -> Result<Vec<(EnvironmentId, u64)>, StoreError> {
        Ok(self.state().environments.iter().map(|(id, log)| (id.clone(), log.revision)).collect())
    }

    fn announcements(&self) -> BoxStream<'static, EnvironmentId> {
        stream::pending().boxed()
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn tell_receipts(&self, told: &ToldReceipts) -> Result<(), StoreError> {
        let key = (told.environment.clone(), told.process.clone());
        self.state().receipts.insert(key, told.clone());
        Ok(())
    }

    async fn told_receipts(
        &self,
        environment: &EnvironmentId,
        since: Timestamp,
    ) -> Result<Vec<ToldReceipts>, StoreError> {
        let state = self.state();
        let told = state.receipts.values().filter(|told| told.environment == *environment && told.at >= since);
        Ok(told.cloned().collect())
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        Ok(self.state().leases.get(name).cloned())
    }

    async fn put_lease(&self, put: &PutLease) -> Result<Option<Lease>, StoreError> {
        let PutLease { name, seen, holder, since, at } = put.clone();
        let mut state = self.state();
        let before = state.leases.get(&name);
        if before.map(|lease| (lease.epoch, lease.beat)) != seen {
            return Ok(None);
        }
        let epoch = before.map_or(1, |lease| lease.epoch + u64::from(lease.holder != holder));
        let beat = before.map_or(1, |lease| lease.beat + 1);
        let lease = Lease { name: name.clone(), holder, epoch, beat, since, renewed_at: at };
        state.leases.insert(name, lease.clone());
        Ok(Some(lease))
    }

    async fn prune_changes(&self, keep: u64) -> Result<u64, StoreError> {
        let mut n_pruned = 0;
        for log in self.state().environments.values_mut() {
            let n_before = log.changes.len();
            log.floor = log.floor.max(log.revision.saturating_sub(keep));
            log.changes.retain(|(at, _)| *at > log.floor);
            n_pruned += n_before - log.changes.len();
        }
        Ok(n_pruned as u64)
    }

    async fn audit_page(&self, query: &AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let AuditQuery { project, environment, resource, actor, before, limit } = query;
        let asked_for = |row: &&AuditRow| {
            let entry = &row.entry;
            (project.is_none() || *project == entry.project)
                && (environment.is_none() || *environment == entry.environment)
                && resource.as_ref().is_none_or(|resource| *resource == entry.resource)
                && actor.as_ref().is_none_or(|actor| *actor == entry.actor)
                && before.is_none_or(|before| row.sequence < before)
        };
        Ok(self.state().audit.iter().rev().filter(asked_for).take(*limit as usize).cloned().collect())
    }

    async fn audit_chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(self.state().audit.iter().skip(start).take(limit as usize).cloned().collect())
    }

    async fn idempotency_record(&self, key: &str) -> Result<Option<IdempotencyRecord>, StoreError> {
        Ok(self.state().idempotency.get(key).map(|(_, record)| record.clone()))
    }

    async fn prune_expired(
        &self,
        idempotency_before: Timestamp,
        sessions_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut guard = self.state();
        let State { idempotency, sessions, links, receipts, .. } = &mut *guard;
        let n_before = idempotency.len() + sessions.len() + links.len() + receipts.len();
        idempotency.retain(|_, (at, _)| *at >= idempotency_before);
        sessions.retain(|_, session| session.seen_at >= sessions_before);
        links.retain(|_, link| link.expires_at > now);
        receipts.retain(|_, told| told.at >= idempotency_before);
        Ok((n_before - idempotency.len() - sessions.len() - links.len() - receipts.len()) as u64)
    }

    async fn put_session(&self, session: &Session) -> Result<(), StoreError> {
        self.state().sessions.insert(session.id.clone(), session.clone());
        Ok(())
    }

    async fn session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        Ok(self.state().sessions.get(id).cloned())
    }

    async fn touch_session(&self, id: &str, seen_at: Timestamp) -> Result<(), StoreError> {
        if let Some(session) = self.state().sessions.get_mut(id) {
            session.seen_at = session.seen_at.max(seen_at);
        }
        Ok(())
    }

    async fn delete_session(&self, id: &str) -> Result<(), StoreError> {
        self.state().sessions.remove(id);
        Ok(())
    }

    async fn delete_user_sessions(&self, user: &str) -> Result<(), StoreError> {
        self.state().sessions.retain(|_, session| session.user != user);
        Ok(())
    }

    async fn put_link(&self, link: &OneTimeLink) -> Result<(), StoreError> {
        self.state().links.insert(link.secret_hash.clone(), link.clone());
        Ok(())
    }

    async fn take_link(&self, secret_hash: &str, now: Timestamp) -> Result<Option<OneTimeLink>, StoreError> {
        Ok(self.state().links.remove(secret_hash).filter(|link| link.expires_at > now))
    }
}

//! The store in memory: what the others must do, in the fewest words. For tests and simulations.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
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
        AuditQuery, Commit, Committed, Delivery, DeliveryAttempt, DeliveryPage, DeliveryQueue, DeliveryState, Document,
        DocumentId, DocumentKind, DocumentQuery, Enqueue, EnvironmentDelta, EnvironmentId, EnvironmentSnapshot, Fence,
        IdempotencyRecord, KEPT_LOOKS_MS, Lease, LiveObject, LoggedEvents, OneTimeLink, PutLease, Session, Store,
        StoreError, ToldLook, ToldReceipts, Touched, TouchedKind,
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
    log: EventLog,
    looks: BTreeMap<String, ToldLook>,
    uses: BTreeMap<String, Timestamp>,
    /// By rollout and time.
    kept_looks: BTreeMap<(String, Timestamp), String>,
    /// The last row of the audit log of which notifications were made.
    cursor: u64,
    /// By project, channel and row.
    deliveries: BTreeMap<(String, String, u64), Claimable>,
}

#[derive(Debug)]
struct Claimable {
    delivery: Delivery,
    /// Until then somebody is at it.
    claimed_until: Timestamp,
}

impl Claimable {
    fn is_of(&self, project: &str, channel: &str) -> bool {
        self.delivery.project == project && self.delivery.channel == channel
    }

    fn waits(&self) -> bool {
        self.delivery.state == DeliveryState::Waiting
    }

    /// If it waits for another attempt, it need not.
    fn deliver_now(&mut self, now: Timestamp) {
        if self.waits() && self.claimed_until <= now {
            self.delivery.due_at = self.delivery.due_at.min(now);
        }
    }
}

#[derive(Debug, Default)]
struct EventLog {
    /// The position of the last entry.
    head: u64,
    events: BTreeMap<u64, LoggedEvents>,
    /// The position of the whole checkpoint.
    checkpoint: u64,
    /// By position and part.
    parts: BTreeMap<(u64, u32), Vec<u8>>,
}

impl EventLog {
    fn append(&mut self, body: Vec<u8>, at: Timestamp) {
        self.head += 1;
        self.events.insert(self.head, LoggedEvents { position: self.head, at, body });
    }

    fn forget_other_checkpoints(&mut self) {
        let checkpoint = self.checkpoint;
        self.parts.retain(|(position, _), _| *position == checkpoint);
    }
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
        let Commit { expected, judged, writes, touched, audit, idempotency, fence, logged, at } = commit;
        if let Some(fence) = &fence {
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
        for (environment, judged) in judged {
            let actual = self.environments.get(&environment).map_or(0, |log| log.revision);
            if actual != judged {
                return Err(StoreError::Outdated { environment, judged, actual });
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
        if let Some(body) = logged {
            self.log.append(body, at);
        }
        Ok(committed)
    }

    fn check(&self, fence: &Fence) -> Result<(), StoreError> {
        if self.leases.get(&fence.lease).is_some_and(|lease| lease.epoch == fence.epoch) {
            return Ok(());
        }
        Err(StoreError::Fenced { fence: fence.clone() })
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

    async fn size(&self) -> Result<u64, StoreError> {
        Ok(0)
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

    async fn append_events(&self, bodies: &[Vec<u8>], at: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state();
        for body in bodies {
            state.log.append(body.clone(), at);
        }
        Ok(())
    }

    async fn events_after(&self, position: u64, limit: u32) -> Result<Vec<LoggedEvents>, StoreError> {
        let state = self.state();
        let after = (Bound::Excluded(position), Bound::Unbounded);
        Ok(state.log.events.range(after).take(limit as usize).map(|(_, entry)| entry.clone()).collect())
    }

    async fn checkpoint(&self) -> Result<u64, StoreError> {
        Ok(self.state().log.checkpoint)
    }

    async fn checkpoint_part(&self, position: u64, part: u32) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().log.parts.get(&(position, part)).cloned())
    }

    async fn put_checkpoint_part(
        &self,
        fence: &Fence,
        position: u64,
        part: u32,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        state.check(fence)?;
        if part == 0 {
            state.log.forget_other_checkpoints();
        }
        state.log.parts.insert((position, part), body.to_owned());
        Ok(())
    }

    async fn finish_checkpoint(&self, fence: &Fence, position: u64) -> Result<(), StoreError> {
        let mut state = self.state();
        state.check(fence)?;
        state.log.checkpoint = position;
        state.log.forget_other_checkpoints();
        state.log.events.retain(|at, _| *at > position);
        Ok(())
    }

    async fn tell_looks(&self, looks: &[ToldLook]) -> Result<(), StoreError> {
        self.state().looks.extend(looks.iter().map(|look| (look.rollout.clone(), look.clone())));
        Ok(())
    }

    async fn told_look(&self, rollout: &str) -> Result<Option<ToldLook>, StoreError> {
        Ok(self.state().looks.get(rollout).cloned())
    }

    async fn note_use(&self, credential: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut state = self.state();
        let used_at = state.uses.entry(credential.to_owned()).or_insert(at);
        *used_at = at.max(*used_at);
        Ok(())
    }

    async fn uses(&self, prefix: &str) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let state = self.state();
        let uses = state.uses.iter().filter(|(credential, _)| credential.starts_with(prefix));
        Ok(uses.map(|(credential, at)| (credential.clone(), *at)).collect())
    }

    async fn keep_looks(&self, looks: &[ToldLook]) -> Result<(), StoreError> {
        let mut state = self.state();
        for look in looks {
            state.kept_looks.entry((look.rollout.clone(), look.at)).or_insert_with(|| look.body.clone());
        }
        Ok(())
    }

    async fn kept_looks(&self, rollout: &str, after: Timestamp, limit: u32) -> Result<Vec<ToldLook>, StoreError> {
        let state = self.state();
        let kept = state.kept_looks.range((rollout.to_owned(), Timestamp(after.0.saturating_add(1)))..);
        let its = kept.take_while(|((of, _), _)| of == rollout).take(usize::try_from(limit).unwrap_or(usize::MAX));
        let told = |((rollout, at), body): (&(String, Timestamp), &String)| ToldLook {
            rollout: rollout.clone(),
            body: body.clone(),
            at: *at,
        };
        Ok(its.map(told).collect())
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
        let AuditQuery { project, environment, resource, actor, action, since, until, before, limit } = query;
        let asked_for = |row: &&AuditRow| {
            let entry = &row.entry;
            (project.is_none() || *project == entry.project)
                && (environment.is_none() || *environment == entry.environment)
                && resource.as_ref().is_none_or(|resource| *resource == entry.resource)
                && actor.as_ref().is_none_or(|actor| *actor == entry.actor)
                && action.as_ref().is_none_or(|action| entry.action.starts_with(action))
                && since.is_none_or(|since| entry.at >= since)
                && until.is_none_or(|until| entry.at < until)
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
        let State { idempotency, sessions, links, receipts, looks, kept_looks, .. } = &mut *guard;
        let n_before =
            idempotency.len() + sessions.len() + links.len() + receipts.len() + looks.len() + kept_looks.len();
        idempotency.retain(|_, (at, _)| *at >= idempotency_before);
        sessions.retain(|_, session| session.seen_at >= sessions_before);
        links.retain(|_, link| link.expires_at > now);
        receipts.retain(|_, told| told.at >= idempotency_before);
        looks.retain(|_, told| told.at >= idempotency_before);
        kept_looks.retain(|(_, at), _| at.0 >= now.0.saturating_sub(KEPT_LOOKS_MS));
        let n_after =
            idempotency.len() + sessions.len() + links.len() + receipts.len() + looks.len() + kept_looks.len();
        Ok((n_before - n_after) as u64)
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
    async fn notifier_cursor(&self) -> Result<u64, StoreError> {
        Ok(self.state().cursor)
    }

    async fn enqueue_deliveries(&self, enqueue: &Enqueue) -> Result<Option<u64>, StoreError> {
        let Enqueue { from, to, deliveries, max_waiting, at } = enqueue;
        let mut guard = self.state();
        let State { cursor, deliveries: all, .. } = &mut *guard;
        if *cursor != *from {
            return Ok(None);
        }
        *cursor = *to;
        let mut n_dropped = 0;
        for delivery in deliveries {
            let Delivery { project, channel, sequence, subject, .. } = delivery;
            let n_waiting = all.values().filter(|other| other.is_of(project, channel) && other.waits()).count();
            let admitted = delivery.clone().admitted(n_waiting as u64, *max_waiting);
            let key = (project.clone(), channel.clone(), *sequence);
            if let Entry::Vacant(place) = all.entry(key) {
                n_dropped += u64::from(admitted.state != delivery.state);
                place.insert(Claimable { delivery: admitted, claimed_until: Timestamp(0) });
            }
            let others = all.values_mut().filter(|other| other.is_of(project, channel));
            others.filter(|other| other.delivery.subject == *subject).for_each(|other| other.deliver_now(*at));
        }
        Ok(Some(n_dropped))
    }

    async fn delivery_queue(&self) -> Result<DeliveryQueue, StoreError> {
        let state = self.state();
        let waiting = || state.deliveries.values().filter(|it| it.waits()).map(|it| &it.delivery);
        Ok(DeliveryQueue {
            n_waiting: waiting().count() as u64,
            oldest: waiting().map(|delivery| delivery.created_at).min(),
            next_due: waiting().map(|delivery| delivery.due_at).min(),
        })
    }

    async fn take_deliveries(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let mut state = self.state();
        let mut eligible: BTreeMap<(&String, &String), &Delivery> = BTreeMap::new();
        for Claimable { delivery, .. } in state.deliveries.values().filter(|it| it.waits()) {
            let Delivery { project, channel, sequence, subject, .. } = delivery;
            let hinders = |other: &Claimable| {
                let goes_first = other.delivery.subject == *subject && other.delivery.sequence < *sequence;
                other.is_of(project, channel) && other.waits() && (other.claimed_until > now || goes_first)
            };
            if delivery.due_at <= now && !state.deliveries.values().any(hinders) {
                // The first of each channel, as they are in the order of their rows.
                eligible.entry((project, channel)).or_insert(delivery);
            }
        }
        let mut eligible: Vec<Delivery> = eligible.into_values().cloned().collect();
        eligible.sort_by(|a, b| (a.due_at, &a.id).cmp(&(b.due_at, &b.id)));
        eligible.truncate(limit as usize);
        for taken in &mut eligible {
            taken.due_at = until;
            let key = (taken.project.clone(), taken.channel.clone(), taken.sequence);
            if let Some(it) = state.deliveries.get_mut(&key) {
                it.claimed_until = until;
                it.delivery.due_at = until;
            }
        }
        Ok(eligible)
    }

    async fn record_attempt(&self, attempt: &DeliveryAttempt) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(it) = state.deliveries.values_mut().find(|it| it.delivery.id == attempt.id) else { return Ok(false) };
        if !it.waits() || it.delivery.n_attempts != attempt.n_before {
            return Ok(false);
        }
        let DeliveryAttempt { id: _, n_before, state: now_is, due_at, tried_at, status, duration_ms, problem } =
            attempt;
        it.claimed_until = Timestamp(0);
        let delivery = &mut it.delivery;
        (delivery.state, delivery.n_attempts, delivery.due_at) = (*now_is, n_before + 1, *due_at);
        (delivery.tried_at, delivery.status) = (Some(*tried_at), *status);
        (delivery.duration_ms, delivery.problem) = (Some(*duration_ms), problem.clone());
        let (project, channel) = (delivery.project.clone(), delivery.channel.clone());
        if *now_is == DeliveryState::Delivered {
            let others = state.deliveries.values_mut().filter(|other| other.is_of(&project, &channel));
            others.for_each(|other| other.deliver_now(*tried_at));
        }
        Ok(true)
    }

    async fn delivery_page(&self, page: &DeliveryPage) -> Result<Vec<Delivery>, StoreError> {
        let DeliveryPage { project, channel, before, limit } = page;
        let state = self.state();
        let all = state.deliveries.values().rev().filter(|it| it.is_of(project, channel)).map(|it| &it.delivery);
        let wanted = all.filter(|delivery| before.is_none_or(|before| delivery.sequence < before));
        Ok(wanted.take(*limit as usize).cloned().collect())
    }

    async fn retry_delivery(
        &self,
        project: &str,
        channel: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let mut state = self.state();
        let found = state.deliveries.values_mut().find(|it| it.is_of(project, channel) && it.delivery.id == id);
        Ok(found.map(|Claimable { delivery, .. }| {
            (delivery.state, delivery.n_attempts) = (DeliveryState::Waiting, 0);
            (delivery.due_at, delivery.created_at) = (now, now);
            delivery.clone()
        }))
    }

    async fn prune_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.state();
        let old = state.deliveries.iter().filter(|(_, it)| !it.waits() && it.delivery.created_at < before);
        let mut old: Vec<_> = old.map(|(key, it)| (it.delivery.created_at, key.clone())).collect();
        old.sort();
        old.truncate(limit as usize);
        for (_, key) in &old {
            state.deliveries.remove(key);
        }
        Ok(old.len() as u64)
    }
}

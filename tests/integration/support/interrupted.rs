//! A store whose calls can be stopped: where a process dies, or another one comes in between.

use std::{
    future::{pending, poll_fn},
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tidegate_core::Timestamp;
use tidegate_server::{
    audit::AuditRow,
    ports::store::{
        AuditQuery, Commit, Committed, Delivery, DeliveryAttempt, DeliveryPage, DeliveryQueue, Document, DocumentId,
        DocumentQuery, Enqueue, EnvironmentDelta, EnvironmentId, EnvironmentSnapshot, Fence, IdempotencyRecord, Lease,
        LoggedEvents, OneTimeLink, PutLease, Session, Store, StoreError, ToldLook, ToldReceipts,
    },
};

/// What becomes of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// They wait once before they are made, and once before they are answered.
    GiveWay,
    /// The call of that number, from 1, and those after it are never made.
    StopBefore(u64),
    /// The call of that number is made and never answered; those after it are never made.
    StopAfter(u64),
}

/// A store like the one behind it, as another server on the same database sees it.
pub struct Interrupted {
    behind: Arc<dyn Store>,
    calls: Calls,
    n_calls: AtomicU64,
}

impl Interrupted {
    pub fn new(behind: Arc<dyn Store>, calls: Calls) -> Arc<Self> {
        Arc::new(Self { behind, calls, n_calls: AtomicU64::new(0) })
    }

    /// How many calls there were.
    pub fn n_calls(&self) -> u64 {
        self.n_calls.load(Ordering::SeqCst)
    }

    async fn made<T>(&self, call: impl Future<Output = T>) -> T {
        let n = self.n_calls.fetch_add(1, Ordering::SeqCst) + 1;
        match self.calls {
            Calls::GiveWay => {
                give_way().await;
                let answer = call.await;
                give_way().await;
                answer
            }
            Calls::StopBefore(stop) if n >= stop => pending().await,
            Calls::StopAfter(stop) if n > stop => pending().await,
            Calls::StopAfter(stop) if n == stop => {
                call.await;
                pending().await
            }
            _ => call.await,
        }
    }
}

/// Waits until it is polled again, whoever does.
pub async fn give_way() {
    let mut waited = false;
    poll_fn(|_| if mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

macro_rules! interrupted {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Interrupted {
            fn announcements(&self) -> BoxStream<'static, EnvironmentId> {
                self.behind.announcements()
            }

            fn is_shared(&self) -> bool {
                true
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
                self.made(self.behind.$name($($arg),*)).await
            })*
        }
    };
}

interrupted! {
    epoch() -> String;
    ping() -> ();
    size() -> u64;
    document(id: &DocumentId) -> Option<Document>;
    documents(query: &DocumentQuery) -> Vec<Document>;
    commit(commit: Commit) -> Committed;
    environment_snapshot(environment: &EnvironmentId) -> EnvironmentSnapshot;
    environment_delta(environment: &EnvironmentId, revision: u64) -> EnvironmentDelta;
    revisions() -> Vec<(EnvironmentId, u64)>;
    tell_receipts(told: &ToldReceipts) -> ();
    told_receipts(environment: &EnvironmentId, since: Timestamp) -> Vec<ToldReceipts>;
    lease(name: &str) -> Option<Lease>;
    put_lease(put: &PutLease) -> Option<Lease>;
    append_events(bodies: &[Vec<u8>], at: Timestamp) -> ();
    events_after(position: u64, limit: u32) -> Vec<LoggedEvents>;
    checkpoint() -> u64;
    checkpoint_part(position: u64, part: u32) -> Option<Vec<u8>>;
    put_checkpoint_part(fence: &Fence, position: u64, part: u32, body: &[u8]) -> ();
    finish_checkpoint(fence: &Fence, position: u64) -> ();
    tell_looks(looks: &[ToldLook]) -> ();
    told_look(rollout: &str) -> Option<ToldLook>;
    note_use(credential: &str, at: Timestamp) -> ();
    uses(prefix: &str) -> Vec<(String, Timestamp)>;
    keep_looks(looks: &[ToldLook]) -> ();
    kept_looks(rollout: &str, after: Timestamp, limit: u32) -> Vec<ToldLook>;
    prune_changes(keep: u64) -> u64;
    audit_page(query: &AuditQuery) -> Vec<AuditRow>;
    audit_chain(after: u64, limit: u32) -> Vec<AuditRow>;
    idempotency_record(key: &str) -> Option<IdempotencyRecord>;
    prune_expired(idempotency_before: Timestamp, sessions_before: Timestamp, now: Timestamp) -> u64;
    put_session(session: &Session) -> ();
    session(id: &str) -> Option<Session>;
    touch_session(id: &str, seen_at: Timestamp) -> ();
    delete_session(id: &str) -> ();
    delete_user_sessions(user: &str) -> ();
    put_link(link: &OneTimeLink) -> ();
    take_link(secret_hash: &str, now: Timestamp) -> Option<OneTimeLink>;
    notifier_cursor() -> u64;
    enqueue_deliveries(enqueue: &Enqueue) -> Option<u64>;
    delivery_queue() -> DeliveryQueue;
    take_deliveries(now: Timestamp, until: Timestamp, limit: u32) -> Vec<Delivery>;
    record_attempt(attempt: &DeliveryAttempt) -> bool;
    delivery_page(page: &DeliveryPage) -> Vec<Delivery>;
    retry_delivery(project: &str, channel: &str, id: &str, now: Timestamp) -> Option<Delivery>;
    prune_deliveries(before: Timestamp, limit: u32) -> u64;
}

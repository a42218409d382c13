//! Propagation receipts: which client evaluates with which revision, and how long it took.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;
use serde::Serialize;
use tidegate_core::Timestamp;
use tidegate_protocol::{Position, message::Ack};
use utoipa::ToSchema;

use super::State;

/// How far a state has come. Built when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipts {
    /// The database's timeline.
    pub epoch: String,
    /// The environment's revision.
    pub revision: u64,
    /// When the revision was accepted, in milliseconds since 1970.
    pub changed_at: Timestamp,
    /// The SDKs connected to this process.
    pub connected: usize,
    /// Those of them that evaluate with the revision.
    pub applied: usize,
    /// From acceptance to the last receipt, in milliseconds; of those that were connected before. Absent: nobody was.
    pub slowest_ms: Option<i64>,
    /// Those that do not have it yet: at most 50.
    pub behind: Vec<Behind>,
}

/// A client that has not applied the newest revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    /// What it says it is, like `tidegate-rust/0.1.0`.
    pub sdk: String,
    /// The revision that it evaluates with; absent: none yet.
    pub revision: Option<u64>,
    /// Since when it is connected, in milliseconds since 1970.
    pub connected_at: Timestamp,
}

const MAX_BEHIND: usize = 50;

/// The clients of one environment. Each session writes its own entry.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    next: AtomicU64,
    clients: Arc<DashMap<u64, Client>>,
}

#[derive(Debug)]
struct Client {
    sdk: String,
    connected_at: Timestamp,
    applied: Option<(Ack, Timestamp)>,
}

/// A session's entry; dropping it takes it out.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    clients: Arc<DashMap<u64, Client>>,
}

impl Ledger {
    pub fn enter(&self, sdk: String, now: Timestamp) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.clients.insert(id, Client { sdk, connected_at: now, applied: None });
        Entry { id, clients: Arc::clone(&self.clients) }
    }

    /// O(clients).
    pub fn receipts(&self, state: &State) -> Receipts {
        let Position { epoch, revision, .. } = &state.position;
        let mut receipts = Receipts {
            epoch: epoch.as_ref().to_owned(),
            revision: *revision,
            changed_at: state.changed_at,
            connected: 0,
            applied: 0,
            slowest_ms: None,
            behind: Vec::new(),
        };
        for client in self.clients.iter() {
            receipts.connected += 1;
            let applied = client.applied.as_ref().filter(|(ack, _)| ack.epoch == *epoch);
            match applied {
                Some((ack, at)) if ack.revision >= *revision => {
                    receipts.applied += 1;
                    if client.connected_at <= state.changed_at {
                        receipts.slowest_ms = receipts.slowest_ms.max(Some((at.0 - state.changed_at.0).max(0)));
                    }
                }
                _ if receipts.behind.len() < MAX_BEHIND => receipts.behind.push(Behind {
                    sdk: client.sdk.clone(),
                    revision: applied.map(|(ack, _)| ack.revision),
                    connected_at: client.connected_at,
                }),
                _ => {}
            }
        }
        receipts
    }
}

impl Entry {
    /// The client says that it evaluates with that revision.
    pub fn applied(&self, ack: Ack, now: Timestamp) {
        if let Some(mut client) = self.clients.get_mut(&self.id) {
            // A repeated receipt does not make the client slower than it was.
            if client.applied.as_ref().is_none_or(|(known, _)| *known != ack) {
                client.applied = Some((ack, now));
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.clients.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::state::Delta;

    #[test]
    fn receipts_tell_who_is_behind_and_how_long_the_others_took() {
        let state = State::new("e", 0, Delta::default()).after(7, Delta::default(), Timestamp(1_000));
        let ledger = Ledger::default();
        let ack = |revision| Ack { epoch: "e".into(), revision };
        let quick = ledger.enter("quick/1".to_owned(), Timestamp(0));
        let slow = ledger.enter("slow/1".to_owned(), Timestamp(0));
        let late = ledger.enter("late/1".to_owned(), Timestamp(9_000));
        let behind = ledger.enter("behind/1".to_owned(), Timestamp(5));
        let gone = ledger.enter("gone/1".to_owned(), Timestamp(5));
        drop(gone);
        quick.applied(ack(7), Timestamp(1_003));
        quick.applied(ack(7), Timestamp(5_000));
        slow.applied(ack(7), Timestamp(1_038));
        late.applied(ack(7), Timestamp(9_010));
        behind.applied(ack(6), Timestamp(900));
        let receipts = ledger.receipts(&state);
        assert_eq!((receipts.connected, receipts.applied, receipts.slowest_ms), (4, 3, Some(38)));
        let behind = Behind { sdk: "behind/1".to_owned(), revision: Some(6), connected_at: Timestamp(5) };
        assert_eq!(receipts.behind, [behind]);
    }
}

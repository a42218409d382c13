//! Propagation receipts: which client evaluates with which revision, and how long it took.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;
use tidegate_protocol::{Position, message::Ack};
use utoipa::ToSchema;

use super::State;

/// How far a state has come. Built when it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipts {
    /// The database's timeline.
    pub epoch: String,
    /// The environment's revision.
    pub revision: u64,
    /// When the revision was accepted, in milliseconds since 1970.
    pub changed_at: Timestamp,
    /// The size of what a new SDK is sent, before compression, in bytes.
    #[serde(default)]
    pub snapshot_bytes: usize,
    /// The servers whose SDKs were counted: this one, and those on the same database that are alive.
    pub servers: usize,
    /// The SDKs connected to them.
    pub connected: usize,
    /// Those of them that evaluate with the revision.
    pub applied: usize,
    /// From acceptance to the last receipt, in milliseconds; of those that were connected before. Absent: nobody was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_ms: Option<i64>,
    /// Those that do not have it yet: at most 50.
    pub behind: Vec<Behind>,
    /// All of them by what they say they are and by their key: the 50 that most are.
    #[serde(default)]
    pub sdks: Vec<SdkReceipts>,
}

/// The connected SDKs with one key that say the same of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SdkReceipts {
    /// What they say they are, like `tidegate-rust/0.1.0`.
    pub sdk: String,
    /// The id of their SDK key.
    #[serde(default)]
    pub key: String,
    /// How many there are.
    pub connected: usize,
    /// How many of them evaluate with the revision.
    pub applied: usize,
    /// The oldest revision that one of them evaluates with; absent: one has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// Since when the last of them is connected, in milliseconds since 1970.
    pub connected_at: Timestamp,
}

/// A client that has not applied the newest revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    /// What it says it is, like `tidegate-rust/0.1.0`.
    pub sdk: String,
    /// The revision that it evaluates with; absent: none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Since when it is connected, in milliseconds since 1970.
    pub connected_at: Timestamp,
}

const MAX_BEHIND: usize = 50;

const MAX_SDKS: usize = 50;

impl Receipts {
    /// Those of several servers, added up: how far the newest revision that one of them has has come on all of them.
    ///
    /// Servers that are on another timeline of the database do not count: they are about to notice.
    #[must_use]
    pub fn together(self, others: impl IntoIterator<Item = Self>) -> Self {
        let same_timeline = others.into_iter().filter(|other| other.epoch == self.epoch);
        let all: Vec<_> = same_timeline.chain([self.clone()]).collect();
        let newest = all.iter().max_by_key(|receipts| receipts.revision).unwrap_or(&self);
        let up_to_date = || all.iter().filter(|receipts| receipts.revision == newest.revision);
        Self {
            epoch: newest.epoch.clone(),
            revision: newest.revision,
            changed_at: newest.changed_at,
            snapshot_bytes: newest.snapshot_bytes,
            servers: all.iter().map(|receipts| receipts.servers).sum(),
            connected: all.iter().map(|receipts| receipts.connected).sum(),
            // A server that has not heard of the revision has not told its clients.
            applied: up_to_date().map(|receipts| receipts.applied).sum(),
            slowest_ms: up_to_date().filter_map(|receipts| receipts.slowest_ms).max(),
            behind: all.iter().flat_map(|receipts| receipts.behind.iter().cloned()).take(MAX_BEHIND).collect(),
            sdks: by_sdk(all.iter().flat_map(|receipts| {
                let is_newest = receipts.revision == newest.revision;
                let applied = move |sdk: &SdkReceipts| if is_newest { sdk.applied } else { 0 };
                receipts.sdks.iter().map(move |sdk| SdkReceipts { applied: applied(sdk), ..sdk.clone() })
            })),
        }
    }
}

impl SdkReceipts {
    /// Those and these; both have the same key, and say the same of themselves.
    fn add(&mut self, Self { connected, applied, oldest, connected_at, .. }: &Self) {
        self.connected += connected;
        self.applied += applied;
        self.oldest = self.oldest.zip(*oldest).map(|(a, b)| a.min(b));
        self.connected_at = self.connected_at.max(*connected_at);
    }
}

/// Added up by what they say they are and by their key; those that most are first.
fn by_sdk(all: impl IntoIterator<Item = SdkReceipts>) -> Vec<SdkReceipts> {
    let mut sums = BTreeMap::<(String, String), SdkReceipts>::new();
    for one in all {
        let who = (one.sdk.clone(), one.key.clone());
        match sums.get_mut(&who) {
            Some(sum) => sum.add(&one),
            None => drop(sums.insert(who, one)),
        }
    }
    let mut sdks: Vec<_> = sums.into_values().collect();
    sdks.sort_by_key(|sdk| Reverse(sdk.connected));
    sdks.truncate(MAX_SDKS);
    sdks
}

/// The clients of one environment. Each session writes its own entry.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    next: AtomicU64,
    clients: Arc<DashMap<u64, Client>>,
    /// Grows with everything that clients do.
    news: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Client {
    sdk: String,
    /// The id of its SDK key.
    key: String,
    connected_at: Timestamp,
    applied: Option<Applied>,
}

#[derive(Debug)]
struct Applied {
    epoch: Arc<str>,
    revision: u64,
    at: Timestamp,
}

/// A session's entry; dropping it takes it out.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    clients: Arc<DashMap<u64, Client>>,
    news: Arc<AtomicU64>,
}

impl Ledger {
    /// `key`: the id of the client's SDK key.
    pub fn enter(&self, sdk: String, key: String, now: Timestamp) -> Entry {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.clients.insert(id, Client { sdk, key, connected_at: now, applied: None });
        self.news.fetch_add(1, Ordering::Relaxed);
        Entry { id, clients: Arc::clone(&self.clients), news: Arc::clone(&self.news) }
    }

    /// Differs from what it was when a client has come, gone or applied something.
    pub fn news(&self) -> u64 {
        self.news.load(Ordering::Relaxed)
    }

    /// O(clients).
    pub fn receipts(&self, state: &State) -> Receipts {
        let Position { epoch, revision, .. } = &state.position;
        let mut receipts = Receipts {
            epoch: epoch.as_ref().to_owned(),
            revision: *revision,
            changed_at: state.changed_at,
            snapshot_bytes: state.snapshot_bytes(),
            servers: 1,
            connected: 0,
            applied: 0,
            slowest_ms: None,
            behind: Vec::new(),
            sdks: Vec::new(),
        };
        let mut sdks_by_key = HashMap::<String, HashMap<String, SdkReceipts>>::new();
        for client in self.clients.iter() {
            let Client { sdk, key, connected_at, applied } = client.value();
            let applied = applied.as_ref().filter(|applied| applied.epoch == *epoch);
            let one = SdkReceipts {
                sdk: String::new(),
                key: String::new(),
                connected: 1,
                applied: usize::from(applied.is_some_and(|applied| applied.revision >= *revision)),
                oldest: applied.map(|applied| applied.revision),
                connected_at: *connected_at,
            };
            receipts.connected += 1;
            receipts.applied += one.applied;
            if one.applied == 0 {
                if receipts.behind.len() < MAX_BEHIND {
                    receipts.behind.push(Behind {
                        sdk: sdk.clone(),
                        revision: one.oldest,
                        connected_at: *connected_at,
                    });
                }
            } else if let Some(Applied { at, .. }) = applied
                && *connected_at <= state.changed_at
            {
                receipts.slowest_ms = receipts.slowest_ms.max(Some((at.0 - state.changed_at.0).max(0)));
            }
            // Names are copied for the first of a thousand clients that have them.
            match sdks_by_key.get_mut(key).and_then(|sdks| sdks.get_mut(sdk)) {
                Some(sum) => sum.add(&one),
                None => drop(sdks_by_key.entry(key.clone()).or_default().insert(sdk.clone(), one)),
            }
        }
        let sums = sdks_by_key.into_iter().flat_map(|(key, sdks)| {
            sdks.into_iter().map(move |(sdk, sum)| SdkReceipts { sdk, key: key.clone(), ..sum })
        });
        receipts.sdks = by_sdk(sums);
        receipts
    }
}

impl Entry {
    /// The client says that it evaluates with that revision.
    pub fn applied(&self, ack: Ack, now: Timestamp) {
        if let Some(mut client) = self.clients.get_mut(&self.id) {
            let Ack { epoch, revision, age_ms } = ack;
            // A repeated receipt does not make the client slower than it was.
            if client.applied.as_ref().is_none_or(|known| (&known.epoch, known.revision) != (&epoch, revision)) {
                let age_ms = i64::try_from(age_ms).unwrap_or(i64::MAX);
                client.applied = Some(Applied { epoch, revision, at: Timestamp(now.0.saturating_sub(age_ms)) });
                self.news.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.clients.remove(&self.id);
        self.news.fetch_add(1, Ordering::Relaxed);
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
        let ack = |revision| Ack { epoch: "e".into(), revision, age_ms: 0 };
        let enter = |sdk: &str, key: &str, now| ledger.enter(sdk.to_owned(), key.to_owned(), now);
        let quick = enter("quick/1", "quick", Timestamp(0));
        let slow = enter("slow/1", "slow", Timestamp(0));
        let late = enter("slow/1", "late", Timestamp(9_000));
        let behind = enter("behind/1", "behind", Timestamp(5));
        let gone = enter("gone/1", "gone", Timestamp(5));
        drop(gone);
        quick.applied(ack(7), Timestamp(1_003));
        quick.applied(ack(7), Timestamp(5_000));
        // It was sent a while after.
        slow.applied(Ack { age_ms: 400, ..ack(7) }, Timestamp(1_438));
        late.applied(ack(7), Timestamp(9_010));
        behind.applied(ack(6), Timestamp(900));
        let receipts = ledger.receipts(&state);
        assert_eq!((receipts.connected, receipts.applied, receipts.slowest_ms), (4, 3, Some(38)));
        let behind = Behind { sdk: "behind/1".to_owned(), revision: Some(6), connected_at: Timestamp(5) };
        assert_eq!(receipts.behind, [behind]);
        let sdks: Vec<_> =
            receipts.sdks.iter().map(|it| (it.sdk.as_str(), it.key.as_str(), it.applied, it.oldest)).collect();
        let expected = [
            ("behind/1", "behind", 0, Some(6)),
            ("quick/1", "quick", 1, Some(7)),
            ("slow/1", "late", 1, Some(7)),
            ("slow/1", "slow", 1, Some(7)),
        ];
        assert_eq!(sdks, expected);
    }

    #[test]
    fn receipts_of_several_servers_add_up() {
        let receipts = |revision, connected, applied, slowest_ms| Receipts {
            epoch: "e".to_owned(),
            revision,
            changed_at: Timestamp(0),
            snapshot_bytes: 100 * usize::try_from(revision).unwrap(),
            servers: 1,
            connected,
            applied,
            slowest_ms,
            behind: Vec::new(),
            sdks: vec![SdkReceipts {
                sdk: "one/1".to_owned(),
                key: "k".to_owned(),
                connected,
                applied,
                oldest: Some(revision),
                connected_at: Timestamp(0),
            }],
        };
        let own = receipts(7, 3, 3, Some(4));
        let together = own.clone().together([receipts(7, 2, 1, Some(9)), receipts(6, 5, 5, Some(99))]);
        assert_eq!((together.servers, together.connected, together.applied), (3, 10, 4));
        assert_eq!((together.revision, together.slowest_ms), (7, Some(9)));
        let [sdk] = &together.sdks[..] else { panic!("{:?}", together.sdks) };
        assert_eq!((sdk.connected, sdk.applied, sdk.oldest), (10, 4, Some(6)));
        // What another one has accepted, this one's clients do not have yet.
        let together = own.clone().together([receipts(8, 2, 2, None)]);
        assert_eq!((together.revision, together.connected, together.applied), (8, 5, 2));
        assert_eq!(together.snapshot_bytes, 800);
        let elsewhere = Receipts { epoch: "before the restore".to_owned(), ..receipts(9, 2, 2, None) };
        assert_eq!(own.clone().together([elsewhere]), own);
    }
}

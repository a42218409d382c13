//! The conformance suite of the store port: every case on memory, SQLite and PostgreSQL; and what only databases have.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{FutureExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;
use tidegate_core::Timestamp;
use tidegate_server::{
    audit::{self, AuditEntry, Broken, VerifyError},
    ports::store::{
        AuditQuery, Commit, Committed, Delivery, DeliveryAttempt, DeliveryPage, DeliveryQueue, DeliveryState, Document,
        DocumentId, DocumentKind, DocumentQuery, Enqueue, EnvironmentDelta, EnvironmentId, Expected, Fence,
        IdempotencyRecord, KEPT_LOOKS_MS, Lease, LoggedEvents, OneTimeLink, PutLease, Session, Store, StoreError,
        ToldLook, ToldReceipts, Touched, TouchedKind, Write,
    },
    store::{Location, MemoryStore, OpenError, SqlStore},
};

use crate::support;

/// A fresh store, and a way round it.
struct Bench {
    store: Arc<dyn Store>,
    /// Another server on the same database; memory has only one.
    replica: Arc<dyn Store>,
    place: Place,
}

enum Place {
    Memory,
    Sqlite(TempDir),
    Postgres(Box<PgConnectOptions>),
}

impl Bench {
    fn memory() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new("epoch-1"));
        Self { replica: Arc::clone(&store), store, place: Place::Memory }
    }

    async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            store: Arc::new(SqlStore::open(&in_file(&dir), "epoch-1").await.unwrap()),
            replica: Arc::new(SqlStore::open(&in_file(&dir), "epoch-2").await.unwrap()),
            place: Place::Sqlite(dir),
        }
    }

    async fn postgres() -> Self {
        let options = Box::new(support::postgres::database().await);
        let location = Location::Postgres(options.clone());
        Self {
            store: Arc::new(SqlStore::open(&location, "epoch-1").await.unwrap()),
            replica: Arc::new(SqlStore::open(&location, "epoch-2").await.unwrap()),
            place: Place::Postgres(options),
        }
    }

    /// Does what no store would do. `None` in memory, which has no way round the store.
    async fn by_hand(&self, sql: &str) -> Option<Result<(), sqlx::Error>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.place {
            Place::Memory => None,
            Place::Sqlite(dir) => {
                let mut connection = SqliteConnection::connect_with(&by_hand(dir)).await.unwrap();
                Some(sqlx::raw_sql(sql).execute(&mut connection).await.map(drop))
            }
            Place::Postgres(options) => {
                let mut connection = PgConnection::connect_with(options).await.unwrap();
                Some(sqlx::raw_sql(sql).execute(&mut connection).await.map(drop))
            }
        }
    }

    async fn document(&self, id: &DocumentId) -> Option<Document> {
        self.store.document(id).await.unwrap()
    }

    async fn revision(&self, environment: &EnvironmentId) -> u64 {
        self.store.environment_snapshot(environment).await.unwrap().revision
    }

    async fn delta(&self, environment: &EnvironmentId, revision: u64) -> Option<Delta> {
        match self.store.environment_delta(environment, revision).await.unwrap() {
            EnvironmentDelta::OutOfReach => None,
            EnvironmentDelta::Changes { revision, objects } => {
                let body = |document: Document| document.body;
                let objects = objects.into_iter().map(|(touched, alive)| {
                    (touched.key, alive.map(|(document, configuration)| (body(document), configuration.map(body))))
                });
                Some((revision, objects.collect()))
            }
        }
    }
}

/// Revision; key, body and body of the configuration of each object.
type Delta = (u64, Vec<(String, Option<(String, Option<String>)>)>);

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("tidegate.db")
}

fn in_file(dir: &TempDir) -> Location {
    Location::Sqlite(file(dir))
}

fn by_hand(dir: &TempDir) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file(dir))
}

fn id(kind: DocumentKind, scope: &str, key: &str) -> DocumentId {
    DocumentId { kind, scope: scope.to_owned(), key: key.to_owned() }
}

fn flag(key: &str) -> DocumentId {
    id(DocumentKind::Flag, "shop", key)
}

fn configuration(key: &str) -> DocumentId {
    id(DocumentKind::FlagEnvironment, "shop/prod", key)
}

fn segment(key: &str) -> DocumentId {
    id(DocumentKind::Segment, "shop/prod", key)
}

fn write(id: &DocumentId, body: impl Into<String>) -> Write {
    Write { id: id.clone(), body: body.into(), archived: false }
}

fn archive(id: &DocumentId) -> Write {
    Write { id: id.clone(), body: "null".to_owned(), archived: true }
}

fn environment(name: &str) -> EnvironmentId {
    EnvironmentId { project: "shop".to_owned(), environment: name.to_owned() }
}

fn touched(kind: TouchedKind, key: &str) -> Touched {
    Touched { kind, key: key.to_owned() }
}

fn entry(resource: &str) -> AuditEntry {
    AuditEntry {
        at: Timestamp(1_000),
        actor: "user:1".to_owned(),
        actor_name: "Ada".to_owned(),
        action: "test".to_owned(),
        project: Some("shop".to_owned()),
        environment: None,
        resource: resource.to_owned(),
        before: Json::Null,
        after: json!({}),
        reason: "because".to_owned(),
        request_id: "request".to_owned(),
    }
}

fn commit(writes: Vec<Write>) -> Commit {
    Commit { writes, audit: vec![entry("thing")], at: Timestamp(1_000), ..Commit::default() }
}

/// A commit that touches these objects of `shop/prod`.
fn change(writes: Vec<Write>, objects: &[(TouchedKind, &str)]) -> Commit {
    let objects = objects.iter().map(|(kind, key)| touched(*kind, key)).collect();
    Commit { touched: vec![(environment("prod"), objects)], ..commit(writes) }
}

fn keys(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.id.key.as_str()).collect()
}

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&super::Bench::memory()).await; }
        )* }
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&super::Bench::sqlite().await).await; }
        )* }
        mod postgres { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() { super::$case(&super::Bench::postgres().await).await; }
        )* }
    };
}

conformance!(
    epoch_is_the_database_s,
    versions_grow_and_times_are_kept,
    documents_page_in_byte_order,
    preconditions_decide,
    a_refused_commit_leaves_nothing,
    what_was_judged_by_another_revision_is_refused,
    a_commit_needs_an_audit_row,
    what_one_store_cannot_keep_all_refuse,
    revisions_grow_per_commit_and_environment,
    a_snapshot_has_what_is_alive,
    a_delta_coalesces_and_knows_tombstones,
    a_delta_out_of_reach_says_so,
    what_others_commit_is_announced_or_nothing_is,
    concurrent_commits_keep_chain_and_revisions_whole,
    reads_see_one_state,
    a_poisoned_body_comes_back_as_it_is,
    large_bodies_fit,
    audit_pages_filter_newest_first,
    audit_rows_read_back_to_the_bit,
    the_audit_log_refuses_changes,
    tampering_shows,
    requests_repeat_once,
    sessions_come_and_go,
    links_work_once,
    receipts_are_told,
    a_lease_has_one_holder,
    a_commit_behind_the_fence_changes_nothing,
    the_notifier_moves_on_once,
    deliveries_are_taken_one_for_each_channel,
    attempts_are_recorded_once,
    deliveries_page_begin_anew_and_go,
    the_event_log_has_no_gaps,
    a_checkpoint_is_whole_or_not_there,
    looks_are_told,
    uses_are_noted,
    what_it_takes_grows_with_what_is_in_it,
);

async fn epoch_is_the_database_s(bench: &Bench) {
    bench.store.ping().await.unwrap();
    assert_eq!(bench.store.epoch().await.unwrap(), "epoch-1");
    assert_eq!(bench.replica.epoch().await.unwrap(), "epoch-1", "opening again keeps the timeline");
    assert_eq!(bench.store.environment_snapshot(&environment("prod")).await.unwrap().epoch, "epoch-1");
}

async fn versions_grow_and_times_are_kept(bench: &Bench) {
    let id = flag("checkout");
    assert_eq!(bench.document(&id).await, None);
    let created = bench.store.commit(commit(vec![write(&id, "1")])).await.unwrap();
    assert_eq!(created, Committed { versions: vec![1], revisions: vec![], audit_sequence: 1 });
    let changed = Commit { at: Timestamp(2_000), ..commit(vec![archive(&id), write(&flag("other"), "{}")]) };
    assert_eq!(bench.store.commit(changed).await.unwrap().versions, [2, 1]);
    let expected = Document {
        id: id.clone(),
        version: 2,
        archived: true,
        body: "null".to_owned(),
        created_at: Timestamp(1_000),
        updated_at: Timestamp(2_000),
    };
    assert_eq!(bench.document(&id).await, Some(expected.clone()));
    assert_eq!(bench.replica.document(&id).await.unwrap(), Some(expected));
    let revived = bench.store.commit(commit(vec![write(&id, "3")])).await.unwrap();
    assert_eq!(revived.versions, [3]);
    assert!(!bench.document(&id).await.unwrap().archived);
}

async fn documents_page_in_byte_order(bench: &Bench) {
    // A linguistic order would put these otherwise.
    let in_order = ["A", "B", "Z9", "a", "a-b", "a.b", "aB", "a_b", "ab", "z"];
    let mut writes: Vec<Write> = in_order.iter().rev().map(|key| write(&flag(key), "{}")).collect();
    writes.push(write(&id(DocumentKind::Flag, "shop2", "a"), "{}"));
    writes.push(write(&id(DocumentKind::Segment, "shop", "a"), "{}"));
    writes.push(write(&id(DocumentKind::Flag, "", "a"), "{}"));
    bench.store.commit(commit(writes)).await.unwrap();
    bench.store.commit(commit(vec![archive(&flag("aB"))])).await.unwrap();

    let page = async |after: Option<&str>, limit, include_archived| {
        let after = after.map(str::to_owned);
        let query =
            DocumentQuery { kind: DocumentKind::Flag, scope: "shop".to_owned(), after, limit, include_archived };
        bench.store.documents(&query).await.unwrap()
    };
    assert_eq!(keys(&page(None, 50, true).await), in_order);
    assert_eq!(keys(&page(None, 3, true).await), ["A", "B", "Z9"]);
    assert_eq!(keys(&page(Some("Z9"), 4, false).await), ["a", "a-b", "a.b", "a_b"]);
    assert_eq!(keys(&page(Some("a0"), 2, true).await), ["aB", "a_b"], "the key after which to go on need not exist");
    assert!(page(Some("z"), 50, true).await.is_empty());
    assert!(page(None, 0, true).await.is_empty());
}

async fn preconditions_decide(bench: &Bench) {
    let (live, archived, absent) = (flag("live"), flag("archived"), flag("absent"));
    bench.store.commit(commit(vec![write(&live, "1"), write(&archived, "1")])).await.unwrap();
    bench.store.commit(commit(vec![write(&live, "2"), archive(&archived)])).await.unwrap();

    let cases = [
        (&absent, Expected::Absent, Ok(())),
        (&absent, Expected::Version(1), Err(None)),
        (&absent, Expected::Version(0), Err(None)),
        (&absent, Expected::Live, Err(None)),
        (&live, Expected::Absent, Err(Some(2))),
        (&live, Expected::Version(1), Err(Some(2))),
        (&live, Expected::Version(2), Ok(())),
        (&live, Expected::Version(3), Err(Some(2))),
        (&live, Expected::Live, Ok(())),
        (&archived, Expected::Absent, Err(Some(2))),
        (&archived, Expected::Version(2), Ok(())),
        (&archived, Expected::Live, Err(Some(2))),
    ];
    for (id, expected, outcome) in cases {
        let attempt =
            Commit { expected: vec![(live.clone(), Expected::Live), (id.clone(), expected)], ..commit(vec![]) };
        let found = match bench.store.commit(attempt).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { id: conflicting, expected: because, actual }) => {
                assert_eq!((&conflicting, because), (id, expected));
                Err(actual)
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, outcome, "{} expected {expected:?}", id.key);
    }
}

async fn a_refused_commit_leaves_nothing(bench: &Bench) {
    let record =
        IdempotencyRecord { key: "key".to_owned(), request: "request".to_owned(), status: 200, body: "{}".to_owned() };
    let attempt = Commit {
        expected: vec![(flag("absent"), Expected::Live)],
        idempotency: Some(record),
        ..change(vec![write(&flag("checkout"), "1")], &[(TouchedKind::Flag, "checkout")])
    };
    let refusal = bench.store.commit(attempt.clone()).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Conflict { .. }));
    assert_eq!(refusal.to_string(), "`flag/shop/absent` is not as expected");
    assert_eq!(bench.document(&flag("checkout")).await, None);
    assert_eq!(bench.revision(&environment("prod")).await, 0);
    assert_eq!(bench.store.revisions().await.unwrap(), []);
    assert_eq!(bench.store.audit_chain(0, 10).await.unwrap(), []);
    assert_eq!(bench.store.idempotency_record("key").await.unwrap(), None);

    let committed = bench.store.commit(Commit { expected: vec![], ..attempt }).await.unwrap();
    assert_eq!(committed.revisions, [(environment("prod"), 1)]);
    assert_eq!(committed.audit_sequence, 1);
}

async fn what_was_judged_by_another_revision_is_refused(bench: &Bench) {
    let (prod, test) = (environment("prod"), environment("test"));
    let judged = |prod_at, test_at| Commit {
        judged: vec![(test.clone(), test_at), (prod.clone(), prod_at)],
        ..change(vec![write(&flag("checkout"), "1")], &[(TouchedKind::Flag, "checkout")])
    };
    bench.store.commit(judged(0, 0)).await.unwrap();
    let outdated = bench.store.commit(judged(0, 0)).await.unwrap_err();
    assert_eq!(outdated.to_string(), "`shop/prod` has changed from revision 0 to 1");
    assert_eq!(bench.revision(&prod).await, 1);
    assert_eq!(bench.document(&flag("checkout")).await.unwrap().version, 1);
    bench.store.commit(judged(1, 0)).await.unwrap();
    assert_eq!(bench.revision(&prod).await, 2);
}

async fn a_commit_needs_an_audit_row(bench: &Bench) {
    let silent = Commit { audit: vec![], ..commit(vec![write(&flag("checkout"), "1")]) };
    assert!(matches!(bench.store.commit(silent).await, Err(StoreError::Internal(_))));

    assert_eq!(bench.document(&flag("checkout")).await, None);
}

async fn what_one_store_cannot_keep_all_refuse(bench: &Bench) {
    let refused = async |attempt: Commit| {
        assert!(matches!(bench.store.commit(attempt).await, Err(StoreError::Internal(_))));
    };
    let deep = (0..121).fold(Json::Null, |inner, _| json!([inner]));
    refused(Commit { audit: vec![AuditEntry { after: deep, ..entry("thing") }], ..commit(vec![]) }).await;
    refused(Commit { audit: vec![AuditEntry { reason: "\0".to_owned(), ..entry("thing") }], ..commit(vec![]) }).await;
    refused(commit(vec![write(&flag("checkout"), "\0")])).await;
    refused(commit(vec![write(&flag("check\0out"), "1")])).await;
    assert_eq!(bench.store.audit_chain(0, 9).await.unwrap(), []);

    // Asking for it is allowed; there is none.
    let keys_there = ["a", "aa", "b"].map(|key| write(&flag(key), "1"));
    bench.store.commit(commit(keys_there.to_vec())).await.unwrap();
    assert_eq!(bench.document(&flag("a\0")).await, None);
    let query = DocumentQuery {
        kind: DocumentKind::Flag,
        scope: "shop".to_owned(),
        after: Some("a\0".to_owned()),
        limit: 9,
        include_archived: true,
    };
    assert_eq!(keys(&bench.store.documents(&query).await.unwrap()), ["aa", "b"]);
    let query = AuditQuery { resource: Some("thing\0".to_owned()), limit: 9, ..AuditQuery::default() };
    assert_eq!(bench.store.audit_page(&query).await.unwrap(), []);
}

async fn revisions_grow_per_commit_and_environment(bench: &Bench) {
    let (prod, test) = (environment("prod"), environment("test"));
    let one =
        vec![touched(TouchedKind::Flag, "a"), touched(TouchedKind::Flag, "a"), touched(TouchedKind::Segment, "a")];
    let both = Commit { touched: vec![(test.clone(), one.clone()), (prod.clone(), vec![])], ..commit(vec![]) };
    let committed = bench.store.commit(both).await.unwrap();
    assert_eq!(committed.revisions, [(test.clone(), 1), (prod.clone(), 1)]);
    let only = Commit { touched: vec![(test.clone(), one)], ..commit(vec![]) };
    assert_eq!(bench.store.commit(only).await.unwrap().revisions, [(test.clone(), 2)]);
    bench.store.commit(commit(vec![write(&flag("a"), "1")])).await.unwrap();
    assert_eq!(bench.store.revisions().await.unwrap(), [(prod.clone(), 1), (test.clone(), 2)]);
    assert_eq!(bench.replica.revisions().await.unwrap(), [(prod, 1), (test, 2)]);
}

async fn a_snapshot_has_what_is_alive(bench: &Bench) {
    let prod = environment("prod");
    let writes = vec![
        write(&flag("b"), "b"),
        write(&flag("a"), "a"),
        write(&flag("gone"), "gone"),
        write(&flag("bare"), "bare"),
        write(&configuration("a"), "a in prod"),
        write(&configuration("gone"), "gone in prod"),
        write(&configuration("bare"), "bare in prod"),
        write(&configuration("orphan"), "orphan in prod"),
        write(&id(DocumentKind::FlagEnvironment, "shop/test", "b"), "b in test"),
        write(&segment("staff"), "staff"),
        write(&segment("left"), "left"),
        write(&id(DocumentKind::Segment, "shop/test", "other"), "other"),
        write(&id(DocumentKind::Flag, "shop2", "a"), "another project"),
    ];
    bench.store.commit(change(writes, &[(TouchedKind::Flag, "a")])).await.unwrap();
    let archived = vec![archive(&flag("gone")), archive(&configuration("bare")), archive(&segment("left"))];
    bench.store.commit(change(archived, &[(TouchedKind::Flag, "gone")])).await.unwrap();

    let snapshot = bench.store.environment_snapshot(&prod).await.unwrap();
    assert_eq!(snapshot.revision, 2);
    let flags: Vec<_> = snapshot
        .flags
        .iter()
        .map(|(flag, configuration)| (flag.body.as_str(), configuration.as_ref().map(|found| found.body.as_str())))
        .collect();
    assert_eq!(flags, [("a", Some("a in prod")), ("b", None), ("bare", None)]);
    assert_eq!(keys(&snapshot.segments), ["staff"]);

    let nothing = bench.store.environment_snapshot(&environment("nowhere")).await.unwrap();
    assert_eq!((nothing.revision, nothing.segments.len()), (0, 0));
}

async fn a_delta_coalesces_and_knows_tombstones(bench: &Bench) {
    use TouchedKind::{Flag, Segment};
    let prod = environment("prod");
    let some = |body: &str, configuration: Option<&str>| Some((body.to_owned(), configuration.map(str::to_owned)));
    let object = |key: &str, alive| (key.to_owned(), alive);

    let first = vec![write(&flag("a"), "a1"), write(&configuration("a"), "c1"), write(&segment("a"), "s1")];
    bench.store.commit(change(first, &[(Flag, "a"), (Segment, "a")])).await.unwrap();
    bench.store.commit(change(vec![write(&configuration("a"), "c2")], &[(Flag, "a")])).await.unwrap();
    bench.store.commit(change(vec![write(&flag("b"), "b1")], &[(Flag, "b")])).await.unwrap();
    bench.store.commit(change(vec![write(&configuration("a"), "c3")], &[(Flag, "a")])).await.unwrap();

    let (a, b, s) = (object("a", some("a1", Some("c3"))), object("b", some("b1", None)), object("a", some("s1", None)));
    assert_eq!(bench.delta(&prod, 0).await, Some((4, vec![a.clone(), b.clone(), s])));
    assert_eq!(bench.delta(&prod, 1).await, Some((4, vec![a.clone(), b])));
    assert_eq!(bench.delta(&prod, 3).await, Some((4, vec![a])));
    assert_eq!(bench.delta(&prod, 4).await, Some((4, vec![])));

    let gone = vec![archive(&flag("a")), archive(&segment("a"))];
    bench.store.commit(change(gone, &[(Flag, "a"), (Segment, "a"), (Flag, "never")])).await.unwrap();
    let dead = vec![object("a", None), object("never", None), object("a", None)];
    assert_eq!(bench.delta(&prod, 4).await, Some((5, dead)));
}

async fn a_delta_out_of_reach_says_so(bench: &Bench) {
    let prod = environment("prod");
    assert_eq!(bench.delta(&prod, 0).await, Some((0, vec![])), "nothing happened yet, and nothing is missing");
    assert_eq!(bench.delta(&prod, 1).await, None, "ahead of the database");
    for _ in 0..5 {
        bench.store.commit(change(vec![], &[(TouchedKind::Flag, "a"), (TouchedKind::Flag, "b")])).await.unwrap();
    }
    let other =
        Commit { touched: vec![(environment("test"), vec![touched(TouchedKind::Flag, "a")])], ..commit(vec![]) };
    bench.store.commit(other).await.unwrap();

    assert_eq!(bench.store.prune_changes(2).await.unwrap(), 6, "two objects of three revisions");
    assert_eq!(bench.store.prune_changes(2).await.unwrap(), 0);
    assert_eq!(bench.store.prune_changes(9).await.unwrap(), 0, "what is forgotten does not come back");
    assert_eq!(bench.delta(&prod, 2).await, None);
    assert_eq!(bench.delta(&prod, 3).await.unwrap().0, 5);
    assert_eq!(bench.delta(&prod, 5).await, Some((5, vec![])));
    assert_eq!(bench.delta(&prod, 6).await, None);
    assert_eq!(bench.delta(&prod, u64::MAX).await, None);
    assert_eq!(bench.delta(&environment("test"), 0).await.unwrap().1.len(), 1);

    assert_eq!(bench.store.prune_changes(0).await.unwrap(), 5);
    assert_eq!(bench.delta(&prod, 4).await, None);
    assert_eq!(bench.delta(&prod, 5).await, Some((5, vec![])));
}

async fn what_others_commit_is_announced_or_nothing_is(bench: &Bench) {
    let mut announcements = bench.replica.announcements();
    let Place::Postgres(_) = bench.place else {
        assert_eq!(announcements.next().now_or_never(), None, "there is nobody else");
        return;
    };
    // Whoever listens for the first time may miss the first: commits go on until one is heard.
    let committing = async {
        loop {
            bench.store.commit(change(vec![write(&flag("a"), "1")], &[(TouchedKind::Flag, "a")])).await.unwrap();
        }
    };
    let heard = tokio::select! {
        heard = announcements.next() => heard,
        never = committing => never,
    };
    assert_eq!(heard, Some(environment("prod")));
}

async fn concurrent_commits_keep_chain_and_revisions_whole(bench: &Bench) {
    const N_TASKS: u64 = 8;
    const N_COMMITS: u64 = 12;
    let shared = flag("shared");
    bench.store.commit(commit(vec![write(&shared, "0")])).await.unwrap();

    let tasks = (0..N_TASKS).map(|task| {
        let store = Arc::clone(if task % 2 == 0 { &bench.store } else { &bench.replica });
        let shared = shared.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            while (acknowledged.len() as u64) < N_COMMITS {
                let stored = store.document(&shared).await.unwrap().unwrap();
                let counter: u64 = stored.body.parse().unwrap();
                let attempt = Commit {
                    expected: vec![(shared.clone(), Expected::Version(stored.version))],
                    audit: vec![entry("thing"), entry(&format!("task/{task}"))],
                    ..change(vec![write(&shared, (counter + 1).to_string())], &[(TouchedKind::Flag, "shared")])
                };
                match store.commit(attempt).await {
                    Ok(committed) => acknowledged.push(committed.revisions[0].1),
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
                }
            }
            acknowledged
        })
    });
    let mut revisions = BTreeSet::new();
    for task in tasks.collect::<Vec<_>>() {
        for revision in task.await.unwrap() {
            assert!(revisions.insert(revision), "revision {revision} was given twice");
        }
    }

    let n_commits = N_TASKS * N_COMMITS;
    assert!(revisions.into_iter().eq(1..=n_commits), "revisions have a gap");
    assert_eq!(bench.document(&shared).await.unwrap().body, n_commits.to_string(), "no update is lost");
    assert_eq!(audit::verify(&*bench.store).await.unwrap().rows, 1 + 2 * n_commits);
}

async fn reads_see_one_state(bench: &Bench) {
    const N_COMMITS: u64 = 40;
    let prod = environment("prod");
    let step = |n: u64| {
        let body = n.to_string();
        let writes = vec![write(&flag("a"), &body), write(&configuration("a"), &body), write(&segment("a"), &body)];
        change(writes, &[(TouchedKind::Flag, "a"), (TouchedKind::Segment, "a")])
    };
    bench.store.commit(step(1)).await.unwrap();
    let writer = {
        let store = Arc::clone(&bench.store);
        let steps: Vec<Commit> = (2..=N_COMMITS).map(step).collect();
        tokio::spawn(async move {
            for step in steps {
                store.commit(step).await.unwrap();
            }
        })
    };
    loop {
        let snapshot = bench.replica.environment_snapshot(&prod).await.unwrap();
        let expected = snapshot.revision.to_string();
        let (flag, configuration) = &snapshot.flags[0];
        assert_eq!([&flag.body, &configuration.as_ref().unwrap().body, &snapshot.segments[0].body], [&expected; 3]);

        let EnvironmentDelta::Changes { revision, objects } = bench.replica.environment_delta(&prod, 0).await.unwrap()
        else {
            panic!("out of reach")
        };
        for (_, alive) in objects {
            let (document, configuration) = alive.unwrap();
            assert_eq!(document.body, revision.to_string());
            assert!(configuration.is_none_or(|configuration| configuration.body == revision.to_string()));
        }
        if revision == N_COMMITS {
            break;
        }
    }
    writer.await.unwrap();
}

async fn a_poisoned_body_comes_back_as_it_is(bench: &Bench) {
    let poison = r#"{"key": nonsense, 💥"#;
    let sound = change(vec![write(&flag("sound"), "1"), write(&flag("broken"), "1")], &[(TouchedKind::Flag, "broken")]);
    bench.store.commit(sound).await.unwrap();
    let by_hand = bench.by_hand(&format!("UPDATE documents SET body = '{poison}' WHERE key = 'broken'")).await;
    if by_hand.map(Result::unwrap).is_none() {
        bench.store.commit(commit(vec![write(&flag("broken"), poison)])).await.unwrap();
    }

    let snapshot = bench.store.environment_snapshot(&environment("prod")).await.unwrap();
    let bodies: Vec<_> = snapshot.flags.iter().map(|(flag, _)| flag.body.as_str()).collect();
    assert_eq!(bodies, [poison, "1"]);
    assert_eq!(bench.delta(&environment("prod"), 0).await.unwrap().1[0].1, Some((poison.to_owned(), None)));
    assert_eq!(bench.document(&flag("broken")).await.unwrap().body, poison);
}

async fn large_bodies_fit(bench: &Bench) {
    let body = "0123456789abcdef".repeat(300_000);
    bench.store.commit(commit(vec![write(&segment("everybody"), &body)])).await.unwrap();
    assert_eq!(bench.document(&segment("everybody")).await.unwrap().body, body);
}

async fn audit_pages_filter_newest_first(bench: &Bench) {
    let row = |project: &str, environment: Option<&str>, resource: &str, actor: &str| AuditEntry {
        project: Some(project.to_owned()).filter(|project| !project.is_empty()),
        environment: environment.map(str::to_owned),
        resource: resource.to_owned(),
        actor: actor.to_owned(),
        ..entry("")
    };
    let mut audit = vec![
        row("", None, "user/1", "system"),
        row("shop", None, "flag/a", "user:1"),
        row("shop", Some("prod"), "flag/a", "user:1"),
        row("shop", Some("test"), "flag/b", "user:2"),
        row("bank", Some("prod"), "flag/a", "user:2"),
        row("shop", Some("prod"), "flag/b", "user:1"),
    ];
    let actions = ["user.create", "flag.create", "flag.update", "flag.update", "flag.kill", "segment.update"];
    for (row, (action, at)) in audit.iter_mut().zip(actions.into_iter().zip(1_000..)) {
        (row.action, row.at) = (action.to_owned(), Timestamp(at));
    }
    bench.store.commit(Commit { audit, ..commit(vec![]) }).await.unwrap();

    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let check = async |[project, environment, resource, actor]: [&str; 4], before, limit, expected: &[u64]| {
        let query = AuditQuery {
            project: text(project),
            environment: text(environment),
            resource: text(resource),
            actor: text(actor),
            before,
            limit,
            ..AuditQuery::default()
        };
        let rows = bench.store.audit_page(&query).await.unwrap();
        let sequences: Vec<u64> = rows.iter().map(|row| row.sequence).collect();
        assert_eq!(sequences, expected, "{query:?}");
    };
    check(["", "", "", ""], None, 50, &[6, 5, 4, 3, 2, 1]).await;
    check(["", "", "", ""], None, 2, &[6, 5]).await;
    check(["", "", "", ""], Some(5), 2, &[4, 3]).await;
    check(["", "", "", ""], Some(1), 2, &[]).await;
    check(["shop", "", "", ""], None, 50, &[6, 4, 3, 2]).await;
    check(["shop", "", "", ""], Some(4), 1, &[3]).await;
    check(["shop", "prod", "", ""], None, 50, &[6, 3]).await;
    check(["shop", "prod", "flag/a", ""], None, 50, &[3]).await;
    check(["shop", "", "flag/a", ""], None, 50, &[3, 2]).await;
    check(["", "", "flag/a", ""], None, 50, &[5, 3, 2]).await;
    check(["", "", "flag/a", "user:2"], None, 50, &[5]).await;
    check(["", "", "", "user:2"], None, 50, &[5, 4]).await;
    check(["shop", "prod", "", "user:1"], Some(6), 50, &[3]).await;
    check(["nowhere", "", "", ""], None, 50, &[]).await;

    let check = async |action, since: Option<i64>, until: Option<i64>, expected: &[u64]| {
        let (since, until) = (since.map(Timestamp), until.map(Timestamp));
        let query = AuditQuery { action: text(action), since, until, limit: 50, ..AuditQuery::default() };
        let rows = bench.store.audit_page(&query).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), expected, "{query:?}");
    };
    check("flag.", None, None, &[5, 4, 3, 2]).await;
    check("flag.update", None, None, &[4, 3]).await;
    check("update", None, None, &[]).await;
    check("flag.", Some(1_002), Some(1_004), &[4, 3]).await;
    check("", Some(1_004), None, &[6, 5]).await;
    check("", None, Some(1_001), &[1]).await;

    let chain = bench.store.audit_chain(2, 3).await.unwrap();
    assert_eq!(chain.iter().map(|row| row.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(chain[1].previous_hash, chain[0].hash);
}

async fn audit_rows_read_back_to_the_bit(bench: &Bench) {
    let hard = [
        json!(null),
        json!({"z": [5e-324, 1.797_693_134_862_315_7e308, 0.1, 1e21, 1e20, -0.0]}),
        json!({"integers": [u64::MAX, i64::MIN, 9_007_199_254_740_993_u64, 1.0]}),
        json!({"\u{10000}": "😀\u{2028}\u{0}\"\\", "\u{e000}": "é", "": {"": [[], {}]}}),
        (0..120).fold(json!(true), |inner, _| json!([inner])),
        json!("text"),
    ];
    let audit: Vec<AuditEntry> = hard
        .into_iter()
        .map(|state| AuditEntry {
            before: state.clone(),
            after: state,
            actor_name: "Zoë \u{1F469}\u{200D}\u{1F4BB}".to_owned(),
            reason: "line\nline\ttab 'quote'".to_owned(),
            ..entry("thing")
        })
        .collect();
    bench.store.commit(Commit { audit: audit.clone(), ..commit(vec![]) }).await.unwrap();

    let mut head = audit::GENESIS.to_owned();
    for (row, (sequence, entry)) in bench.store.audit_chain(0, 50).await.unwrap().iter().zip((1..).zip(audit)) {
        let written = audit::chain(entry, sequence, &head);
        assert_eq!(row.hash, written.hash);
        assert_eq!(audit::canonical(row), audit::canonical(&written));
        head.clone_from(&row.hash);
    }
    let verified = audit::verify(&*bench.replica).await.unwrap();
    assert_eq!((verified.rows, verified.head), (6, head));
}

async fn the_audit_log_refuses_changes(bench: &Bench) {
    bench.store.commit(Commit { audit: vec![entry("a"), entry("b")], ..commit(vec![]) }).await.unwrap();
    let mut attempts = vec![
        "UPDATE audit SET reason = 'another' WHERE sequence = 1",
        "DELETE FROM audit WHERE sequence = 2",
        "DELETE FROM audit",
    ];
    let row = "SELECT 2, occurred_at, actor, actor_name, action, project, environment, resource, state_before, \
               state_after, reason, request_id, leaf_version, previous_hash, hash FROM audit WHERE sequence = 1";
    let replace = format!("INSERT OR REPLACE INTO audit {row}");
    match bench.place {
        Place::Memory => {}
        Place::Sqlite(_) => attempts.push(&replace),
        Place::Postgres(_) => attempts.push("TRUNCATE audit"),
    }
    for attempt in attempts {
        if let Some(outcome) = bench.by_hand(attempt).await {
            let refusal = outcome.unwrap_err().to_string();
            assert!(refusal.contains("the audit log is append-only"), "{attempt}: {refusal}");
        }
    }
    assert_eq!(audit::verify(&*bench.store).await.unwrap().rows, 2);
}

async fn tampering_shows(bench: &Bench) {
    let audit = (1..=5).map(|n| AuditEntry { after: json!({ "n": n }), ..entry("thing") }).collect();
    bench.store.commit(Commit { audit, ..commit(vec![]) }).await.unwrap();
    assert_eq!(audit::verify(&*bench.store).await.unwrap().rows, 5);

    let unlock = match bench.place {
        Place::Memory => "",
        Place::Sqlite(_) => "DROP TRIGGER audit_refuses_update; DROP TRIGGER audit_refuses_delete",
        Place::Postgres(_) => "DROP TRIGGER audit_refuses_change ON audit",
    };
    if bench.by_hand(unlock).await.map(Result::unwrap).is_none() {
        return;
    }
    let check = async |sql: &str, expected: Broken| {
        bench.by_hand(sql).await.unwrap().unwrap();
        match audit::verify(&*bench.store).await {
            Err(VerifyError::Broken(broken)) => assert_eq!(broken, expected, "{sql}"),
            outcome => panic!("{sql}: {outcome:?}"),
        }
    };
    // Each undoes nothing: the first thing wrong moves towards the start.
    check("DELETE FROM audit WHERE sequence = 4", Broken::Sequence { expected: 4, found: 5 }).await;
    check("UPDATE audit SET state_after = '{ \"n\":3}' WHERE sequence = 3", Broken::Hash { sequence: 3 }).await;
    check("UPDATE audit SET state_after = 'nonsense' WHERE sequence = 3", Broken::Hash { sequence: 3 }).await;
    check("UPDATE audit SET project = NULL WHERE sequence = 2", Broken::Hash { sequence: 2 }).await;
    check("UPDATE audit SET occurred_at = 999 WHERE sequence = 1", Broken::Hash { sequence: 1 }).await;
}

async fn requests_repeat_once(bench: &Bench) {
    let record = |key: &str| IdempotencyRecord {
        key: key.to_owned(),
        request: "0f".repeat(32),
        status: 201,
        body: r#"{"version":1}"#.to_owned(),
    };
    let attempt = |key: &str, at| Commit {
        idempotency: Some(record(key)),
        at: Timestamp(at),
        ..commit(vec![write(&flag("checkout"), "1")])
    };
    assert_eq!(bench.store.idempotency_record("a").await.unwrap(), None);
    bench.store.commit(attempt("a", 1_000)).await.unwrap();
    assert_eq!(bench.replica.idempotency_record("a").await.unwrap(), Some(record("a")));

    // Even where a precondition does not hold any more: the first answer is the one to repeat.
    let again = Commit { expected: vec![(flag("checkout"), Expected::Absent)], ..attempt("a", 1_000) };
    assert!(matches!(bench.replica.commit(again).await, Err(StoreError::DuplicateRequest)));
    assert_eq!(bench.document(&flag("checkout")).await.unwrap().version, 1);
    assert_eq!(bench.store.audit_chain(0, 9).await.unwrap().len(), 1);

    bench.store.commit(attempt("b", 2_000)).await.unwrap();
    let pruned = bench.store.prune_expired(Timestamp(2_000), Timestamp(0), Timestamp(0)).await.unwrap();
    assert_eq!(pruned, 1);
    assert_eq!(bench.store.idempotency_record("a").await.unwrap(), None);
    assert_eq!(bench.store.idempotency_record("b").await.unwrap(), Some(record("b")));
    bench.store.commit(attempt("a", 3_000)).await.unwrap();
}

async fn sessions_come_and_go(bench: &Bench) {
    let session = |id: &str, user: &str| Session {
        id: id.to_owned(),
        secret_hash: "hash".to_owned(),
        user: user.to_owned(),
        created_at: Timestamp(1_000),
        seen_at: Timestamp(1_000),
    };
    let seen = async |id: &str| bench.replica.session(id).await.unwrap().map(|session| session.seen_at.0);
    assert_eq!(bench.store.session("s1").await.unwrap(), None);
    for (id, user) in [("s1", "ada"), ("s2", "ada"), ("s3", "bob"), ("s4", "bob")] {
        bench.store.put_session(&session(id, user)).await.unwrap();
    }
    assert_eq!(bench.replica.session("s1").await.unwrap(), Some(session("s1", "ada")));

    bench.store.touch_session("s1", Timestamp(5_000)).await.unwrap();
    bench.store.touch_session("s1", Timestamp(4_000)).await.unwrap();
    assert_eq!(seen("s1").await, Some(5_000));
    bench.store.put_session(&Session { secret_hash: "new".to_owned(), ..session("s1", "bob") }).await.unwrap();
    assert_eq!(bench.store.session("s1").await.unwrap().unwrap().secret_hash, "new");
    bench.store.put_session(&session("s1", "ada")).await.unwrap();

    bench.store.delete_session("s3").await.unwrap();
    bench.store.delete_session("s3").await.unwrap();
    bench.store.touch_session("s3", Timestamp(9_000)).await.unwrap();
    assert_eq!(seen("s3").await, None, "a touch does not bring it back");

    bench.store.delete_user_sessions("ada").await.unwrap();
    assert_eq!((seen("s1").await, seen("s2").await, seen("s4").await), (None, None, Some(1_000)));

    bench.store.put_session(&Session { seen_at: Timestamp(2_000), ..session("s5", "eve") }).await.unwrap();
    let pruned = bench.store.prune_expired(Timestamp(0), Timestamp(2_000), Timestamp(0)).await.unwrap();
    assert_eq!((pruned, seen("s4").await, seen("s5").await), (1, None, Some(2_000)));
}

async fn receipts_are_told(bench: &Bench) {
    let told = |process: &str, name: &str, body: &str, at: i64| ToldReceipts {
        process: process.to_owned(),
        environment: environment(name),
        body: body.to_owned(),
        at: Timestamp(at),
    };
    let heard = async |since: i64| bench.replica.told_receipts(&environment("prod"), Timestamp(since)).await.unwrap();
    assert_eq!(heard(0).await, []);
    for row in [told("b", "prod", "1", 1_000), told("a", "prod", "2", 2_000), told("a", "test", "3", 2_000)] {
        bench.store.tell_receipts(&row).await.unwrap();
    }
    assert_eq!(heard(0).await, [told("a", "prod", "2", 2_000), told("b", "prod", "1", 1_000)]);
    bench.store.tell_receipts(&told("b", "prod", "4", 3_000)).await.unwrap();
    assert_eq!(heard(2_001).await, [told("b", "prod", "4", 3_000)]);
    let pruned = bench.store.prune_expired(Timestamp(3_000), Timestamp(0), Timestamp(0)).await.unwrap();
    assert_eq!((pruned, heard(0).await.len()), (2, 1));
}

/// Puts the lease `runner`.
async fn put_lease(store: &Arc<dyn Store>, seen: Option<(u64, u64)>, holder: &str, at: i64) -> Option<Lease> {
    let (name, holder) = ("runner".to_owned(), holder.to_owned());
    let (since, at) = (Timestamp(at - 1), Timestamp(at));
    store.put_lease(&PutLease { name, seen, holder, since, at }).await.unwrap()
}

async fn a_lease_has_one_holder(bench: &Bench) {
    let (ours, theirs) = (&bench.store, &bench.replica);
    let lease = |holder: &str, epoch: u64, beat: u64, at: i64| Lease {
        name: "runner".to_owned(),
        holder: holder.to_owned(),
        epoch,
        beat,
        since: Timestamp(at - 1),
        renewed_at: Timestamp(at),
    };
    assert_eq!(ours.lease("runner").await.unwrap(), None);
    assert_eq!(put_lease(ours, Some((1, 1)), "a", 10).await, None, "there is none");
    assert_eq!(put_lease(ours, None, "a", 10).await, Some(lease("a", 1, 1, 10)));
    assert_eq!(put_lease(theirs, None, "b", 11).await, None, "there is one");
    assert_eq!(put_lease(ours, Some((1, 1)), "a", 20).await, Some(lease("a", 1, 2, 20)));
    assert_eq!(put_lease(theirs, Some((1, 1)), "b", 30).await, None, "it has a beat");
    assert_eq!(theirs.lease("runner").await.unwrap(), Some(lease("a", 1, 2, 20)));
    assert_eq!(put_lease(theirs, Some((1, 2)), "b", 30).await, Some(lease("b", 2, 3, 30)));
    assert_eq!(put_lease(ours, Some((1, 2)), "a", 31).await, None, "it is another's");
    // Given up, and had again by the same: under another epoch each time.
    assert_eq!(put_lease(theirs, Some((2, 3)), "", 40).await, Some(lease("", 3, 4, 40)));
    assert_eq!(put_lease(theirs, Some((3, 4)), "b", 41).await, Some(lease("b", 4, 5, 41)));
    assert_eq!(ours.lease("another").await.unwrap(), None);

    let takers = (0..8).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { ours } else { theirs });
        tokio::spawn(async move { put_lease(&store, Some((4, 5)), &format!("taker-{n}"), 50).await })
    });
    let mut taken = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken.len(), 1, "only one gets it");
    assert_eq!(ours.lease("runner").await.unwrap(), taken.pop());
}

async fn a_commit_behind_the_fence_changes_nothing(bench: &Bench) {
    let fenced = |epoch: u64| Commit {
        fence: Some(Fence { lease: "runner".to_owned(), epoch }),
        ..change(vec![write(&flag("a"), "1")], &[(TouchedKind::Flag, "a")])
    };
    let refused = async |commit: Commit| {
        let refusal = bench.store.commit(commit.clone()).await.unwrap_err();
        assert!(
            matches!(&refusal, StoreError::Fenced { fence } if Some(fence) == commit.fence.as_ref()),
            "{refusal:?}"
        );
    };
    refused(fenced(1)).await;
    put_lease(&bench.store, None, "a", 10).await.unwrap();
    bench.store.commit(fenced(1)).await.unwrap();
    put_lease(&bench.store, Some((1, 1)), "a", 11).await.unwrap();
    bench.store.commit(fenced(1)).await.unwrap();
    put_lease(&bench.replica, Some((1, 2)), "b", 12).await.unwrap();
    refused(fenced(1)).await;
    bench.replica.commit(fenced(2)).await.unwrap();
    put_lease(&bench.replica, Some((2, 3)), "", 13).await.unwrap();
    refused(fenced(2)).await;
    assert_eq!(bench.document(&flag("a")).await.unwrap().version, 3);
    assert_eq!(bench.revision(&environment("prod")).await, 3);
    assert_eq!(audit::verify(&*bench.store).await.unwrap().rows, 3);
}

async fn the_event_log_has_no_gaps(bench: &Bench) {
    const N: u64 = 40;
    let entry =
        |position: u64, body: &[u8], at: i64| LoggedEvents { position, at: Timestamp(at), body: body.to_owned() };
    assert_eq!(bench.store.events_after(0, 10).await.unwrap(), []);
    bench.store.append_events(&[vec![0, 255], vec![]], Timestamp(7)).await.unwrap();
    // With a commit, or not at all.
    let logged = |id: &DocumentId| Commit { logged: Some(b"mark".to_vec()), ..commit(vec![write(id, "1")]) };
    bench.replica.commit(logged(&flag("a"))).await.unwrap();
    let refused = Commit { expected: vec![(flag("a"), Expected::Absent)], ..logged(&flag("a")) };
    bench.store.commit(refused).await.unwrap_err();
    let all = [entry(1, &[0, 255], 7), entry(2, &[], 7), entry(3, b"mark", 1_000)];
    assert_eq!(bench.replica.events_after(0, 10).await.unwrap(), all);
    assert_eq!(bench.store.events_after(1, 1).await.unwrap(), all[1..2]);

    // Whoever reads beside several who write misses none.
    let writers = (0..4_u8).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { &bench.store } else { &bench.replica });
        tokio::spawn(async move {
            for _ in 0..N / 4 {
                store.append_events(&[vec![n]], Timestamp(8)).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut next = 4;
    while next < 4 + N {
        for entry in bench.replica.events_after(next - 1, 7).await.unwrap() {
            assert_eq!(entry.position, next);
            next += 1;
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn a_checkpoint_is_whole_or_not_there(bench: &Bench) {
    let (store, other) = (&bench.store, &bench.replica);
    let part = async |position: u64, part: u32| other.checkpoint_part(position, part).await.unwrap();
    put_lease(store, None, "a", 10).await.unwrap();
    let fence = Fence { lease: "runner".to_owned(), epoch: 1 };
    store.append_events(&[vec![1], vec![2], vec![3], vec![4]], Timestamp(7)).await.unwrap();
    assert_eq!((other.checkpoint().await.unwrap(), part(0, 0).await), (0, None));

    store.put_checkpoint_part(&fence, 2, 0, b"two").await.unwrap();
    store.put_checkpoint_part(&fence, 2, 1, b"parts").await.unwrap();
    assert_eq!(other.checkpoint().await.unwrap(), 0, "it is not finished");
    store.finish_checkpoint(&fence, 2).await.unwrap();
    assert_eq!(other.checkpoint().await.unwrap(), 2);
    let whole = [part(2, 0).await, part(2, 1).await, part(2, 2).await];
    assert_eq!(whole, [Some(b"two".to_vec()), Some(b"parts".to_vec()), None]);
    let left: Vec<u64> = other.events_after(0, 10).await.unwrap().iter().map(|entry| entry.position).collect();
    assert_eq!(left, [3, 4]);

    // Left half done, and begun again with fewer parts.
    for n in 0..3 {
        store.put_checkpoint_part(&fence, 4, n, b"lost").await.unwrap();
    }
    put_lease(other, Some((1, 1)), "b", 11).await.unwrap();
    let refusal = store.put_checkpoint_part(&fence, 4, 3, b"late").await.unwrap_err();
    assert!(matches!(refusal, StoreError::Fenced { .. }), "{refusal:?}");
    let refusal = store.finish_checkpoint(&fence, 4).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Fenced { .. }), "{refusal:?}");
    assert_eq!((other.checkpoint().await.unwrap(), part(2, 0).await), (2, Some(b"two".to_vec())));
    let fence = Fence { epoch: 2, ..fence };
    other.put_checkpoint_part(&fence, 4, 0, b"whole").await.unwrap();
    other.finish_checkpoint(&fence, 4).await.unwrap();
    assert_eq!((part(4, 0).await, part(4, 1).await, part(2, 0).await), (Some(b"whole".to_vec()), None, None));
    assert_eq!(other.events_after(0, 10).await.unwrap(), []);
    store.append_events(&[vec![5]], Timestamp(8)).await.unwrap();
    assert_eq!(other.events_after(4, 10).await.unwrap()[0].position, 5, "positions go on");
}

async fn what_it_takes_grows_with_what_is_in_it(bench: &Bench) {
    let before = bench.store.size().await.unwrap();
    // Text that does not compress.
    let hash = |n: u64| format!("{:016x}", tidegate_core::bucket::hash(&n.to_string()));
    let reason = (0..100_000).map(hash).collect::<Vec<_>>().concat();
    let audit = vec![AuditEntry { reason, ..entry("thing") }];
    bench.store.commit(Commit { audit, ..commit(vec![]) }).await.unwrap();
    let after = bench.store.size().await.unwrap();
    assert!((before, after) == (0, 0) || after > before + 700_000, "{before} to {after}");
}

async fn uses_are_noted(bench: &Bench) {
    for (credential, at) in
        [("token/a", 1_000), ("token/b", 5), ("sdkKey/a", 7), ("token/a", 3_000), ("token/a", 2_000)]
    {
        bench.store.note_use(credential, Timestamp(at)).await.unwrap();
    }
    let mut uses = bench.replica.uses("token/").await.unwrap();
    uses.sort();
    assert_eq!(uses, [("token/a".to_owned(), Timestamp(3_000)), ("token/b".to_owned(), Timestamp(5))]);
}

async fn looks_are_told(bench: &Bench) {
    let told = |rollout: &str, body: &str, at: i64| ToldLook {
        rollout: rollout.to_owned(),
        body: body.to_owned(),
        at: Timestamp(at),
    };
    assert_eq!(bench.store.told_look("a").await.unwrap(), None);
    bench.store.tell_looks(&[told("a", "1", 1_000), told("b", "2", 1_000)]).await.unwrap();
    bench.store.tell_looks(&[told("a", "3", 2_000)]).await.unwrap();
    assert_eq!(bench.replica.told_look("a").await.unwrap(), Some(told("a", "3", 2_000)));
    let pruned = bench.store.prune_expired(Timestamp(2_000), Timestamp(0), Timestamp(0)).await.unwrap();
    assert_eq!((pruned, bench.replica.told_look("b").await.unwrap()), (1, None));
    assert!(bench.replica.told_look("a").await.unwrap().is_some());

    bench.store.keep_looks(&[told("a", "1", 1_000), told("b", "2", 1_000), told("a", "3", 2_000)]).await.unwrap();
    bench.store.keep_looks(&[told("a", "late", 2_000), told("a", "4", 3_000)]).await.unwrap();
    let kept = async |after, limit| bench.replica.kept_looks("a", Timestamp(after), limit).await.unwrap();
    assert_eq!(kept(1_000, 10).await, [told("a", "3", 2_000), told("a", "4", 3_000)]);
    assert_eq!(kept(0, 1).await, [told("a", "1", 1_000)]);
    let now = Timestamp(KEPT_LOOKS_MS + 2_000);
    bench.store.prune_expired(Timestamp(0), Timestamp(0), now).await.unwrap();
    assert_eq!(kept(0, 10).await.len(), 2);
}

async fn links_work_once(bench: &Bench) {
    let link = |hash: &str, user: Option<&str>| OneTimeLink {
        secret_hash: hash.to_owned(),
        user: user.map(str::to_owned),
        expires_at: Timestamp(2_000),
    };
    assert_eq!(bench.store.take_link("none", Timestamp(1_000)).await.unwrap(), None);
    for hash in ["a", "late", "left", "new"] {
        bench.store.put_link(&link(hash, Some("ada"))).await.unwrap();
    }
    bench.store.put_link(&link("setup", None)).await.unwrap();
    assert_eq!(bench.store.take_link("setup", Timestamp(1_999)).await.unwrap(), Some(link("setup", None)));
    assert_eq!(bench.store.take_link("late", Timestamp(2_000)).await.unwrap(), None, "expired");

    let takers = (0..8).map(|n| {
        let store = Arc::clone(if n % 2 == 0 { &bench.store } else { &bench.replica });
        tokio::spawn(async move { store.take_link("a", Timestamp(1_000)).await.unwrap() })
    });
    let mut taken = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        taken.extend(taker.await.unwrap());
    }
    assert_eq!(taken, [link("a", Some("ada"))], "only one taker gets it");

    bench.store.put_link(&OneTimeLink { expires_at: Timestamp(9_000), ..link("new", None) }).await.unwrap();
    let pruned = bench.store.prune_expired(Timestamp(0), Timestamp(0), Timestamp(2_000)).await.unwrap();
    assert_eq!(pruned, 1, "`left` is past its end, `new` is not");
    assert_eq!(bench.store.take_link("left", Timestamp(1_000)).await.unwrap(), None);
    assert_eq!(bench.store.take_link("new", Timestamp(3_000)).await.unwrap().unwrap().user, None);
}

fn delivery(channel: &str, sequence: u64, subject: &str) -> Delivery {
    Delivery {
        id: format!("{channel}-{sequence}"),
        project: "shop".to_owned(),
        channel: channel.to_owned(),
        sequence,
        subject: subject.to_owned(),
        notification: "{}".to_owned(),
        state: DeliveryState::Waiting,
        n_attempts: 0,
        due_at: Timestamp(1_000),
        created_at: Timestamp(1_000),
        tried_at: None,
        status: None,
        duration_ms: None,
        problem: None,
    }
}

fn enqueue(from: u64, to: u64, deliveries: Vec<Delivery>) -> Enqueue {
    Enqueue { from, to, deliveries, max_waiting: 100, at: Timestamp(1_000) }
}

fn attempt(id: &str, n_before: u32, state: DeliveryState, due_at: i64) -> DeliveryAttempt {
    DeliveryAttempt {
        id: id.to_owned(),
        n_before,
        state,
        due_at: Timestamp(due_at),
        tried_at: Timestamp(2_000),
        status: Some(503),
        duration_ms: 12,
        problem: Some("busy".to_owned()),
    }
}

async fn page(bench: &Bench, channel: &str) -> Vec<Delivery> {
    let page = DeliveryPage { project: "shop".to_owned(), channel: channel.to_owned(), before: None, limit: 10 };
    bench.replica.delivery_page(&page).await.unwrap()
}

async fn take(store: &Arc<dyn Store>, now: i64, limit: u32) -> Vec<String> {
    let taken = store.take_deliveries(Timestamp(now), Timestamp(now + 60_000), limit).await.unwrap();
    let mut ids: Vec<_> = taken.into_iter().map(|delivery| delivery.id).collect();
    ids.sort();
    ids
}

async fn the_notifier_moves_on_once(bench: &Bench) {
    assert_eq!(bench.store.notifier_cursor().await.unwrap(), 0);
    assert_eq!(bench.store.delivery_queue().await.unwrap(), DeliveryQueue::default());
    let first = vec![delivery("ops", 3, "r1"), delivery("dev", 3, "r1")];
    assert_eq!(bench.store.enqueue_deliveries(&enqueue(0, 5, first.clone())).await.unwrap(), Some(0));
    assert_eq!(bench.replica.enqueue_deliveries(&enqueue(0, 4, vec![delivery("ops", 4, "r1")])).await.unwrap(), None);
    assert_eq!(bench.replica.notifier_cursor().await.unwrap(), 5);
    assert_eq!(page(bench, "ops").await, [first[0].clone()], "who came too late has enqueued nothing");

    // What is there stays as it is.
    let again = Delivery { notification: "other".to_owned(), ..delivery("ops", 3, "r1") };
    assert_eq!(bench.store.enqueue_deliveries(&enqueue(5, 6, vec![again])).await.unwrap(), Some(0));
    assert_eq!(page(bench, "ops").await, [first[0].clone()]);
    let queue = DeliveryQueue { n_waiting: 2, oldest: Some(Timestamp(1_000)), next_due: Some(Timestamp(1_000)) };
    assert_eq!(bench.store.delivery_queue().await.unwrap(), queue);

    // What is too much is dead from the start.
    let many = Enqueue { max_waiting: 2, ..enqueue(6, 9, (7..10).map(|n| delivery("ops", n, "r1")).collect()) };
    assert_eq!(bench.store.enqueue_deliveries(&many).await.unwrap(), Some(2));
    let states = page(bench, "ops").await.into_iter().map(|it| (it.sequence, it.state, it.problem.is_some()));
    let (waiting, dead) = (DeliveryState::Waiting, DeliveryState::Dead);
    let expected = [(9, dead, true), (8, dead, true), (7, waiting, false), (3, waiting, false)];
    assert_eq!(states.collect::<Vec<_>>(), expected);
}

async fn deliveries_are_taken_one_for_each_channel(bench: &Bench) {
    let late = Delivery { due_at: Timestamp(5_000), ..delivery("late", 1, "r1") };
    let all =
        vec![delivery("ops", 1, "r1"), delivery("ops", 2, "r2"), delivery("ops", 3, "r1"), delivery("dev", 3, "r1")];
    assert_eq!(bench.store.enqueue_deliveries(&enqueue(0, 3, all)).await.unwrap(), Some(0));
    let late = Enqueue { at: Timestamp(5_000), ..enqueue(3, 3, vec![late]) };
    assert_eq!(bench.store.enqueue_deliveries(&late).await.unwrap(), Some(0));
    assert_eq!(take(&bench.store, 999, 10).await, [""; 0], "nothing is due");
    assert_eq!(take(&bench.store, 1_000, 10).await, ["dev-3", "ops-1"]);
    assert_eq!(take(&bench.replica, 1_000, 10).await, [""; 0], "somebody is at both channels");
    assert_eq!(bench.store.delivery_queue().await.unwrap().next_due, Some(Timestamp(1_000)));

    // The first of a subject waits for another attempt: the next of that subject waits behind it, others do not.
    assert!(bench.store.record_attempt(&attempt("ops-1", 0, DeliveryState::Waiting, 90_000)).await.unwrap());
    assert_eq!(take(&bench.replica, 2_000, 10).await, ["ops-2"]);
    // A success is good news for the whole channel, and for no other.
    assert!(bench.store.record_attempt(&attempt("ops-2", 0, DeliveryState::Delivered, 0)).await.unwrap());
    assert_eq!(take(&bench.store, 2_000, 10).await, ["ops-1"]);
    assert!(bench.store.record_attempt(&attempt("ops-1", 1, DeliveryState::Dead, 0)).await.unwrap());
    assert_eq!(take(&bench.store, 2_000, 10).await, ["ops-3"], "what is dead is in nobody's way");

    // News of a subject sends what of it waits for another attempt.
    assert!(bench.store.record_attempt(&attempt("ops-3", 0, DeliveryState::Waiting, 90_000)).await.unwrap());
    let news = Enqueue { at: Timestamp(2_500), ..enqueue(3, 4, vec![delivery("ops", 4, "r1")]) };
    assert_eq!(bench.store.enqueue_deliveries(&news).await.unwrap(), Some(0));
    assert_eq!(take(&bench.store, 2_500, 10).await, ["ops-3"]);

    // Whoever took it and never came back.
    assert_eq!(take(&bench.store, 61_000, 1).await, ["late-1"], "the one due first");
    assert_eq!(take(&bench.replica, 61_000, 10).await, ["dev-3"]);
    assert_eq!(take(&bench.replica, 62_500, 10).await, ["ops-3"]);
}

async fn attempts_are_recorded_once(bench: &Bench) {
    assert_eq!(bench.store.enqueue_deliveries(&enqueue(0, 1, vec![delivery("ops", 1, "r1")])).await.unwrap(), Some(0));
    assert!(!bench.store.record_attempt(&attempt("none", 0, DeliveryState::Dead, 0)).await.unwrap());
    assert_eq!(take(&bench.store, 1_000, 1).await, ["ops-1"]);
    assert!(bench.store.record_attempt(&attempt("ops-1", 0, DeliveryState::Waiting, 9_000)).await.unwrap());
    let expected = Delivery {
        n_attempts: 1,
        due_at: Timestamp(9_000),
        tried_at: Some(Timestamp(2_000)),
        status: Some(503),
        duration_ms: Some(12),
        problem: Some("busy".to_owned()),
        ..delivery("ops", 1, "r1")
    };
    assert_eq!(page(bench, "ops").await, std::slice::from_ref(&expected));
    // Somebody else was slower.
    assert!(!bench.replica.record_attempt(&attempt("ops-1", 0, DeliveryState::Delivered, 0)).await.unwrap());
    assert_eq!(page(bench, "ops").await, [expected]);
    assert_eq!(take(&bench.store, 9_000, 1).await, ["ops-1"]);
    let delivered = DeliveryAttempt { status: None, problem: None, ..attempt("ops-1", 1, DeliveryState::Delivered, 0) };
    assert!(bench.replica.record_attempt(&delivered).await.unwrap());
    assert!(!bench.store.record_attempt(&attempt("ops-1", 2, DeliveryState::Waiting, 0)).await.unwrap(), "it is over");
    let [found] = &page(bench, "ops").await[..] else { panic!("it is not there") };
    assert_eq!((found.state, found.n_attempts, found.status), (DeliveryState::Delivered, 2, None));
    assert_eq!(bench.store.delivery_queue().await.unwrap(), DeliveryQueue::default());
}

async fn deliveries_page_begin_anew_and_go(bench: &Bench) {
    let all = (1..=4).map(|n| delivery("ops", n, "r1")).chain([delivery("dev", 1, "r1")]).collect();
    assert_eq!(bench.store.enqueue_deliveries(&enqueue(0, 4, all)).await.unwrap(), Some(0));
    let (project, channel) = ("shop".to_owned(), "ops".to_owned());
    let page = DeliveryPage { project, channel, before: Some(4), limit: 2 };
    let rows = bench.store.delivery_page(&page).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [3, 2]);

    for (id, state) in
        [("ops-1", DeliveryState::Dead), ("ops-2", DeliveryState::Delivered), ("dev-1", DeliveryState::Dead)]
    {
        assert!(bench.store.record_attempt(&attempt(id, 0, state, 0)).await.unwrap());
    }
    let retry = async |channel: &str, id: &str| {
        bench.store.retry_delivery("shop", channel, id, Timestamp(7_000)).await.unwrap()
    };
    assert_eq!(retry("dev", "ops-1").await, None, "another channel's");
    assert_eq!(bench.store.retry_delivery("other", "ops", "ops-1", Timestamp(7_000)).await.unwrap(), None);
    let anew = retry("ops", "ops-1").await.unwrap();
    assert_eq!((anew.state, anew.n_attempts), (DeliveryState::Waiting, 0));
    assert_eq!((anew.due_at, anew.created_at, anew.status), (Timestamp(7_000), Timestamp(7_000), Some(503)));
    assert_eq!(take(&bench.replica, 7_000, 10).await, ["ops-1"]);

    assert_eq!(bench.store.prune_deliveries(Timestamp(1_000), 10).await.unwrap(), 0, "they are not older");
    assert_eq!(bench.store.prune_deliveries(Timestamp(1_001), 1).await.unwrap(), 1);
    assert_eq!(bench.replica.prune_deliveries(Timestamp(9_000), 10).await.unwrap(), 1, "what waits stays");
    assert_eq!(bench.store.delivery_queue().await.unwrap().n_waiting, 3);
}

/// What the port promises is called above: a new method without a case fails here.
#[test]
fn every_method_of_the_port_has_a_case() {
    let port = include_str!("../../server/src/ports/store.rs");
    let (_, methods) = port.split_once("pub trait Store").unwrap();
    let suite = include_str!("store.rs");
    let missing: Vec<&str> = methods
        .split("async fn ")
        .skip(1)
        .map(|method| method.split_once('(').unwrap().0)
        .filter(|method| !suite.contains(&format!(".{method}(")))
        .collect();
    assert!(methods.matches("async fn ").count() > 15, "the port was not found");
    assert!(missing.is_empty(), "no case calls {missing:?}");
}

/// The same tables and columns, nullable or not, once both are migrated.
#[tokio::test]
async fn migrated_databases_have_the_same_columns() {
    let (sqlite, postgres) = (Bench::sqlite().await, Bench::postgres().await);
    let (Place::Sqlite(dir), Place::Postgres(options)) = (&sqlite.place, &postgres.place) else { unreachable!() };

    let mut connection = SqliteConnection::connect_with(&by_hand(dir)).await.unwrap();
    let in_sqlite: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT m.name, c.name, NOT c.\"notnull\" FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    let in_postgres: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, is_nullable = 'YES' FROM information_schema.columns \
         WHERE table_schema = 'public'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();

    let ours = |columns: Vec<(String, String, bool)>| -> BTreeMap<String, bool> {
        let ours =
            columns.into_iter().filter(|(table, ..)| !table.starts_with("_sqlx") && !table.starts_with("sqlite_"));
        ours.map(|(table, column, nullable)| (format!("{table}.{column}"), nullable)).collect()
    };
    let (in_sqlite, in_postgres) = (ours(in_sqlite), ours(in_postgres));
    assert_eq!(in_sqlite, in_postgres);
    assert!(in_sqlite.len() > 30);
}

#[tokio::test]
async fn a_database_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqlStore::open(&in_file(&dir), "epoch-1").await.unwrap();
    store.commit(commit(vec![write(&flag("checkout"), "1")])).await.unwrap();
    store.close().await;
    assert!(!dir.path().join("tidegate.db-wal").exists(), "a closed database is one file");
    let store = SqlStore::open(&in_file(&dir), "epoch-2").await.unwrap();
    assert_eq!(store.epoch().await.unwrap(), "epoch-1");
    assert_eq!(store.document(&flag("checkout")).await.unwrap().unwrap().body, "1");
}

/// Where SQLite lets in what is no text, one document is damaged and the others are not.
#[tokio::test]
async fn bytes_that_are_no_text_harm_one_document() {
    let bench = Bench::sqlite().await;
    bench.store.commit(commit(vec![write(&flag("a"), "1"), write(&flag("b"), "2")])).await.unwrap();
    let garbage = "UPDATE documents SET body = CAST(x'7bff7d' AS TEXT) WHERE key = 'a'";
    bench.by_hand(garbage).await.unwrap().unwrap();
    let snapshot = bench.store.environment_snapshot(&environment("prod")).await.unwrap();
    let bodies: Vec<_> = snapshot.flags.iter().map(|(flag, _)| flag.body.as_str()).collect();
    assert_eq!(bodies, ["{\u{fffd}}", "2"]);
}

async fn refusal(path: &Path) -> OpenError {
    SqlStore::open(&Location::Sqlite(path.to_owned()), "epoch-1").await.expect_err("opened")
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(file(&dir), "This is a letter to my grandmother. ".repeat(200)).unwrap();
    let error = refusal(&file(&dir)).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("tidegate.db` is not a database, or is damaged"), "{error}");
    assert!(std::fs::read_to_string(file(&dir)).unwrap().starts_with("This is a letter"), "and left alone");

    let error = refusal(&dir.path().join("missing/tidegate.db")).await;
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqlStore::open(&in_file(&dir), "epoch-1").await.unwrap();
    let writes = (0..200).map(|n| write(&flag(&format!("flag-{n}")), "x".repeat(300))).collect();
    store.commit(commit(writes)).await.unwrap();
    store.close().await;

    let sound = std::fs::read(file(&dir)).unwrap();
    // Every page but the first is overwritten in turn; what is served must never come from a damaged one.
    let n_pages = sound.len() / 4096;
    let mut n_refused = 0;
    for page in 1..n_pages {
        let mut damaged = sound.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xA5);
        std::fs::write(file(&dir), damaged).unwrap();
        match SqlStore::open(&in_file(&dir), "epoch-1").await {
            Err(OpenError::Damaged { .. }) => n_refused += 1,
            Err(error) => panic!("page {page}: {error:?}"),
            Ok(store) => {
                let snapshot = store.environment_snapshot(&environment("prod")).await.unwrap();
                assert_eq!(snapshot.flags.len(), 200, "page {page}");
                store.close().await;
            }
        }
    }
    assert!(n_refused > 10, "{n_refused} of {n_pages}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let bench = Bench::sqlite().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'from the future', TRUE, x'00', 0)";
    bench.by_hand(newer).await.unwrap().unwrap();
    let Place::Sqlite(dir) = &bench.place else { unreachable!() };
    let error = refusal(&file(dir)).await;
    assert!(matches!(error, OpenError::Newer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let options = PgConnectOptions::new_without_pgpass().socket(dir.path()).username("tidegate").database("none");
    let error = SqlStore::open(&Location::Postgres(Box::new(options)), "epoch-1").await.expect_err("opened");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
}

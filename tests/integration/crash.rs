//! `kill -9` at random instants, with several writers at work: what was acknowledged is there, nothing is half there.
//!
//! `TIDEGATE_CRASH_ROUNDS` says how often, `TIDEGATE_CRASH_SEED` repeats the instants of an earlier run (as far as a
//! seed can: the machine's own timing is part of it).

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use tidegate_core::Timestamp;
use tidegate_server::{
    audit::{self, AuditEntry},
    ports::store::{
        Commit, DocumentId, DocumentKind, EnvironmentDelta, EnvironmentId, Expected, IdempotencyRecord, Store, Touched,
        TouchedKind, Write,
    },
    store::{Location, SqlStore},
    testing::SeededIds,
};

const N_WRITERS: u64 = 4;

/// Names the database for the process that writes and gets killed.
const DATABASE: &str = "TIDEGATE_CRASH_DATABASE";

/// A commit that was acknowledged. Every commit makes one revision and one audit row, so their numbers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ack {
    writer: u64,
    n: u64,
    sequence: u64,
}

#[test]
fn acknowledged_commits_survive_kill_9() {
    let n_rounds = number("TIDEGATE_CRASH_ROUNDS").unwrap_or(25);
    let seed = number("TIDEGATE_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("repeat with TIDEGATE_CRASH_SEED={seed} TIDEGATE_CRASH_ROUNDS={n_rounds}");
    let random = SeededIds::new(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();

    let (mut n_acks, mut n_commits) = (0, 0);
    let mut done = 0;
    while done < n_rounds {
        // Rounds go on with the database of the one before, which checks its recovery too; but not for ever, because
        // each round checks all of it.
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("tidegate.db");
        let (mut acks, mut made) = (Vec::new(), BTreeMap::new());
        for _ in 0..25.min(n_rounds - done) {
            done += 1;
            let fresh = write_until_killed(&database, &random);
            acks.extend_from_slice(&fresh);
            let before = std::mem::replace(&mut made, runtime.block_on(check(&database, &acks)));
            for writer in 0..N_WRITERS {
                let n_made = made.get(&writer).unwrap_or(&0) - before.get(&writer).unwrap_or(&0);
                let n_acked = fresh.iter().filter(|ack| ack.writer == writer).count() as u64;
                assert!((n_acked..=n_acked + 1).contains(&n_made), "{n_made} commits, {n_acked} acknowledged");
            }
        }
        n_acks += acks.len() as u64;
        n_commits += made.values().sum::<u64>();
    }
    println!("{n_rounds} kills, {n_acks} acknowledged commits, {} more made", n_commits - n_acks);
    assert!(n_acks >= n_rounds, "the writers hardly came to write");
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

/// Runs [`writer`] in another process, kills it somewhere between its start and a few dozen commits, and returns what
/// it had acknowledged.
fn write_until_killed(database: &Path, random: &SeededIds) -> Vec<Ack> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::writer", "--exact", "--nocapture"])
        .env(DATABASE, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);

    let acknowledged = |line: String| {
        let mut numbers = line.strip_prefix("ack ")?.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        Some(Ack { writer: next(), n: next(), sequence: next() })
    };
    let n_awaited = (random.next_u64() % 40) as usize;
    let mut acks: Vec<Ack> = lines.by_ref().filter_map(acknowledged).take(n_awaited).collect();
    // A while that is no multiple of anything: the kill hits every part of a commit.
    for _ in 0..random.next_u64() % 400_000 {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    acks.extend(lines.filter_map(acknowledged));
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "the writer ended by itself after {} commits: {status}", acks.len());
    acks
}

/// Returns how many commits each writer has made.
async fn check(database: &Path, acks: &[Ack]) -> BTreeMap<u64, u64> {
    let store = SqlStore::open(&Location::Sqlite(database.to_owned()), "epoch").await.unwrap();

    // The audit log is whole, and each writer's commits are in it once and in order.
    let n_commits = audit::verify(&store).await.expect("the audit chain is broken").rows;
    let mut made: BTreeMap<u64, u64> = BTreeMap::new();
    let mut commits = BTreeMap::new();
    for row in store.audit_chain(0, u32::MAX).await.unwrap() {
        let writer = row.entry.after["writer"].as_u64().unwrap();
        let n = made.entry(writer).or_default();
        *n += 1;
        assert_eq!(row.entry.after["n"], *n, "writer {writer}");
        commits.insert(row.sequence, (writer, *n));
    }

    // Every acknowledged commit is where it was said to be.
    for Ack { writer, n, sequence } in acks {
        assert_eq!(commits.get(sequence), Some(&(*writer, *n)), "an acknowledged commit is lost");
    }

    // No half change: documents, idempotency records, revision and change log tell the same as the audit log.
    for writer in 0..N_WRITERS {
        let n = made.get(&writer).copied();
        for id in documents(writer) {
            let found = store.document(&id).await.unwrap();
            assert_eq!(found.as_ref().map(|document| document.version), n, "{id:?}");
            assert_eq!(found.map(|document| document.body), n.map(|n| n.to_string()), "{id:?}");
        }
        for at in n.unwrap_or(0).saturating_sub(1)..n.unwrap_or(0) + 2 {
            let record = store.idempotency_record(&format!("{writer}-{at}")).await.unwrap();
            assert_eq!(record.is_some(), (1..=n.unwrap_or(0)).contains(&at), "idempotency record of {writer}-{at}");
        }
    }
    for had in [0, n_commits / 2, n_commits.saturating_sub(1), n_commits] {
        let EnvironmentDelta::Changes { revision, objects } =
            store.environment_delta(&environment(), had).await.unwrap()
        else {
            panic!("revision {had} of {n_commits} is out of reach")
        };
        assert_eq!(revision, n_commits, "revisions have a gap");
        let changed: BTreeSet<String> = commits.range(had + 1..).map(|(_, (writer, _))| format!("w{writer}")).collect();
        assert!(objects.iter().map(|(touched, _)| &touched.key).eq(&changed), "changes since {had}");
    }
    store.close().await;
    made
}

/// What every commit of a writer sets to its number.
fn documents(writer: u64) -> [DocumentId; 3] {
    let id = |kind, scope: &str| DocumentId { kind, scope: scope.to_owned(), key: format!("w{writer}") };
    [
        id(DocumentKind::Flag, "shop"),
        id(DocumentKind::FlagEnvironment, "shop/prod"),
        id(DocumentKind::Segment, "shop/prod"),
    ]
}

fn environment() -> EnvironmentId {
    EnvironmentId { project: "shop".to_owned(), environment: "prod".to_owned() }
}

/// The program that gets killed; run without a database, as one test among the others, it has nothing to do.
#[test]
fn writer() {
    let Ok(database) = std::env::var(DATABASE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqlStore::open(&Location::Sqlite(database.into()), "epoch").await.unwrap();
        let writers: Vec<_> =
            (0..N_WRITERS).map(|writer| tokio::spawn(write_for_ever(store.clone(), writer))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write_for_ever(store: SqlStore, writer: u64) {
    let ids = documents(writer);
    let stored = store.document(&ids[0]).await.unwrap();
    let start = stored.map_or(0, |document| document.version);
    for n in start + 1.. {
        let expected = if n == 1 { Expected::Absent } else { Expected::Version(n - 1) };
        let key = ids[0].key.clone();
        let commit = Commit {
            expected: ids.iter().map(|id| (id.clone(), expected)).collect(),
            writes: ids.iter().map(|id| Write { id: id.clone(), body: n.to_string(), archived: false }).collect(),
            touched: vec![(environment(), vec![Touched { kind: TouchedKind::Flag, key: key.clone() }])],
            audit: vec![AuditEntry {
                at: Timestamp(0),
                actor: format!("writer:{writer}"),
                actor_name: "Writer".to_owned(),
                action: "flag.update".to_owned(),
                project: Some("shop".to_owned()),
                environment: Some("prod".to_owned()),
                resource: format!("flag/{key}"),
                before: json!(null),
                after: json!({ "writer": writer, "n": n }),
                reason: String::new(),
                request_id: String::new(),
            }],
            idempotency: Some(IdempotencyRecord {
                key: format!("{writer}-{n}"),
                request: String::new(),
                status: 200,
                body: String::new(),
            }),
            at: Timestamp(0),
        };
        let committed = store.commit(commit).await.unwrap();
        let sequence = committed.audit_sequence;
        assert_eq!(committed.revisions, [(environment(), sequence)]);
        // One write, shorter than a pipe takes at once: an acknowledgement is never half there either.
        std::io::stdout().lock().write_all(format!("ack {writer} {n} {sequence}\n").as_bytes()).unwrap();
    }
}

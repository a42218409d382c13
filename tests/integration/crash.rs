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

use reqwest::{Client, RequestBuilder};
use serde_json::{Value as Json, json};
use tidegate_core::Timestamp;
use tidegate_server::{
    audit::{self, AuditEntry, AuditRow},
    ports::store::{
        Commit, DocumentId, DocumentKind, EnvironmentDelta, EnvironmentId, Expected, IdempotencyRecord, Store, Touched,
        TouchedKind, Write,
    },
    store::{Location, SqlStore},
    testing::SeededIds,
};
use tokio::sync::mpsc;

use crate::support::{
    binary::{Server, tidegate},
    rollout::{Rolling, Told, check_moves, checkout},
    shop::RealShop,
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    kill_repeatedly(25, |n_rounds, random| {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("tidegate.db");
        let (mut acks, mut made) = (Vec::new(), BTreeMap::new());
        for _ in 0..n_rounds {
            let fresh = write_until_killed(&database, random);
            acks.extend_from_slice(&fresh);
            let before = std::mem::replace(&mut made, runtime.block_on(check(&database, &acks)));
            for writer in 0..N_WRITERS {
                let n_made = made.get(&writer).unwrap_or(&0) - before.get(&writer).unwrap_or(&0);
                let n_acked = fresh.iter().filter(|ack| ack.writer == writer).count() as u64;
                assert!((n_acked..=n_acked + 1).contains(&n_made), "{n_made} commits, {n_acked} acknowledged");
            }
        }
        acks.len() as u64
    });
}

/// The same with the real server: requests that change flags instead of commits, answers instead of returns.
#[test]
fn answered_requests_survive_kill_9() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    kill_repeatedly(10, |n_rounds, random| {
        let dir = tempfile::tempdir().unwrap();
        let printed = run(dir.path(), &["token", "create", "--name", "editor", "--instance-admin"]);
        let token = printed.split_whitespace().find(|word| word.starts_with("tgp_")).expect(&printed);
        runtime.block_on(make_shop(dir.path(), token));
        let mut writers: Vec<_> = (0..N_WRITERS).map(|name| Writer { name, n_changes: 0, n_answers: 0 }).collect();
        for _ in 0..n_rounds {
            writers = runtime.block_on(change_until_killed(dir.path(), token, writers, random));

            // Before any server has it again: what the file holds.
            let verdict = run(dir.path(), &["audit", "verify"]);
            assert!(verdict.contains("unbroken"), "{verdict}");
            runtime.block_on(async {
                let location = Location::Sqlite(dir.path().join("tidegate.db"));
                let store = SqlStore::open(&location, "epoch").await.unwrap();
                let rows = store.audit_chain(0, u32::MAX).await.unwrap();
                for writer in &mut writers {
                    writer.check(&store, &rows).await;
                }
                let n_changes: u64 = writers.iter().map(|writer| writer.n_changes).sum();
                assert_eq!(store.revisions().await.unwrap(), [(environment(), 1 + n_changes)], "one per change");
                store.close().await;
            });
        }
        writers.iter().map(|writer| writer.n_answers).sum()
    });
}

/// Of a rollout that goes on over all of it: each step is made once, and each unit counted once.
#[test]
fn a_rollout_goes_on_over_kill_9() {
    const N_PARTS: usize = 5;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let spec = json!({
        "steps": [
            { "share": 10_000, "bakeMs": 1_000, "gates": [] },
            { "share": 25_000, "bakeMs": 1_000, "approval": true },
            { "share": 50_000, "bakeMs": 1_000, "approval": true },
            { "share": 100_000, "bakeMs": 1_000 },
        ],
        "gates": [{ "key": "errors", "metric": "errors" }],
    });
    kill_repeatedly(2 * N_PARTS, |n_kills, random| {
        runtime.block_on(async {
            let mut shop = RealShop::new().await.with(&checkout()).await;
            let rolling = Rolling::start(&shop, spec.clone()).await;
            let mut told = Told::default();
            for (step, share) in [(1, 25_000), (2, 50_000)] {
                kill(&mut shop.server, &rolling, n_kills / N_PARTS, 60, random).await;
                rolling.at_step(step).await;
                let application = rolling.application(share, (100, 200));
                kill(&mut shop.server, &rolling, n_kills / N_PARTS, 60, random).await;
                let told_now = application.stop().await;
                told = Told { seen: told_now.seen, ..told + told_now };
                rolling.counts(&told).await;
                rolling.approve().await;
            }
            kill(&mut shop.server, &rolling, n_kills / N_PARTS, 60, random).await;
            rolling.until("it completes", |view| view["status"]["state"] == "completed").await;
            assert_eq!(rolling.default().await, json!({ "variant": "on" }));
            let (advance, approve) = ("rollout.advance", "rollout.approve");
            let moves = [
                ("rollout.start", None),
                (advance, Some(0)),
                (advance, Some(1)),
                (approve, Some(1)),
                (advance, Some(2)),
                (approve, Some(2)),
                (advance, Some(3)),
                ("rollout.complete", Some(3)),
            ];
            check_file(shop, &rolling.id, &moves).await;
            told.n_batches
        })
    });
}

/// Over a rollback, which comes as soon as a server lives for a moment.
#[test]
fn a_faulty_release_is_rolled_back_once_over_kill_9() {
    const N_KILLS: usize = 4;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let spec = json!({
        "steps": [{ "share": 50_000, "bakeMs": 600_000 }, { "share": 100_000, "bakeMs": 600_000 }],
        "gates": [{ "key": "errors", "metric": "errors" }],
    });
    kill_repeatedly(3 * N_KILLS, |n_rounds, random| {
        runtime.block_on(async {
            let mut n_batches = 0;
            for _ in 0..n_rounds / N_KILLS {
                let mut shop = RealShop::new().await.with(&checkout()).await;
                let rolling = Rolling::start(&shop, spec.clone()).await;
                rolling.at_step(0).await;
                let application = rolling.application(50_000, (500, 0));
                kill(&mut shop.server, &rolling, N_KILLS, 4, random).await;
                rolling.until("it is rolled back", |view| view["status"]["state"] == "rolledBack").await;
                n_batches += application.stop().await.n_batches;
                assert_eq!(rolling.default().await, json!({ "variant": "off" }));
                let moves = [("rollout.start", None), ("rollout.advance", Some(0)), ("rollout.rollBack", Some(0))];
                check_file(shop, &rolling.id, &moves).await;
            }
            n_batches
        })
    });
}

/// Kills the server so often, each time between its start and so many answers, and starts it again.
async fn kill(server: &mut Server, rolling: &Rolling, n_kills: usize, n_answers: u64, random: &SeededIds) {
    for _ in 0..n_kills {
        let n_awaited = rolling.n_answers() + random.next_u64() % n_answers;
        rolling.until("there are so many answers", |_| rolling.n_answers() >= n_awaited).await;
        spin(random);
        server.start_again();
        rolling.servers.send_replace(vec![server.url.clone()]);
    }
}

/// What the file says was done with the rollout, once no server has it any more.
async fn check_file(RealShop { folder, server, .. }: RealShop, rollout: &str, moves: &[(&str, Option<u64>)]) {
    server.kill();
    let store = SqlStore::open(&Location::Sqlite(folder.path().join("tidegate.db")), "epoch").await.unwrap();
    check_moves(&store, rollout, moves).await;
    store.close().await;
}

/// Runs `rounds` with a number of rounds to run on one database, until there were as many as asked for. Rounds go on with
/// what the one before left, which checks its recovery too; but not for ever, because each round checks all of it.
/// `rounds` returns how many writes were acknowledged.
#[expect(clippy::print_stdout, reason = "shown where the test fails: how to repeat it")]
fn kill_repeatedly(n_rounds: usize, rounds: impl Fn(usize, &SeededIds) -> u64) {
    const ROUNDS_PER_DATABASE: usize = 25;
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().expect(variable));
    let n_rounds = number("TIDEGATE_CRASH_ROUNDS").map_or(n_rounds, |given| usize::try_from(given).unwrap());
    let seed = number("TIDEGATE_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("repeat with TIDEGATE_CRASH_SEED={seed} TIDEGATE_CRASH_ROUNDS={n_rounds}");
    let random = SeededIds::new(seed);
    let databases = (0..n_rounds).step_by(ROUNDS_PER_DATABASE);
    let n_acks: u64 = databases.map(|done| rounds(ROUNDS_PER_DATABASE.min(n_rounds - done), &random)).sum();
    println!("{n_rounds} kills, {n_acks} acknowledged writes");
    assert!(n_acks >= n_rounds as u64, "the writers hardly came to write");
}

/// Runs `tidegate` on that data folder and returns what it prints.
fn run(data_dir: &Path, args: &[&str]) -> String {
    let output = tidegate().args(args).env("TIDEGATE_DATA_DIR", data_dir).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the same changes in every run, one after the other: a flag, its configurations, a kill and a restore in between,
/// then the next flag. What is stored follows from how many there were.
struct Writer {
    name: u64,
    /// Those made, as far as answered.
    n_changes: u64,
    n_answers: u64,
}

/// The first makes the flag; each of the others makes the version of its configuration that it has as its number.
const CHANGES_PER_FLAG: u64 = 8;
const KILL: u64 = 3;
const RESTORE: u64 = 4;

impl Writer {
    /// The flag of the `n`th change.
    fn flag(&self, n: u64) -> String {
        format!("w{}-{}", self.name, n / CHANGES_PER_FLAG)
    }

    fn reason(&self, n: u64) -> String {
        format!("change {n} of writer {}", self.name)
    }

    /// Every field says which change set it.
    fn configuration(&self, n: u64) -> Json {
        let ranges = json!([
            { "start": 0, "end": n, "variant": "on" },
            { "start": n, "end": 100_000, "variant": "off" },
        ]);
        json!({
            "enabled": n.is_multiple_of(2),
            "targets": [{ "variant": "on", "values": [self.reason(n)] }],
            "default": { "distribution": { "ranges": ranges } },
        })
    }

    fn request(&self, client: &Client, url: &str, n: u64) -> RequestBuilder {
        let (flag, reason) = (self.flag(n), self.reason(n));
        let shop = format!("{url}/api/v1/projects/shop");
        let target = json!({ "flag": flag, "reason": reason });
        match n % CHANGES_PER_FLAG {
            0 => {
                let flag = json!({ "key": flag, "name": flag, "kind": "boolean", "reason": reason });
                client.post(format!("{shop}/flags")).json(&flag)
            }
            KILL => client.post(format!("{shop}/environments/prod/kill")).json(&target),
            RESTORE => client.post(format!("{shop}/environments/prod/restore")).json(&target),
            version => {
                let mut patch = self.configuration(n);
                patch["reason"] = json!(reason);
                let request = client.patch(format!("{shop}/flags/{flag}/environments/prod"));
                request.header("If-Match", format!("\"{}\"", version - 1)).json(&patch)
            }
        }
    }

    /// What was answered is there, at most one change more, and nothing by halves.
    async fn check(&mut self, store: &SqlStore, rows: &[AuditRow]) {
        let flags = format!("flag/w{}-", self.name);
        let changes: Vec<_> = rows.iter().map(|row| &row.entry).filter(|it| it.resource.starts_with(&flags)).collect();
        let n_changes = changes.len() as u64;
        let possible = self.n_changes..=self.n_changes + 1;
        assert!(possible.contains(&n_changes), "{n_changes} changes, {} answered", self.n_changes);
        for (n, entry) in (0..).zip(changes) {
            assert_eq!((&entry.resource, &entry.reason), (&format!("flag/{}", self.flag(n)), &self.reason(n)));
            self.check_body(n, &entry.after);
        }
        self.n_changes = n_changes;

        // Up to the flag of the next change, which may not be there yet.
        for flag_idx in 0..=n_changes / CHANGES_PER_FLAG {
            let first = flag_idx * CHANGES_PER_FLAG;
            let n_of_flag = CHANGES_PER_FLAG.min(n_changes - first);
            let [flag, configuration, _] = documents(&self.flag(first));
            let last = n_of_flag.saturating_sub(1);
            for (id, version, n) in [(flag, n_of_flag.min(1), first), (configuration, last, first + last)] {
                let stored = store.document(&id).await.unwrap();
                assert_eq!(stored.as_ref().map_or(0, |document| document.version), version, "{id:?}");
                if let Some(document) = stored {
                    self.check_body(n, &serde_json::from_str(&document.body).unwrap());
                }
            }
        }
    }

    /// What the `n`th change left of the document that it changed.
    fn check_body(&self, n: u64, body: &Json) {
        let configured_by = match n % CHANGES_PER_FLAG {
            0 => return assert_eq!(body["name"], self.flag(n)),
            KILL => n - 1,
            RESTORE => n - 2,
            _ => n,
        };
        for (field, value) in self.configuration(configured_by).as_object().unwrap() {
            assert_eq!(body[field], *value, "`{field}` after {}", self.reason(n));
        }
        let killed_by = if n % CHANGES_PER_FLAG == KILL { json!(self.reason(n)) } else { Json::Null };
        assert_eq!(body["kill"]["reason"], killed_by, "after {}", self.reason(n));
    }
}

/// The project and the environment of all flags.
async fn make_shop(data_dir: &Path, token: &str) {
    let server = Server::start(data_dir, &[]);
    for (path, key) in [("", "shop"), ("/shop/environments", "prod")] {
        let request = Client::new().post(format!("{}/api/v1/projects{path}", server.url)).bearer_auth(token);
        request.json(&json!({ "key": key, "name": key })).send().await.unwrap().error_for_status().unwrap();
    }
    server.kill();
}

/// Starts the server on that data folder, sets the writers to work, and kills it between its start and a few dozen
/// answers.
async fn change_until_killed(data_dir: &Path, token: &str, writers: Vec<Writer>, random: &SeededIds) -> Vec<Writer> {
    let server = Server::start(data_dir, &[]);
    let (answered, mut answers) = mpsc::unbounded_channel();
    let change = |writer| change_for_ever(writer, server.url.clone(), token.to_owned(), answered.clone());
    let at_work: Vec<_> = writers.into_iter().map(|writer| tokio::spawn(change(writer))).collect();
    for _ in 0..random.next_u64() % 40 {
        answers.recv().await.unwrap();
    }
    spin(random);
    server.kill();
    let mut writers = Vec::new();
    for writer in at_work {
        writers.push(writer.await.unwrap());
    }
    writers
}

/// Makes changes until the server does not answer any more.
async fn change_for_ever(
    mut writer: Writer,
    url: String,
    token: String,
    answered: mpsc::UnboundedSender<()>,
) -> Writer {
    let client = Client::new();
    loop {
        let request = writer.request(&client, &url, writer.n_changes).bearer_auth(&token);
        // The status line stands for the answer: it is sent when all is done.
        let Ok(answer) = request.send().await else { return writer };
        assert!(answer.status().is_success(), "{}: {}", answer.status(), writer.reason(writer.n_changes));
        writer.n_changes += 1;
        writer.n_answers += 1;
        // Nobody listens once the server is to be killed.
        let _ = answered.send(());
    }
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
    spin(random);
    child.kill().unwrap();
    acks.extend(lines.filter_map(acknowledged));
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "the writer ended by itself after {} commits: {status}", acks.len());
    acks
}

/// A while that is no multiple of anything: the kill hits every part of a commit.
fn spin(random: &SeededIds) {
    for _ in 0..random.next_u64() % 400_000 {
        std::hint::spin_loop();
    }
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
        for id in documents(&format!("w{writer}")) {
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

/// A flag, its configuration, and a segment with the same key: what every commit of [`writer`] sets to its number.
fn documents(key: &str) -> [DocumentId; 3] {
    let id = |kind, scope: &str| DocumentId { kind, scope: scope.to_owned(), key: key.to_owned() };
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
    let ids = documents(&format!("w{writer}"));
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
            ..Commit::default()
        };
        let committed = store.commit(commit).await.unwrap();
        let sequence = committed.audit_sequence;
        assert_eq!(committed.revisions, [(environment(), sequence)]);
        // One write, shorter than a pipe takes at once: an acknowledgement is never half there either.
        std::io::stdout().lock().write_all(format!("ack {writer} {n} {sequence}\n").as_bytes()).unwrap();
    }
}

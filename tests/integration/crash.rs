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

use serde_json::{Value as Json, json};
use tidegate_core::Timestamp;
use tidegate_server::{
    audit::{self, AuditEntry},
    ports::store::{
        AuditQuery, Commit, DocumentId, DocumentKind, EnvironmentDelta, EnvironmentId, Expected, IdempotencyRecord,
        Store, Touched, TouchedKind, Write,
    },
    store::{Location, SqlStore},
    testing::SeededIds,
};
use tokio::sync::mpsc;

use crate::support::binary::{Server, tidegate};

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

/// The same with the real server: requests instead of commits, answers instead of returns.
#[test]
fn answered_requests_survive_kill_9() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    kill_repeatedly(10, |n_rounds, random| {
        let dir = tempfile::tempdir().unwrap();
        let printed = run(dir.path(), &["token", "create", "--name", "editor", "--instance-admin"]);
        let token = printed.split_whitespace().find(|word| word.starts_with("tgp_")).expect(&printed);
        let mut people = Vec::new();
        for _ in 0..n_rounds {
            people = runtime.block_on(rename_until_killed(dir.path(), token, people, random));

            // Before any server has it again: what the file holds.
            let verdict = run(dir.path(), &["audit", "verify"]);
            assert!(verdict.contains("unbroken"), "{verdict}");
            runtime.block_on(async {
                let location = Location::Sqlite(dir.path().join("tidegate.db"));
                let store = SqlStore::open(&location, "epoch").await.unwrap();
                for person in &mut people {
                    person.check(&store).await;
                }
                store.close().await;
            });
        }
        people.iter().map(|person| person.n_answers).sum()
    });
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

/// Somebody whose name is the version of their document.
struct Person {
    id: String,
    /// As last answered.
    version: u64,
    n_answers: u64,
}

impl Person {
    async fn create(url: &str, token: &str, n: usize) -> Self {
        let body = json!({ "name": "1", "email": format!("person-{n}@example.org") });
        let request = reqwest::Client::new().post(format!("{url}/api/v1/users")).bearer_auth(token).json(&body);
        let answer: Json = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        Self {
            id: answer["id"].as_str().unwrap().to_owned(),
            version: answer["version"].as_u64().unwrap(),
            n_answers: 1,
        }
    }

    /// What was answered is there, at most one request more, and nothing by halves.
    async fn check(&mut self, store: &SqlStore) {
        let id = DocumentId { kind: DocumentKind::User, scope: String::new(), key: self.id.clone() };
        let stored = store.document(&id).await.unwrap().expect("a person is lost");
        let versions = self.version..=self.version + 1;
        assert!(versions.contains(&stored.version), "{} stored, {} answered", stored.version, self.version);
        let body: Json = serde_json::from_str(&stored.body).unwrap();
        assert_eq!(body["name"], stored.version.to_string());

        let resource = Some(format!("user/{}", self.id));
        let query = AuditQuery { resource, limit: u32::MAX, ..AuditQuery::default() };
        let rows = store.audit_page(&query).await.unwrap();
        assert_eq!(rows.len() as u64, stored.version, "an audit row per version");
        assert_eq!(rows[0].entry.after["name"], body["name"]);
        self.version = stored.version;
    }
}

/// Starts the server on that data folder, renames people (made now, if there are none yet), and kills it between its
/// start and a few dozen answers.
async fn rename_until_killed(data_dir: &Path, token: &str, mut people: Vec<Person>, random: &SeededIds) -> Vec<Person> {
    let server = Server::start(data_dir, &[]);
    while (people.len() as u64) < N_WRITERS {
        people.push(Person::create(&server.url, token, people.len()).await);
    }
    let (answered, mut answers) = mpsc::unbounded_channel();
    let rename = |person| rename_for_ever(person, server.url.clone(), token.to_owned(), answered.clone());
    let writers: Vec<_> = people.drain(..).map(|person| tokio::spawn(rename(person))).collect();
    for _ in 0..random.next_u64() % 40 {
        answers.recv().await.unwrap();
    }
    spin(random);
    server.kill();
    for writer in writers {
        people.push(writer.await.unwrap());
    }
    people
}

/// Renames until the server does not answer any more.
async fn rename_for_ever(
    mut person: Person,
    url: String,
    token: String,
    answered: mpsc::UnboundedSender<()>,
) -> Person {
    let client = reqwest::Client::new();
    loop {
        let request = client
            .patch(format!("{url}/api/v1/users/{}", person.id))
            .bearer_auth(&token)
            .header("If-Match", format!("\"{}\"", person.version))
            .json(&json!({ "name": (person.version + 1).to_string() }));
        // The status line stands for the answer: it is sent when all is done.
        let Ok(answer) = request.send().await else { return person };
        assert_eq!(answer.status(), 200);
        person.version += 1;
        person.n_answers += 1;
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

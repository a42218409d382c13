//! The command line, as a person uses it: the real binary, its output and its exit codes.

use std::{
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Output, Stdio},
};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Client, StatusCode};
use serde_json::{Value as Json, json};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tidegate_server::{ports::Store as _, store::SqlStore};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use crate::support::{
    binary::{Server, tidegate},
    postgres,
    shop::RealShop,
};

/// Runs `tidegate` in `folder`, with `input` on its standard input.
#[track_caller]
fn run_with(folder: &Path, input: &str, args: &[&str]) -> Output {
    let mut command = tidegate();
    command.current_dir(folder).args(args).env("USER", "maya");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs a command that must succeed; its output.
#[track_caller]
fn run(folder: &Path, args: &[&str]) -> String {
    let output = run_with(folder, "", args);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?} ended with {}:\n{err}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with `code`; what it said on standard error.
#[track_caller]
fn fail(folder: &Path, code: i32, args: &[&str]) -> String {
    let output = run_with(folder, "", args);
    assert_eq!(output.status.code(), Some(code), "{args:?}");
    assert_eq!(output.stdout, b"", "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn example() -> String {
    format!("{}/../spec/examples/flags.json", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn configuration_errors_name_the_place_and_the_way_out() {
    let folder = TempDir::new().unwrap();
    let config = |file: &str| {
        std::fs::write(folder.path().join("tidegate.toml"), file).unwrap();
        fail(folder.path(), 1, &["config", "--config", "tidegate.toml"])
    };
    let said = [
        config("lisen = '127.0.0.1:1'"),
        config("listen = "),
        config("[server]\nlisten = '127.0.0.1:1'"),
        config("database = 'mysql://root:secret@db/flags'"),
        config("trusted_proxies = ['10.0.0.0/8', 'localhost']"),
        config("shutdown_deadline = '1 minute'"),
        fail(folder.path(), 1, &["config", "--config", "absent.toml"]),
        fail(folder.path(), 1, &["config", "--public-url", "flags.example.org"]),
        fail(folder.path(), 2, &["config", "--lisen", "127.0.0.1:1"]),
    ];
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_variable_is_refused_or_heard() {
    let folder = TempDir::new().unwrap();
    let config = |name: &str| {
        let output = tidegate().current_dir(folder.path()).arg("config").env(name, "127.0.0.1:7").output().unwrap();
        (
            output.status.success(),
            String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap(),
        )
    };
    let (heard, said) = config("TIDEGATE_LISTEN");
    assert!(heard && said.contains("listen = \"127.0.0.1:7\""), "{said}");
    let (heard, said) = config("TIDEGATE_LISTENS");
    assert!(!heard && said.contains("did you mean `TIDEGATE_LISTEN`?"), "{said}");
}

#[test]
fn evaluate_answers_every_line_and_says_by_its_exit_code_whether_all_were_questions() {
    let folder = TempDir::new().unwrap();
    let example = example();
    let evaluate = |input: &str, args: &[&str]| {
        let output = run_with(folder.path(), input, &[&["evaluate", "--flags", &example], args].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let questions = "{\"flag\":\"new-checkout\",\"context\":{\"targetingKey\":\"customer-1001\"}}\n\
        {\"flag\":\"free-shipping-threshold\",\"context\":{\"country\":\"NL\",\"app\":{\"version\":\"4.10.0\"}}}\n\
        {\"flag\":\"express-checkout\",\"context\":{}}";
    let (code, answers, err) = evaluate(questions, &["--now", "2026-01-01T00:00:00Z"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(answers);
    assert_eq!(evaluate(questions, &["--threads", "3"]).1, answers);

    let (code, answers, _) = evaluate("what?\n{\"flag\":\"new-checkout\",\"context\":7}\n", &[]);
    assert_eq!((code, answers.lines().count()), (Some(3), 2));
    assert_eq!(evaluate("", &[]).0, Some(0));
    assert_eq!(evaluate("", &["--now", "yesterday"]).0, Some(2));
    assert_eq!(evaluate("", &["--threads", "0"]).0, Some(2));
    let absent = fail(folder.path(), 1, &["evaluate", "--flags", "absent.json"]);
    assert_eq!(absent, "tidegate: cannot read `absent.json`: No such file or directory (os error 2)\n");
}

#[test]
fn one_broken_flag_does_not_stop_the_others() {
    let folder = TempDir::new().unwrap();
    let on = json!([{"key": "on", "value": true}]);
    let file = json!({"flags": [
        {"key": "whole", "kind": "boolean", "enabled": true, "variants": on, "default": {"variant": "on"}},
        {"key": "broken", "kind": "truth", "enabled": true, "variants": on, "default": {"variant": "on"}},
    ]});
    std::fs::write(folder.path().join("flags.json"), file.to_string()).unwrap();
    let input = "{\"flag\":\"whole\"}\n{\"flag\":\"broken\"}\n";
    let output = run_with(folder.path(), input, &["evaluate", "--flags", "flags.json"]);
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(said);
    insta::assert_snapshot!(fail(folder.path(), 1, &["flags", "validate", "flags.json"]));
}

#[test]
fn explain_tells_every_step() {
    let folder = TempDir::new().unwrap();
    let context = r#"{"targetingKey": "customer-7", "country": "NL", "app": {"version": "4.1.9"}}"#;
    let explain = |flag: &str| {
        let now = "2026-01-01T00:00:00Z";
        run(folder.path(), &["explain", "--flags", &example(), "--flag", flag, "--context", context, "--now", now])
    };
    insta::assert_snapshot!(
        [explain("free-shipping-threshold"), explain("express-checkout"), explain("no-such-flag")].join("\n")
    );
    let wrong = fail(folder.path(), 1, &["explain", "--flags", &example(), "--flag", "x", "--context", "[]"]);
    assert!(wrong.starts_with("tidegate: `--context`: "), "{wrong}");
}

#[test]
fn validate_finds_what_compiling_finds() {
    let folder = TempDir::new().unwrap();
    assert_eq!(
        run(folder.path(), &["flags", "validate", &example()]),
        "no errors; flags: 3, segments: 1, warnings: 0\n"
    );
    let file = json!({"flags": [{
        "key": "price", "kind": "number", "enabled": true,
        "variants": [{"key": "low", "value": 9}, {"key": "high", "value": "10"}],
        "rules": [{"conditions": [{"attribute": "plan", "operator": "isExactly", "values": ["pro"]}], "serve": {"variant": "low"}}],
        "default": {"variant": "middle"},
    }]});
    std::fs::write(folder.path().join("flags.json"), file.to_string()).unwrap();
    let output = run_with(folder.path(), "", &["flags", "validate", "flags.json"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

/// Whoever changed the types of the flag file ran `cargo xtask codegen`.
#[test]
fn the_flag_schema_is_current() {
    let committed =
        std::fs::read_to_string(format!("{}/../spec/flags.schema.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let generated = run(Path::new("."), &["generate", "flag-schema"]);
    assert!(committed == generated, "spec/flags.schema.json is out of date: run `cargo xtask codegen` and commit it");
}

/// A client that sends `token` with each request.
async fn call(server: &Server, token: &str, path: &str, body: &Json) -> StatusCode {
    let request = Client::new().post(format!("{}/api/v1{path}", server.url)).bearer_auth(token);
    request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap().status()
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_whole_private_and_another_timeline() {
    let shop = RealShop::new().await;
    let elsewhere = TempDir::new().unwrap();
    let (from, to) = (shop.folder.path().to_str().unwrap(), elsewhere.path());
    assert_eq!(run(to, &["backup", "tidegate.db", "--data-dir", from]), "tidegate.db\n");
    assert_eq!(to.join("tidegate.db").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(to).unwrap().count(), 1, "nothing is beside it");
    let taken = fail(to, 1, &["backup", "tidegate.db", "--data-dir", from]);
    assert!(taken.starts_with("tidegate: cannot make the file `tidegate.db`: "), "{taken}");

    // What comes after it is not in it.
    shop.post("projects", &json!({ "key": "later", "name": "Later" })).await;
    let restored = Server::start(to, &[]);
    let get = async |url: &str, path: &str| {
        let request = Client::new().get(format!("{url}/api/v1/{path}")).bearer_auth(&shop.token);
        request.send().await.unwrap().json::<Json>().await.unwrap()
    };
    let [there, here] = [get(&shop.server.url, "system").await, get(&restored.url, "system").await];
    assert_ne!(there["epoch"], here["epoch"]);
    assert!(here["databaseBytes"].as_u64().unwrap() > 50_000, "{here}");
    let keys = async |url: &str| {
        let projects = get(url, "projects").await;
        projects["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["key"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (keys(&shop.server.url).await, keys(&restored.url).await),
        (vec!["later".into(), "shop".into()], vec!["shop".into()])
    );
    let verified = get(&restored.url, "audit/verification").await;
    assert!(verified["broken"].is_null() && verified["rows"].as_u64() > Some(2), "{verified}");
}

#[tokio::test]
async fn a_restored_dump_begins_another_timeline() {
    let folder = TempDir::new().unwrap();
    let url = postgres::database().await.to_url_lossy().to_string();
    let at = ["--database", &url];
    run(folder.path(), &[&["migrate"], &at[..]].concat());
    let refused = fail(folder.path(), 1, &[&["backup", "copy.db"], &at[..]].concat());
    assert_eq!(
        refused,
        "tidegate: PostgreSQL is backed up with `pg_dump`; once it is restored, run `tidegate migrate --restored`\n"
    );
    let epoch = async || {
        let store = SqlStore::open(&url.parse().unwrap(), "new").await.unwrap();
        (store.epoch().await.unwrap(), store.size().await.unwrap())
    };
    let before = epoch().await;
    let said = run(folder.path(), &[&["migrate", "--restored"], &at[..]].concat());
    assert_eq!(said, "the database is up to date, and another timeline\n");
    let after = epoch().await;
    assert!(before.0 != after.0 && after.1 > 1_000_000, "{before:?} {after:?}");
}

#[tokio::test]
async fn an_instance_is_administered_from_the_shell() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    assert_eq!(run(folder, &["migrate", "--data-dir", "."]), "the database is up to date\n");

    let link = run(
        folder,
        &["user", "add", "--name", "Maya", "--email", "maya@shop.example", "--instance-admin", "--data-dir", "."],
    );
    assert!(link.starts_with("http://127.0.0.1:8580/#/link/"), "{link}");
    let people = run(folder, &["user", "list", "--data-dir", "."]);
    assert!(people.trim_end().ends_with("maya@shop.example  Maya  instance-admin"), "{people}");
    let set = run_with(
        folder,
        "correct horse battery staple\n",
        &["user", "password", "maya@shop.example", "--data-dir", "."],
    );
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let nobody = fail(folder, 1, &["user", "link", "sam@shop.example", "--data-dir", "."]);
    assert_eq!(nobody, "tidegate: there is nobody with the address or id `sam@shop.example`\n");

    let token = run(folder, &["token", "create", "--name", "set-up", "--instance-admin", "--data-dir", "."]);
    let token = token.trim_end();
    let server = Server::start(folder, &[]);
    assert_eq!(server.greeting, Vec::<String>::new(), "there is an administrator: no set-up link");
    let projects = json!({"key": "shop", "name": "Shop"});
    assert_eq!(call(&server, token, "/projects", &projects).await, StatusCode::CREATED);
    let environments = json!({"key": "production", "name": "Production", "production": true});
    assert_eq!(call(&server, token, "/projects/shop/environments", &environments).await, StatusCode::CREATED);

    // Beside the running server.
    let at = ["--project", "shop", "--environment", "production", "--data-dir", "."];
    let key = run(folder, &[&["key", "create", "--name", "checkout"], &at[..]].concat());
    assert!(key.starts_with("tgs_"), "{key}");
    let keys = run(folder, &[&["key", "list"], &at[..]].concat());
    assert!(keys.contains("server") && keys.trim_end().ends_with("checkout"), "{keys}");

    let example = example();
    let apply = |more: &[&str]| {
        run(folder, &[&["flags", "apply", &example, "--reason", "first flags"], &at[..], more].concat())
    };
    let planned = apply(&["--dry-run"]);
    assert!(planned.contains("flag.create flag/new-checkout\n"), "{planned}");
    assert!(planned.ends_with("; nothing was written\n"), "{planned}");
    let applied = apply(&[]);
    assert!(applied.lines().last().unwrap().contains("; revision "), "{applied}");
    assert_eq!(apply(&[]), "nothing to change\n");

    let exported = run(folder, &[&["flags", "export"], &at[..]].concat());
    let mut file: Json = serde_json::from_str(&exported).unwrap();
    let mut price =
        file["flags"].as_array_mut().unwrap().iter_mut().find(|flag| flag["key"] == "free-shipping-threshold");
    price.as_mut().unwrap()["enabled"] = json!(false);
    std::fs::write(folder.join("flags.json"), file.to_string()).unwrap();
    let diff = run(folder, &[&["flags", "apply", "flags.json", "--dry-run"], &at[..]].concat());
    insta::assert_snapshot!(diff);

    file["flags"][0]["default"] = json!({"variant": "no-such-variant"});
    std::fs::write(folder.join("flags.json"), file.to_string()).unwrap();
    let refused = fail(folder, 1, &[&["flags", "apply", "flags.json"], &at[..]].concat());
    insta::assert_snapshot!(refused);

    let tokens = run(folder, &["token", "list", "--data-dir", "."]);
    let id = tokens.split_whitespace().next().unwrap();
    assert_eq!(run(folder, &["token", "revoke", id, "--data-dir", "."]), format!("{id} is revoked\n"));
    assert_eq!(call(&server, token, "/projects", &projects).await, StatusCode::UNAUTHORIZED);
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_damaged_audit_log_is_found() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for name in ["Maya", "Jonas", "Sam"] {
        let email = format!("{name}@shop.example");
        run(folder, &["user", "add", "--name", name, "--email", &email, "--data-dir", "."]);
    }
    let whole = run(folder, &["audit", "verify", "--data-dir", "."]);
    assert!(whole.starts_with("6 rows, unbroken; head "), "{whole}");

    let options = SqliteConnectOptions::new().filename(folder.join("tidegate.db"));
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    // Whoever means it takes the guard away first.
    sqlx::query("DROP TRIGGER audit_refuses_update").execute(&mut database).await.unwrap();
    let changed = sqlx::query("UPDATE audit SET actor_name = 'nobody' WHERE sequence = 3").execute(&mut database);
    assert_eq!(changed.await.unwrap().rows_affected(), 1);
    database.close().await.unwrap();
    let damaged = fail(folder, 1, &["audit", "verify", "--data-dir", "."]);
    assert_eq!(damaged, "tidegate: the audit log is damaged: row 3 was changed after it was written\n");
}

#[tokio::test]
async fn a_server_greets_a_newcomer_and_stops_when_told_to() {
    let folder = TempDir::new().unwrap();
    for signal in ["TERM", "INT"] {
        let server = Server::start(folder.path(), &[]);
        assert!(server.link().starts_with(&format!("{}/#/link/", server.url)));
        let ready = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
        let status = server.stop(signal);
        assert!(status.success(), "{signal}: {status}");
    }
}

/// The demo's server, and the SDK key that it printed.
#[track_caller]
fn demo(folder: &Path) -> (Server, String) {
    let server = Server::start(folder, &["--demo"]);
    let key = server.told("TIDEGATE_SDK_KEY=");
    (server, key)
}

#[tokio::test]
async fn the_demo_says_in_five_lines_what_to_do_and_is_kept() {
    let folder = TempDir::new().unwrap();
    let (server, key) = demo(folder.path());
    let said = server.greeting.join("\n").replace(&server.url, "[url]").replace(&key, "[key]");
    let secret = server.link().rsplit('/').next().unwrap().to_owned();
    insta::assert_snapshot!(said.replace(&secret, "[secret]").replace(&*folder.path().to_string_lossy(), "[folder]"));

    let follow = || Client::new().post(format!("{}/api/v1/session/link", server.url));
    let follow = || follow().header("content-type", "application/json").body(json!({"secret": secret}).to_string());
    assert_eq!(follow().send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(follow().send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "a link works once");
    assert!(server.terminate().success());

    let before = run(folder.path(), &["audit", "verify", "--database", "demo.db"]);
    let (again, key_again) = demo(folder.path());
    assert_eq!(key_again, key);
    assert!(again.terminate().success());
    let after = run(folder.path(), &["audit", "verify", "--database", "demo.db"]);
    let n_rows = |said: &str| said.split_whitespace().next().unwrap().parse::<u32>().unwrap();
    assert_eq!(n_rows(&after), n_rows(&before) + 1, "one more link, and nothing else");
}

#[tokio::test]
async fn streams_get_their_goodbye_before_the_server_ends() {
    let folder = TempDir::new().unwrap();
    let (server, key) = demo(folder.path());
    let mut request = format!("ws://{}/api/v1/stream", server.address()).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let hello = json!({"type": "hello", "protocol": 1, "sdk": "test"});
    socket.send(Message::text(hello.to_string())).await.unwrap();

    // The server has taken it in.
    socket.next().await.unwrap().unwrap();

    let stopped = tokio::task::spawn_blocking(|| server.terminate());
    let mut last = Json::Null;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            // A frame holds one or more messages, one a line.
            last = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        }
    }
    assert_eq!((&last["type"], &last["reason"]), (&json!("goodbye"), &json!("shutdown")));
    let status = stopped.await.unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn an_address_in_use_is_named() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &[]);
    let refused = fail(folder.path(), 1, &["serve", "--data-dir", ".", "--listen", server.address()]);
    let said = format!("cannot listen on {}: Address already in use", server.address());
    assert!(refused.contains(&said), "{refused}");
    assert!(server.log().is_empty() || !server.log().contains("ERROR"), "{}", server.log());
}

#[tokio::test]
async fn rollouts_are_started_watched_and_moved_from_the_shell() {
    let folder = TempDir::new().unwrap();
    let (server, _) = demo(folder.path());
    let folder = folder.path();
    let data = ["--data-dir", ".", "--database", "sqlite:demo.db"];
    let token = run(folder, &[&["token", "create", "--name", "release", "--instance-admin"], &data[..]].concat());
    let token = token.trim_end().to_owned();
    let place = ["--project", "shop", "--environment", "development", "--url", &server.url, "--token", &token];
    let rollout = |args: &[&str]| [&["rollout"], args, &place[..]].concat().join("\u{1f}");
    let ok = |args: &[&str]| run(folder, &rollout(args).split('\u{1f}').collect::<Vec<_>>());
    let refused = |code: i32, args: &[&str]| fail(folder, code, &rollout(args).split('\u{1f}').collect::<Vec<_>>());

    let spec = json!({ "steps": [{ "share": 50_000, "bakeMs": 1_000 }, { "share": 100_000, "bakeMs": 1_000 }] });
    std::fs::write(folder.join("spec.json"), spec.to_string()).unwrap();
    let start = ["start", "--flag", "review-summaries", "--variant", "off", "--spec", "spec.json", "--reason", "new"];
    assert!(ok(&start).starts_with("review-summaries on → off: running, 0 %\n  50 %   100 %\n"));
    assert!(refused(1, &start).contains("moves this flag already"));
    let watched = ok(&["watch", "review-summaries"]);
    assert!(watched.contains("review-summaries on → off: completed, 100 %"), "{watched}");
    assert!(ok(&["list"]).contains("review-summaries on → off: completed, 100 %"));

    let assumed = ["preview", "--flag", "review-summaries", "--variant", "off", "--units-per-minute", "600"];
    let preview = ok(&assumed);
    assert!(
        preview.starts_with("600 new units a minute; takes 60 min\n   10 %  15 min, 900 units get it\n"),
        "{preview}"
    );

    let spec = json!({ "steps": [{ "share": 50_000, "bakeMs": 600_000 }, { "share": 100_000, "bakeMs": 1_000 }] });
    std::fs::write(folder.join("spec.json"), spec.to_string()).unwrap();
    let start = ["start", "--flag", "review-summaries", "--variant", "on", "--spec", "spec.json", "--reason", "back"];
    ok(&start);
    assert!(ok(&["act", "roll-back", "review-summaries", "--reason", "no"]).contains("rolled back, 0 %"));
    // Ended by then, and not well: the exit code says so.
    let watch = rollout(&["watch", "review-summaries"]);
    let ended = run_with(folder, "", &watch.split('\u{1f}').collect::<Vec<_>>());
    assert_eq!(ended.status.code(), Some(3));
    assert!(refused(1, &["act", "pause", "review-summaries", "--reason", "x"]).contains("the rollout has ended"));
    assert!(refused(1, &["show", "no such"]).contains("`no such` is no key"));
    assert!(server.terminate().success());
}

#[test]
fn rollouts_are_simulated_without_a_server() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let steps = json!([{ "share": 50_000, "bakeMs": 600_000 }, { "share": 100_000, "bakeMs": 60_000 }]);
    let spec = json!({ "steps": steps, "gates": [{ "key": "errors", "metric": "errors" }] });
    std::fs::write(folder.join("spec.json"), spec.to_string()).unwrap();
    let simulate = ["rollout", "simulate", "spec.json", "--units-per-minute", "600", "--runs", "20"];
    let with = |more: &[&str]| run(folder, &[&simulate[..], more].concat());
    let healthy = with(&["--baseline", "errors=0.02"]);
    assert!(
        healthy.starts_with("20 rollouts, seed 1\n  rolled back  0.00 % (0)\n  completed    100.00 % (20)\n"),
        "{healthy}"
    );
    let faulty = with(&["--baseline", "errors=0.02", "--effect", "errors=5"]);
    assert!(faulty.contains("rolled back  100.00 % (20)") && faulty.contains("median time to rollback"), "{faulty}");
    assert_eq!(with(&["--baseline", "errors=0.02", "--effect", "errors=5"]), faulty, "the same seed, the same figures");

    let refused = |more: &[&str]| fail(folder, 1, &[&simulate[..], more].concat());
    assert!(refused(&[]).contains("how often does `errors` happen now?"));
    assert!(refused(&["--baseline", "crashes=0.1"]).contains("the spec has no gate `crashes` on events"));
    std::fs::write(folder.join("spec.json"), r#"{"steps": [{"share": 50000, "bakeMs": 1000}]}"#).unwrap();
    let wrong = refused(&["--baseline", "errors=0.1"]);
    assert!(wrong.contains("/steps/0/share") && wrong.contains("the last step is for everybody"), "{wrong}");
}

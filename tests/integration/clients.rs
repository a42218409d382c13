//! Other people's OFREP clients, against the real binary: what they make of our answers is what counts.
//!
//! What those in JavaScript and Python expect is told in `tests/clients`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use open_feature::{
    EvaluationContext, EvaluationError, EvaluationErrorCode, StructValue, Value,
    provider::{FeatureProvider as _, ResolutionDetails},
};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use serde_json::Value as Json;

use crate::support::{
    binary::{Server, tidegate},
    shop::RealShop,
};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A server with the flags of `tests/clients/flags.json`.
async fn shop() -> RealShop {
    let flags = std::fs::read_to_string(folder().join("flags.json")).unwrap();
    let flags: Json = serde_json::from_str(&flags).unwrap();
    RealShop::new().await.with(&flags).await
}

/// Runs a client to its end, and returns what it said.
#[track_caller]
fn run(command: &mut Command, server: &Server, needed: &str) -> String {
    let client = command.env("TIDEGATE_URL", &server.url).output().expect(needed);
    let (stdout, stderr) = (String::from_utf8_lossy(&client.stdout), String::from_utf8_lossy(&client.stderr));
    assert!(client.status.success(), "{stdout}\n{stderr}\nserver:\n{}", server.log());
    stdout.into_owned()
}

#[test]
fn openfeatures_javascript_providers_understand_every_answer() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--demo"]);
    let key = server.told("TIDEGATE_SDK_KEY=");
    let create = ["token", "create", "--name", "test", "--role", "shop=editor", "--database", "demo.db"];
    let created = tidegate().current_dir(data.path()).args(create).output().unwrap();
    let created = String::from_utf8(created.stdout).unwrap();
    let token = created.split_whitespace().find(|word| word.starts_with("tgp_")).unwrap();
    assert!(
        folder().join("node_modules").exists(),
        "please run `npm ci` in tests/clients (`cargo xtask test` does): there are no packages"
    );
    let mut node = Command::new("node");
    node.arg("ofrep.mjs").current_dir(folder()).env("TIDEGATE_SDK_KEY", key).env("TIDEGATE_TOKEN", token);
    run(&mut node, &server, "please install Node.js 20.19 or newer");
}

#[tokio::test]
async fn openfeatures_python_provider_understands_every_answer() {
    let shop = shop().await;
    let mut python = Command::new(python("python"));
    python.arg("ofrep.py").current_dir(folder()).env("TIDEGATE_SDK_KEY", &shop.key);
    run(&mut python, &shop.server, "please run `cargo xtask test` once");
}

/// Schemathesis makes requests from what the server's own document says of OFREP, good ones and bad ones, and holds every
/// answer to it: statuses, bodies, headers, who gets in.
#[tokio::test]
async fn ofrep_is_what_its_description_says() {
    let shop = shop().await;
    let mut schemathesis = Command::new(python("schemathesis"));
    schemathesis
        .arg("--config-file")
        .arg(folder().join("schemathesis.toml"))
        .args(["run", &format!("{}/api/v1/openapi.json", shop.server.url), "--include-path-regex", "^/ofrep/v1/"])
        .args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"])
        .env("TIDEGATE_SDK_KEY", &shop.key)
        // It leaves files where it runs.
        .current_dir(&shop.folder);
    let said = run(&mut schemathesis, &shop.server, "please run `cargo xtask test` once");
    for part in ["3 selected", "Examples", "Coverage", "Fuzzing"] {
        assert!(said.contains(part), "no {part}: it has not tested everything\n{said}");
    }
}

/// A program of the virtual environment with the packages of `tests/clients/requirements.txt`.
pub fn python(program: &str) -> PathBuf {
    // Where `cargo xtask test` makes it: beside what cargo builds.
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../python/bin").join(program);
    assert!(
        program.exists(),
        "please run `cargo xtask test` once: it installs Python's clients, and there is no {}",
        program.display()
    );
    program
}

/// OpenFeature's provider in Rust, with that key.
async fn provider(shop: &RealShop, key: &str) -> OfrepProvider {
    let headers = [("authorization".parse().unwrap(), format!("Bearer {key}").parse().unwrap())];
    let base_url = shop.server.url.clone();
    OfrepProvider::new(OfrepOptions { base_url, headers: headers.into_iter().collect(), ..OfrepOptions::default() })
        .await
        .unwrap()
}

fn served<T>(answer: Result<ResolutionDetails<T>, EvaluationError>) -> (T, Option<String>) {
    let answer = answer.unwrap_or_else(|error| panic!("{:?}: {:?}", error.code, error.message));
    (answer.value, answer.variant)
}

fn refused<T>(answer: Result<ResolutionDetails<T>, EvaluationError>) -> EvaluationErrorCode {
    answer.err().expect("there is no value").code
}

/// The crate tells neither the reason nor the error code of our answers: 400 is always its `InvalidContext`.
#[tokio::test]
async fn openfeatures_rust_provider_understands_every_answer() {
    let shop = shop().await;
    let client = provider(&shop, &shop.key).await;
    let ada = EvaluationContext::default().with_targeting_key("ada").with_custom_field("country", "CA");
    let nobody = EvaluationContext::default();
    let variant = |key: &str| Some(key.to_owned());

    assert_eq!(served(client.resolve_bool_value("new-checkout", &ada).await), (true, variant("on")));
    assert_eq!(served(client.resolve_bool_value("new-checkout", &nobody).await), (true, variant("on")));
    assert_eq!(served(client.resolve_bool_value("discount-banner", &ada).await), (true, variant("on")));
    assert_eq!(served(client.resolve_bool_value("discount-banner", &nobody).await), (false, variant("off")));
    assert_eq!(served(client.resolve_string_value("theme-color", &ada).await), ("blue".to_owned(), variant("blue")));
    assert_eq!(served(client.resolve_int_value("threshold", &ada).await), (35, variant("low")));
    assert_eq!(served(client.resolve_float_value("threshold", &ada).await), (35.0, variant("low")));
    let france = EvaluationContext::default().with_custom_field("country", "FR");
    assert_eq!(served(client.resolve_float_value("threshold", &france).await), (49.5, variant("high")));
    let limits = StructValue::default().with_field("items", 12).with_field("boost", 1.5);
    let model = StructValue::default().with_field("model", "embedding-v2").with_field("limits", Value::Struct(limits));
    // The crate makes null an empty text.
    let model = model.with_field("fallback", "");
    assert_eq!(served(client.resolve_struct_value("recommendations", &ada).await), (model, variant("new")));
    let (half, side) = served(client.resolve_bool_value("half", &ada).await);
    assert_eq!(side, variant(if half { "on" } else { "off" }));
    assert_eq!(
        served(client.resolve_string_value("switched-off", &ada).await),
        ("classic".to_owned(), variant("classic"))
    );

    // No value: the crate has an error of its own for it, and the application its default.
    assert_eq!(refused(client.resolve_bool_value("left-to-callers", &ada).await), EvaluationErrorCode::ParseError);
    assert_eq!(refused(client.resolve_bool_value("theme-color", &ada).await), EvaluationErrorCode::ParseError);
    assert_eq!(refused(client.resolve_bool_value("never-made", &ada).await), EvaluationErrorCode::FlagNotFound);
    assert_eq!(refused(client.resolve_bool_value("no flag/at all", &ada).await), EvaluationErrorCode::FlagNotFound);
    assert_eq!(refused(client.resolve_bool_value("half", &nobody).await), EvaluationErrorCode::InvalidContext);
    let stranger = provider(&shop, "tgs_wrong").await;
    let general = refused(stranger.resolve_bool_value("new-checkout", &ada).await);
    assert_eq!(general, EvaluationErrorCode::General("authentication/authorization error".to_owned()));
}

//! What the house looks like: who may import whom, and the few habits that no compiler checks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// Which of our crates each crate may depend on, tests and benches aside.
const CRATES: [(&str, &[&str]); 8] = [
    ("core", &[]),
    ("protocol", &["tidegate-core"]),
    ("rollout", &["tidegate-core"]),
    ("server", &["tidegate-core", "tidegate-protocol", "tidegate-rollout"]),
    ("sdk-rust", &["tidegate-core", "tidegate-protocol"]),
    ("sdk-wasm", &["tidegate-core", "tidegate-protocol"]),
    ("admin-ui/wasm", &["tidegate-core"]),
    ("xtask", &[]),
];

/// Crates that do no I/O, know no time and draw no randomness, not even through what they depend on.
const PURE: [&str; 5] = ["core", "protocol", "rollout", "sdk-wasm", "admin-ui/wasm"];
const IMPURE: [&str; 12] =
    ["axum", "fastrand", "getrandom", "hyper", "log", "mio", "rand", "reqwest", "socket2", "sqlx", "tokio", "tracing"];

/// Which modules of the server each one may name. `wiring` and `main` put everything together and may name all.
const MODULES: [(&str, &[&str]); 15] = [
    ("audit", &["ports"]),
    ("telemetry", &[]),
    ("config", &["outgoing", "ports", "store", "telemetry"]),
    ("ports", &["audit"]),
    ("app", &["audit", "ports"]),
    ("outgoing", &["ports"]),
    ("sources", &["ports"]),
    ("store", &["audit", "ports"]),
    ("system", &["ports"]),
    ("testing", &["ports", "system"]),
    ("stream", &["app", "audit", "ports", "telemetry"]),
    ("http", &["app", "audit", "ports", "stream", "telemetry"]),
    ("controller", &["app", "ports"]),
    ("notify", &["app", "audit", "ports", "telemetry"]),
    ("demo", &["app", "audit", "ports", "system"]),
];

/// Crates that only these modules of the server may name.
const CONFINED: [(&str, &[&str]); 7] = [
    ("sqlx", &["store"]),
    ("axum", &["http", "stream", "wiring"]),
    ("clap", &["cli", "config", "main"]),
    ("lettre", &["notify"]),
    ("getrandom", &["system"]),
    ("hyper", &["outgoing"]),
    ("rustls", &["outgoing"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn toml(path: impl AsRef<Path>) -> Table {
    let path = path.as_ref();
    read(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder` that is ours, relative to the root.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        const NOT_OURS: [&str; 6] = ["target", "node_modules", "dist", "pkg", "corpus", "artifacts"];
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name.as_ref()) {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    found
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn dependencies(manifest: &Table, kind: &str) -> Table {
    manifest.get(kind).and_then(Value::as_table).cloned().unwrap_or_default()
}

fn members() -> Vec<String> {
    let members = toml("Cargo.toml")["workspace"]["members"].as_array().unwrap().clone();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

#[test]
fn crates_import_only_what_the_design_allows() {
    let mut complaints = Vec::new();
    for (folder, allowed) in CRATES {
        for dependency in dependencies(&toml(format!("{folder}/Cargo.toml")), "dependencies").keys() {
            if dependency.starts_with("tidegate") && !allowed.contains(&dependency.as_str()) {
                complaints.push(format!("{folder}/Cargo.toml: `{folder}` must not depend on `{dependency}`"));
            }
        }
    }
    for member in members() {
        if !CRATES.iter().any(|(folder, _)| *folder == member) && member != "tests" && member != "benches" {
            complaints.push(format!("`{member}` is a new crate: say in tidy.rs what it may depend on"));
        }
    }
    none(&complaints);
}

#[test]
fn pure_crates_stay_pure() {
    let lock = toml("Cargo.lock");
    let mut graph: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        // `name` or, where there are several, `name version`: versions of a crate are as pure as each other.
        let names = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let names = names.map(|name| name.as_str().unwrap().split(' ').next().unwrap());
        graph.entry(package["name"].as_str().unwrap()).or_default().extend(names);
    }
    let mut complaints = Vec::new();
    for folder in PURE {
        // From the manifest, as the lock file does not tell test dependencies from others.
        let manifest = toml(format!("{folder}/Cargo.toml"));
        let direct = dependencies(&manifest, "dependencies");
        // Calendars are a pure matter. The crates can ask for the local zone and log, too; clippy's `disallowed-methods` sees to it
        // that nobody asks what time it is.
        let mut reached = BTreeSet::from(["chrono", "chrono-tz", "rrule"]);
        let mut open: Vec<&str> = direct.keys().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            let ours = name.starts_with("tidegate");
            if reached.insert(name) && !ours {
                open.extend(graph.get(name).into_iter().flatten());
            }
        }
        for impure in IMPURE.into_iter().filter(|name| reached.contains(name)) {
            complaints.push(format!("`{folder}` must stay pure, and reaches `{impure}`"));
        }
    }
    none(&complaints);
}

/// The first names after `crate::` in `source`: from single paths, and from groups in braces.
fn named_modules(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        // `tidegate_server::crate::` does not exist, but `$crate::` does.
        let rest = &source[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            names.extend(top_level(group));
        } else {
            names.insert(identifier(rest).to_owned());
        }
    }
    names
}

fn identifier(text: &str) -> &str {
    let text = text.trim_start();
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(text, |end| &text[..end])
}

/// `app::{a, b}, ports::Store}` → `app`, `ports`.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(identifier(&group[start..at]).to_owned());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(identifier(&group[start..at]).to_owned());
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Without comments, and without the unit tests at the end: those may use any adapter.
fn production(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_are_read_from_paths_and_groups() {
    let source = "use crate::{app::{a, b}, ports::Store,\n  audit};\nlet x = crate::store::memory();";
    let expected = ["app", "audit", "ports", "store"].map(str::to_owned);
    assert_eq!(named_modules(source), BTreeSet::from(expected));
}

#[test]
fn server_modules_import_only_what_the_design_allows() {
    let mut complaints = Vec::new();
    for path in files("server/src", "rs") {
        let below = path.strip_prefix("server/src").unwrap();
        let module = below.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let is_test_file = below.file_name().is_some_and(|name| name == "tests.rs");
        if is_test_file {
            continue;
        }
        let code = production(&read(&path));
        if let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) {
            for name in named_modules(&code) {
                if name != module && !allowed.contains(&name.as_str()) {
                    complaints.push(format!("{}: `{module}` must not name `{name}`", path.display()));
                }
            }
        } else if !["cli", "lib", "main", "wiring"].contains(&module.as_str()) {
            complaints.push(format!("`{module}` is a new module: say in tidy.rs what it may name"));
        }
        for (name, homes) in CONFINED {
            if !homes.contains(&module.as_str()) && code.contains(&format!("{name}::")) {
                complaints.push(format!("{}: only {homes:?} may name `{name}`", path.display()));
            }
        }
    }
    none(&complaints);
}

#[test]
fn dependencies_come_from_the_workspace_with_a_reason() {
    let mut complaints = Vec::new();
    let mut used = BTreeSet::new();
    for member in members() {
        let manifest = toml(format!("{member}/Cargo.toml"));
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, dependency) in dependencies(&manifest, kind) {
                if dependency.get("workspace").and_then(Value::as_bool) != Some(true) {
                    complaints.push(format!("{member}/Cargo.toml: take `{name}` from the workspace"));
                }
                used.insert(name);
            }
        }
        if manifest.get("lints").and_then(|lints| lints.get("workspace")).is_none() {
            complaints.push(format!("{member}/Cargo.toml: take the lints from the workspace"));
        }
    }
    for name in dependencies(toml("Cargo.toml")["workspace"].as_table().unwrap(), "dependencies").keys() {
        if !used.contains(name) {
            complaints.push(format!("Cargo.toml: nobody uses `{name}`"));
        }
    }
    // Dependencies stand in paragraphs, and each paragraph says what it is for.
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    for paragraph in section.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        if !paragraph.trim_start().starts_with('#') {
            complaints.push(format!("Cargo.toml: say what this is for:\n{}", paragraph.trim()));
        }
    }
    none(&complaints);
}

#[test]
fn a_second_version_of_a_crate_has_a_reason() {
    let lock = toml("Cargo.lock");
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        versions.entry(package["name"].as_str().unwrap()).or_default().push(package["version"].as_str().unwrap());
    }
    versions.retain(|_, versions| versions.len() > 1);
    let deny = toml("deny.toml");
    let mut skipped = BTreeSet::new();
    let mut complaints = Vec::new();
    for skip in deny["bans"]["skip"].as_array().unwrap() {
        let spec = skip["crate"].as_str().unwrap();
        let (name, version) = spec.split_once('@').unwrap_or((spec, ""));
        if !versions.get(name).is_some_and(|versions| versions.contains(&version)) {
            complaints.push(format!("deny.toml: `{spec}` is no second version any more"));
        }
        if skip.get("reason").and_then(Value::as_str).is_none_or(|reason| reason.trim().is_empty()) {
            complaints.push(format!("deny.toml: say why `{spec}` is there"));
        }
        skipped.insert((name, version));
    }
    for (name, versions) in versions {
        let unexplained: Vec<_> = versions.iter().filter(|version| !skipped.contains(&(name, **version))).collect();
        if unexplained.len() > 1 {
            complaints.push(format!("Cargo.lock: `{name}` is there as {unexplained:?}: why? (deny.toml, bans.skip)"));
        }
    }
    none(&complaints);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| -> BTreeSet<String> {
        let migrations = files(&format!("migrations/{database}"), "sql");
        migrations.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let sqlite = names("sqlite");
    assert!(!sqlite.is_empty(), "no migrations in migrations/sqlite");
    assert_eq!(sqlite, names("postgres"));
}

#[test]
fn the_code_keeps_its_habits() {
    // Spelled in two parts, so that this file does not find itself.
    let everywhere = [
        (concat!("#[al", "low("), "use `#[expect(…, reason = \"…\")]`"),
        (concat!("#![al", "low("), "use `#![expect(…, reason = \"…\")]`"),
        (concat!("to", "do!("), "finish it"),
        (concat!("unimple", "mented!("), "finish it"),
        (concat!("//! Place", "holder"), "finish it"),
        (concat!("#[ig", "nore"), "a test runs or goes"),
        (concat!("thread::sl", "eep("), "wait for what happens, not for time"),
    ];
    let mut complaints = Vec::new();
    for path in files(".", "rs") {
        let source = read(&path);
        for (number, line) in source.lines().enumerate() {
            for (found, advice) in everywhere {
                if line.contains(found) {
                    complaints.push(format!("{}:{}: `{found}`: {advice}", path.display(), number + 1));
                }
            }
        }
    }
    none(&complaints);
}

/// A name in backquotes with `::` in it, in the column of tests.
#[test]
fn what_is_promised_names_tests_that_exist() {
    let places = ["tests/integration", "protocol/src", "sdk-rust/src", "server/src", "core/src"];
    let sources: Vec<_> = places.into_iter().flat_map(|folder| files(folder, "rs")).map(read).collect();
    let page = read("docs/reliability.md");
    let rows = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.rsplit('|').nth(1));
    let names: Vec<_> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 20, "the table is not found: {names:?}");
    let missing = names.into_iter().filter(|name| {
        let function = format!("fn {}(", name.rsplit("::").next().unwrap());
        !sources.iter().any(|source| source.contains(&function))
    });
    none(&missing.map(|name| format!("docs/reliability.md: there is no test `{name}`")).collect::<Vec<_>>());
}

#[test]
fn nothing_a_newcomer_looks_for_is_missing() {
    let expected = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "deny.toml",
        "rust-toolchain.toml",
        ".ci/run",
        "docs/quick-start.md",
        "docs/concepts.md",
        "docs/reliability.md",
        "openapi/openapi.json",
        "sdk-rust/examples/checkout.rs",
        "spec/flags.schema.json",
        "spec/README.md",
        "spec/vectors/bucketing-v1.json",
    ];
    let missing = expected.into_iter().filter(|path| !root().join(path).exists());
    none(&missing.map(|path| format!("{path} is missing")).collect::<Vec<_>>());
}

//! The JavaScript SDK as an application has it: the built package in Node.js and in Chromium, against the real binary.
//!
//! What happens there is told in `sdk-wasm/e2e`; each script runs servers of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

#[track_caller]
fn check(script: &str) {
    let run = Command::new("node")
        .args(["--test", "--test-reporter=spec", script])
        .current_dir(package())
        .env("TIDEGATE_BINARY", env!("CARGO_BIN_EXE_tidegate-under-test"))
        .output()
        .expect("please install Node.js 20.19 or newer");
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{stdout}\n{stderr}");
}

/// The package's folder, once it is known to be built.
fn package() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk-wasm");
    for needed in ["node_modules", "dist/wasm/tidegate_bg.wasm"] {
        assert!(package.join(needed).exists(), "please run `cargo xtask wasm`: there is no sdk-wasm/{needed}");
    }
    package
}

#[test]
fn the_package_follows_a_server_in_node() {
    check("e2e/node.mjs");
}

#[test]
fn the_package_answers_and_follows_in_chromium() {
    check("e2e/browser.mjs");
}

#[test]
fn openfeatures_own_sdks_run_on_our_providers() {
    check("e2e/openfeature.mjs");
}

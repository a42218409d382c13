//! The admin UI in a real Chromium, against the real server with the demo project.

use std::process::Command;

use tempfile::TempDir;

use crate::support::binary::Server;

#[test]
fn people_sign_in_toggle_confirm_and_kill_in_chromium() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &["--demo"]);
    let output = Command::new("node")
        .arg("e2e/flows.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../admin-ui"))
        .env("TIDEGATE_LINK", server.link())
        .env("TIDEGATE_FAILURES", folder.path())
        .output()
        .expect("`node` is missing: install Node.js 20 or newer");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.lines().filter(|line| line.starts_with("ok ")).count() > 5, "{told}");
}

//! The admin UI in a real browser, on the real server with the demo project.
//!
//! What the flows are is told in `admin-ui/e2e/flows.mjs`; a failure shows the step, and leaves a picture.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::binary::Server;

#[test]
fn the_admin_ui_carries_the_main_flows() {
    let ui = ui();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &["--demo"]);
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let flows = Command::new("node")
        .arg("e2e/flows.mjs")
        .current_dir(&ui)
        .env("TIDEGATE_LINK", server.link())
        .env("TIDEGATE_FAILURES", &failures)
        .output()
        .expect("please install Node.js 20.19 or newer: it drives the browser");
    let (stdout, stderr) = (String::from_utf8_lossy(&flows.stdout), String::from_utf8_lossy(&flows.stderr));
    assert!(flows.status.success(), "{stdout}\n{stderr}\nserver:\n{}", server.log());
    println!("{stdout}");
}

/// The UI's folder, once it is known to be built.
fn ui() -> PathBuf {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../admin-ui");
    for (needed, command) in [("node_modules", "npm ci"), ("dist/index.html", "npm run build")] {
        assert!(
            ui.join(needed).exists(),
            "please run `{command}` in admin-ui (`cargo xtask test` does): there is no {needed}"
        );
    }
    ui
}

//! The admin UI in a real browser, on the real server.
//!
//! What the flows are is told in `admin-ui/e2e`; a failure shows the step, and leaves pictures.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::binary::Server;

/// Runs a flow against a new server with those arguments; what held, a line each.
#[track_caller]
fn check(flow: &str, args: &[&str]) -> String {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), args);
    let mut command = script(flow);
    command.env("TIDEGATE_LINK", server.link()).env("TIDEGATE_CHECKOUT", env!("CARGO_BIN_EXE_checkout-under-test"));
    run(&mut command, || server.log())
}

/// A script of `admin-ui/e2e`.
fn script(name: &str) -> Command {
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser").join(name);
    let mut command = Command::new("node");
    command.arg(format!("e2e/{name}.mjs")).current_dir(ui()).env("TIDEGATE_FAILURES", failures);
    command
}

#[track_caller]
fn run(command: &mut Command, server_log: impl FnOnce() -> String) -> String {
    let run = command.output().expect("please install Node.js 20.19 or newer: it drives the browser");
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    // What went wrong comes last: of a long output, the end is what people keep.
    assert!(run.status.success(), "server:\n{}\n{stdout}\n{stderr}", server_log());
    stdout.into_owned()
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

#[test]
fn an_empty_server_leads_to_an_application_that_follows_a_flag() {
    println!("{}", check("first-run", &[]));
}

#[test]
fn the_admin_ui_carries_the_main_flows() {
    println!("{}", check("flows", &["--demo"]));
}

/// In states that take a server long to come to: the API is answered from memory.
#[test]
fn every_state_of_a_rollout_is_accessible() {
    println!("{}", run(&mut script("screens"), String::new));
}

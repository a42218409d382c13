//! `cargo xtask`: the only place where automation lives. Plain `cargo` and `npm` commands, in the right order.
#![expect(clippy::print_stderr, reason = "a command line tool tells its user what it does")]

mod bench;
mod codegen;
mod demo;
mod prepare;
mod python;
mod step;
mod ui;
mod wasm;
mod wasm_std;

use std::{os::unix::process::CommandExt as _, process::ExitCode};

use anyhow::{Result, anyhow};
use clap::{Args, Parser, Subcommand};

use crate::{
    bench::Report,
    codegen::Generated,
    prepare::Wasm,
    step::{at_root, cargo, installed, root, run, step, target_dir},
};

/// Everything that is done to this repository, by people and by CI.
///
/// Each command runs from any folder of the repository, prints the commands it runs with the time each took, and stops
/// at the first that fails.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the demo project, with a one-time sign-in link
    ///
    /// Builds the admin UI and the server, then runs `tidegate serve --demo`: a project `shop` with three environments,
    /// ten flags and some history, on SQLite in `.tidegate/demo.db`. The database is kept between runs; every run prints
    /// a fresh sign-in link. Stop it with Ctrl-C.
    Run(RunArgs),
    /// Build the binary for production, with the admin UI inside: `target/release/tidegate`
    Build,
    /// Install what is missing, then run every test: what CI runs
    ///
    /// Installs npm packages, the wasm32 target of Rust (by rustup, or on Debian from its sources of Rust), clients in
    /// Python (into `target/python`) and, as root on Debian, `chromium`, `postgresql`, `prometheus` and `python3-venv`, each only where
    /// missing; says what to install where it cannot. Then: the UI's lint, types, tests and build,
    /// the JavaScript SDK's build, lint, types and unit tests, `cargo fmt --check`, the check that generated files are
    /// current, and last `cargo test --workspace`, documentation tests included.
    ///
    /// Clippy, rustdoc and cargo-deny are in `cargo xtask check`: they share no build artifacts with the tests, and would
    /// double the time of a cold run.
    ///
    /// Without the wasm32 target all but the JavaScript SDK and the admin UI's evaluator is built and tested, and one line
    /// says how to get it; with CI=true it must be there.
    Test,
    /// All that `test` does, and the lints: run it before you push
    ///
    /// Adds clippy with warnings denied (also of the SDK with fewer features), rustdoc with warnings denied, `cargo deny
    /// check` and `cargo machete`. The last two are left out, with a line that says how to install them, where they are missing; with CI=true they must be there.
    Check,
    /// Write the generated files: OpenAPI, the flag file's JSON Schema, the UI's API client
    ///
    /// `openapi/openapi.json` comes from the server's handlers, `spec/flags.schema.json` from the types of `core`, and
    /// the UI's client from `openapi.json`. They are committed, never edited; `test` fails when they are out of date.
    Codegen(CodegenArgs),
    /// Build what is WASM: the JavaScript SDK with its core, and the admin UI's evaluator
    ///
    /// Builds `sdk-wasm` for wasm32-unknown-unknown in the size-optimised profile `wasm`, runs wasm-bindgen and wasm-opt,
    /// compiles the TypeScript, and prints what each part weighs, raw and gzipped. More than the budget of core and glue
    /// fails. The package is `sdk-wasm/dist`, the evaluator `admin-ui/src/wasm`; nothing of either is committed.
    Wasm,
    /// Make the README's pictures anew, of the demo in a browser: `docs/images`
    ///
    /// Builds the admin UI and the server, serves a new demo with its traffic, and takes the flag list, a rollout and the playground, light and
    /// dark. Takes two minutes, as a release has to climb.
    Screenshots,
    /// Run the benches and print their table, each figure as a ratio to a floor from the same run
    ///
    /// Criterion benches in release, then a table from what they measured, on standard output. Raw results stay in
    /// `target/criterion`. Close everything else first: the ratios are steady, the times are not.
    Bench(BenchArgs),
    /// Measure how fast the admin UI answers with 1,000 flags, by the browser's own clock
    ///
    /// Builds the server in release, serves a new demo, and has Chromium make 1,000 flags, filter their list and switch some of them. Prints
    /// the times beside those of an empty interaction in the same run; fails where the list answers later than 100 ms, or shifts while it loads.
    BenchUi,
}

#[derive(Args)]
struct RunArgs {
    /// Passed on to `tidegate serve`, after `--`: `cargo xtask run -- --listen 127.0.0.1:9000`
    #[arg(last = true)]
    serve_args: Vec<String>,
}

#[derive(Args)]
struct CodegenArgs {
    /// Change nothing; fail where a file is not what would be written
    #[arg(long)]
    check: bool,
}

#[derive(Args)]
struct BenchArgs {
    /// Only benches whose name contains this
    filter: Option<String>,
    /// Run nothing; print the table of the last run
    #[arg(long)]
    report: bool,
}

fn main() -> ExitCode {
    match run_command(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> Result<()> {
    match command {
        Command::Run(args) => serve_demo(&args),
        Command::Build => build_release(),
        Command::Test => test(),
        Command::Check => check(),
        Command::Codegen(args) => {
            ui::install()?;
            build_server()?;
            codegen::run(if args.check { Generated::MustBeCurrent } else { Generated::Write })
        }
        Command::Wasm => {
            prepare::wasm_target_or_fail()?;
            wasm::install()?;
            wasm::build_for_ui()?;
            wasm::build()
        }
        Command::Screenshots => {
            prepare::system_packages()?;
            build_ui(prepare::wasm_target()?)?;
            build_server()?;
            // Where the README looks for them.
            let pictures = root().join("docs/images");
            demo::with_demo(&target_dir().join("debug/tidegate"), "screenshots", |link| {
                step("pictures of the demo", || {
                    run(ui::npm()
                        .args(["run", "--silent", "pictures"])
                        .env("TIDEGATE_LINK", link)
                        .env("TIDEGATE_PICTURES", pictures))
                })
            })
        }
        Command::BenchUi => {
            prepare::system_packages()?;
            build_release()?;
            build_server()?;
            demo::with_demo(&target_dir().join("release/tidegate"), "bench-ui", |link| {
                step("the admin UI's answers to a person", || {
                    run(ui::npm().args(["run", "--silent", "e2e:interactions"]).env("TIDEGATE_LINK", link))
                })
            })
        }
        Command::Bench(args) => {
            bench::run(args.filter.as_deref(), if args.report { Report::OfLastRun } else { Report::AfterRunning })
        }
    }
}

fn serve_demo(args: &RunArgs) -> Result<()> {
    build_ui(prepare::wasm_target()?)?;
    build_server()?;
    // Replaced, not spawned: Ctrl-C and SIGTERM reach the server, which shuts down gracefully.
    let server = target_dir().join("debug/tidegate");
    let traffic = target_dir().join("debug/examples/traffic");
    let error = at_root(&server).args(["serve", "--demo", "--traffic"]).arg(traffic).args(&args.serve_args).exec();
    Err(anyhow!(error).context(format!("cannot run {}", server.display())))
}

/// Builds the admin UI, with its evaluator where that can be built. Without, the playground asks the server.
fn build_ui(wasm: Wasm) -> Result<()> {
    ui::install()?;
    if let Wasm::Installed = wasm {
        wasm::install()?;
        wasm::build_for_ui()?;
    }
    ui::build()
}

/// Builds what people run: the server as fast as it gets, with the admin UI inside.
fn build_release() -> Result<()> {
    build_ui(prepare::wasm_target()?)?;
    step("build the server", || run(cargo().args(["build", "--release", "--package", "tidegate-server"])))
}

/// Builds the server, and the examples that the demo asks for. With an example among the targets, features resolve as for
/// `cargo test` and `cargo run --example`: none of the three builds the dependencies anew.
fn build_server() -> Result<()> {
    step("build the server", || {
        run(cargo().args(["build", "--bin", "tidegate", "--example", "checkout", "--example", "traffic"]))
    })
}

fn test() -> Result<()> {
    let wasm = prepare_and_check_ui()?;
    step("cargo fmt --check", || run(cargo().args(["fmt", "--all", "--check"])))?;
    test_rust(wasm)
}

fn check() -> Result<()> {
    let wasm = prepare_and_check_ui()?;
    step("cargo fmt --check", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("clippy", || run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])))?;
    step("rustdoc", || run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings")))?;
    // The workspace builds the SDK with all its features; applications need not. Linted as well: `cfg` hides a lot.
    for features in ["", "tls", "open-feature"] {
        step("clippy, the SDK with fewer features", || {
            let clippy = ["clippy", "--package", "tidegate", "--lib", "--no-default-features", "--features", features];
            run(cargo().args(clippy).args(["--", "--deny", "warnings"]))
        })?;
    }
    optional_tool("cargo-deny", &["deny", "--all-features", "check"])?;
    optional_tool("cargo-machete", &["machete"])?;
    test_rust(wasm)
}

fn prepare_and_check_ui() -> Result<Wasm> {
    prepare::system_packages()?;
    let wasm = prepare::wasm_target()?;
    ui::install_clients()?;
    python::install()?;
    build_ui(wasm)?;
    ui::check()?;
    if let Wasm::Installed = wasm {
        wasm::build()?;
        wasm::check()?;
    }
    Ok(wasm)
}

/// Ends with the test runner, so that its summary is the last thing on standard output.
fn test_rust(wasm: Wasm) -> Result<()> {
    // With the fewest features: what a `cfg` forgets shows here.
    step("check the SDK without its features", || {
        run(cargo().args(["check", "--package", "tidegate", "--lib", "--no-default-features"]))
    })?;
    // The same selection as `cargo test`, so that features resolve alike and nothing is built twice.
    step("build the tests", || run(cargo().args(["build", "--workspace", "--bins", "--tests", "--examples"])))?;
    codegen::run(Generated::MustBeCurrent)?;
    let mut test = cargo();
    test.args(["test", "--workspace"]);
    if let Wasm::Missing = wasm {
        // Said above. A plain `cargo test` fails in these, and says what they need.
        test.args(["--", "--skip", "javascript::"]);
    }
    step("cargo test", || run(&mut test))
}

fn optional_tool(tool: &str, args: &[&str]) -> Result<()> {
    if installed(tool) {
        step(&format!("cargo {}", args.join(" ")), || run(cargo().args(args)))
    } else if prepare::in_ci() {
        Err(anyhow!("`{tool}` is missing: `cargo install --locked {tool}`"))
    } else {
        eprintln!("── {tool} is missing and was left out; `cargo install --locked {tool}` gets it");
        Ok(())
    }
}

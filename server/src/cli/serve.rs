//! `tidegate serve`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

use super::admin;
use crate::{
    app::{App, setup, users},
    config::Config,
    demo::{self, Demo},
    store::Location,
    telemetry,
    wiring::{self, Server},
};

/// Whose data is served.
pub enum Data {
    /// What is in the configured database.
    Configured,
    /// The demo project, in a database of its own.
    Demo {
        /// The program that asks its flags.
        traffic: Option<PathBuf>,
    },
}

/// Serves until SIGTERM or SIGINT; prints how to sign in, where that is not known yet, and the address.
pub async fn serve(config: &Config, data: &Data, out: &mut dyn Write) -> Result<()> {
    // First: whoever reads the greeting may already stop us.
    let stop = told_to_stop()?;
    telemetry::log(config.log_format, &config.log_level);
    let location = match data {
        Data::Configured => config.database.clone(),
        Data::Demo { .. } => demo_location(config)?,
    };
    let app = wiring::open(&location).await?;
    let server = Server::bind(app.clone(), config).await?;
    // Ends when it is dropped.
    let mut beside = None;
    match data {
        Data::Configured => offer_set_up(&app, &server, out).await?,
        Data::Demo { traffic } => {
            let demo = show_round(&app, &server, &location, out).await?;
            if let Some(program) = traffic {
                demo::roll_out(&app).await?;
                beside = Some(run_beside(program, &server, &demo)?);
                writeln!(
                    out,
                    "4. Two releases roll out in development, {ROLLOUTS}: watch the lines below, and Audit."
                )?;
            }
        }
    }
    writeln!(out, "tidegate listens on http://{}", server.address())?;
    out.flush()?;
    server.run(stop).await?;
    drop(beside);
    Ok(())
}

const ROLLOUTS: &str = "`review-summaries`, which is well, and `payment-fallback`, which is not";

/// Runs the program until what is returned is dropped.
fn run_beside(program: &Path, server: &Server, demo: &Demo) -> Result<Child> {
    let mut command = Command::new(program);
    command.env("TIDEGATE_URL", &server.http_config().public_url).env("TIDEGATE_SDK_KEY", demo_key(demo));
    // It ends with its input, which ends with us, however that happens.
    command
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))
}

fn demo_key(demo: &Demo) -> &str {
    demo.server_keys.get("development").map(String::as_str).unwrap_or_default()
}

/// The demo's keys are known to everybody, and so it is for this machine only.
fn demo_location(config: &Config) -> Result<Location> {
    if !config.listen.ip().is_loopback() {
        bail!("the demo's SDK keys are public: it listens on a loopback address only, not on {}", config.listen);
    }
    Ok(Location::Sqlite(config.data_dir.join("demo.db")))
}

async fn offer_set_up(app: &App, server: &Server, out: &mut dyn Write) -> Result<()> {
    if let Some(link) = setup::offer(app).await? {
        let link = server.http_config().link(&link.secret);
        writeln!(
            out,
            "There is nobody yet who could sign in. Make the first account, once and within a day:\n  {link}"
        )?;
    }
    Ok(())
}

async fn show_round(app: &App, server: &Server, location: &Location, out: &mut dyn Write) -> Result<Demo> {
    let demo = demo::seed(app).await?;
    let link = users::make_link(app, &admin::request(app, "signing in to the demo"), &demo.user).await?;
    let link = server.http_config().link(&link.secret);
    let url = &server.http_config().public_url;
    let key = demo_key(&demo);
    writeln!(out, "A shop's ten flags in three environments, kept in {location}; delete it to start over.")?;
    writeln!(out, "1. Open {link} (it works once)")?;
    writeln!(out, "2. In a second terminal: TIDEGATE_URL={url} TIDEGATE_SDK_KEY={key} cargo run --example checkout")?;
    writeln!(
        out,
        "3. Toggle `new-checkout` in development, or kill it: the application changes its mind at once; then see Audit."
    )?;
    Ok(demo)
}

/// Ready at the first SIGTERM or SIGINT.
///
/// # Errors
/// Where the system gives no signals.
fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

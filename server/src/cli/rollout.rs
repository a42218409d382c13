//! `tidegate rollout`: rollouts of a running server, from the terminal.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{IsTerminal as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tidegate_rollout::{Spec, State, Status, simulation};

use super::{
    admin::EnvironmentArgs,
    remote::{Remote, RemoteArgs},
};
use crate::app::{AppError, input};

/// What is asked of rollouts.
#[derive(Subcommand)]
pub enum RolloutCommand {
    /// List an environment's rollouts, the newest last
    List {
        #[command(flatten)]
        place: Place,
        /// Only those of this flag
        #[arg(long)]
        flag: Option<String>,
    },
    /// Start a rollout
    Start {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        wanted: Wanted,
        /// Why: it is in the audit log
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Tell what a rollout would find, and how long it would take, with the traffic that the server sees or that is said
    Preview {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        traffic: Traffic,
    },
    /// Simulate many rollouts of a spec, without a server: how often they are rolled back, and how soon
    ///
    /// Draws units, counts, judges and plans with the controller's own parts; seeded, so that the same figures come out each time. With
    /// `--effect errors=1` it tells how often a healthy release is rolled back, with `--effect errors=2` how soon one is with twice the errors.
    Simulate(SimulateArgs),
    /// Show one rollout: how far it is, what it waits for, what its gates say
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Watch a rollout live until it ends
    ///
    /// Exit codes: 0 it completed, 1 failed, 3 it was rolled back, or the flag was killed. A rollout that is through and whose gates stay on
    /// counts as completed.
    Watch {
        #[command(flatten)]
        which: Which,
    },
    /// Pause, resume, approve, skip, roll back or complete a rollout; override one of its gates, or heed it again
    Act {
        /// What is done
        action: Action,
        #[command(flatten)]
        which: Which,
        /// The gate, to override or heed it
        #[arg(long)]
        gate: Option<String>,
        /// Why: it is in the audit log beside what the gates said
        #[arg(long)]
        reason: String,
    },
}

/// An environment of a running server.
#[derive(Args)]
pub struct Place {
    #[command(flatten)]
    environment: EnvironmentArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// One rollout.
#[derive(Args)]
pub struct Which {
    /// The rollout's id, or the key of its flag: then it is the newest
    rollout: String,
    #[command(flatten)]
    place: Place,
}

/// A rollout to start.
#[derive(Args)]
pub struct Wanted {
    /// The flag's key
    #[arg(long)]
    flag: String,
    /// The variant that goes out
    #[arg(long)]
    variant: String,
    /// A JSON file of what is to be done: steps, gates
    #[arg(long, value_name = "FILE", conflicts_with = "template")]
    spec: Option<PathBuf>,
    /// A template of what is to be done [default: default]
    #[arg(long, value_name = "KEY")]
    template: Option<String>,
}

/// What is known of the traffic.
#[derive(Args)]
pub struct Traffic {
    /// New units that ask for the flag in a minute
    #[arg(long, value_name = "UNITS", value_parser = positive)]
    units_per_minute: Option<f64>,
    /// To what share of units something happens now, by the gate's key: `errors=0.01`
    #[arg(long = "baseline", value_name = "GATE=RATE", value_parser = pair)]
    baselines: Vec<(String, f64)>,
    /// How far values are apart, by the gate's key: the standard deviation of their logarithm [default: 0.5]
    #[arg(long = "spread", value_name = "GATE=SPREAD", value_parser = pair)]
    spreads: Vec<(String, f64)>,
}

/// Rollouts to simulate.
#[derive(Args)]
pub struct SimulateArgs {
    /// A JSON file of what is to be done: steps, gates
    spec: PathBuf,
    #[command(flatten)]
    traffic: Traffic,
    /// How many times as often it happens with the new variant, by the gate's key: `errors=2` [default: 1]
    #[arg(long = "effect", value_name = "GATE=RATIO", value_parser = pair)]
    effects: Vec<(String, f64)>,
    /// Minutes after the start from which on the effect is there
    #[arg(long, value_name = "MINUTES", default_value = "0")]
    from_minute: u32,
    /// How many rollouts
    #[arg(long, default_value = "200", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    runs: u64,
    /// Another seed draws other units
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// What a person does to a rollout.
#[derive(Clone, Copy, ValueEnum)]
pub enum Action {
    Pause,
    Resume,
    Approve,
    Skip,
    RollBack,
    Override,
    Heed,
    Complete,
}

/// It ended, and not well.
const TAKEN_BACK: u8 = 3;

/// So many questions in a row without an answer end the watch.
const MAX_FAILED: u32 = 30;

/// How often a watched rollout is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Does it.
///
/// # Errors
/// Where the server cannot be asked, or refuses.
pub async fn run(command: RolloutCommand, out: &mut dyn Write) -> Result<ExitCode> {
    match command {
        RolloutCommand::List { place, flag } => {
            let (remote, path) = place.open()?;
            for rollout in list(&remote, &path, flag.as_deref()).await? {
                writeln!(out, "{}  {}", rollout.id, head(&rollout))?;
            }
        }
        RolloutCommand::Start { place, wanted, reason } => {
            let (remote, path) = place.open()?;
            let body = wanted.body(&reason)?;
            write!(out, "{}", render(&remote.post(&path, &body, None).await?))?;
        }
        RolloutCommand::Preview { place, wanted, traffic } => {
            let (remote, path) = place.open()?;
            let asked = traffic.into_question(&wanted)?;
            write!(out, "{}", render_preview(&remote.post(&format!("{path}/preview"), &asked, None).await?))?;
        }
        RolloutCommand::Simulate(args) => write!(out, "{}", args.simulated()?)?,
        RolloutCommand::Show { which } => {
            let (remote, path) = which.find().await?;
            write!(out, "{}", render(&remote.get(&path).await?))?;
        }
        RolloutCommand::Watch { which } => {
            let (remote, path) = which.find().await?;
            return watch(&remote, &path, out).await;
        }
        RolloutCommand::Act { action, which, gate, reason } => {
            let (remote, path) = which.find().await?;
            let seen: Rollout = remote.get(&path).await?;
            let mut body =
                Map::from_iter([("action".to_owned(), json!(action.name())), ("reason".to_owned(), json!(reason))]);
            body.extend(gate.map(|gate| ("gate".to_owned(), json!(gate))));
            let path = format!("{path}/actions");
            // What lowers the share need not have seen its last move.
            let expected = (!action.lowers()).then_some(seen.status.generation);
            let moved = remote.post(&path, &Json::Object(body), expected).await?;
            write!(out, "{}", render(&moved))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is read of a rollout.
#[derive(Deserialize)]
struct Rollout {
    id: String,
    flag: String,
    variant: String,
    baseline: String,
    share: u32,
    spec: Spec,
    status: Status,
    live: Option<Live>,
}

#[derive(Deserialize)]
struct Live {
    reason: String,
    units: Arms,
    gates: Vec<Gate>,
}

#[derive(Deserialize)]
struct Arms {
    treatment: u64,
    control: u64,
}

#[derive(Deserialize)]
struct Gate {
    #[serde(rename = "gate")]
    key: String,
    verdict: String,
    evidence: f64,
    met: Arms,
    value: Option<f64>,
    problem: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    items: Vec<Rollout>,
    next_cursor: Option<String>,
}

async fn list(remote: &Remote, path: &str, flag: Option<&str>) -> Result<Vec<Rollout>> {
    let mut found = Vec::new();
    let mut after = String::new();
    let flag = flag.map(|flag| format!("&flag={flag}")).unwrap_or_default();
    loop {
        let page: Listed = remote.get(&format!("{path}?limit=200{flag}{after}")).await?;
        found.extend(page.items);
        match page.next_cursor {
            Some(cursor) => after = format!("&cursor={cursor}"),
            None => return Ok(found),
        }
    }
}

/// Shows the rollout whenever it looks different: in place on a terminal, else one after the other.
async fn watch(remote: &Remote, path: &str, out: &mut dyn Write) -> Result<ExitCode> {
    let in_place = std::io::stdout().is_terminal();
    let mut shown = String::new();
    let mut n_failed = 0;
    loop {
        match remote.get::<Rollout>(path).await {
            Ok(rollout) => {
                n_failed = 0;
                let now = render(&rollout);
                if now != shown {
                    let n_lines = shown.lines().count();
                    if in_place && n_lines > 0 {
                        // Up to where it began, and from there on nothing.
                        write!(out, "\x1b[{n_lines}A\x1b[J")?;
                    }
                    write!(out, "{now}")?;
                    out.flush()?;
                    shown = now;
                }
                match rollout.status.state {
                    State::Completed | State::Guarding => return Ok(ExitCode::SUCCESS),
                    State::RolledBack | State::Killed => return Ok(ExitCode::from(TAKEN_BACK)),
                    State::Running | State::Paused => {}
                }
            }
            // A server that is started anew is back within seconds.
            Err(error) if n_failed >= MAX_FAILED => return Err(error),
            Err(_) => n_failed += 1,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One line: `new-checkout off → on: running, 25 %`.
fn head(rollout: &Rollout) -> String {
    let Rollout { flag, variant, baseline, share, status, .. } = rollout;
    let state = match status.state {
        State::Running => "running",
        State::Paused => "paused",
        State::Guarding => "through, its gates stay on",
        State::Completed => "completed",
        State::RolledBack => "rolled back",
        State::Killed => "the flag was killed",
    };
    format!("{flag} {baseline} → {variant}: {state}, {}", percent(*share))
}

/// The whole of it, as people read it.
fn render(rollout: &Rollout) -> String {
    let mut said = String::new();
    // Writing into a String does not fail.
    let _ = writeln!(said, "{}", head(rollout));
    let steps = rollout.spec.steps().iter().enumerate().map(|(index, step)| {
        let mark = match rollout.status.step {
            Some(present) if index < present => "✓ ",
            Some(present) if index == present => "▶ ",
            _ => "",
        };
        let share = (step.share > 0).then(|| percent(step.share));
        let names: Vec<_> = share.into_iter().chain(step.segments.iter().cloned()).collect();
        format!("{mark}{}", if names.is_empty() { "A/A".to_owned() } else { names.join(" and ") })
    });
    let _ = writeln!(said, "  {}", steps.collect::<Vec<_>>().join("   "));
    let Some(Live { reason, units, gates }) = &rollout.live else { return said };
    let _ = writeln!(said, "  {reason}");
    let width = gates.iter().map(|gate| gate.key.chars().count()).max().unwrap_or_default();
    for Gate { key, verdict, evidence, met, value, problem } in gates {
        let overridden = if rollout.status.overridden.contains(key) { ", overridden" } else { "" };
        let _ = write!(said, "  {key:width$}  {verdict}{overridden}: ");
        let _ = match problem {
            Some(problem) => writeln!(said, "{problem}"),
            None => writeln!(
                said,
                "{}evidence {evidence:.1} to 1; {} units in treatment, {} in control",
                value.map(|value| format!("{:+.1} %, ", value * 100.0)).unwrap_or_default(),
                met.treatment,
                met.control
            ),
        };
    }
    if !gates.is_empty() {
        let _ =
            writeln!(said, "  seen at this step: {} units in treatment, {} in control", units.treatment, units.control);
    }
    said
}

fn percent(share: u32) -> String {
    format!("{} %", f64::from(share) / 1_000.0)
}

/// What is read of a preview.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    units_per_minute: f64,
    baselines: BTreeMap<String, Baseline>,
    steps: Vec<StepPreview>,
    duration_ms: Option<u64>,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Baseline {
    rate: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepPreview {
    share: u32,
    duration_ms: Option<u64>,
    units: f64,
    gates: Vec<GatePreview>,
}

#[derive(Deserialize)]
struct GatePreview {
    gate: String,
    events: f64,
    detectable: Option<f64>,
}

fn render_preview(preview: &Preview) -> String {
    let mut said = String::new();
    let takes = |ms: Option<u64>| ms.map_or_else(|| "without end".to_owned(), minutes);
    let _ = writeln!(said, "{:.0} new units a minute; takes {}", preview.units_per_minute, takes(preview.duration_ms));
    for (gate, Baseline { rate }) in &preview.baselines {
        let _ = writeln!(said, "  {gate}: happens to {:.2} % now", rate * 100.0);
    }
    for StepPreview { share, duration_ms, units, gates } in &preview.steps {
        let _ = writeln!(said, "  {:>5}  {}, {units:.0} units get it", percent(*share), takes(*duration_ms));
        for GatePreview { gate, events, detectable } in gates {
            let found =
                detectable.map_or_else(|| "nothing".to_owned(), |ratio| format!("{ratio:.2} times as much and more"));
            let _ = writeln!(said, "         {gate}: {events:.0} units to go by; finds {found}");
        }
    }
    for note in &preview.notes {
        let _ = writeln!(said, "note: {note}");
    }
    said
}

fn minutes(ms: u64) -> String {
    match ms.div_ceil(60_000) {
        minutes if minutes < 120 => format!("{minutes} min"),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

impl Traffic {
    /// The body of a preview's question.
    fn into_question(self, wanted: &Wanted) -> Result<Json> {
        let Json::Object(mut body) = wanted.body("")? else { unreachable!("a body is an object") };
        body.remove("variant");
        body.remove("reason");
        body.extend(self.units_per_minute.map(|units| ("unitsPerMinute".to_owned(), json!(units))));
        let of_gate = |(gate, rate): &(String, f64)| {
            let spread = named(&self.spreads, gate).unwrap_or(USUAL_SPREAD);
            (gate.clone(), json!({ "rate": rate, "spread": spread }))
        };
        body.insert("baselines".to_owned(), Json::Object(self.baselines.iter().map(of_gate).collect()));
        Ok(Json::Object(body))
    }
}

impl SimulateArgs {
    fn simulated(&self) -> Result<String> {
        let spec = read_spec(&self.spec)?;
        let gates: Vec<_> = spec.gates().iter().filter(|gate| gate.events().is_some()).collect();
        let named_gates = [&self.traffic.baselines, &self.traffic.spreads, &self.effects].into_iter().flatten();
        for (key, _) in named_gates {
            if !gates.iter().any(|gate| gate.key == *key) {
                bail!("the spec has no gate `{key}` on events");
            }
        }
        let metric = |gate: &tidegate_rollout::Gate| {
            let rate = named(&self.traffic.baselines, &gate.key);
            if rate.is_none() && gate.events().is_some() {
                bail!("how often does `{0}` happen now? `--baseline {0}=0.01`: to 1 % of units", gate.key);
            }
            let spread = named(&self.traffic.spreads, &gate.key).unwrap_or(USUAL_SPREAD);
            let baseline = simulation::Baseline { rate: rate.unwrap_or_default(), spread };
            Ok(simulation::Metric { baseline, effect: named(&self.effects, &gate.key).unwrap_or(1.0) })
        };
        let release = simulation::Release {
            units_per_minute: self.traffic.units_per_minute.context("how many units ask? `--units-per-minute 600`")?,
            metrics: spec.gates().iter().map(metric).collect::<Result<_>>()?,
            begins_ms: i64::from(self.from_minute) * 60_000,
            ends_ms: None,
            world: simulation::World::default(),
        };
        let outcome = simulation::simulate(&spec, &release, self.runs, self.seed);
        let share = |n: u64| percent_of(n, outcome.n_runs);
        let mut said = String::new();
        let _ = writeln!(said, "{} rollouts, seed {}", outcome.n_runs, self.seed);
        let _ = writeln!(said, "  rolled back  {} ({})", share(outcome.n_rolled_back), outcome.n_rolled_back);
        let _ = writeln!(said, "  completed    {} ({})", share(outcome.n_completed), outcome.n_completed);
        if let Some(minutes) = outcome.median_minutes {
            let _ = writeln!(said, "  median time to rollback  {minutes:.1} min");
        }
        let _ = writeln!(said, "  units with the new variant, mean  {:.0}", outcome.mean_treated);
        Ok(said)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn percent_of(n: u64, all: u64) -> String {
    format!("{:.2} %", n as f64 * 100.0 / all.max(1) as f64)
}

fn named(all: &[(String, f64)], key: &str) -> Option<f64> {
    all.iter().rev().find_map(|(name, value)| (name == key).then_some(*value))
}

/// The standard deviation of the logarithm of response times.
const USUAL_SPREAD: f64 = 0.5;

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "not a number above 0".to_owned())
}

fn pair(text: &str) -> Result<(String, f64), String> {
    let (key, number) = text.rsplit_once('=').ok_or("not of the form GATE=NUMBER")?;
    Ok((key.to_owned(), positive(number)?))
}

fn read_json(path: &Path) -> Result<Json> {
    let told = || format!("`{}`", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", told()))?;
    serde_json::from_str(&text).map_err(|error| anyhow!("{}: {error}", told()))
}

fn read_spec(path: &Path) -> Result<Spec> {
    input::read_at("", &read_json(path)?).map_err(|error| match error {
        AppError::Invalid { field, detail, .. } => anyhow!("`{}`: {field}: {detail}", path.display()),
        error => error.into(),
    })
}

impl Place {
    /// The server, and the path of the environment's rollouts.
    fn open(&self) -> Result<(Remote, String)> {
        let EnvironmentArgs { project, environment } = &self.environment;
        for key in [project, environment] {
            check_key(key)?;
        }
        let path = format!("/projects/{project}/environments/{environment}/rollouts");
        Ok((Remote::new(&self.remote)?, path))
    }
}

impl Which {
    /// The server, and the path of the rollout.
    async fn find(&self) -> Result<(Remote, String)> {
        let (remote, path) = self.place.open()?;
        check_key(&self.rollout)?;
        let newest = list(&remote, &path, Some(&self.rollout)).await?.pop();
        let id = newest.map_or_else(|| self.rollout.clone(), |rollout| rollout.id);
        Ok((remote, format!("{path}/{id}")))
    }
}

impl Wanted {
    fn body(&self, reason: &str) -> Result<Json> {
        let mut body = Map::from_iter([
            ("flag".to_owned(), json!(self.flag)),
            ("variant".to_owned(), json!(self.variant)),
            ("reason".to_owned(), json!(reason)),
        ]);
        if let Some(path) = &self.spec {
            body.insert("spec".to_owned(), read_json(path)?);
        }
        body.extend(self.template.as_ref().map(|template| ("template".to_owned(), json!(template))));
        Ok(Json::Object(body))
    }
}

impl Action {
    fn lowers(self) -> bool {
        matches!(self, Self::Pause | Self::RollBack | Self::Heed)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Skip => "skip",
            Self::RollBack => "rollBack",
            Self::Override => "override",
            Self::Heed => "heed",
            Self::Complete => "complete",
        }
    }
}

/// What goes into a path.
fn check_key(key: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if key.is_empty() || !key.bytes().all(is_plain) {
        bail!("`{key}` is no key: a key has letters, digits, `.`, `_` and `-`");
    }
    Ok(())
}

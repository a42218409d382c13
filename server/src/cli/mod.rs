//! The command line: `tidegate serve`, `migrate`, `user`, `token`, `key`, `flags`, `rollout`, `audit`, `evaluate`, `explain`.
//!
//! A command reads its arguments and the configuration, calls the same use cases as everybody else, and prints. It
//! decides nothing.

#![expect(clippy::doc_markdown, reason = "clap prints doc comments as they are, backticks and all")]

mod admin;
mod diff;
mod evaluate;
mod explain;
mod flag_file;
mod generate;
mod remote;
mod rollout;
mod serve;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tidegate_core::{Context, Ruleset, Timestamp, ruleset::Severity};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::{
    admin::{ApplyArgs, EnvironmentArgs, KeyCommand, Session, TokenCommand, UserCommand},
    rollout::RolloutCommand,
    serve::Data,
};
use crate::{
    app::AppError,
    config::{Config, FILE_VARIABLE, Sources},
    ports::Clock as _,
    system::SystemClock,
    wiring,
};

/// Some lines were no questions.
const UNREADABLE: u8 = 3;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        // Whoever reads us has seen enough, as in `tidegate evaluate … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "tidegate: {}", describe(&error));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What went wrong, with everything that the caller needs to mend it.
fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<AppError>() {
        Some(AppError::Invalid { field, detail }) if !field.is_empty() => format!("{field}: {detail}"),
        Some(AppError::DoesNotCompile { issues }) => {
            // Paths within the request's body, which has the flag file as `file`.
            let place = |path: &str| path.strip_prefix("/file").unwrap_or(path).to_owned();
            let issues: Vec<_> =
                issues.iter().map(|issue| format!("  {}: {}", place(&issue.path), issue.message)).collect();
            format!("the change does not compile\n{}", issues.join("\n"))
        }
        _ => format!("{error:#}"),
    }
}

/// Feature flags and progressive rollouts: server and tools in one binary.
///
/// `tidegate serve` starts the server, on SQLite in `.tidegate` unless told otherwise, and prints a one-time link that
/// makes the first account. `tidegate help COMMAND` says more about each command.
#[derive(Parser)]
#[command(name = "tidegate", bin_name = "tidegate", version, max_term_width = 100, after_help = CONFIGURATION_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const CONFIGURATION_HELP: &str = "\
Configuration: each setting is a flag (--public-url), a variable (TIDEGATE_PUBLIC_URL) or a key of a TOML file \
(public_url), in that order. --config or TIDEGATE_CONFIG names the file. Unknown keys and unknown TIDEGATE_* variables \
are refused.

Exit codes: 0 done, 1 failed (standard error says why), 2 the command line is wrong.";

#[derive(Subcommand)]
enum Command {
    /// Start the server
    ///
    /// Makes the database or brings it up to date, listens, and prints its address. Where there is nobody yet who could
    /// sign in, it prints a one-time link that makes the first account. SIGTERM and SIGINT stop it: it says goodbye to
    /// SDKs, finishes the requests in flight, and ends with 0.
    Serve {
        /// Serve a demo project instead, from demo.db in the data folder: a shop with three environments and ten flags
        ///
        /// Prints a one-time sign-in link and the command that starts the example application. Its SDK keys are the same
        /// everywhere, so it listens on loopback addresses only. `cargo xtask run` starts it.
        #[arg(long)]
        demo: bool,
        /// With `--demo`: begin two rollouts, one of them faulty, and run this program beside the server: an application that
        /// asks the flags, with `TIDEGATE_URL` and `TIDEGATE_SDK_KEY` set
        #[arg(long, value_name = "PROGRAM", requires = "demo")]
        traffic: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Print the configuration that the other commands would use, secrets left out
    Config(ConfigArgs),
    /// Make the database, or bring it up to date; `serve` does it too
    Migrate {
        /// The database was restored from a dump of PostgreSQL: SDKs are to follow it, although they have seen later changes. A file that
        /// `tidegate backup` wrote needs nothing
        #[arg(long)]
        restored: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Write a copy of the SQLite database to a file, while the server runs
    ///
    /// To restore it, stop the server and put the file in the database's place: SDKs follow it, although they have seen later changes.
    Backup {
        /// The copy; it must not be there yet
        file: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Add, list and archive people; make links that sign them in
    User {
        #[command(subcommand)]
        command: UserCommand,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make, list and revoke API tokens
    Token {
        #[command(subcommand)]
        command: TokenCommand,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make, list and revoke SDK keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Check, export and apply flag files
    #[command(subcommand)]
    Flags(FlagsCommand),
    /// Start, watch and move rollouts of a running server
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// Check the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Evaluate flags of a file for contexts from standard input, without a server
    ///
    /// Reads one JSON object per line, {"flag": "new-checkout", "context": {"targetingKey": "user-1", "country": "NL"}};
    /// other fields are ignored. Answers each, in order, with one line on standard output:
    /// {"flag", "value", "variant", "reason", "errorCode", "bucket"}, null where there is none. A line that is no such
    /// object is answered with the error code PARSE_ERROR or INVALID_CONTEXT and an "errorMessage", and the next one is
    /// read. Lines have at most 64 MiB.
    ///
    /// Exit codes: 0 all lines were questions, 1 failed, 2 the command line is wrong, 3 all lines were answered, and some
    /// were no questions.
    Evaluate(EvaluateArgs),
    /// Evaluate one flag of a file for one context, and tell every step
    Explain(ExplainArgs),
    /// Print a file that is made from the code
    #[command(hide = true)]
    Generate {
        /// Which.
        what: Generated,
    },
}

/// Settings; a variable or the file may give them too.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
struct ConfigArgs {
    /// A TOML file of settings, named as the variables without TIDEGATE_, in lower case [variable: TIDEGATE_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of everything the server writes [variable: TIDEGATE_DATA_DIR] [default: .tidegate]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// A path, `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME` [variable: TIDEGATE_DATABASE] [default: tidegate.db in
    /// the data folder]
    #[arg(long, global = true, value_name = "DATABASE")]
    database: Option<String>,
    /// Address and port to listen on [variable: TIDEGATE_LISTEN] [default: 127.0.0.1:8580]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where people reach the server; with https:// cookies are for TLS only [variable: TIDEGATE_PUBLIC_URL] [default: the
    /// address it listens on]
    #[arg(long, global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Networks of proxies whose X-Forwarded-For is believed, by commas [variable: TIDEGATE_TRUSTED_PROXIES]
    #[arg(long, global = true, value_name = "NETWORKS")]
    trusted_proxies: Option<String>,
    /// Whether everybody may read /metrics; else this machine and instance administrators [variable:
    /// TIDEGATE_PUBLIC_METRICS] [default: false]
    #[arg(long, global = true, value_name = "BOOLEAN", num_args = 0..=1, default_missing_value = "true")]
    public_metrics: Option<String>,
    /// error, warn, info, debug or trace, or directives like info,tidegate_server::stream=debug [variable:
    /// TIDEGATE_LOG_LEVEL] [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json [variable: TIDEGATE_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Seconds that requests may go on once the server has been told to stop [variable: TIDEGATE_SHUTDOWN_DEADLINE]
    /// [default: 20]
    #[arg(long, global = true, value_name = "SECONDS")]
    shutdown_deadline: Option<String>,
    /// The mail server for notifications: `smtps://user:password@mail.example.org`, or `smtp://…` for STARTTLS [variable:
    /// TIDEGATE_SMTP_URL]
    #[arg(long, global = true, value_name = "URL")]
    smtp_url: Option<String>,
    /// Whom notifications by mail are from: `Tidegate <tidegate@example.org>` [variable: TIDEGATE_SMTP_FROM]
    #[arg(long, global = true, value_name = "ADDRESS")]
    smtp_from: Option<String>,
    /// Hosts and networks of metric sources and webhooks that are asked although they are private, by commas:
    /// `prometheus.internal:9090`, `10.0.0.0/8` [variable: TIDEGATE_OUTGOING_ALLOW]
    #[arg(long, global = true, value_name = "PLACES")]
    outgoing_allow: Option<String>,
    /// Certificates of authorities for the TLS with other systems, beside those of the web, as PEM [variable:
    /// TIDEGATE_OUTGOING_CA]
    #[arg(long, global = true, value_name = "FILE")]
    outgoing_ca: Option<String>,
    /// A TOML file of credentials for other systems; or one variable TIDEGATE_CREDENTIAL_NAME each [variable:
    /// TIDEGATE_CREDENTIALS]
    #[arg(long, global = true, value_name = "FILE")]
    credentials: Option<String>,
}

#[derive(Subcommand)]
enum FlagsCommand {
    /// Check a flag file: its form, and what compiling it finds
    ///
    /// Prints every issue with the JSON Pointer of its place. Warnings do not fail.
    Validate {
        /// The flag file
        file: PathBuf,
    },
    /// Print an environment as a flag file
    Export {
        #[command(flatten)]
        environment: EnvironmentArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Make an environment what a flag file says, in one commit
    ///
    /// Versions and kill states in the file are not applied: the server counts versions, and people kill and restore. A
    /// flag that is there keeps its salt.
    Apply {
        #[command(flatten)]
        apply: ApplyArgs,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Walk the hash chain from the first row to the last; fail at the first row that is damaged
    ///
    /// Prints the number of rows and the newest hash. A chain cannot show that its newest rows were cut off: compare with
    /// what was printed before.
    Verify(ConfigArgs),
}

#[derive(Args)]
struct EvaluateArgs {
    /// The flag file
    #[arg(long, value_name = "FILE")]
    flags: PathBuf,
    /// The time of the evaluations [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
    now: Option<Timestamp>,
    /// How many threads to work with; each takes a megabyte of input at a time
    #[arg(long, default_value = "1", value_parser = parse_threads)]
    threads: NonZeroUsize,
}

#[derive(Args)]
struct ExplainArgs {
    /// The flag file
    #[arg(long, value_name = "FILE")]
    flags: PathBuf,
    /// The flag's key
    #[arg(long, value_name = "KEY")]
    flag: String,
    /// The evaluation context, like '{"targetingKey": "user-1", "country": "NL"}'
    #[arg(long, value_name = "JSON", default_value = "{}")]
    context: String,
    /// The time of the evaluation [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = parse_time)]
    now: Option<Timestamp>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Generated {
    /// openapi/openapi.json
    Openapi,
    /// spec/flags.schema.json
    FlagSchema,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "not a time like 2026-03-01T12:00:00Z".to_owned())?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).map(Timestamp).map_err(|error| error.to_string())
}

fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    let n_threads = text.parse::<NonZeroUsize>().ok().filter(|n| n.get() <= 256);
    n_threads.ok_or_else(|| "not a number from 1 to 256".to_owned())
}

fn run(command: Command) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        Command::Serve { demo, traffic, config } => {
            let data = if demo { Data::Demo { traffic } } else { Data::Configured };
            let config = config.read()?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve::serve(&config, &data, &mut out))?;
        }
        Command::Migrate { restored, config } => {
            block_on(wiring::migrate(&config.read()?.database, restored))?;
            writeln!(out, "the database is up to date{}", if restored { ", and another timeline" } else { "" })?;
        }
        Command::Backup { file, config } => {
            block_on(wiring::back_up(&config.read()?.database, &file))?;
            writeln!(out, "{}", file.display())?;
        }
        Command::User { command, config } => administer(config, &mut out, async |session| session.user(command).await)?,
        Command::Token { command, config } => {
            administer(config, &mut out, async |session| session.token(command).await)?;
        }
        Command::Key { command, config } => administer(config, &mut out, async |session| session.key(command).await)?,
        Command::Flags(FlagsCommand::Export { environment, config }) => {
            administer(config, &mut out, async |session| session.export(environment.into()).await)?;
        }
        Command::Flags(FlagsCommand::Apply { apply, config }) => {
            administer(config, &mut out, async |session| session.apply(apply).await)?;
        }
        Command::Rollout(command) => {
            return block_on(rollout::run(command, &mut out));
        }
        Command::Audit(AuditCommand::Verify(args)) => {
            administer(args, &mut out, async |session| session.verify().await)?;
        }
        Command::Config(args) => {
            for (name, text) in args.read()?.redacted() {
                writeln!(out, "{name} = {text:?}")?;
            }
        }
        Command::Flags(FlagsCommand::Validate { file }) => return validate(&file, &mut out),
        Command::Evaluate(args) => return evaluate(&args, &mut out),
        Command::Explain(args) => {
            let ruleset = ruleset(&args.flags)?;
            let context = serde_json::from_str(&args.context).context("`--context` is no JSON")?;
            let context = Context::from_json(&context).map_err(|detail| anyhow!("`--context`: {detail}"))?;
            let explanation = tidegate_core::explain(&ruleset, &args.flag, &context, now(args.now));
            write!(out, "{}", explain::render(&args.flag, &explanation))?;
        }
        Command::Generate { what: Generated::Openapi } => write!(out, "{}", crate::http::openapi_json())?,
        Command::Generate { what: Generated::FlagSchema } => writeln!(out, "{:#}", generate::flag_schema())?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the configured database and works on it.
fn administer<'o>(
    args: ConfigArgs,
    out: &'o mut dyn Write,
    work: impl AsyncFnOnce(Session<'o>) -> Result<()>,
) -> Result<()> {
    let config = args.read()?;
    block_on(async {
        let app = wiring::open(&config.database).await?;
        work(Session { app, public_url: config.public_url(), out }).await
    })
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn now(given: Option<Timestamp>) -> Timestamp {
    given.unwrap_or_else(|| SystemClock.now())
}

/// The file's ruleset; what is wrong with it goes to standard error.
fn ruleset(path: &Path) -> Result<Ruleset> {
    let (ruleset, issues) = flag_file::compile_tolerantly(&flag_file::read(path)?)?;
    let mut err = io::stderr().lock();
    for issue in issues {
        writeln!(err, "tidegate: {}", flag_file::describe(&issue))?;
    }
    Ok(ruleset)
}

fn evaluate(args: &EvaluateArgs, out: &mut dyn Write) -> Result<ExitCode> {
    let ruleset = ruleset(&args.flags)?;
    let lines = evaluate::evaluate_lines(&ruleset, now(args.now), args.threads, &mut io::stdin().lock(), out)?;
    Ok(if lines.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNREADABLE) })
}

fn validate(path: &Path, out: &mut dyn Write) -> Result<ExitCode> {
    let json = flag_file::read(path)?;
    let file = flag_file::parse_strictly(&json)?;
    let (_, issues) = tidegate_core::compile(&file);
    for issue in &issues {
        writeln!(out, "{}", flag_file::describe(issue))?;
    }
    let n_errors = issues.iter().filter(|issue| issue.severity > Severity::Warning).count();
    if n_errors > 0 {
        writeln!(out, "errors: {n_errors}, warnings: {}", issues.len() - n_errors)?;
        return Ok(ExitCode::FAILURE);
    }
    let (n_flags, n_segments) = (file.flags.len(), file.segments.len());
    writeln!(out, "no errors; flags: {n_flags}, segments: {n_segments}, warnings: {}", issues.len())?;
    Ok(ExitCode::SUCCESS)
}

impl ConfigArgs {
    /// Reads flags, variables and the file.
    fn read(self) -> Result<Config> {
        let path = self.config.clone().or_else(|| env::var_os(FILE_VARIABLE).map(PathBuf::from));
        let file = match path {
            None => None,
            Some(path) => {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
                Some((path, text))
            }
        };
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        Ok(Config::read(&Sources { flags: self.given(), variables, file })?)
    }

    fn given(self) -> BTreeMap<&'static str, String> {
        let all = [
            ("data_dir", self.data_dir),
            ("database", self.database),
            ("listen", self.listen),
            ("public_url", self.public_url),
            ("trusted_proxies", self.trusted_proxies),
            ("public_metrics", self.public_metrics),
            ("log_level", self.log_level),
            ("log_format", self.log_format),
            ("shutdown_deadline", self.shutdown_deadline),
            ("smtp_url", self.smtp_url),
            ("smtp_from", self.smtp_from),
            ("outgoing_allow", self.outgoing_allow),
            ("outgoing_ca", self.outgoing_ca),
            ("credentials", self.credentials),
        ];
        all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::SETTINGS;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag() {
        let command = ConfigArgs::augment_args(clap::Command::new("tidegate"));
        let mut flags: Vec<_> = command.get_arguments().map(|argument| argument.get_id().as_str().to_owned()).collect();
        flags.retain(|flag| flag != "config");
        assert_eq!(flags, SETTINGS);
    }

    #[test]
    fn every_command_takes_the_settings_after_its_name_unless_it_opens_nothing() {
        let mut command = Cli::command();
        command.build();
        let takes_settings = |it: &&clap::Command| it.get_arguments().any(|argument| argument.get_id() == "data_dir");
        let without = commands_below(&command).into_iter().filter(|it| !takes_settings(it));
        let names = without.filter_map(clap::Command::get_bin_name);
        // Rollouts are asked of a running server.
        let names: Vec<_> = names.filter(|name| !name.starts_with("tidegate rollout ")).collect();
        let expected = ["flags validate", "evaluate", "explain", "generate"].map(|name| format!("tidegate {name}"));
        assert_eq!(names, expected);
    }

    /// The commands that do something themselves.
    fn commands_below(command: &clap::Command) -> Vec<&clap::Command> {
        if command.has_subcommands() {
            command.get_subcommands().filter(|it| it.get_name() != "help").flat_map(commands_below).collect()
        } else {
            vec![command]
        }
    }
}

//! Two processes on two cores: one serves, the other asks. The same program plays every part.
//!
//! The program starts itself again, pinned by `taskset`, with the part to play in `TIDEGATE_BENCH_PART`; a served part prints one line when it is
//! ready, which tells where, and lives until its standard input closes.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use tokio::sync::mpsc;

/// The environment variable that names the part to play.
const PART: &str = "TIDEGATE_BENCH_PART";

/// The core that serves.
pub const SERVING_CORE: usize = 0;

/// The core that asks.
pub const ASKING_CORE: usize = 1;

/// The part that this process is to play; `None`: it is the director.
pub fn part() -> Option<String> {
    env::var(PART).ok()
}

/// What was named on the command line: `cargo bench -- NAME` runs every bench with it, and `--test` and the like are criterion's.
pub fn named() -> Vec<String> {
    env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect()
}

/// Plays a part to its end, on as many workers as there are cores to run on: one.
///
/// # Errors
/// As the part.
pub fn play(part: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(part)
}

/// Tells the director a line.
///
/// # Errors
/// Where nobody listens any more.
#[expect(clippy::print_stdout, reason = "this is how parts speak")]
pub fn tell(line: &str) -> Result<()> {
    println!("{line}");
    Ok(io::stdout().flush()?)
}

/// What the director says, line by line; ends with it.
pub fn orders() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Until the director closes our input.
pub async fn until_alone() {
    while orders().recv().await.is_some() {}
}

/// Microseconds since 1970: the one clock that processes share.
#[expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
pub fn now_us() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64() * 1e6
}

/// A process on a core of its own.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Actor {
    /// Starts this program again on `core`, to play `part`.
    ///
    /// # Errors
    /// Where `taskset` (Debian: util-linux) is missing.
    pub fn start(part: &str, core: usize, arguments: &[&str]) -> io::Result<Self> {
        let program = env::current_exe()?;
        // Thousands of sockets: as many descriptors as the system gives.
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n 65536 2>/dev/null; exec taskset --cpu-list \"$@\"", "sh"])
            .arg(core.to_string())
            .arg(program)
            .args(arguments)
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        Ok(Self { child, output: BufReader::new(output) })
    }

    /// Tells it a line.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| io::Error::other("no input"))?;
        writeln!(input, "{line}")?;
        input.flush()
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// Where it has ended instead.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the process has ended"));
        }
        Ok(line.trim_end().to_owned())
    }

    /// What it has used and holds.
    ///
    /// # Errors
    /// Where `/proc` does not tell.
    pub fn usage(&self) -> io::Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used and holds.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time, user and system.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub resident: u64,
}

impl Usage {
    /// Of the process `pid`.
    ///
    /// # Errors
    /// Where `/proc` does not tell.
    pub fn of(pid: u32) -> io::Result<Self> {
        /// Linux counts CPU time in hundredths of a second on every architecture that we know.
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold spaces.
        let fields: Vec<_> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u32>().ok()).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        Ok(Self {
            cpu: TICK * (number(11) + number(12)),
            resident: kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default() * 1_024,
        })
    }
}

/// Of sorted figures, the one below which `share` of them lie.
pub fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index, rounded"
    )]
    let index = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

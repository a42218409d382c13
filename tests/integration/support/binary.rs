//! The real binary, as a process.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// The binary `tidegate`. Built by this package from the server's own `main.rs`, so cargo keeps it as fresh as the tests.
pub fn tidegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate-under-test"));
    // Whatever the shell has configured is not this test's business.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running `tidegate serve`; killed when dropped.
pub struct Server {
    /// Like `http://127.0.0.1:40123`.
    pub url: String,
    /// What it printed before it listened: the set-up link, say.
    pub greeting: Vec<String>,
    child: Child,
    log: PathBuf,
    // Kept open: a server whose standard output is gone could not print any more.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server that keeps its data in `data_dir`, with a free port unless `args` say `--listen`, and waits until
    /// it listens. Its log goes to `data_dir/server.log`.
    #[track_caller]
    pub fn start(data_dir: &Path, args: &[&str]) -> Self {
        Self::run(tidegate(), data_dir, args)
    }

    /// As [`start`](Self::start), and the process may have that many files and sockets open.
    #[track_caller]
    pub fn start_with_descriptors(data_dir: &Path, n_descriptors: usize) -> Self {
        let mut command = Command::new("sh");
        let program = tidegate();
        command.args(["-c", &format!("ulimit -n {n_descriptors}; exec \"$0\" \"$@\"")]).arg(program.get_program());
        // As `tidegate()` has it.
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::run(command, data_dir, &[])
    }

    #[track_caller]
    #[expect(
        clippy::zombie_processes,
        reason = "dropping the server waits for it; only a test that fails here does not"
    )]
    fn run(mut command: Command, data_dir: &Path, args: &[&str]) -> Self {
        let log = data_dir.join("server.log");
        let log_file = File::options().create(true).append(true).open(&log).unwrap();
        command.current_dir(data_dir).arg("serve").arg("--data-dir").arg(data_dir);
        if !args.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = Vec::new();
        loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let status = child.wait().unwrap();
                panic!("the server ended with {status}:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            if let Some((_, url)) = line.trim_end().split_once("listens on ") {
                let url = url.to_owned();
                return Self { url, greeting, child, log, _stdout: stdout };
            }
            greeting.push(line.trim_end().to_owned());
        }
    }

    /// The address alone, for `--listen` of the next start.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The most memory that it has had resident so far, in KiB.
    #[track_caller]
    pub fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect(&status);
        peak.trim().trim_end_matches(" kB").parse().expect(peak)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What follows `prefix` in a word of the greeting.
    #[track_caller]
    pub fn told(&self, prefix: &str) -> String {
        let mut words = self.greeting.iter().flat_map(|line| line.split_whitespace());
        let found = words.find_map(|word| word.strip_prefix(prefix));
        found.unwrap_or_else(|| panic!("no {prefix} in {:?}", self.greeting)).to_owned()
    }

    /// The first `http…/#/link/…` of the greeting.
    #[track_caller]
    pub fn link(&self) -> String {
        let words = self.greeting.iter().flat_map(|line| line.split_whitespace());
        let link = words.into_iter().find(|word| word.contains("/#/link/"));
        link.unwrap_or_else(|| panic!("no link in {:?}", self.greeting)).to_owned()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `kill -9`, and another one on what it left, at another port.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let data_dir = self.log.parent().expect("the log is in the folder of the data").to_owned();
        *self = Self::start(&data_dir, &[]);
    }

    /// SIGTERM, and how the process ended.
    pub fn terminate(self) -> ExitStatus {
        self.stop("TERM")
    }

    /// Sends a signal, like `TERM` or `INT`, and waits for the end.
    pub fn stop(mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(status.success(), "kill -s {signal} {pid}");
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

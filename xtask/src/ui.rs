//! The admin UI: packages, checks, build. What did not change is not installed or built again.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::step::{at_root, installed, root, run, step, target_dir};

/// Written by `npm run build`, embedded by the server.
const BUILT: &str = "admin-ui/dist/index.html";

/// Installs the packages of the UI.
pub fn install() -> Result<()> {
    install_in(&folder())
}

/// Installs other people's clients, which the tests run against the server.
pub fn install_clients() -> Result<()> {
    install_in(&root().join("tests/clients"))
}

/// Installs the packages of a folder's lock file.
pub fn install_in(folder: &Path) -> Result<()> {
    if !(installed("node") && installed("npm")) {
        bail!("please install Node.js 20.19 or newer with npm: the admin UI and the JavaScript SDK are built with it");
    }
    let lock_hash = hash_files(&[folder.join("package-lock.json")])?;
    let what = format!("npm ci in {}", folder.strip_prefix(root()).unwrap_or(folder).display());
    // Inside node_modules, so that it goes when they go.
    unless_stamped(&folder.join("node_modules/.xtask-stamp"), lock_hash, || {
        step(&what, || run(npm().current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])))
    })
}

/// Lint, types and unit tests.
pub fn check() -> Result<()> {
    for script in ["lint", "typecheck", "test"] {
        step(&format!("npm run {script}"), || run(npm().args(["run", "--silent", script])))?;
    }
    Ok(())
}

/// Builds what the server embeds.
pub fn build() -> Result<()> {
    let mut sources = Vec::new();
    list_files(&folder(), &mut sources)?;
    sources.sort();
    let stamp = target_dir().join("xtask/admin-ui.stamp");
    if !root().join(BUILT).exists() {
        let _ = fs::remove_file(&stamp);
    }
    unless_stamped(&stamp, hash_files(&sources)?, || {
        step("npm run build", || run(npm().args(["run", "--silent", "build"])))
    })
}

/// npm in the UI's folder.
pub fn npm() -> Command {
    let mut command = at_root("npm");
    command.current_dir(folder());
    command
}

fn folder() -> PathBuf {
    root().join("admin-ui")
}

/// Does `work`, and remembers so in the file `stamp`, unless that says that it was done for this hash.
pub fn unless_stamped(stamp: &Path, hash: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let hash = format!("{hash:016x}");
    if fs::read_to_string(stamp).is_ok_and(|stamped| stamped == hash) {
        return Ok(());
    }
    work()?;
    if let Some(folder) = stamp.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(stamp, hash).with_context(|| format!("cannot write {}", stamp.display()))
}

/// A hash of names and contents; a stamp that another Rust version wrote differently only costs a build.
pub fn hash_files(paths: &[PathBuf]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        path.hash(&mut hasher);
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        } else if !["node_modules", "dist"].into_iter().any(|name| entry.file_name() == name) {
            list_files(&entry.path(), files)?;
        }
    }
    Ok(())
}

//! Generated files: committed, never edited, compared byte for byte by the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    step::{at_root, output, root, run as run_command, step, target_dir},
    ui,
};

/// What to do with the generated files.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    /// Write them.
    Write,
    /// Fail where one is not what would be written, and leave them as they are.
    MustBeCurrent,
}

/// What the server's binary prints, and where it is kept.
const FROM_SERVER: [(&str, &str); 2] = [("openapi", "openapi/openapi.json"), ("flag-schema", "spec/flags.schema.json")];

/// The folder that the UI's generator writes.
const UI_CLIENT: &str = "admin-ui/src/api/generated";

/// Generates everything; the server's binary is built before.
pub fn run(generated: Generated) -> Result<()> {
    step("generated files", || {
        let before = read_all()?;
        let written = write_all();
        if generated == Generated::Write {
            return written;
        }
        let after = read_all()?;
        restore(&before, &after)?;
        written?;
        let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let stale = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
        let stale: Vec<_> = stale.map(|path| path.strip_prefix(root()).unwrap_or(path).display().to_string()).collect();
        if !stale.is_empty() {
            bail!("out of date: {}; run `cargo xtask codegen` and commit", stale.join(", "));
        }
        Ok(())
    })
}

fn write_all() -> Result<()> {
    let server = target_dir().join("debug/tidegate");
    for (what, path) in FROM_SERVER {
        let text = output(at_root(&server).args(["generate", what]))?;
        let path = root().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    run_command(ui::npm().args(["run", "--silent", "codegen"]))
}

fn read_all() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for (_, path) in FROM_SERVER {
        let path = root().join(path);
        if path.exists() {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    read_folder(&root().join(UI_CLIENT), &mut files)?;
    Ok(files)
}

fn read_folder(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, files)?;
        } else {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(())
}

fn restore(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        fs::remove_file(path)?;
    }
    for (path, bytes) in before.iter().filter(|(path, bytes)| after.get(*path) != Some(bytes)) {
        fs::write(path, bytes)?;
    }
    Ok(())
}

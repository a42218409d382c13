//! Python's packages for the tests: a virtual environment beside what cargo builds.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{
    step::{at_root, root, run, step, target_dir},
    ui,
};

/// What is to be installed: each package with its version and hashes.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

/// Whether there is a Python that can make the environment.
pub fn found() -> bool {
    python().is_some()
}

/// A Python new enough for the packages, with what makes environments: the first on the path, or Debian's.
fn python() -> Option<&'static str> {
    const ABLE: &str = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))";
    let able = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", ABLE]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(able)
}

/// Makes the environment `target/python` with the packages of the tests, unless it is there.
pub fn install() -> Result<()> {
    let Some(python) = python() else {
        bail!("please install Python 3.11 or newer with its module `venv`: clients in Python are tested");
    };
    let environment = environment();
    let requirements = ui::hash_files(&[root().join(REQUIREMENTS)])?;
    // Inside the environment, so that it goes when it goes.
    let stamp = environment.join("xtask-stamp");
    if !environment.join("bin/python").exists() {
        // A link to a Python that was there once.
        let _ = fs::remove_file(&stamp);
    }
    ui::unless_stamped(&stamp, requirements, || {
        step(&format!("pip install {REQUIREMENTS}"), || {
            let _ = fs::remove_dir_all(&environment);
            run(at_root(python).args(["-m", "venv"]).arg(&environment))?;
            // What a wheel is made from is not built here: that could run anything.
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"];
            let pinned = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", REQUIREMENTS];
            run(at_root(environment.join("bin/python")).args(pip).args(pinned))
        })
    })
}

/// Where tests look for it, too.
fn environment() -> PathBuf {
    let target = target_dir();
    // As cargo has it: from where it was called, which is the root here.
    if target.is_absolute() { target } else { root().join(target) }.join("python")
}

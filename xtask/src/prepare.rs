//! What the tests need and a fresh machine lacks: installed where we may and can, named where not.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    python,
    step::{at_root, installed, output, run, step},
    wasm_std,
};

/// The target the evaluator must build for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Whether the standard library of [`WASM_TARGET`] is there.
#[derive(Clone, Copy)]
pub enum Wasm {
    /// It is.
    Installed,
    /// It is not, and we said so.
    Missing,
}

/// Whether a CI service runs us: nothing may be left out then.
pub fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// A program of the system that tests drive.
struct SystemPackage {
    /// Its name in Debian.
    debian: &'static str,
    /// What tests do with it.
    what_for: &'static str,
    /// Whether it is there.
    found: fn() -> bool,
}

const SYSTEM_PACKAGES: [SystemPackage; 4] = [
    SystemPackage { debian: "chromium", what_for: "the browser tests drive it", found: chromium_found },
    SystemPackage {
        debian: "postgresql",
        what_for: "the store tests start private servers from its binaries",
        found: postgresql_found,
    },
    SystemPackage {
        debian: "prometheus",
        what_for: "the tests of gates on metrics start private servers",
        found: prometheus_found,
    },
    SystemPackage {
        debian: "python3-venv",
        what_for: "Python 3.11 or newer with its module `venv`: clients in Python are tested",
        found: python::found,
    },
];

fn chromium_found() -> bool {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().any(installed)
}

fn prometheus_found() -> bool {
    installed("prometheus")
}

/// Debian keeps `initdb` off the path, in a folder per major version.
fn postgresql_found() -> bool {
    installed("initdb")
        || fs::read_dir("/usr/lib/postgresql")
            .is_ok_and(|versions| versions.flatten().any(|version| version.path().join("bin/initdb").is_file()))
}

/// Chromium, PostgreSQL, Prometheus and Python: installed by apt as root on Debian, else asked for.
pub fn system_packages() -> Result<()> {
    let missing: Vec<_> = SYSTEM_PACKAGES.iter().filter(|package| !(package.found)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|package| package.debian).collect();
    if !(Path::new("/etc/debian_version").exists() && installed("apt-get") && is_root()?) {
        let list: Vec<_> =
            missing.iter().map(|package| format!("  {} ({})", package.debian, package.what_for)).collect();
        bail!(
            "please install, and run this again:\n{}\non Debian: sudo apt-get install --no-install-recommends {}",
            list.join("\n"),
            names.join(" ")
        );
    }
    step(&format!("apt-get install {}", names.join(" ")), || {
        let apt_get = || {
            let mut command = at_root("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        run(apt_get().args(["update", "--quiet=2"]))?;
        run(apt_get().args(["install", "--quiet=2", "--yes", "--no-install-recommends"]).args(&names))
    })
}

fn is_root() -> Result<bool> {
    Ok(output(at_root("id").arg("-u"))?.trim_ascii() == b"0")
}

/// The standard library of [`WASM_TARGET`]: where it is missing, added by rustup, or built from Debian's sources.
pub fn wasm_target() -> Result<Wasm> {
    if wasm_target_found()? {
        return Ok(Wasm::Installed);
    }
    if installed("rustup") {
        // Where rustup cannot reach its servers it fails, and the line below says what to do.
        let _ = step(&format!("rustup target add {WASM_TARGET}"), || {
            run(at_root("rustup").args(["target", "add", WASM_TARGET]))
        });
        if wasm_target_found()? {
            return Ok(Wasm::Installed);
        }
    }
    if wasm_std::possible() {
        // It says itself what went wrong; what to do is said below.
        if let Err(error) = wasm_std::build(&wasm_libraries()?) {
            eprintln!("── {error:#}");
        } else if wasm_target_found()? {
            return Ok(Wasm::Installed);
        }
    }
    if in_ci() {
        bail!("{}", how_to_get_wasm());
    }
    eprintln!(
        "── {}; the JavaScript SDK and the admin UI's evaluator are left out, all else is done",
        how_to_get_wasm()
    );
    Ok(Wasm::Missing)
}

/// As [`wasm_target`], for who cannot do without.
pub fn wasm_target_or_fail() -> Result<()> {
    match wasm_target()? {
        Wasm::Installed => Ok(()),
        Wasm::Missing => bail!("{}", how_to_get_wasm()),
    }
}

fn how_to_get_wasm() -> String {
    format!("Rust's standard library for {WASM_TARGET} is missing: `rustup target add {WASM_TARGET}` gets it")
}

fn wasm_target_found() -> Result<bool> {
    Ok(fs::read_dir(wasm_libraries()?)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))))
}

/// Where the compiler in use looks for the target's standard library.
fn wasm_libraries() -> Result<PathBuf> {
    let sysroot = output(at_root("rustc").args(["--print", "sysroot"]))?;
    let sysroot = String::from_utf8_lossy(&sysroot);
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).join("lib"))
}

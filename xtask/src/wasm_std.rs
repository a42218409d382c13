//! Rust's standard library for WebAssembly, where rustup cannot get it: built from the sources of Debian's package `rustc`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    prepare::WASM_TARGET,
    step::{at_root, cargo, installed, output, run, step, target_dir},
};

/// Where Debian keeps the sources of every version that it has packaged lately.
const SOURCES: &str = "Types: deb-src
URIs: http://deb.debian.org/debian
Suites: unstable testing experimental
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// Builds it for the compiler in use, and puts it into `libraries`, below that compiler's sysroot. Downloads about 90 MB, and
/// leaves the system's own package lists alone.
///
/// # Errors
/// Where Debian has no sources of this version (any more), or cannot be reached.
pub fn build(libraries: &Path) -> Result<()> {
    let folder = target_dir().join("xtask/rust-std");
    let version = compiler_version()?;
    let archive =
        step(&format!("download the sources of rustc {version} from Debian"), || download(&folder, &version))?;
    let sources = folder.join("sources");
    step("unpack the library's sources", || {
        let _ = fs::remove_dir_all(&sources);
        fs::create_dir_all(&sources)?;
        let unpack = ["--strip-components=1", "--wildcards", "*/library"];
        run(at_root("tar").arg("-xJf").arg(&archive).arg("-C").arg(&sources).args(unpack))
    })?;
    step(&format!("build the standard library for {WASM_TARGET}"), || {
        // The compiler is a stable one, and its own library needs what is not: as Rust's own build does it.
        run(cargo()
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes")
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .args(["build", "--quiet", "--release", "--target", WASM_TARGET, "--manifest-path"])
            .arg(sources.join("library/sysroot/Cargo.toml"))
            .args(["--no-default-features", "--features", "panic-unwind,compiler-builtins-mem"]))
    })?;
    let built = folder.join("target").join(WASM_TARGET).join("release/deps");
    fs::create_dir_all(libraries).with_context(|| format!("cannot write {}", libraries.display()))?;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        if let (true, Some(name)) = (path.extension().is_some_and(|extension| extension == "rlib"), path.file_name()) {
            fs::copy(&path, libraries.join(name))
                .with_context(|| format!("cannot write to {}", libraries.display()))?;
        }
    }
    Ok(())
}

/// Whether this is a Debian whose package manager can fetch sources.
pub fn possible() -> bool {
    Path::new("/etc/debian_version").exists() && installed("apt-get") && installed("tar")
}

/// Like `1.95.0`.
fn compiler_version() -> Result<String> {
    let text = output(at_root("rustc").arg("--version"))?;
    let text = String::from_utf8_lossy(&text);
    text.split(' ').nth(1).map(str::to_owned).context("rustc does not say its version")
}

/// The archive of the version's original sources.
fn download(folder: &Path, version: &str) -> Result<PathBuf> {
    // Lists and caches of our own: neither root nor the system's configuration is needed.
    let apt = |command: &str| {
        let mut apt = at_root(command);
        apt.current_dir(folder);
        for (option, value) in
            [("Dir::State::lists", "lists"), ("Dir::Cache", "cache"), ("Dir::Etc::sourceparts", "parts")]
        {
            apt.arg("-o").arg(format!("{option}={}", folder.join(value).display()));
        }
        apt.args(["-o", "Dir::Etc::sourcelist=/dev/null"]);
        apt
    };
    for needed in ["lists/partial", "cache/archives/partial", "parts"] {
        fs::create_dir_all(folder.join(needed))?;
    }
    fs::write(folder.join("parts/debian.sources"), SOURCES)?;
    run(apt("apt-get").args(["--quiet=2", "update"]))?;
    let known = output(apt("apt-cache").args(["showsrc", "rustc"]))?;
    let known = String::from_utf8_lossy(&known);
    let mut versions = known.lines().filter_map(|line| line.strip_prefix("Version: "));
    let Some(package) = versions.rfind(|known| known.starts_with(&format!("{version}+"))) else {
        bail!("Debian has no sources of rustc {version}");
    };
    // Fails where a superseded package's description is gone; what was fetched is checked by its hash all the same.
    let fetched = run(apt("apt-get").args(["--quiet=2", "source", "--download-only"]).arg(format!("rustc={package}")));
    let upstream = package.rsplit_once('-').map_or(package, |(upstream, _)| upstream);
    let archive = folder.join(format!("rustc_{upstream}.orig.tar.xz"));
    if archive.exists() { Ok(archive) } else { fetched.and(Err(anyhow::anyhow!("{} did not come", archive.display()))) }
}

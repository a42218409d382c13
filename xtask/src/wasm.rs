//! The JavaScript SDK: its WASM core, the glue and types around it, and the package; and the admin UI's evaluator.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    prepare::WASM_TARGET,
    step::{at_root, cargo, root, run, step, target_dir},
    ui,
};

/// Where the package is.
pub fn folder() -> PathBuf {
    root().join("sdk-wasm")
}

/// Installs the packages that build and test the SDK.
pub fn install() -> Result<()> {
    ui::install_in(&folder())
}

/// Builds the core and the package around it, and says what each part weighs; too much fails.
pub fn build() -> Result<()> {
    let core = Core { package: "tidegate-wasm", name: "tidegate", into: folder().join("js/wasm") };
    core.build()?;
    step("build the JavaScript package", || {
        run(npm().args(["run", "--silent", "build"]))?;
        run(at_root("node").arg(folder().join("scripts/budget.mjs")))
    })
}

/// Builds the evaluator that the admin UI loads; the UI's own build bundles it.
pub fn build_for_ui() -> Result<()> {
    Core { package: "tidegate-ui-wasm", name: "evaluator", into: root().join("admin-ui/src/wasm") }.build()
}

/// A crate that becomes WASM with its glue and types.
struct Core {
    package: &'static str,
    /// What the files are called.
    name: &'static str,
    /// The folder they go to; nothing else is in it.
    into: PathBuf,
}

impl Core {
    /// What is up to date is not built again.
    fn build(&self) -> Result<()> {
        step(&format!("build {} for WASM", self.package), || {
            let build = ["build", "--lib", "--profile", "wasm", "--target", WASM_TARGET, "--package", self.package];
            run(cargo().args(build).args(["--config", &without_local_paths()]))
        })?;
        let built = target_dir().join(WASM_TARGET).join(format!("wasm/{}.wasm", self.package.replace('-', "_")));
        let wasm = self.into.join(format!("{}_bg.wasm", self.name));
        let stamp = target_dir().join(format!("xtask/{}.stamp", self.package));
        if !wasm.exists() {
            let _ = fs::remove_file(&stamp);
        }
        let sources = [built.clone(), root().join("Cargo.lock"), folder().join("package-lock.json")];
        ui::unless_stamped(&stamp, ui::hash_files(&sources)?, || {
            step("wasm-bindgen", || {
                let _ = fs::remove_dir_all(&self.into);
                Bindgen::new()
                    .input_path(&built)
                    .out_name(self.name)
                    .web(true)?
                    .typescript(true)
                    .omit_default_module_path(false)
                    .generate(&self.into)
                    .context("wasm-bindgen cannot read what was built")
            })?;
            step("wasm-opt", || optimize(&wasm))
        })
    }
}

/// Works on what wasm-bindgen wrote: before, the sections that it reads would be gone. What counts is the size after
/// compression, for which `-O1` does more than `-Oz`, and most of all that functions made from one generic are neighbors:
/// gzip looks back 32 KiB. Names are stripped after they have said so. Of the passes beyond `-O1`, these make what is
/// compressed smaller; most make it larger.
fn optimize(wasm: &Path) -> Result<()> {
    run(at_root("node")
        .arg(folder().join("node_modules/binaryen/bin/wasm-opt"))
        .args(["-O1", "--rse", "--dae-optimizing", "--converge", "--reorder-functions-by-name"])
        .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
        .args(FEATURES)
        .arg(wasm)
        .arg("-o")
        .arg(wasm))
}

/// Panics name files. Those of other crates would be named by where this machine keeps them, in what everybody downloads.
fn without_local_paths() -> String {
    let crates = env::var_os("CARGO_HOME").map(PathBuf::from);
    let crates = crates.or_else(|| Some(env::home_dir()?.join(".cargo"))).unwrap_or_default().join("registry/src");
    format!("target.{WASM_TARGET}.rustflags = [{:?}]", format!("--remap-path-prefix={}=crates", crates.display()))
}

/// Lint, types and unit tests of the package.
pub fn check() -> Result<()> {
    for script in ["lint", "typecheck", "test"] {
        step(&format!("npm run {script} in sdk-wasm"), || run(npm().args(["run", "--silent", script])))?;
    }
    Ok(())
}

/// What the compiler uses of WebAssembly, and every browser has since 2021.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-multivalue",
    "--enable-reference-types",
];

fn npm() -> std::process::Command {
    let mut command = at_root("npm");
    command.current_dir(folder());
    command
}

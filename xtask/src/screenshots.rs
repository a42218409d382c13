//! The README's pictures: of the demo, in a browser.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    step::{at_root, root, run, step, target_dir},
    ui,
};

/// Where the README looks for them.
const FOLDER: &str = "docs/images";

/// Serves a new demo, and has the browser make the pictures; server and UI are built before.
pub fn run_all() -> Result<()> {
    let data = target_dir().join("xtask/screenshots");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data)?;
    let mut server = at_root(target_dir().join("debug/tidegate"))
        .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .arg("--traffic")
        .arg(target_dir().join("debug/examples/traffic"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run the server")?;
    let taken = (|| {
        let mut output = BufReader::new(server.stdout.take().context("the server has no output")?).lines();
        let link = output.by_ref().map_while(std::result::Result::ok).find_map(|line| {
            let word = line.split_whitespace().find(|word| word.contains("/#/link/"))?;
            Some(word.to_owned())
        });
        let Some(link) = link else { bail!("the server printed no sign-in link") };
        // It goes on printing: somebody must listen.
        std::thread::spawn(move || output.for_each(drop));
        step("pictures of the demo", || {
            let pictures = root().join(FOLDER);
            run(ui::npm()
                .args(["run", "--silent", "pictures"])
                .env("TIDEGATE_LINK", link)
                .env("TIDEGATE_PICTURES", pictures))
        })
    })();
    let _ = server.kill();
    server.wait()?;
    taken
}

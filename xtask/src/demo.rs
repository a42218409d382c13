//! A server with a new demo, for a browser to look at.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use crate::step::{at_root, target_dir};

/// Serves a demo that nobody has touched, by that server and with the example application's traffic, while `work` has its sign-in link. `name` is
/// that of the folder with its data.
pub fn with_demo(server: &Path, name: &str, work: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let data = target_dir().join("xtask").join(name);
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data)?;
    let mut server = at_root(server)
        .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .arg("--traffic")
        .arg(target_dir().join("debug/examples/traffic"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run the server")?;
    let done = (|| {
        let mut output = BufReader::new(server.stdout.take().context("the server has no output")?).lines();
        let link = output.by_ref().map_while(std::result::Result::ok).find_map(|line| {
            let text = line.split_whitespace().find(|text| text.contains("/#/link/"))?;
            Some(text.to_owned())
        });
        let Some(link) = link else { bail!("the server printed no sign-in link") };
        // It goes on printing: somebody must listen.
        std::thread::spawn(move || output.for_each(drop));
        work(&link)
    })();
    let _ = server.kill();
    server.wait()?;
    done
}

//! HTTP as it is on the wire: what sends prepared requests as fast as it can has no time for a client.

use anyhow::{Context as _, Result, bail};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Reads one answer, and returns the size of its body.
///
/// # Errors
/// Where it is another than 200 or 202, has no length, or does not fit into `buffer`.
pub async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    let (head, length) = loop {
        filled += read(stream, buffer.get_mut(filled..)).await?;
        let so_far = buffer.get(..filled).unwrap_or_default();
        if let Some(end) = so_far.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(so_far.get(..end).unwrap_or_default())?;
            if !["HTTP/1.1 200", "HTTP/1.1 202"].iter().any(|line| head.starts_with(line)) {
                bail!("{}", String::from_utf8_lossy(so_far));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
            break (end + 4, length.parse::<usize>()?);
        }
    };
    while filled < head + length {
        filled += read(stream, buffer.get_mut(filled..)).await?;
    }
    Ok(length)
}

async fn read(stream: &mut TcpStream, room: Option<&mut [u8]>) -> Result<usize> {
    match stream.read(room.context("the answer is too large")?).await? {
        0 => bail!("the server hung up"),
        n_bytes => Ok(n_bytes),
    }
}

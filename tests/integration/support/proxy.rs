//! A network between SDK and server that can fail.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes connections on, while it is open.
pub struct Proxy {
    pub address: SocketAddr,
    is_open: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = Arc::new(watch::Sender::new(true));
        let open = Arc::clone(&is_open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, to, open.subscribe()));
            }
        });
        Self { address, is_open, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nothing gets through, in either direction: no byte, no end of a connection, no refusal. What is on its
    /// way waits, as it does with packets that are sent again.
    pub fn freeze(&self) {
        self.is_open.send_replace(false);
    }

    /// All gets through again.
    pub fn heal(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(client: TcpStream, to: SocketAddr, mut is_open: watch::Receiver<bool>) {
    if is_open.wait_for(|open| *open).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(to).await else { return };
    let (client, server) = (client.into_split(), server.into_split());
    tokio::join!(copy(client.0, server.1, is_open.clone()), copy(server.0, client.1, is_open));
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut is_open: watch::Receiver<bool>) {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).await;
        if is_open.wait_for(|open| *open).await.is_err() {
            return;
        }
        match read {
            Ok(n @ 1..) if to.write_all(&buffer[..n]).await.is_ok() => {}
            _ => {
                // Who is gone need not be told.
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}

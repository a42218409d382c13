//! Serving, and stopping without dropping anybody.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::stream::{Pen, Socket};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub address: SocketAddr,
    /// To send frames with, once the connection is a websocket.
    pub pen: Option<Arc<dyn Pen>>,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { address, pen: None }
    }
}

impl Connected<IncomingStream<'_, Sockets>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Sockets>) -> Self {
        Self { address: *stream.remote_addr(), pen: Some(stream.io().pen()) }
    }
}

struct Sockets(TcpListener);

impl Listener for Sockets {
    type Io = Socket;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Socket, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // A kill and the change set after it are two small frames: with Nagle's algorithm the second would wait for the
        // client's delayed acknowledgement, 40 ms. Where the system refuses, it does.
        let _ = stream.set_nodelay(true);
        (Socket::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Serves `router` until `shutdown` is cancelled. Then no connection is accepted any more, and the requests in flight
/// get up to `drain` to end; what has not ended by then ends with the process. Streams end by themselves, on the same
/// token.
///
/// # Errors
/// As the listener.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(Sockets(listener), service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        result = server => result,
        () = deadline => {
            tracing::warn!(drain_ms = drain.as_millis(), "requests are still in flight: not waiting for them any longer");
            Ok(())
        }
    }
}

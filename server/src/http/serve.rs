//! Serving, and stopping without dropping anybody.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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
    // A kill and the change set after it are two small frames: with Nagle's algorithm the second would wait for the
    // client's delayed acknowledgement, 40 ms. Where the system refuses, it does.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
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

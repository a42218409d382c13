//! TLS, or what stands for it where the crate is built without the feature `tls`.

use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error,
        handshake::client::{Request, Response},
        protocol::WebSocketConfig,
    },
};

use crate::builder::BuildError;

pub(crate) use imp::Tls;

type Opened = Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, Response), Error>;

#[cfg(feature = "tls")]
mod imp {
    use std::{io, sync::Arc};

    use tokio_tungstenite::{Connector, client_async_tls_with_config};

    use super::{BuildError, Opened, Request, TcpStream, WebSocketConfig};

    /// TLS with the roots of the web.
    #[derive(Clone)]
    pub(crate) struct Tls(Arc<rustls::ClientConfig>);

    impl Tls {
        /// The provider is named: an application may have another one as its default, or two.
        pub fn new() -> Result<Self, BuildError> {
            let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| BuildError::Tls(io::Error::other(error)))?
                .with_root_certificates(roots)
                .with_no_client_auth();
            Ok(Self(Arc::new(config)))
        }

        pub async fn open(self, request: Request, stream: TcpStream, config: WebSocketConfig) -> Opened {
            client_async_tls_with_config(request, stream, Some(config), Some(Connector::Rustls(self.0))).await
        }
    }
}

#[cfg(not(feature = "tls"))]
mod imp {
    use std::io;

    use super::{BuildError, Opened, Request, TcpStream, WebSocketConfig};

    /// There is none.
    #[derive(Clone)]
    pub(crate) enum Tls {}

    impl Tls {
        pub fn new() -> Result<Self, BuildError> {
            let cause = "this program was built without the feature `tls` of the crate `tidegate`";
            Err(BuildError::Tls(io::Error::other(cause)))
        }

        #[expect(clippy::unused_async, reason = "as its counterpart")]
        pub async fn open(self, _: Request, _: TcpStream, _: WebSocketConfig) -> Opened {
            match self {}
        }
    }
}

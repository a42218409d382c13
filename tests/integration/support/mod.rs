//! What several tests share.

pub mod app;
pub mod binary;
pub mod interrupted;
pub mod peer;
pub mod postgres;
pub mod prometheus;
pub mod proxy;
pub mod rollout;
pub mod shop;

use std::time::Duration;

/// Nothing in a test takes long; what does, hangs.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it took too long")
}

/// Waits until it is so.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

//! The adapters of metric sources: each question becomes requests, and what comes back becomes one number or a problem.

mod http;
mod prometheus;
mod promql;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tidegate_rollout::reading::{Problem, Sample};
use tokio::time::{sleep, timeout};

use crate::ports::{
    Clock, Metrics, Outgoing,
    metrics::{Place, SourceKind},
    outgoing::{OutgoingError, Request, Response},
};

/// Asks metric sources over HTTP.
pub struct Sources {
    outgoing: Arc<dyn Outgoing>,
    clock: Arc<dyn Clock>,
}

/// How often a question is repeated whose answer may be another the next time.
const MAX_RETRIES: u32 = 2;

/// How long to wait before the first repetition; twice as long before the second.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The largest answer: a query that answers more than one number is of no use.
const MAX_BYTES: usize = 256 * 1024;

impl Sources {
    /// Asks by this way out; the clock is for answers that do not say when they were measured.
    pub fn new(outgoing: Arc<dyn Outgoing>, clock: Arc<dyn Clock>) -> Self {
        Self { outgoing, clock }
    }

    async fn ask_once(&self, place: &Place, query: &str, within: Duration) -> Result<Sample, Problem> {
        match place.kind {
            SourceKind::Prometheus => prometheus::ask(self, place, query, within).await,
            SourceKind::Http => http::ask(self, place, query, within).await,
        }
    }

    async fn send(&self, request: Request, place: &Place, within: Duration) -> Result<Response, Problem> {
        let credential = place.credential.clone();
        let request = Request { credential, timeout: within, max_bytes: MAX_BYTES, ..request };
        self.outgoing.send(request).await.map_err(|error| match error {
            OutgoingError::Timeout => Problem::Timeout,
            error => Problem::Unreachable { why: error.to_string() },
        })
    }
}

#[async_trait]
impl Metrics for Sources {
    async fn ask(&self, place: &Place, query: &str, within: Duration) -> Result<Sample, Problem> {
        let mut problem = Problem::Timeout;
        let asking = async {
            // One that gets no answer leaves time for another.
            let each = within / 2;
            let mut answer = self.ask_once(place, query, each).await;
            for n in 1..=MAX_RETRIES {
                match answer {
                    Err(found) if may_pass(&found) => problem = found,
                    answer => return answer,
                }
                sleep(RETRY_AFTER * n).await;
                answer = self.ask_once(place, query, each).await;
            }
            answer
        };
        let answer = timeout(within, asking).await;
        answer.unwrap_or(Err(problem))
    }
}

/// Whether the answer may be another a moment later.
fn may_pass(problem: &Problem) -> bool {
    match problem {
        Problem::Timeout | Problem::Unreachable { .. } => true,
        Problem::Status { status } => *status == 429 || *status >= 500,
        _ => false,
    }
}

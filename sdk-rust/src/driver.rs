//! The client's one task: feeds the sync machine and does what it says.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tidegate_protocol::{Effect, Snapshot, Status, Synchronizer, sync::Lost};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    cache::Cache,
    shared::Shared,
    socket::{Endpoint, Frame, Socket, Trouble},
    system::{self, Monotonic},
    telemetry::Outbox,
};

/// A frame that the server does not take within this time ends the connection.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Saying goodbye may take this long.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The last exposures and measurements may take this long.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the last exposures are asked for, where evaluations go on counting in them.
const MAX_GATHERS: usize = 100;

/// Changes within this time are written to the cache file at once.
const CACHE_DELAY_MS: u64 = 1_000;

pub(crate) struct Driver {
    machine: Synchronizer,
    shared: Arc<Shared>,
    endpoint: Endpoint,
    clock: Monotonic,
    link: Link,
    cache: Option<CacheWriter>,
    outbox: Option<Outbox>,
    stop: Arc<tokio::sync::Notify>,
}

/// The connection, in its three states.
enum Link {
    Down,
    Opening(Pin<Box<dyn Future<Output = Result<Socket, Trouble>> + Send>>),
    Open(Box<Socket>),
}

/// What happened on the link.
enum Happened {
    Opened(Box<Socket>),
    Frame(Frame),
    Lost(Trouble),
}

impl Link {
    /// Waits for what happens next; for ever where there is no connection. Cancel safe.
    async fn next(&mut self) -> Happened {
        match self {
            Self::Down => std::future::pending().await,
            Self::Opening(opening) => match opening.await {
                Ok(socket) => Happened::Opened(Box::new(socket)),
                Err(trouble) => Happened::Lost(trouble),
            },
            Self::Open(socket) => match socket.next().await {
                Ok(frame) => Happened::Frame(frame),
                Err(trouble) => Happened::Lost(trouble),
            },
        }
    }
}

impl Driver {
    pub fn new(
        machine: Synchronizer,
        shared: Arc<Shared>,
        endpoint: Endpoint,
        cache: Option<Cache>,
        outbox: Option<Outbox>,
    ) -> Self {
        let cache = cache.map(|cache| CacheWriter { cache, due: None, writing: None });
        let (clock, stop) = (Monotonic::start(), Arc::default());
        Self { machine, shared, endpoint, clock, link: Link::Down, cache, outbox, stop }
    }

    /// Wakes the driver to end it.
    pub fn stop(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.stop)
    }

    /// Starts with what the cache file has.
    pub fn restore(&mut self) {
        if let Some(snapshot) = self.cache.as_ref().and_then(|writer| writer.cache.read()) {
            show(&self.shared, self.machine.restore(snapshot));
        }
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        let stop = Arc::clone(&self.stop);
        let effects = self.machine.start(self.clock.now());
        self.perform(effects).await;
        loop {
            self.send_telemetry().await;
            let outbox = self.outbox.as_ref().filter(|_| self.is_in_step());
            let wake = [self.machine.wake_at(), outbox.map(Outbox::wake_at)].into_iter().flatten().min();
            let wake = wake.and_then(|at| self.clock.instant(at));
            let effects = tokio::select! {
                biased;
                () = stop.notified() => break,
                happened = self.link.next() => self.on(happened),
                () = at(wake) => self.machine.on_timer(self.clock.now()),
                () = cache_turn(self.cache.as_mut(), self.clock) => {
                    self.write_cache();
                    Vec::new()
                }
                () = pressed(self.outbox.as_ref()) => {
                    if let Some(outbox) = &mut self.outbox {
                        outbox.hurry(self.clock.now());
                    }
                    Vec::new()
                }
            };
            self.perform(effects).await;
        }
        self.end().await;
    }

    fn on(&mut self, happened: Happened) -> Vec<Effect> {
        let now = self.clock.now();
        match happened {
            Happened::Opened(socket) => {
                self.link = Link::Open(socket);
                self.machine.on_connected(now)
            }
            Happened::Frame(Frame::Text(frame)) => self.machine.on_message(&frame, now),
            Happened::Frame(Frame::Binary(frame)) => self.machine.on_binary(&frame, now),
            Happened::Lost(trouble) => self.on_trouble(&trouble),
        }
    }

    fn is_in_step(&self) -> bool {
        matches!(self.link, Link::Open(_)) && self.machine.status() == Status::Ready
    }

    /// Sends what is due, to a server that the client is in step with: whatever else it has to send comes first.
    async fn send_telemetry(&mut self) {
        let is_in_step = self.is_in_step();
        let Some(outbox) = &mut self.outbox else { return };
        if !is_in_step {
            outbox.lost();
            return;
        }
        for frame in outbox.turn(self.clock.now()) {
            self.send(frame).await;
        }
    }

    /// Sends all that was gathered, and waits until the server has it.
    async fn flush_telemetry(&mut self) {
        // What an evaluation counts at this moment is counted in a few nanoseconds.
        for _ in 0..MAX_GATHERS {
            if self.outbox.as_mut().is_none_or(Outbox::gather) {
                break;
            }
            tokio::task::yield_now().await;
        }
        while self.is_in_step() && self.outbox.as_ref().is_some_and(|outbox| !outbox.is_empty()) {
            self.send_telemetry().await;
            let happened = self.link.next().await;
            let effects = self.on(happened);
            self.perform(effects).await;
        }
    }

    fn on_trouble(&mut self, trouble: &Trouble) -> Vec<Effect> {
        self.link = Link::Down;
        self.note(&trouble.message);
        self.machine.on_disconnected(trouble.lost, self.clock.now())
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Connect => self.link = Link::Opening(Box::pin(self.endpoint.clone().connect())),
                Effect::Disconnect { reason } => {
                    self.link = Link::Down;
                    self.note(reason);
                }
                Effect::Send(frame) => self.send(frame).await,
                // Not asked for without `Settings::polling`.
                Effect::Poll(_) => {}
                Effect::Apply(update) => {
                    self.shared.apply(update);
                    if let Some(cache) = &mut self.cache {
                        cache.due.get_or_insert_with(|| self.clock.now().0 + CACHE_DELAY_MS);
                    }
                }
                Effect::Status(status) => {
                    tracing::debug!(?status, "status");
                    self.shared.enter(status);
                }
                Effect::Received(id) => {
                    if let Some(outbox) = &mut self.outbox {
                        outbox.received(&id);
                    }
                }
            }
        }
    }

    /// A frame that cannot be sent is a lost connection. What that leads to (a wait) sends nothing.
    async fn send(&mut self, frame: String) {
        let Link::Open(socket) = &mut self.link else { return };
        let trouble = match timeout(SEND_TIMEOUT, socket.send(frame)).await {
            Ok(Ok(())) => return,
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble { lost: Lost::Broken, message: "the server takes no frames".to_owned() },
        };
        let effects = self.on_trouble(&trouble);
        show(&self.shared, effects);
    }

    fn note(&self, trouble: &str) {
        tracing::debug!(trouble, "no connection");
        self.shared.trouble.send_replace(Some(trouble.into()));
    }

    fn write_cache(&mut self) {
        if let (Some(writer), Some(snapshot)) = (&mut self.cache, self.machine.snapshot()) {
            writer.write(snapshot);
        }
    }

    /// Writes and sends what is not written and sent, and says goodbye.
    async fn end(mut self) {
        // A server that does not answer in time does not get it.
        let _ = timeout(FLUSH_TIMEOUT, self.flush_telemetry()).await;
        self.machine.close();
        if let Some(writer) = &mut self.cache
            && (writer.due.is_some() || writer.writing.is_some())
        {
            writer.finish().await;
            if let (Some(_), Some(snapshot)) = (writer.due.take(), self.machine.snapshot()) {
                writer.write(snapshot);
                writer.finish().await;
            }
        }
        if let Link::Open(socket) = self.link {
            // A server that does not answer notices by itself.
            let _ = timeout(CLOSE_TIMEOUT, socket.close()).await;
        }
    }
}

/// Carries out the effects that need no connection.
pub(crate) fn show(shared: &Shared, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Apply(update) => shared.apply(update),
            Effect::Status(status) => shared.enter(status),
            Effect::Connect | Effect::Disconnect { .. } | Effect::Send(_) | Effect::Poll(_) | Effect::Received(_) => {}
        }
    }
}

/// Waits until there is so much to be sent that it should not wait for its time; for ever where nothing is gathered.
async fn pressed(outbox: Option<&Outbox>) {
    match outbox {
        Some(outbox) => outbox.pressed().await,
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Writes the cache file beside the driver: at most one writer at a time, always the newest snapshot.
struct CacheWriter {
    cache: Cache,
    /// When the next write is due, in milliseconds of the driver's clock.
    due: Option<u64>,
    writing: Option<JoinHandle<()>>,
}

impl CacheWriter {
    fn write(&mut self, snapshot: Snapshot) {
        self.due = None;
        let cache = self.cache.clone();
        let saved_at = system::now().0;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = cache.write(&snapshot, saved_at) {
                tracing::warn!(%error, "the cache file cannot be written");
            }
        }));
    }

    async fn finish(&mut self) {
        if let Some(writing) = self.writing.as_mut() {
            // It does not panic, and is not aborted.
            let _ = writing.await;
            self.writing = None;
        }
    }
}

/// Waits until a write is due and the one before has ended; for ever where none is. Cancel safe.
async fn cache_turn(writer: Option<&mut CacheWriter>, clock: Monotonic) {
    match writer {
        Some(writer) if writer.due.is_some() => {
            let due = writer.due.and_then(|due| clock.instant(tidegate_protocol::sync::Moment(due)));
            at(due).await;
            writer.finish().await;
        }
        _ => std::future::pending().await,
    }
}

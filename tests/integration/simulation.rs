//! Simulation: one server on a store in memory, SDKs on pipes, editors, and faults drawn from a seed, on paused time.
//!
//! Every seed is a story of its own: changes (announced or not), kills, clients cut off or not reading, the server
//! stopped and started, the change log forgotten. Then all is quiet, and everybody must agree. A seed that fails is
//! printed with the command that plays it again. `TIDEGATE_SEEDS` says how many are played, `TIDEGATE_SEED` from which on
//! (alone: only this one).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context as Task, Poll},
    time::Duration,
};

use axum::extract::ws::Message;
use futures_util::{Sink, Stream};
use serde_json::json;
use tidegate_core::{Context, Ruleset, Timestamp, evaluate_all};
use tidegate_protocol::{
    Effect, Position, Status, Synchronizer, Update,
    sync::{Cause, Lost, Moment, Onto, Settings},
};
use tidegate_server::{
    app::{self, App, SdkKeyKind, SdkPrincipal, configurations::Mode, kill::KillTarget},
    audit,
    ports::store::EnvironmentId,
    stream::{self, Credential, Frame, Pen, Streams, Written},
    telemetry::Metrics,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::PollSender;

use crate::support::app::{Caller, TestApp};

/// How many seeds are played each time.
const N_SEEDS: u64 = 1_000;

/// Longer than any deadline or wait of server and SDKs.
const QUIET: Duration = Duration::from_mins(2);

const SDKS: usize = 4;
const STEPS: usize = 40;
const FLAGS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PEOPLE: [&str; 5] = ["ada", "grace", "linus", "margaret", "alan"];

#[test]
fn whatever_happens_everybody_agrees_in_the_end() {
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().expect(variable));
    let (first, last) = match (number("TIDEGATE_SEED"), number("TIDEGATE_SEEDS")) {
        (Some(seed), n_seeds) => (seed, seed + n_seeds.unwrap_or(1)),
        (None, n_seeds) => (0, n_seeds.unwrap_or(N_SEEDS)),
    };
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    // One story is one thread's; several are told at once.
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let tellers: Vec<_> = (0..threads).map(|_| scope.spawn(|| tell(&next, last, &failed))).collect();
        for teller in tellers {
            if let Err(cause) = teller.join() {
                std::panic::resume_unwind(cause);
            }
        }
    });
}

/// Plays the seeds that nobody plays yet, up to `last`, or until one failed.
#[expect(clippy::print_stderr, reason = "shown where the test fails: how to repeat it")]
fn tell(next: &AtomicU64, last: u64, failed: &AtomicBool) {
    while !failed.load(Ordering::SeqCst) {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed >= last {
            return;
        }
        let told = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.unwrap().block_on(play(seed));
        });
        if let Err(cause) = told {
            failed.store(true, Ordering::SeqCst);
            eprintln!(
                "seed {seed} failed; TIDEGATE_SEED={seed} cargo test -p tidegate-tests --test integration simulation"
            );
            std::panic::resume_unwind(cause);
        }
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

async fn play(seed: u64) {
    let mut dice = Dice(seed);
    let test = TestApp::new();
    let mut world = World::new(&test).await;
    world.editor.create_segment().await;
    for flag in FLAGS {
        world.editor.create_flag(flag).await;
    }
    let sdks: Vec<_> = (0..SDKS).map(|n| Sdk::start(n, seed, world.gate.clone())).collect();

    for _ in 0..STEPS {
        step(&mut world, &sdks, &mut dice).await;
    }

    // The quiet after.
    world.open_gate();
    sdks.iter().for_each(Sdk::let_read);
    sleep(QUIET).await;
    world.check(&sdks).await;
    for sdk in sdks {
        sdk.task.abort();
    }
    world.close_gate().await;
}

async fn step(world: &mut World, sdks: &[Sdk], dice: &mut Dice) {
    let flag = dice.pick(&FLAGS);
    match dice.below(20) {
        0..=4 => world.editor.configure(flag, dice).await,
        5..=7 => world.silent_editor().configure(flag, dice).await,
        8 => world.editor.change_segment(dice).await,
        9..=10 => world.editor.kill(flag).await,
        11 => world.editor.restore(flag).await,
        12..=13 => dice.pick(&sdks.iter().collect::<Vec<_>>()).cut(),
        14 => dice.pick(&sdks.iter().collect::<Vec<_>>()).stop_reading(),
        15 => sdks.iter().for_each(Sdk::let_read),
        16 => world.close_gate().await,
        17 => world.open_gate(),
        18 => drop(world.app.store.prune_changes(dice.below(4)).await.unwrap()),
        _ => {}
    }
    sleep(Duration::from_millis(dice.below(3_000))).await;
}

/// Where SDKs connect to: a server, or nothing.
struct Gate {
    streams: Mutex<Option<Arc<Streams>>>,
    /// Whom they all are.
    key: Arc<SdkPrincipal>,
}

struct World {
    app: App,
    editor: Editor,
    gate: Arc<Gate>,
}

impl World {
    async fn new(test: &TestApp) -> Self {
        let app = test.app.clone();
        test.project("shop", &["test"]).await;
        let Caller::Bearer(key) = test.sdk_key("shop", "test", SdkKeyKind::Server).await else { unreachable!() };
        let key = app::keys::authenticate_sdk(&app, &key).await.unwrap();
        let world = Self { editor: Editor(app.clone()), app, gate: Arc::new(Gate { streams: Mutex::default(), key }) };
        world.open_gate();
        world
    }

    fn open_gate(&self) {
        let mut gate = self.gate.streams.lock().unwrap();
        if gate.is_none() {
            *gate = Some(Streams::new(self.app.clone(), Arc::new(Metrics::new()), stream::Settings::default()));
        }
    }

    async fn close_gate(&self) {
        let streams = self.gate.streams.lock().unwrap().take();
        if let Some(streams) = streams {
            streams.shutdown().await;
        }
    }

    /// One whose changes nobody hears of.
    fn silent_editor(&self) -> Editor {
        Editor(App { changes: tokio::sync::broadcast::Sender::new(1), ..self.app.clone() })
    }

    /// Everybody is where the store is, and gives the server's answers.
    async fn check(&self, sdks: &[Sdk]) {
        let streams = self.gate.streams.lock().unwrap().clone().unwrap();
        let hub = streams.hub(&environment()).await.unwrap();
        let at = hub.state().position.clone();
        let revisions = self.app.store.revisions().await.unwrap();
        assert_eq!(revisions, [(environment(), at.revision)], "the hub is behind the store");
        let truth = self.app.ruleset(&environment()).await.unwrap();
        let fresh =
            self.app.compile(&environment(), &self.app.store.environment_snapshot(&environment()).await.unwrap());
        assert_eq!(answers(&fresh.ruleset), answers(&truth.ruleset), "step by step it is something else");
        for sdk in sdks {
            let view = sdk.view.lock().unwrap();
            assert_eq!((view.status, &view.position), (Status::Ready, &Some(at.clone())), "SDK {}", sdk.number);
            assert_eq!(answers(&view.ruleset), answers(&truth.ruleset), "SDK {}", sdk.number);
        }
        let receipts = streams.receipts(&environment()).await.unwrap();
        assert_eq!((receipts.connected, receipts.applied), (SDKS, SDKS));
        audit::verify(&*self.app.store).await.unwrap();
    }
}

fn environment() -> EnvironmentId {
    EnvironmentId { project: "shop".to_owned(), environment: "test".to_owned() }
}

/// What everybody gets of every flag.
fn answers(ruleset: &Ruleset) -> BTreeMap<(String, String), String> {
    let asked = PEOPLE.iter().flat_map(|person| {
        let ctx = Context::new(*person);
        let all: Vec<_> = evaluate_all(ruleset, &ctx, Timestamp(0))
            .map(|(flag, evaluation)| (((*person).to_owned(), flag.to_owned()), format!("{evaluation:?}")))
            .collect();
        all
    });
    asked.collect()
}

/// Somebody who changes flags.
struct Editor(App);

impl Editor {
    fn request() -> app::Request {
        app::Request { reason: "simulated".to_owned(), ..TestApp::request() }
    }

    async fn create_flag(&self, key: &str) {
        let flag = json!({ "key": key, "name": key, "kind": "boolean" });
        self.0.create_flag(&Self::request(), "shop", serde_json::from_value(flag).unwrap()).await.unwrap();
    }

    async fn create_segment(&self) {
        let segment = json!({ "key": "beta", "name": "Beta", "included": ["ada"] });
        let segment = serde_json::from_value(segment).unwrap();
        self.0.create_segment(&Self::request(), &environment(), segment).await.unwrap();
    }

    async fn configure(&self, flag: &str, dice: &mut Dice) {
        let request = Self::request();
        let before = self.0.configuration(&request.principal, &environment(), flag).await.unwrap();
        let on = dice.below(100_001);
        let weights = json!([{ "variant": "on", "weight": on }, { "variant": "off", "weight": 100_000 - on }]);
        let rule = json!([{
            "id": "beta", "serve": { "variant": "on" },
            "conditions": [{ "operator": "segment", "values": ["beta"] }],
        }]);
        let patch = json!({
            "enabled": dice.below(4) != 0,
            "rules": if dice.below(2) == 0 { rule } else { json!([]) },
            "default": { "distribution": { "weights": weights } },
        });
        self.0.configure(&request, &environment(), flag, before.version, &patch, Mode::Commit).await.unwrap();
    }

    async fn change_segment(&self, dice: &mut Dice) {
        let request = Self::request();
        let before = self.0.segment(&request.principal, &environment(), "beta").await.unwrap();
        let included: Vec<_> = PEOPLE.iter().filter(|_| dice.below(2) == 0).collect();
        let patch = json!({ "included": included });
        self.0.update_segment(&request, &environment(), "beta", before.version, &patch).await.unwrap();
    }

    async fn kill(&self, flag: &str) {
        let target = KillTarget { flag: Some(flag.parse().unwrap()), tag: None };
        self.0.kill(&Self::request(), &environment(), &target).await.unwrap();
    }

    async fn restore(&self, flag: &str) {
        let target = KillTarget { flag: Some(flag.parse().unwrap()), tag: None };
        self.0.restore(&Self::request(), &environment(), &target).await.unwrap();
    }
}

/// An SDK: the sync machine of all of them, on a pipe.
struct Sdk {
    number: usize,
    view: Arc<Mutex<View>>,
    faults: Arc<Faults>,
    task: JoinHandle<()>,
}

/// What an application sees of it.
struct View {
    status: Status,
    position: Option<Position>,
    ruleset: Ruleset,
}

#[derive(Default)]
struct Faults {
    cut: Notify,
    /// Odd: it does not read.
    reading: AtomicU64,
    changed: Notify,
}

impl Faults {
    fn reads(&self) -> bool {
        self.reading.load(Ordering::SeqCst).is_multiple_of(2)
    }
}

impl Sdk {
    fn start(number: usize, seed: u64, gate: Arc<Gate>) -> Self {
        let view = View { status: Status::NotReady, position: None, ruleset: Ruleset::default() };
        let (view, faults) = (Arc::new(Mutex::new(view)), Arc::<Faults>::default());
        let settings = Settings::new(&format!("sdk-{number}/1"), seed.wrapping_mul(31).wrapping_add(number as u64));
        let driver = Driver {
            machine: Synchronizer::new(settings),
            view: Arc::clone(&view),
            faults: Arc::clone(&faults),
            gate,
            pipe: None,
            start: now(),
        };
        Self { number, view, faults, task: tokio::spawn(driver.run()) }
    }

    fn cut(&self) {
        self.faults.cut.notify_one();
    }

    fn stop_reading(&self) {
        self.faults.reading.fetch_or(1, Ordering::SeqCst);
        self.faults.changed.notify_one();
    }

    fn let_read(&self) {
        self.faults.reading.fetch_and(!1, Ordering::SeqCst);
        self.faults.changed.notify_one();
    }
}

#[expect(clippy::disallowed_methods, reason = "paused time: it is what the simulation says")]
fn now() -> Instant {
    Instant::now()
}

struct Driver {
    machine: Synchronizer,
    view: Arc<Mutex<View>>,
    faults: Arc<Faults>,
    gate: Arc<Gate>,
    pipe: Option<Pipe>,
    start: Instant,
}

impl Driver {
    async fn run(mut self) {
        let effects = self.machine.start(self.moment());
        self.perform(effects).await;
        loop {
            let wake = self.machine.wake_at().map(|at| self.start + Duration::from_millis(at.0));
            let reads = self.faults.reads();
            let effects = tokio::select! {
                biased;
                () = self.faults.cut.notified() => self.lose(),
                () = self.faults.changed.notified() => Vec::new(),
                frame = read(self.pipe.as_mut()), if reads => match frame {
                    Some(Message::Text(frame)) => self.machine.on_message(&frame, self.moment()),
                    Some(Message::Binary(frame)) => self.machine.on_binary(&frame, self.moment()),
                    Some(_) => Vec::new(),
                    None => self.lose(),
                },
                () = sleep_until(wake.unwrap()) => self.machine.on_timer(self.moment()),
            };
            self.perform(effects).await;
        }
    }

    fn moment(&self) -> Moment {
        Moment(u64::try_from((now() - self.start).as_millis()).unwrap())
    }

    fn lose(&mut self) -> Vec<Effect> {
        match self.pipe.take() {
            Some(_) => self.machine.on_disconnected(Lost::Broken, self.moment()),
            None => Vec::new(),
        }
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        let mut todo: std::collections::VecDeque<_> = effects.into();
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Connect => {
                    self.pipe = connect(&self.gate).await;
                    todo.extend(match self.pipe {
                        Some(_) => self.machine.on_connected(self.moment()),
                        None => self.machine.on_disconnected(Lost::Broken, self.moment()),
                    });
                }
                Effect::Disconnect { .. } => self.pipe = None,
                Effect::Send(frame) => {
                    if let Some(pipe) = &self.pipe
                        && pipe.out.send(Message::text(frame)).await.is_err()
                    {
                        todo.extend(self.lose());
                    }
                }
                // Not asked for: the settings are without polling.
                Effect::Poll(_) => {}
                Effect::Apply(update) => self.apply(update),
                Effect::Status(status) => self.view.lock().unwrap().status = status,
                Effect::Received(id) => panic!("nobody sent the batch {id}"),
            }
        }
        self.view.lock().unwrap().position = self.machine.position().cloned();
    }

    fn apply(&self, update: Update) {
        let mut view = self.view.lock().unwrap();
        let base = if update.onto == Onto::Nothing { Ruleset::default() } else { view.ruleset.clone() };
        view.ruleset = base.update(update.changes).0;
        if let (Cause::Commit { .. }, Some(before), Some(after)) =
            (update.cause, &view.position, self.machine.position())
        {
            assert!(after.epoch != before.epoch || after.revision >= before.revision, "{before:?} → {after:?}");
        }
    }
}

async fn connect(gate: &Gate) -> Option<Pipe> {
    let streams = gate.streams.lock().unwrap().clone()?;
    let admission = streams.admit()?;
    let hub = streams.hub(&environment()).await.unwrap();
    let (to_server, from_client) = mpsc::channel(4);
    let (to_client, from_server) = mpsc::channel(1);
    let pen = Arc::new(SimulatedPen(to_client.clone()));
    let socket = Socket { from_client, to_client: PollSender::new(to_client) };
    tokio::spawn(streams.serve(socket, Some(pen), hub, Credential::Key(gate.key.clone()), admission));
    Some(Pipe { out: to_server, inward: from_server })
}

/// The client's end: as narrow as can be, so that who does not read is felt at once.
struct Pipe {
    out: mpsc::Sender<Message>,
    inward: mpsc::Receiver<Message>,
}

/// The next message; `None`: it is over; for ever where there is no pipe. Cancel safe.
async fn read(pipe: Option<&mut Pipe>) -> Option<Message> {
    let Some(pipe) = pipe else { return std::future::pending().await };
    pipe.inward.recv().await.filter(|message| !matches!(message, Message::Close(_)))
}

/// The server's end.
struct Socket {
    from_client: mpsc::Receiver<Message>,
    to_client: PollSender<Message>,
}

/// What the hub writes with past the stream's task.
#[derive(Debug)]
struct SimulatedPen(mpsc::Sender<Message>);

impl Pen for SimulatedPen {
    fn write(&self, frame: &Frame) -> Written {
        self.0.try_send(frame.message()).map_or(Written::Nothing, |()| Written::Whole)
    }
}

impl Stream for Socket {
    type Item = Result<Message, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        self.from_client.poll_recv(task).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Socket {
    type Error = tokio_util::sync::PollSendError<Message>;

    fn poll_ready(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.to_client).poll_ready(task)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        Pin::new(&mut self.to_client).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.to_client).poll_flush(task)
    }

    fn poll_close(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.to_client).poll_close(task)
    }
}

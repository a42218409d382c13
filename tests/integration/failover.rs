//! Controllers that die, or are taken for dead, at any moment: no step is skipped or made twice, and what is counted goes on.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tidegate_rollout::{Arms, Exposed};
use tidegate_server::{
    app::{
        App,
        configurations::Mode,
        event_log::{Batch, Exposures, Measurements, Writer},
        rollouts::{Rollout, StartRollout},
        watches::{Attention, Reach, Watches},
    },
    audit,
    controller::{Controller, Receipts},
    ports::store::{DocumentId, DocumentKind, EnvironmentId, Store, StoreError},
    store::MemoryStore,
    testing::{ManualClock, SeededIds},
};

use crate::{
    stream::{create, environment},
    support::{
        app::TestApp,
        interrupted::{Calls, Interrupted, give_way},
    },
};

/// Every SDK has everything, after a moment in which others may act.
struct Soon;

#[async_trait]
impl Receipts for Soon {
    async fn reach(&self, _: &EnvironmentId) -> Result<Reach, StoreError> {
        Ok(Reach::default())
    }
}

/// A database, and a rollout of the flag `checkout` in it.
struct World {
    /// As the database sees it.
    app: App,
    clock: Arc<ManualClock>,
    ids: Arc<SeededIds>,
    rollout: String,
    n_heard: u64,
}

fn steps(bake_ms: u64) -> Json {
    json!([10_000, 25_000, 50_000, 100_000].map(|share| json!({ "share": share, "bakeMs": bake_ms })))
}

fn gates() -> Json {
    json!([{ "key": "errors", "metric": "errors" }])
}

impl World {
    async fn new(spec: Json) -> Self {
        let (clock, ids) = (Arc::new(ManualClock::default()), Arc::new(SeededIds::default()));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new("epoch-1"));
        let app = App::new(store, clock.clone(), ids.clone());
        let request = TestApp::request();
        let project = serde_json::from_value(json!({ "key": "shop", "name": "Shop" })).unwrap();
        app.create_project(&request, project).await.unwrap();
        let test = serde_json::from_value(json!({ "key": "test", "name": "Test", "production": false })).unwrap();
        app.create_environment(&request, "shop", test).await.unwrap();
        create(&app, "checkout").await;
        let patch = json!({ "enabled": true, "default": { "variant": "off" } });
        app.configure(&request, &environment(), "checkout", 0, &patch, Mode::Commit).await.unwrap();
        let start = json!({ "flag": "checkout", "variant": "on", "spec": spec });
        let start: StartRollout = serde_json::from_value(start).unwrap();
        let rollout = app.start_rollout(&request, &environment(), start).await.unwrap().id;
        Self { app, clock, ids, rollout, n_heard: 0 }
    }

    /// A server of its own on the database.
    fn server(&self, calls: Calls) -> (App, Arc<Interrupted>) {
        let store = Interrupted::new(Arc::clone(&self.app.store), calls);
        (App::new(store.clone(), self.clock.clone(), self.ids.clone()), store)
    }

    fn controller(&self, calls: Calls) -> Controller {
        Controller::new(self.server(calls).0, Arc::new(Soon))
    }

    /// Two new users ask, one of each arm, and one of them has an error, where it is said so.
    async fn hear(&mut self, has_error: bool) {
        self.n_heard += 1;
        let n = self.n_heard;
        let bucket = u32::try_from(n % 10_000).unwrap();
        let exposed = |unit, bucket, treated| Exposed { unit, bucket: Some(bucket), treated };
        let arms = vec![exposed(2 * n, bucket, true), exposed(2 * n + 1, 99_999 - bucket, false)];
        let measured = if has_error { vec![(2 * n + n / 7 % 2, None)] } else { Vec::new() };
        let environment = environment().scope();
        let batch = Batch {
            environment: &environment,
            id: n,
            exposures: vec![Exposures { rollout: &self.rollout, told: 2, exposed: arms }],
            measurements: vec![Measurements { metric: "errors", measured }],
            ..Batch::default()
        };
        let mut entry = Writer::default();
        entry.batch(&batch);
        // As a server that hears of a batch twice, or two that do.
        entry.batch(&batch);
        self.app.store.append_events(&[entry.finish()], self.app.clock.now()).await.unwrap();
    }

    async fn stored(&self) -> Rollout {
        let id = DocumentId { kind: DocumentKind::Rollout, scope: environment().scope(), key: self.rollout.clone() };
        serde_json::from_str(&self.app.store.document(&id).await.unwrap().unwrap().body).unwrap()
    }

    /// Every step was made once, each after its bake; then the rollout was complete.
    async fn check(&self, bake_ms: i64, what: &str) {
        let rows = audit::verify(&*self.app.store).await.unwrap().rows;
        let resource = format!("rollout/{}", self.rollout);
        let rows = self.app.store.audit_chain(0, u32::try_from(rows).unwrap()).await.unwrap();
        let rows = rows.iter().filter(|row| row.entry.resource == resource);
        let mut moves: Vec<_> = rows
            .map(|row| {
                let status = &row.entry.after["status"];
                (status["generation"].as_u64(), status["step"].as_u64(), status["since"].as_i64().unwrap())
            })
            .collect();
        moves.dedup();
        let steps: Vec<_> = moves.iter().map(|(_, step, _)| *step).collect();
        assert_eq!(steps, [None, Some(0), Some(1), Some(2), Some(3), Some(3)], "{what}: {moves:?}");
        assert!(moves[1..].windows(2).all(|two| two[1].2 - two[0].2 >= bake_ms), "{what}: {moves:?}");
        let flag = self.app.configuration(&TestApp::request().principal, &environment(), "checkout").await.unwrap();
        let flag = serde_json::to_value(&flag).unwrap();
        assert_eq!((&flag["default"], &flag["rollout"]), (&json!({ "variant": "on" }), &Json::Null), "{what}");
    }
}

/// What the future comes to without waiting; `None`: it waits.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match Box::pin(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// The controller dies at each of its calls of the database, before it is made or before it is answered, from the first to the last of
/// a whole rollout. Another one takes over.
#[tokio::test]
async fn a_controller_may_die_at_any_await() {
    const BAKE_MS: i64 = 10_000;
    let mut n_deaths = 0;
    for n in 1.. {
        for calls in [Calls::StopBefore(n), Calls::StopAfter(n)] {
            let mut world = World::new(json!({ "steps": steps(10_000), "gates": gates() })).await;
            let (app, store) = world.server(calls);
            let mut controller = Controller::new(app, Arc::new(Soon));
            let mut is_dead = false;
            for _ in 0..20 {
                is_dead = at_once(controller.look_around()).is_none();
                if is_dead {
                    break;
                }
                world.clock.advance_ms(5_000);
                world.hear(false).await;
            }
            n_deaths += u64::from(is_dead);
            if !is_dead {
                assert!(world.stored().await.status.is_ended(), "{calls:?} of {}", store.n_calls());
                world.check(BAKE_MS, "undisturbed").await;
                assert!(n_deaths > 150, "{n_deaths}");
                return;
            }
            drop(controller);
            let (app, _) = world.server(Calls::StopBefore(u64::MAX));
            let mut other = Controller::new(app.clone(), Arc::new(Soon));
            for _ in 0..25 {
                other.look_around().await;
                world.clock.advance_ms(5_000);
                world.hear(false).await;
            }
            world.check(BAKE_MS, &format!("{calls:?}")).await;
        }
    }
}

/// A server of several on one database, as far as rollouts go: it has counters of its own, and is somewhere in a look.
struct Server {
    look: Pin<Box<dyn Future<Output = Controller>>>,
}

impl Server {
    fn start(world: &World) -> Self {
        Self { look: Self::look(world.controller(Calls::GiveWay)) }
    }

    fn look(mut controller: Controller) -> Pin<Box<dyn Future<Output = Controller>>> {
        Box::pin(async move {
            controller.look_around().await;
            give_way().await;
            controller
        })
    }

    /// Goes on to the next point at which it gives way.
    fn go_on(&mut self) {
        if let Poll::Ready(controller) = self.look.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            self.look = Self::look(controller);
        }
    }
}

/// In any order of what two servers do with the database, with either dying, or standing still for long, at any time: one that was taken
/// for dead and goes on changes nothing. `TIDEGATE_SCHEDULES=10000` explores more.
#[tokio::test]
async fn no_schedule_of_two_servers_doubles_or_skips_a_step() {
    let schedules = std::env::var("TIDEGATE_SCHEDULES").map_or(40, |n| n.parse().unwrap());
    let mut n_epochs = 0;
    for seed in 1..=schedules {
        let chances = SeededIds::new(seed);
        let gates = if seed.is_multiple_of(2) { gates() } else { json!([]) };
        let mut world = World::new(json!({ "steps": steps(60_000), "gates": gates })).await;
        let mut servers = [Server::start(&world), Server::start(&world)];
        // Often one goes on and the other stands still, so that leases run out.
        let mut quick = 0;
        for _ in 0..1_500 {
            if chances.next_u64().is_multiple_of(50) {
                quick = 1 - quick;
            }
            let which = if chances.next_u64().is_multiple_of(8) { 1 - quick } else { quick };
            match chances.next_u64() % 40 {
                0 => servers[which] = Server::start(&world),
                1..=3 => {
                    world.clock.advance_ms(i64::try_from(chances.next_u64() % 6_000).unwrap());
                    world.hear(false).await;
                }
                _ => servers[which].go_on(),
            }
        }
        n_epochs += world.app.store.lease("rollouts").await.unwrap().map_or(0, |lease| lease.epoch);
        // Nobody dies any more.
        let mut last = world.controller(Calls::StopBefore(u64::MAX));
        for _ in 0..80 {
            world.clock.advance_ms(5_000);
            last.look_around().await;
            world.hear(false).await;
        }
        world.check(60_000, &format!("seed {seed}")).await;
    }
    assert!(n_epochs > 2 * schedules, "{n_epochs} changes of the leader in {schedules} schedules");
}

/// What a controller counted, as the next one finds it.
fn counted(watches: &Watches, world: &World, rollout: &Rollout) -> (Arms, Arms, String) {
    let seen = watches.look(&environment(), &world.rollout, rollout, false, Reach::default(), Attention::default());
    (seen.entered, seen.seen, format!("{:?} {:?} {}", seen.judgements, seen.heard_at, seen.lost))
}

/// From the log, or from a checkpoint and what came after it.
#[tokio::test]
async fn whoever_takes_over_has_counted_the_same() {
    let mut world = World::new(json!({ "steps": steps(30_000), "gates": gates() })).await;
    let (app, _) = world.server(Calls::StopBefore(u64::MAX));
    let mut controller = Controller::new(app.clone(), Arc::new(Soon));
    controller.look_around().await;
    let mut checkpoints = Vec::new();
    for n in 0..12_000 {
        world.hear(n % 7 == 0).await;
        if n % 1_000 == 0 {
            world.clock.advance_ms(if n == 6_000 { 3_600_000 } else { 5_000 });
            controller.look_around().await;
            checkpoints.push(world.app.store.checkpoint().await.unwrap());
        }
        if n % 4_321 == 0 {
            controller.look_around().await;
            let rollout = world.stored().await;
            let (other, _) = world.server(Calls::StopBefore(u64::MAX));
            other.begin_counting().await.unwrap();
            other.count_events().await.unwrap();
            app.count_events().await.unwrap();
            let ours = counted(&app.watches, &world, &rollout);
            assert_eq!(counted(&other.watches, &world, &rollout), ours);
            assert_eq!((ours.0.treatment, ours.0.control), (world.n_heard, world.n_heard), "{}", ours.2);
        }
    }
    checkpoints.dedup();
    assert!(checkpoints.len() > 2, "{checkpoints:?}");
}

/// As soon as nothing is counted, nothing of it is left, and nobody has the lease.
#[tokio::test]
async fn nothing_is_kept_of_what_has_ended() {
    let mut world = World::new(json!({ "steps": steps(10_000), "gates": gates() })).await;
    let mut controller = world.controller(Calls::StopBefore(u64::MAX));
    for _ in 0..20 {
        controller.look_around().await;
        world.clock.advance_ms(5_000);
        world.hear(false).await;
    }
    assert!(world.stored().await.status.is_ended());
    let store = &world.app.store;
    assert_eq!(store.lease("rollouts").await.unwrap().unwrap().holder, "");
    let checkpoint = store.checkpoint().await.unwrap();
    assert!(checkpoint > 5);
    assert_eq!(store.checkpoint_part(checkpoint, 0).await.unwrap(), None);
    let left = store.events_after(0, u32::MAX).await.unwrap();
    // Only what was heard since.
    assert!(left.iter().all(|entry| entry.position > checkpoint) && left.len() < 20, "{}", left.len());
}

//! One evaluation, by the floor and by `core`, in the same run.

use std::{hint::black_box, sync::Arc};

use arc_swap::ArcSwap;
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use tidegate_benches::{
    allocations::{Counting, count},
    floor::{Answer, Snapshot},
    workload::{self, User, WARM_USERS},
};
use tidegate_core::{Context, Ruleset, Timestamp, compile, evaluate, evaluate::evaluate_all, evaluation::FlagValue};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Timestamp = Timestamp(1_767_225_600_000);

/// What both sides work on.
struct Bench {
    users: Vec<User>,
    contexts: Vec<Context>,
    floor: ArcSwap<Snapshot>,
    core: ArcSwap<Ruleset>,
}

fn main() {
    let users = workload::users();
    let contexts = workload::contexts(&users);
    let (ruleset, issues) = compile(&workload::flag_file());
    assert!(issues.is_empty(), "the workload compiles: {issues:?}");
    let bench =
        Bench { contexts, users, floor: ArcSwap::from_pointee(Snapshot::new()), core: ArcSwap::new(Arc::new(ruleset)) };

    bench.assert_equal_answers_without_allocation();

    let mut criterion = Criterion::default().sample_size(60).configure_from_args();
    for (name, key, rotate) in [
        ("W1 on for all", "w1-on-for-all", workload::USERS),
        ("W2 25 % rollout", "w2-25-percent", workload::USERS),
        ("W3 five rules, three-way split", "w3-five-rules", WARM_USERS),
        ("W5 segment of 10,000", "w5-segment", workload::USERS),
    ] {
        bench.one(criterion.benchmark_group(name), key, rotate);
    }
    bench.bulk(criterion.benchmark_group("W4 all of 100 flags"));
    criterion.final_summary();
}

impl Bench {
    fn one(&self, mut group: BenchmarkGroup<'_, WallTime>, key: &str, rotate: usize) {
        let mut users = self.users.iter().take(rotate).cycle();
        group.bench_function("floor", |bencher| {
            bencher.iter(|| users.next().map(|user| self.floor.load().evaluate(black_box(key), user)));
        });
        let mut contexts = self.contexts.iter().take(rotate).cycle();
        group.bench_function("core", |bencher| {
            bencher.iter(|| {
                contexts.next().map(|ctx| {
                    let ruleset = self.core.load();
                    let evaluation = evaluate(&ruleset, black_box(key), ctx, NOW);
                    answer(evaluation.value)
                })
            });
        });
        group.finish();
    }

    fn bulk(&self, mut group: BenchmarkGroup<'_, WallTime>) {
        let mut users = self.users.iter().take(WARM_USERS).cycle();
        group.bench_function("floor", |bencher| {
            bencher.iter(|| {
                users.next().map(|user| self.floor.load().evaluate_all(user).for_each(|answer| consume(&answer)))
            });
        });
        let mut contexts = self.contexts.iter().take(WARM_USERS).cycle();
        group.bench_function("core", |bencher| {
            bencher.iter(|| contexts.next().map(|ctx| self.core_bulk(ctx)));
        });
        group.finish();
    }

    /// The bulk flags come first in the order of the keys; the four others are not part of the workload.
    fn core_bulk(&self, ctx: &Context) {
        evaluate_all(&self.core.load(), ctx, NOW)
            .take(100)
            .for_each(|(_, evaluation)| consume(&answer(evaluation.value)));
    }

    /// Both sides give the same answers, and the evaluator allocates nothing to give them.
    fn assert_equal_answers_without_allocation(&self) {
        for key in ["w1-on-for-all", "w2-25-percent", "w3-five-rules", "w5-segment"] {
            for (user, ctx) in self.users.iter().zip(&self.contexts) {
                let expected = self.floor.load().evaluate(key, user);
                let ruleset = self.core.load();
                let actual = same(evaluate(&ruleset, key, ctx, NOW).value);
                assert_eq!(actual, expected, "`{key}` for {}", user.key);
            }
            let allocations = count(|| {
                for ctx in &self.contexts {
                    black_box(answer(evaluate(&self.core.load(), key, ctx, NOW).value));
                }
            });
            assert_eq!(allocations, 0, "allocations in {} evaluations of `{key}`", self.contexts.len());
        }
        for (user, ctx) in self.users.iter().zip(&self.contexts).take(WARM_USERS) {
            let expected: Vec<_> = self.floor.load().evaluate_all(user).map(Some).collect();
            let actual: Vec<_> = evaluate_all(&self.core.load(), ctx, NOW)
                .take(100)
                .map(|(_, evaluation)| same(evaluation.value))
                .collect();
            assert_eq!(actual, expected, "all flags for {}", user.key);
        }
        let allocations = count(|| self.contexts.iter().take(WARM_USERS).for_each(|ctx| self.core_bulk(ctx)));
        assert_eq!(allocations, 0, "allocations in {WARM_USERS} evaluations of all flags");
    }
}

/// What the caller takes away: the boolean, or the text's length and first byte, without leaving the snapshot's lifetime.
#[inline]
fn answer(value: Option<&FlagValue>) -> (bool, usize) {
    match value {
        Some(FlagValue::Boolean(value)) => (*value, 0),
        Some(FlagValue::String(text)) => (true, text.len()),
        _ => (false, usize::MAX),
    }
}

/// Makes the compiler believe that somebody wants it.
#[inline]
fn consume<T>(answer: &T) {
    black_box(answer);
}

fn same(value: Option<&FlagValue>) -> Option<Answer> {
    match value? {
        FlagValue::Boolean(value) => Some(Answer::Bool(*value)),
        FlagValue::String(text) => ["a", "b", "c", "off"].into_iter().find(|known| *known == &**text).map(Answer::Text),
        _ => None,
    }
}

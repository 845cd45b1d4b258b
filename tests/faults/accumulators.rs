//! Accumulators: all additions of an action count together, or none does, in any nesting of actions.

use emberline::accumulator::{Accumulate, Accumulator, RunningStats};
use emberline::event::{Event, EventRecord, Listener};
use emberline::fault::{Damage, FaultPlan};
use emberline::id::{RddId, ShuffleId};
use emberline::prelude::*;
use emberline::{ErrorKind, StorageLevel};
use proptest::prelude::*;
use std::collections::HashSet;
use std::iter::successors;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{DEADLINE, scaled, within};

/// The storage levels at which the rows of an action may be stored.
const LEVELS: [StorageLevel; 5] = [
    StorageLevel::Memory,
    StorageLevel::MemoryAndDisk,
    StorageLevel::Disk,
    StorageLevel::SerializedMemory,
    StorageLevel::SerializedMemoryAndDisk,
];

fn test(body: impl FnOnce() -> Result<()> + Send + 'static) {
    within(DEADLINE, body).unwrap();
}

fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

fn is_panic(result: Result<impl Sized>) -> bool {
    matches!(
        result.err().map(|error| matches!(error.kind(), ErrorKind::Panicked { .. })),
        Some(true)
    )
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn an_overflow_of_one_accumulator_leaves_all_accumulators_unchanged() {
    test(|| {
        let ctx = context();
        let large = [ctx.accumulator(0_u64), ctx.accumulator(0_u64), ctx.accumulator(0_u64)];
        let small = [ctx.accumulator(0_u8), ctx.accumulator(0_u8)];
        for overflowing in &small {
            let (counters, overflows) = (large.clone(), overflowing.clone());
            let counted = ctx.range_with(3, 0..300_u32).for_each(move |_| {
                counters.iter().for_each(|counter| counter.add(1));
                overflows.add(1);
            });
            assert!(is_panic(counted));
            assert_eq!(large.each_ref().map(Accumulator::value), [0; 3]);
            assert_eq!(small.each_ref().map(Accumulator::value), [0; 2]);
        }
        Ok(())
    });
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn additions_before_a_shuffle_or_a_cache_count_with_the_first_action_that_succeeds() {
    test(|| {
        for level in LEVELS.map(Some).into_iter().chain([None]) {
            let ctx = context();
            let (count, small) = (ctx.accumulator(0_u64), ctx.accumulator(0_u8));
            let counter = count.clone();
            let rows = ctx.range_with(3, 0..300_u32).inspect(move |_| counter.add(1));
            let stored = match level {
                Some(level) => rows.persist(level),
                None => rows.map(|n| (n, n)).reduce_by_key(|a, _| a).keys().boxed(),
            };
            let overflows = small.clone();
            assert!(is_panic(stored.for_each(move |_| overflows.add(1))), "{level:?}");
            assert_eq!((count.value(), small.value()), (0, 0), "{level:?}");
            for _ in 0..2 {
                assert_eq!(stored.count()?, 300);
                assert_eq!(count.value(), 300, "{level:?}");
            }
        }
        Ok(())
    });
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn additions_of_the_sample_of_a_sort_count_with_the_first_action_that_succeeds() {
    test(|| {
        let ctx = context();
        let (count, small) = (ctx.accumulator(0_u64), ctx.accumulator(0_u8));
        let counter = count.clone();
        let rows = ctx.range_with(3, 0..300_u32).inspect(move |_| counter.add(1));
        for (expected, is_stored) in [(600, false), (1_200, true)] {
            let sorted = rows.sort_by_key(|n| *n);
            let sorted = if is_stored { sorted.cache() } else { sorted };
            let overflows = small.clone();
            let before = count.value();
            assert!(is_panic(sorted.for_each(move |_| overflows.add(1))));
            assert_eq!((count.value(), small.value()), (before, 0));
            assert_eq!(sorted.count()?, 300);
            assert_eq!(count.value(), expected, "the sample and the sort");
        }
        Ok(())
    });
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn additions_on_the_driver_count_with_the_action_whose_closure_makes_them() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0_u64);
        let rows = ctx.range_with(3, 0..30_u32);
        let counter = count.clone();
        let merge = move |_: u32, _| -> u32 {
            counter.add(1);
            panic!("merging")
        };
        assert!(is_panic(rows.aggregate(0, |sum, n| sum + n, merge)));
        assert_eq!(count.value(), 0);
        let counter = count.clone();
        let merge = move |a, b| {
            counter.add(1);
            a + b
        };
        assert_eq!(rows.aggregate(0, |sum, n| sum + n, merge)?, 435);
        assert_eq!(count.value(), 3);
        Ok(())
    });
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn an_action_inside_a_closure_on_the_driver_counts_by_its_own_success() {
    test(|| {
        for (inner_fails, outer_fails) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let ctx = context();
            let (inner, outer) = (ctx.accumulator(0_u64), ctx.accumulator(0_u64));
            let (in_inner, in_outer) = (inner.clone(), outer.clone());
            let numbers = ctx.range_with(2, 0..3_u32);
            let merge = move |a: u32, b: u32| {
                in_outer.add(1);
                let counter = in_inner.clone();
                let counted = numbers.for_each(move |n| {
                    counter.add(1);
                    assert!(n < 2 || !inner_fails, "row {n}");
                });
                assert_eq!(counted.is_err(), inner_fails);
                assert!(!outer_fails, "merging");
                a + b
            };
            let rows = ctx.range_with(1, 0..30_u32);
            assert_eq!(rows.aggregate(0, |sum, n| sum + n, merge).is_err(), outer_fails);
            let counted = (inner.value(), outer.value());
            assert_eq!(counted, (if inner_fails { 0 } else { 3 }, u64::from(!outer_fails)));
        }
        Ok(())
    });
}

#[test]
fn a_spawned_closure_counts_at_once_also_while_a_closure_on_the_driver_waits_for_it() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        let (spawner, numbers) = (ctx.clone(), ctx.range_with(1, 1..30_u32));
        let outer = ctx.spawn(move || {
            let merge = move |a: u32, b: u32| {
                let added = counter.clone();
                let work = move || {
                    added.add(1);
                    Ok(added.value())
                };
                assert_eq!(spawner.spawn(work).wait().unwrap(), 1);
                assert_eq!(counter.value(), 1);
                if a == b { 0 } else { panic!("merging") }
            };
            numbers.aggregate(0, |sum, n| sum + n, merge)
        });
        assert!(is_panic(outer.wait()));
        assert_eq!(count.value(), 1);
        Ok(())
    });
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn an_output_is_not_published_if_the_additions_of_its_action_cannot_count() {
    test(|| {
        let ctx = context();
        let small = ctx.accumulator(0_u8);
        let overflows = small.clone();
        let folder = tempfile::tempdir().unwrap();
        let rows = ctx.range_with(3, 0..300_u32).inspect(move |_| overflows.add(1));
        assert!(is_panic(rows.save_as_text_file(folder.path().join("text"))));
        assert!(is_panic(rows.checkpoint(folder.path().join("rows"))));
        assert_eq!((small.value(), std::fs::read_dir(folder.path()).unwrap().count()), (0, 0));
        Ok(())
    });
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn concurrent_actions_and_the_program_lose_no_addition_and_show_no_half_of_one() {
    test(|| {
        let ctx = Context::builder().threads(4).build()?;
        let (first, second) = (ctx.accumulator(0_u64), ctx.accumulator(Vec::new()));
        let actions = scaled(25);
        let has_ended = Arc::new(AtomicBool::new(false));
        let (read_first, read_second) = (first.clone(), second.clone());
        let ended = Arc::clone(&has_ended);
        let reader = thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let before = read_first.value();
                let between = read_second.value().len() as u64;
                let after = read_first.value();
                assert!(before <= between && between <= after, "{before} {between} {after}");
            }
        });
        let worker = |number: usize| {
            let (ctx, first, second) = (ctx.clone(), first.clone(), second.clone());
            thread::spawn(move || {
                for action in 0..actions {
                    let (one, list) = (first.clone(), second.clone());
                    let rows = ctx.range_with(2, 0..4_u32);
                    // Adds to the second one first: the order of additions must not matter.
                    rows.for_each(move |_| {
                        list.add((number, action));
                        one.add(1);
                    })?;
                }
                Ok::<(), Error>(())
            })
        };
        let workers: Vec<_> = (0..8).map(worker).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())?;
        has_ended.store(true, Ordering::SeqCst);
        reader.join().unwrap();
        let mut list = second.value();
        list.sort_unstable();
        list.dedup();
        assert_eq!((first.value(), list.len()), (8 * actions as u64 * 4, 8 * actions));
        Ok(())
    });
}

#[test]
fn many_threads_that_share_large_accumulators_all_come_to_an_end() {
    test(|| {
        let ctx = context();
        let list = ctx.accumulator((0..20_000_u64).collect::<Vec<_>>());
        let adders = (0..16).map(|_| {
            let list = list.clone();
            thread::spawn(move || (0..200).for_each(|n| list.add(n)))
        });
        adders.collect::<Vec<_>>().into_iter().for_each(|adder| adder.join().unwrap());
        assert_eq!(list.value().len(), 20_000 + 16 * 200);
        Ok(())
    });
}

#[test]
fn the_program_adds_to_a_long_list_in_constant_time() {
    test(|| {
        let list = context().accumulator(Vec::new());
        let began = Instant::now();
        (0..100_000_u64).for_each(|n| list.add(n));
        assert!(list.value().into_iter().eq(0..100_000));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        Ok(())
    });
}

#[test]
fn of_concurrent_actions_that_overflow_together_as_many_count_as_fit() {
    test(|| {
        for _ in 0..scaled(5) {
            let ctx = Context::builder().threads(4).build()?;
            let (small, large) = (ctx.accumulator(0_u8), ctx.accumulator(0_u64));
            let actions = (0..8).map(|_| {
                let (ctx, small, large) = (ctx.clone(), small.clone(), large.clone());
                thread::spawn(move || {
                    let rows = ctx.range_with(2, 0..50_u32);
                    let add = move |_| {
                        small.add(1);
                        large.add(1);
                    };
                    rows.for_each(add).is_ok()
                })
            });
            let actions: Vec<_> = actions.collect();
            let counted = actions.into_iter().map(|action| action.join().unwrap());
            assert_eq!(counted.filter(|is_counted| *is_counted).count(), 5);
            assert_eq!((small.value(), large.value()), (250, 250));
        }
        Ok(())
    });
}

#[test]
fn an_action_with_ten_thousand_accumulators_counts_in_all_or_in_none() {
    test(|| {
        let ctx = context();
        let many: Arc<[Accumulator<u8>]> = (0..10_000).map(|_| ctx.accumulator(0_u8)).collect();
        for is_first in [true, false] {
            let counters = Arc::clone(&many);
            let added = ctx.range_with(2, 0..100_u32).for_each(move |_| {
                counters.iter().for_each(|counter| counter.add(2));
            });
            assert_eq!(added.is_ok(), is_first);
            assert!(many.iter().all(|counter| counter.value() == 200));
        }
        Ok(())
    });
}

#[test]
fn lost_outputs_between_a_failed_and_a_successful_action_count_once() {
    test(|| {
        for damage in [Damage::Lost, Damage::Truncated, Damage::Corrupted] {
            let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 1, damage);
            let faults = faults.damage_map_output(ShuffleId(0), 1, damage);
            let faults = faults.damage_block(RddId(5), 0, damage);
            let ctx = Context::builder().threads(2).force_spill(true).faults(faults).build()?;
            let (count, small) = (ctx.accumulator(0_u64), ctx.accumulator(0_u8));
            let (first, second, overflows) = (count.clone(), count.clone(), small.clone());
            let rows = ctx.range_with(3, 0..300_u32).inspect(move |_| first.add(1));
            let summed = rows.map(|n| (n, 1_u64)).reduce_by_key(|a, b| a + b);
            let stored = summed.inspect(move |_| second.add(1_000)).persist(StorageLevel::Disk);
            assert!(is_panic(stored.inspect(move |_| overflows.add(1)).count()));
            assert_eq!((count.value(), small.value()), (0, 0));
            for _ in 0..2 {
                assert_eq!(stored.count()?, 300);
                assert_eq!(count.value(), 300_300, "{damage:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn one_stored_rdd_that_an_action_reads_twice_counts_once() {
    test(|| {
        let ctx = context();
        let (count, small) = (ctx.accumulator(0_u64), ctx.accumulator(0_u8));
        let counter = count.clone();
        let rows = ctx.range_with(3, 0..30_u32).inspect(move |_| counter.add(1)).cache();
        let both = rows
            .union(&rows)
            .zip(&rows.union(&rows))
            .map(|(a, _)| (a, 1))
            .reduce_by_key(|a, b| a + b);
        let joined = both.join(&both);
        let overflows = small.clone();
        assert!(is_panic(joined.for_each(move |_| overflows.add(100))));
        assert_eq!(count.value(), 0);
        assert_eq!(joined.count()?, 30);
        assert_eq!(count.value(), 30);
        Ok(())
    });
}

#[test]
fn each_partition_that_a_local_iterator_reaches_counts() {
    test(|| {
        let ctx = context();
        let count = ctx.accumulator(0_u64);
        let counter = count.clone();
        let rows = ctx.range_with(3, 0..30_u32).map(move |n| {
            counter.add(1);
            assert!(n < 25, "row {n}");
            n
        });
        let mut rows = rows.to_local_iterator();
        for expected in [10, 10, 20] {
            assert!(rows.next().is_some_and(|row| row.is_ok()));
            assert_eq!(count.value(), expected);
            (0..5).for_each(|_| drop(rows.next()));
        }
        assert!(rows.any(|row| row.is_err()));
        assert_eq!(count.value(), 20);
        Ok(())
    });
}

/// A sum whose destructor panics while `PANICS` is true.
#[derive(Clone)]
struct Mortal(u64);

static PANICS: AtomicBool = AtomicBool::new(false);

impl Drop for Mortal {
    fn drop(&mut self) {
        assert!(!PANICS.load(Ordering::SeqCst) || thread::panicking(), "a value is dropped");
    }
}

impl Accumulate for Mortal {
    type Input = u64;

    fn zero(&self) -> Self {
        Mortal(0)
    }

    fn add(&mut self, n: u64) {
        self.0 += n;
    }

    fn merge(&mut self, later: Self) {
        self.0 += later.0;
        std::mem::forget(later);
    }
}

#[test]
fn a_value_whose_destructor_panics_leaves_all_values_or_none_changed() {
    test(|| {
        let ctx = context();
        let (mortal, count) = (ctx.accumulator(Mortal(0)), ctx.accumulator(0_u64));
        let (adder, counter) = (mortal.clone(), count.clone());
        PANICS.store(true, Ordering::SeqCst);
        let added = ctx.range_with(2, 0..10_u32).for_each(move |_| {
            adder.add(1);
            counter.add(1);
        });
        PANICS.store(false, Ordering::SeqCst);
        let expected = if added.is_ok() { 10 } else { 0 };
        assert_eq!((mortal.value().0, count.value()), (expected, expected));
        Ok(())
    });
}

#[test]
fn an_accumulator_of_another_context_counts_with_the_action() {
    test(|| {
        let (ctx, other) = (context(), context());
        let (here, there) = (ctx.accumulator(0_u8), other.accumulator(0_u64));
        let (small, large) = (here.clone(), there.clone());
        let rows = ctx.range_with(3, 0..200_u32).inspect(move |_| {
            small.add(1);
            large.add(1);
        });
        drop(other);
        assert_eq!(rows.count()?, 200);
        assert!(rows.count().is_err());
        assert_eq!((here.value(), there.value()), (200, 200));
        Ok(())
    });
}

#[test]
fn additions_of_listeners_and_of_threads_of_closures_count_at_once() {
    struct Counting(Accumulator<u64>);
    impl Listener for Counting {
        fn on_event(&mut self, record: &EventRecord) {
            if matches!(record.event, Event::JobFinished { .. }) {
                assert!(self.0.value() < 1_000);
                self.0.add(1);
            }
        }
    }
    test(|| {
        let count = context().accumulator(0_u64);
        let listener = Counting(count.clone());
        let ctx = Context::builder().threads(2).listener(listener).build()?;
        let counter = count.clone();
        let merge = move |a: u32, b: u32| {
            let counter = counter.clone();
            thread::spawn(move || counter.add(100)).join().unwrap();
            if b > 0 { panic!("merging") } else { a }
        };
        assert!(ctx.range_with(1, 0..3_u32).aggregate(0, |a, n| a + n, merge).is_err());
        ctx.flush_listeners();
        assert_eq!(count.value(), 101);
        Ok(())
    });
}

/// The method of an accumulator that calls the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Clone,
    Zero,
    Add,
    Merge,
    Debug,
}

/// The function that each method calls with its own accumulator.
type Hook = Arc<dyn Fn(&Accumulator<Hooked>, Call) + Send + Sync>;

/// A sum that calls a hook in every method.
struct Hooked {
    sum: u64,
    own: Arc<OnceLock<Accumulator<Hooked>>>,
    hook: Hook,
}

impl Hooked {
    fn accumulator(
        ctx: &Context,
        hook: impl Fn(&Accumulator<Hooked>, Call) + Send + Sync + 'static,
    ) -> Accumulator<Hooked> {
        let own = Arc::new(OnceLock::new());
        let start = Hooked { sum: 0, own: Arc::clone(&own), hook: Arc::new(hook) };
        let accumulator = ctx.accumulator(start);
        let _ = own.set(accumulator.clone());
        accumulator
    }

    fn call(&self, call: Call) {
        assert_eq!(emberline_core::sync::held_locks(), 0, "{call:?}");
        if let Some(own) = self.own.get() {
            (self.hook)(own, call);
        }
    }

    fn of(&self, sum: u64) -> Hooked {
        Hooked { sum, own: Arc::clone(&self.own), hook: Arc::clone(&self.hook) }
    }
}

impl Clone for Hooked {
    fn clone(&self) -> Self {
        self.call(Call::Clone);
        self.of(self.sum)
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        assert!(emberline_core::sync::held_locks() == 0 || thread::panicking());
    }
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.call(Call::Debug);
        write!(f, "{}", self.sum)
    }
}

impl Accumulate for Hooked {
    type Input = u64;

    fn zero(&self) -> Self {
        self.call(Call::Zero);
        self.of(0)
    }

    fn add(&mut self, n: u64) {
        self.call(Call::Add);
        self.sum += n;
    }

    fn merge(&mut self, later: Self) {
        self.call(Call::Merge);
        self.sum += later.sum;
    }
}

/// Returns a hook that runs `work` in the first `times` calls of one method, and never inside itself.
fn at_first(
    wanted: Call,
    times: usize,
    work: impl Fn(&Accumulator<Hooked>) + Send + Sync + 'static,
) -> impl Fn(&Accumulator<Hooked>, Call) + Send + Sync + 'static {
    let left = AtomicUsize::new(times);
    let is_running = AtomicBool::new(false);
    move |own, call| {
        if call == wanted && !is_running.swap(true, Ordering::SeqCst) {
            let is_left =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if is_left.is_ok() {
                work(own);
            }
            is_running.store(false, Ordering::SeqCst);
        }
    }
}

const CALLS: [Call; 5] = [Call::Clone, Call::Zero, Call::Add, Call::Merge, Call::Debug];

// Case R-B3 of tests/PROMISES.md.
#[test]
fn an_accumulator_whose_methods_read_and_change_itself_neither_hangs_nor_loses_an_addition() {
    /// The work of the hook.
    type Work = fn(&Context, &Accumulator<Hooked>);
    let works: [(&str, u64, Work); 5] = [
        ("value", 0, |_, own| drop(own.value())),
        ("debug", 0, |_, own| drop(format!("{own:?}"))),
        ("add", 100, |_, own| own.add(100)),
        ("action", 0, |ctx, _| {
            let _ = ctx.range_with(2, 0..4_u32).count();
        }),
        ("own action", 400, |ctx, own| {
            let own = own.clone();
            let _ = ctx.range_with(2, 0..4_u32).for_each(move |_| own.add(100));
        }),
    ];
    test(move || {
        for (name, adds, work) in works {
            for wanted in CALLS {
                let ctx = context();
                let calls = Arc::new(AtomicUsize::new(0));
                let called = Arc::clone(&calls);
                let caller = ctx.clone();
                let hook = at_first(wanted, 1, move |own| {
                    // An action inside a task is an error of the task.
                    if !thread::current().name().is_some_and(|name| name.starts_with("emberline-"))
                    {
                        called.fetch_add(1, Ordering::SeqCst);
                        work(&caller, own);
                    }
                });
                let own = Hooked::accumulator(&ctx, hook);
                own.add(1);
                let adder = own.clone();
                ctx.range_with(2, 0..10_u32).for_each(move |_| adder.add(1))?;
                let _ = format!("{own:?}");
                let expected = 11 + adds * calls.load(Ordering::SeqCst) as u64;
                assert_eq!(own.value().sum, expected, "{name} in {wanted:?}");
                assert_eq!(own.take().sum, expected, "{name} in {wanted:?}");
            }
        }
        Ok(())
    });
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn a_merge_that_changes_its_own_accumulator_each_time_is_an_error() {
    type Work = fn(&Context, &Accumulator<Hooked>);
    let works: [(&str, Work); 3] = [
        ("add", |_, own| own.add(1)),
        ("take", |_, own| drop(own.take())),
        ("action", |ctx, own| {
            let own = own.clone();
            let _ = ctx.range_with(1, 0..1_u32).for_each(move |_| own.add(1));
        }),
    ];
    test(move || {
        for (name, work) in works {
            let ctx = context();
            let caller = ctx.clone();
            let hook = at_first(Call::Merge, usize::MAX, move |own| work(&caller, own));
            let own = Hooked::accumulator(&ctx, hook);
            let adder = own.clone();
            let other = ctx.accumulator(0_u64);
            let counter = other.clone();
            let added = ctx.range_with(2, 0..10_u32).for_each(move |_| {
                adder.add(1);
                counter.add(1);
            });
            let text = added.unwrap_err().to_string();
            assert!(text.contains("Accumulate"), "{name}: {text}");
            assert_eq!(other.value(), 0, "{name}");
            assert_eq!(ctx.range(0..3_u32).count()?, 3, "and the context still works");
        }
        Ok(())
    });
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn accumulators_may_read_each_other_on_many_threads() {
    test(|| {
        let ctx = context();
        let pair: Arc<[OnceLock<Accumulator<Hooked>>; 2]> = Arc::default();
        for number in 0..2 {
            let others = Arc::clone(&pair);
            let is_inside = AtomicBool::new(false);
            let hook = move |_: &_, _| {
                if !is_inside.swap(true, Ordering::SeqCst) {
                    let _ = others[1 - number].get().map(Accumulator::value);
                    is_inside.store(false, Ordering::SeqCst);
                }
            };
            let _ = pair[number].set(Hooked::accumulator(&ctx, hook));
        }
        let workers = (0..8_usize).map(|number| {
            let (ctx, own) = (ctx.clone(), pair[number % 2].get().unwrap().clone());
            thread::spawn(move || {
                for _ in 0..10 {
                    let adder = own.clone();
                    ctx.range_with(2, 0..4_u32).for_each(move |_| adder.add(1)).unwrap();
                    own.add(1);
                }
            })
        });
        workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(pair.each_ref().map(|own| own.get().unwrap().value().sum), [200, 200]);
        Ok(())
    });
}

// Case R-A9 of tests/PROMISES.md.
#[test]
fn the_sum_of_no_rows_is_zero_and_not_minus_zero() {
    test(|| {
        let ctx = context();
        for partitions in [0, 1, 2, 7] {
            let none = match partitions {
                0 => ctx.parallelize(Vec::<u32>::new()).boxed(),
                _ => ctx.range_with(partitions, 0..7_u32).filter(|_| false).boxed(),
            };
            let doubles = none.map(f64::from);
            let floats = none.map(|n| n as f32);
            assert_eq!(doubles.sum::<f64>()?.to_bits(), 0);
            assert_eq!(doubles.boxed().cache().sum::<f64>()?.to_bits(), 0);
            assert_eq!(floats.sum::<f32>()?.to_bits(), 0);
            assert_eq!(doubles.map(Some).sum::<Option<f64>>()?.map(f64::to_bits), Some(0));
            assert_eq!(floats.map(Some).sum::<Option<f32>>()?.map(f32::to_bits), Some(0));
            let stats = doubles.stats()?;
            assert_eq!((stats.sum().to_bits(), stats.mean().to_bits()), (0, 0));
            assert_eq!(doubles.fold(0.0, |a, b| a + b)?.to_bits(), 0);
            assert_eq!(doubles.reduce(|a, b| a + b)?, None);
        }
        assert_eq!(ctx.accumulator(0.0_f64).value().to_bits(), 0);
        assert_eq!(ctx.accumulator(1.0_f32).take().to_bits(), 1.0_f32.to_bits());
        let stats = ctx.accumulator(RunningStats::default()).value().stats();
        assert_eq!((stats.sum().to_bits(), stats.mean().to_bits()), (0, 0));
        Ok(())
    });
}

// Case R-A9 of tests/PROMISES.md.
#[test]
fn a_sum_of_floats_has_the_sign_that_std_gives_it() {
    test(|| {
        let ctx = context();
        for rows in
            [vec![-0.0_f64], vec![-0.0, -0.0, -0.0], vec![-0.0, 0.0], vec![1.0, -1.0], vec![0.0]]
        {
            let expected: f64 = rows.iter().sum();
            for partitions in [1, 2, 7] {
                let sum = ctx.parallelize_with(partitions, rows.clone()).sum::<f64>()?;
                assert_eq!(sum.to_bits(), expected.to_bits(), "{rows:?} in {partitions}");
            }
        }
        Ok(())
    });
}

/// The rows that an action of a program reads.
#[derive(Clone, Copy, Debug)]
enum Source {
    Plain,
    /// A persisted RDD or a shuffle, by number.
    Stored(usize),
}

/// One action of a random program.
#[derive(Clone, Debug)]
struct Action {
    number: usize,
    source: Source,
    /// Added to the large, the small and the hooked accumulator for each row of the result stage.
    adds: (u64, u8, u64),
    /// Added to the small accumulator by the merge on the driver.
    driver_add: u8,
    /// The row whose task panics.
    failing_row: Option<u32>,
    has_failing_merge: bool,
    /// Run by the merge on the driver.
    in_merge: Vec<Action>,
    /// Run by the merge of the hooked accumulator, if the action adds to it.
    in_accumulator: Vec<Action>,
}

const ROWS: u32 = 6;
/// The sources that store each row with one addition.
const FIRST_STORED: usize = 7;
/// All sources that are stored. Each one after the first ones reads another, with more additions.
const STORED: usize = 12;
/// The sources that they read.
const PARENTS: [usize; STORED - FIRST_STORED] = [5, 7, 0, 9, 8];

fn action() -> impl Strategy<Value = Action> {
    let source = prop_oneof![Just(Source::Plain), (0..STORED).prop_map(Source::Stored)];
    let adds = (
        0..3_u64,
        prop_oneof![3 => 0..3_u8, 1 => 20..60_u8],
        prop_oneof![2 => Just(0), 1 => 1..3_u64],
    );
    let failing_row = proptest::option::weighted(0.15, 0..ROWS);
    let shape = (source, adds, 0..3_u8, failing_row, proptest::bool::weighted(0.15));
    let leaf =
        shape.prop_map(|(source, adds, driver_add, failing_row, has_failing_merge)| Action {
            number: 0,
            source,
            adds,
            driver_add,
            failing_row,
            has_failing_merge,
            in_merge: Vec::new(),
            in_accumulator: Vec::new(),
        });
    leaf.prop_recursive(2, 8, 2, |inner| {
        let nested = proptest::collection::vec(inner.clone(), 0..3);
        (inner, nested.clone(), nested).prop_map(|(action, in_merge, in_accumulator)| Action {
            in_merge,
            in_accumulator,
            ..action
        })
    })
}

/// Numbers the actions, so that the model can name them.
fn number(actions: &mut [Action], next: &mut usize) {
    for action in actions {
        action.number = *next;
        *next += 1;
        number(&mut action.in_merge, next);
        number(&mut action.in_accumulator, next);
    }
}

/// The values that must count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Values {
    large: u64,
    small: u8,
    hooked: u64,
    list: Vec<u32>,
}

/// Returns the number that a stored source adds for each row.
fn adds_of(source: usize) -> u64 {
    if source < FIRST_STORED { 1 } else { 10 + source as u64 }
}

/// The values that a program must leave, computed without the engine.
#[derive(Default)]
struct Model {
    values: Values,
    has_counted: [bool; STORED],
    /// The actions whose merge of the hooked accumulator ran. If merging another accumulator fails
    /// first, it does not run.
    merged: HashSet<usize>,
}

impl Model {
    fn run_all(&mut self, actions: &[Action]) {
        for action in actions {
            self.run(action);
        }
    }

    /// Returns the sources whose additions count with the next action that reads `source`.
    fn uncounted(&self, source: Source) -> Vec<usize> {
        let parent = |source: &usize| Some(PARENTS[source.checked_sub(FIRST_STORED)?]);
        let first = match source {
            Source::Stored(number) => Some(number),
            Source::Plain => None,
        };
        let sources = successors(first, parent);
        sources.filter(|source| !self.has_counted[*source]).collect()
    }

    /// Runs an action, and returns true if it succeeds.
    fn run(&mut self, action: &Action) -> bool {
        if action.failing_row.is_some() {
            return false;
        }
        self.run_all(&action.in_merge);
        if action.has_failing_merge {
            return false;
        }
        if self.merged.contains(&action.number) {
            self.run_all(&action.in_accumulator);
        }
        let mut next = self.values.clone();
        let uncounted = self.uncounted(action.source);
        let rows = u64::from(ROWS);
        let (large, small, hooked) = action.adds;
        // A shuffled or stored source adds one, and its rows, for each row.
        next.large += rows * large;
        for source in &uncounted {
            next.large += rows * adds_of(*source);
            if *source < FIRST_STORED {
                next.list.extend(0..ROWS);
            }
        }
        next.hooked += rows * hooked;
        let small = rows as u32 * u32::from(small) + u32::from(action.driver_add);
        let Some(small) = u8::try_from(small).ok().and_then(|small| next.small.checked_add(small))
        else {
            return false;
        };
        next.small = small;
        self.values = next;
        uncounted.into_iter().for_each(|source| self.has_counted[source] = true);
        true
    }
}

/// The accumulators and sources of a program.
struct World {
    ctx: Context,
    large: Accumulator<u64>,
    small: Accumulator<u8>,
    hooked: Accumulator<Hooked>,
    list: Accumulator<Vec<u32>>,
    stored: Vec<Rdd<u32>>,
    /// The actions that the next merge of the hooked accumulator runs.
    in_accumulator: Mutex<Option<Action>>,
    /// The actions whose merge ran.
    merged: Mutex<HashSet<usize>>,
}

impl World {
    fn new(ctx: Context) -> Arc<World> {
        Arc::new_cyclic(|world: &std::sync::Weak<World>| {
            let world = world.clone();
            let hook = move |_: &_, call| {
                if call == Call::Merge {
                    let Some(world) = world.upgrade() else { return };
                    let Some(action) = world.in_accumulator.lock().unwrap().take() else { return };
                    world.merged.lock().unwrap().insert(action.number);
                    action.in_accumulator.into_iter().for_each(|inner| drop(world.run(inner)));
                }
            };
            let hooked = Hooked::accumulator(&ctx, hook);
            let (large, list) = (ctx.accumulator(0_u64), ctx.accumulator(Vec::new()));
            let rows = || {
                let (counter, log) = (large.clone(), list.clone());
                ctx.range_with(3, 0..ROWS).inspect(move |n| {
                    counter.add(1);
                    log.add(*n);
                })
            };
            let stored = LEVELS.map(|level| rows().persist(level));
            let combined = rows().map(|n| (n, n)).reduce_by_key(|a, _| a).keys().boxed();
            let moved = rows().repartition(2).boxed();
            let mut sources: Vec<_> = stored.into_iter().chain([combined, moved]).collect();
            for (number, parent) in PARENTS.into_iter().enumerate() {
                let counter = large.clone();
                let adds = adds_of(FIRST_STORED + number);
                let rows = sources[parent].inspect(move |_| counter.add(adds));
                sources.push(match number % 2 {
                    0 => rows.persist(LEVELS[number]),
                    _ => rows.map(|n| (n, n)).reduce_by_key(|a, _| a).keys().boxed(),
                });
            }
            World {
                stored: sources,
                small: ctx.accumulator(0),
                in_accumulator: Mutex::default(),
                merged: Mutex::default(),
                large,
                hooked,
                list,
                ctx,
            }
        })
    }

    fn run(self: &Arc<Self>, action: Action) -> Result<u32> {
        let rows = match action.source {
            Source::Plain => self.ctx.range_with(3, 0..ROWS).boxed(),
            Source::Stored(number) => self.stored[number].clone(),
        };
        let (large, small, hooked) = (self.large.clone(), self.small.clone(), self.hooked.clone());
        let Action { adds, failing_row, .. } = action;
        let adding = rows.map(move |n| {
            assert_ne!(Some(n), failing_row);
            large.add(adds.0);
            small.add(adds.1);
            if adds.2 > 0 {
                hooked.add(adds.2);
            }
            n
        });
        let world = Arc::clone(self);
        let left = AtomicBool::new(true);
        let merge = move |a: u32, b: u32| {
            if left.swap(false, Ordering::SeqCst) {
                world.small.add(action.driver_add);
                action.in_merge.iter().for_each(|inner| drop(world.run(inner.clone())));
                assert!(!action.has_failing_merge, "merging");
                let in_accumulator = Some(action.clone()).filter(|action| action.adds.2 > 0);
                *world.in_accumulator.lock().unwrap() = in_accumulator;
            }
            a + b
        };
        adding.aggregate(0, |sum, n| sum + n, merge)
    }

    fn values(&self) -> Values {
        Values {
            large: self.large.value(),
            small: self.small.value(),
            hooked: self.hooked.value().sum,
            list: self.list.value(),
        }
    }
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn programs_of_nested_actions_count_what_succeeded_and_nothing_else() {
    let config = ProptestConfig { cases: scaled(250) as u32, ..ProptestConfig::default() };
    let programs = proptest::collection::vec(action(), 1..6);
    proptest!(config, |(mut program in programs, threads in 1..4_usize, force_spill: bool)| {
        within(DEADLINE, move || {
            number(&mut program, &mut 0);
            let ctx = Context::builder().threads(threads).force_spill(force_spill).build().unwrap();
            let (world, mut model) = (World::new(ctx), Model::default());
            for action in program {
                let result = world.run(action.clone());
                model.merged.clone_from(&world.merged.lock().unwrap());
                let succeeds = model.run(&action);
                let text = format!("{result:?}");
                assert_eq!(result.is_ok(), succeeds, "{text}");
                let mut values = world.values();
                // A shuffle reads its rows in another order; the additions before it are in order.
                values.list.sort_unstable();
                let mut expected = model.values.clone();
                expected.list.sort_unstable();
                assert_eq!(values, expected, "after {text}");
            }
        });
    });
}

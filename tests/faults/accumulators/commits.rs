//! Actions that fail, succeed, run inside each other or at the same time.

use super::*;

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

//! Closures that use rayon: no task begins inside another.

use super::*;

// Case R-B4 of tests/PROMISES.md.
#[test]
fn a_lock_held_during_rayon_work_does_not_block_the_job() {
    within(DEADLINE, || {
        let lock = Arc::new(Mutex::new(()));
        let sums = context(4).range_with(64, 0..64_u64).map(move |n| {
            let _held = lock.lock();
            (0..500_u64).into_par_iter().map(|i| i * n).sum::<u64>()
        });
        assert_eq!(sums.reduce(|a, b| a + b).unwrap(), Some(64 * 63 / 2 * (500 * 499 / 2)));
    });
}

thread_local! {
    static TASKS_ON_THIS_THREAD: Cell<usize> = const { Cell::new(0) };
    static SCRATCHPAD: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Rayon work that returns the sum of `n * i` for all `i` below 60.
#[derive(Clone, Copy, Debug)]
enum Construct {
    ParIter,
    Join,
    Scope,
    InPlaceScope,
    Sort,
    Nested,
    OwnPool,
    SpawnAndWait,
    Bridge,
    Broadcast,
    Yield,
    ThreadsThatJoin,
}

const CONSTRUCTS: [Construct; 12] = [
    Construct::ParIter,
    Construct::Join,
    Construct::Scope,
    Construct::InPlaceScope,
    Construct::Sort,
    Construct::Nested,
    Construct::OwnPool,
    Construct::SpawnAndWait,
    Construct::Bridge,
    Construct::Broadcast,
    Construct::Yield,
    Construct::ThreadsThatJoin,
];

fn join_sum(n: u64, from: u64, to: u64) -> u64 {
    if to - from < 8 {
        return (from..to).map(|i| n * i).sum();
    }
    let middle = from.midpoint(to);
    let (left, right) = rayon::join(|| join_sum(n, from, middle), || join_sum(n, middle, to));
    left + right
}

impl Construct {
    fn sum(self, n: u64, own_pool: &rayon::ThreadPool) -> u64 {
        let sum = Mutex::new(0);
        let add = |from, to| *sum.lock().unwrap() += (from..to).map(|i| n * i).sum::<u64>();
        match self {
            Construct::ParIter => return (0..60).into_par_iter().map(|i| n * i).sum(),
            Construct::Join => return join_sum(n, 0, 60),
            Construct::Scope => rayon::scope(|scope| {
                (0..6).for_each(|part| scope.spawn(move |_| add(part * 10, part * 10 + 10)));
            }),
            Construct::InPlaceScope => rayon::in_place_scope(|scope| {
                (0..6).for_each(|part| scope.spawn(move |_| add(part * 10, part * 10 + 10)));
            }),
            Construct::Sort => {
                let mut rows: Vec<u64> = (0..6000).map(|i| (i * 7919) % 6000).collect();
                rows.par_sort_unstable();
                return rows[..60].iter().map(|i| n * i).sum();
            }
            Construct::Nested => {
                let part = |part: u64| (part * 10..part * 10 + 10).into_par_iter().map(|i| n * i);
                return (0..6_u64).into_par_iter().map(|it| part(it).sum::<u64>()).sum();
            }
            Construct::OwnPool => return own_pool.install(|| join_sum(n, 0, 60)),
            Construct::SpawnAndWait => {
                let (send, receive) = channel();
                rayon::spawn(move || send.send((0..60).map(|i| n * i).sum()).unwrap());
                return receive.recv().unwrap();
            }
            Construct::Bridge => return (0..60).par_bridge().map(|i| n * i).sum(),
            Construct::Broadcast => {
                let parts = rayon::broadcast(|part| (part.index(), part.num_threads()));
                parts.iter().for_each(|(index, _)| {
                    if *index == 0 {
                        add(0, 60);
                    }
                });
            }
            Construct::Yield => {
                rayon::yield_now();
                add(0, 60);
            }
            Construct::ThreadsThatJoin => thread::scope(|scope| {
                let parts: Vec<_> = (0..2)
                    .map(|it| scope.spawn(move || join_sum(n, it * 30, it * 30 + 30)))
                    .collect();
                parts.into_iter().for_each(|part| *sum.lock().unwrap() += part.join().unwrap());
            }),
        }
        sum.into_inner().unwrap()
    }
}

/// Things that a closure may hold while it waits for rayon work, and that a task inside the task would need too.
#[derive(Clone, Copy, Debug)]
enum Guard {
    Nothing,
    Lock,
    ReadLock,
    RefCell,
}

const GUARDS: [Guard; 4] = [Guard::Nothing, Guard::Lock, Guard::ReadLock, Guard::RefCell];

/// Runs a closure with rayon work in every row, and checks in each that its thread runs no other task.
fn sum_with(ctx: &Context, partitions: usize, construct: Construct, guard: Guard) -> Result<u64> {
    let lock = Arc::new(Mutex::new(()));
    let read_lock = Arc::new(RwLock::new(()));
    let own_pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
    let rows = ctx.range_with(partitions, 0..partitions as u64 * 2).map(move |n| {
        let inside = TASKS_ON_THIS_THREAD.replace(1);
        assert_eq!(inside, 0, "a task began inside a task");
        let sum = || construct.sum(n, &own_pool);
        let sum = match guard {
            Guard::Nothing => sum(),
            Guard::Lock => {
                let _held = lock.lock().unwrap();
                sum()
            }
            Guard::ReadLock if n % 3 == 0 => {
                let _held = read_lock.write().unwrap();
                sum()
            }
            Guard::ReadLock => {
                let _held = read_lock.read().unwrap();
                sum()
            }
            Guard::RefCell => SCRATCHPAD.with_borrow_mut(|pad| {
                pad.clear();
                pad.push(sum());
                pad[0]
            }),
        };
        TASKS_ON_THIS_THREAD.set(0);
        sum
    });
    rows.reduce(|a, b| a + b).map(Option::unwrap_or_default)
}

// Case R-B4 of tests/PROMISES.md.
#[test]
fn no_task_begins_inside_a_task_that_waits_for_any_rayon_work() {
    within(DEADLINE, || {
        for round in 0..scaled(1) {
            for threads in [1, 2, 4] {
                let ctx = context(threads);
                for (construct, guard) in CONSTRUCTS.iter().flat_map(|c| GUARDS.map(|h| (*c, h))) {
                    let partitions = 8 * threads + round;
                    let sum = sum_with(&ctx, partitions, construct, guard);
                    let rows = 2 * partitions as u64;
                    let expected = rows * (rows - 1) / 2 * (60 * 59 / 2);
                    assert_eq!(sum.unwrap(), expected, "{construct:?} {guard:?} on {threads}");
                }
            }
        }
    });
}

/// Runs rayon work with a lock held, and checks that no task begins meanwhile on this thread.
fn rayon_work_with_a_lock(lock: &Mutex<()>) {
    let inside = TASKS_ON_THIS_THREAD.replace(1);
    assert_eq!(inside, 0, "a task began inside a task");
    let held = lock.lock().unwrap();
    assert_eq!((0..60_u64).into_par_iter().map(|i| i * 2).sum::<u64>(), 60 * 59);
    drop(held);
    TASKS_ON_THIS_THREAD.set(0);
}

// Case R-B4 of tests/PROMISES.md.
#[expect(clippy::too_many_lines, reason = "one table of operations")]
#[test]
fn no_task_begins_inside_any_closure_of_any_operation_that_uses_rayon() {
    within(DEADLINE, || {
        for round in 0..scaled(4) {
            let builder = Context::builder().threads(1 + round % 4).force_spill(round % 2 == 0);
            let ctx = builder.build().unwrap();
            let lock = Arc::new(Mutex::new(()));
            let work = move || rayon_work_with_a_lock(&lock);
            let rows = ctx.range_with(16, 0..64_u64);
            let pairs = rows.map(|n| (n % 8, n));
            let new = || work.clone();
            let counts = [
                rows.map({
                    let work = new();
                    move |n| {
                        work();
                        n
                    }
                })
                .count(),
                rows.filter({
                    let work = new();
                    move |_| {
                        work();
                        true
                    }
                })
                .count(),
                rows.flat_map({
                    let work = new();
                    move |n| {
                        work();
                        [n]
                    }
                })
                .count(),
                rows.map_partitions({
                    let work = new();
                    move |rows| {
                        rows.inspect({
                            let work = work.clone();
                            move |_| work()
                        })
                    }
                })
                .count(),
                pairs
                    .reduce_by_key({
                        let work = new();
                        move |a, b| {
                            work();
                            a + b
                        }
                    })
                    .count(),
                pairs
                    .aggregate_by_key(
                        0,
                        {
                            let work = new();
                            move |sum, n| {
                                work();
                                sum + n
                            }
                        },
                        |a, b| a + b,
                    )
                    .count(),
                rows.sort_by({
                    let work = new();
                    move |a, b| {
                        work();
                        a.cmp(b)
                    }
                })
                .count(),
                rows.sort_by_key({
                    let work = new();
                    move |n| {
                        work();
                        *n
                    }
                })
                .count(),
                rows.boxed()
                    .inspect({
                        let work = new();
                        move |_| work()
                    })
                    .persist(emberline::StorageLevel::Disk)
                    .count(),
                pairs
                    .join(&pairs)
                    .map({
                        let work = new();
                        move |pair| {
                            work();
                            pair
                        }
                    })
                    .count(),
            ];
            let expected = [64, 64, 64, 64, 8, 8, 64, 64, 64, 512];
            assert_eq!(counts.map(Result::unwrap), expected);
        }
    });
}

// Case R-B4 of tests/PROMISES.md.
#[test]
fn rayon_work_of_one_task_never_waits_for_that_of_another() {
    within(DEADLINE, || {
        // Row 0 holds the lock until its rayon work has ended, for which that of other rows, which waits for the
        // lock, must not take the threads.
        let ctx = context(4);
        let lock = Arc::new(Mutex::new(()));
        let all_wait = Arc::new(Barrier::new(4));
        let counts = ctx.range_with(4, 0..4_u64).map(move |n| {
            let held = (n == 0).then(|| lock.lock().unwrap());
            all_wait.wait();
            let pieces = (0..64_u64).into_par_iter().map(|i| {
                drop((n != 0).then(|| lock.lock().unwrap()));
                i
            });
            let sum: u64 = pieces.sum();
            drop(held);
            sum
        });
        assert_eq!(counts.reduce(|a, b| a + b).unwrap(), Some(4 * (64 * 63 / 2)));
    });
}

// Case R-B4 of tests/PROMISES.md.
#[test]
fn actions_from_a_rayon_pool_of_the_program_whose_closures_use_rayon_end() {
    within(DEADLINE, || {
        let ctx = context(2);
        let sum = |n: u64| {
            let rows = ctx.range_with(4, 0..4_u64);
            let rows =
                rows.map(move |m| (0..60_u64).into_par_iter().map(|i| i * (n + m)).sum::<u64>());
            rows.reduce(|a, b| a + b).unwrap().unwrap()
        };
        let expected: u64 = (0..16_u64).map(|n| (4 * n + 6) * (60 * 59 / 2)).sum();
        assert_eq!((0..16_u64).into_par_iter().map(sum).sum::<u64>(), expected);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| (0..16_u64).into_par_iter().map(sum).sum::<u64>()), expected);
    });
}

// Case R-B4 of tests/PROMISES.md.
#[test]
fn an_action_in_any_rayon_work_of_a_closure_is_refused() {
    within(DEADLINE, || {
        for threads in [1, 3] {
            let ctx = context(threads);
            let inner = ctx.range(0..5_u64).boxed();
            let refused = |work: fn(&Rdd<u64>)| {
                let inner = inner.clone();
                let error =
                    ctx.range_with(6, 0..6_u64).for_each(move |_| work(&inner)).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::NestedAction { .. }), "{error}");
            };
            refused(|inner| drop(inner.count()));
            refused(|inner| {
                let both = Barrier::new(2);
                let count = || {
                    both.wait();
                    let refused = inner.count().unwrap_err();
                    assert!(matches!(refused.kind(), ErrorKind::NestedAction { .. }), "{refused}");
                };
                rayon::join(count, count);
            });
        }
    });
}

// Case R-B4 of tests/PROMISES.md.
#[test]
fn what_a_closure_ignores_in_its_rayon_work_fails_the_task() {
    within(DEADLINE, || {
        let ctx = context(2);
        let inner = ctx.range(0..5_u64).boxed();
        let count = ctx.accumulator(0_u64);
        let ignored: [fn(&Context, &Rdd<u64>, &Accumulator<u64>); 3] = [
            |_, inner, _| drop(inner.count()),
            |ctx, _, _| drop(ctx.spawn(|| Ok(1)).wait()),
            |_, _, count| {
                let add = std::panic::AssertUnwindSafe(|| count.add(1));
                drop(std::panic::catch_unwind(add));
            },
        ];
        for ignore in ignored {
            let (own, inner, counter) = (ctx.clone(), inner.clone(), count.clone());
            let job = ctx.range_with(3, 0..3_u64).for_each(move |_| {
                // The second piece runs on the helper, because the first waits for it.
                let both = Barrier::new(2);
                let first = || {
                    both.wait();
                };
                let second = || {
                    both.wait();
                    ignore(&own, &inner, &counter);
                };
                rayon::join(first, second);
            });
            job.unwrap_err();
            assert_eq!(count.value(), 0);
            assert_eq!(ctx.range(0..9_u64).count().unwrap(), 9);
        }
    });
}

// Case R-B4 of tests/PROMISES.md.
#[test]
fn an_accumulator_in_rayon_work_of_a_closure_counts_exactly_or_is_an_error() {
    within(DEADLINE, || {
        let mut errors = 0;
        for round in 0..scaled(40) as u64 {
            let ctx =
                Context::builder().threads(1 + round as usize % 4).max_attempts(3).build().unwrap();
            let count = ctx.accumulator(0_u64);
            let counter = count.clone();
            let rows = 16 + round;
            let counted = ctx.range_with(8, 0..rows).for_each(move |_| {
                let add = |_| {
                    counter.add(1);
                    thread::yield_now();
                };
                (0..20).into_par_iter().for_each(add);
            });
            match counted {
                Ok(()) => assert_eq!(count.value(), rows * 20),
                Err(error) => {
                    errors += 1;
                    assert!(error.to_string().contains("rayon work"), "{error}");
                    assert_eq!(count.value(), 0);
                }
            }
        }
        println!("{errors} errors");
    });
}

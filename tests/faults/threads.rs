//! Tasks never begin inside tasks, whatever rayon work their closures wait for, and threads that cannot be started are
//! errors, and are tried again.

use emberline::fault::FaultPlan;
use emberline::prelude::*;
use rayon::prelude::*;
use std::cell::{Cell, RefCell};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Mutex, RwLock};
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, eventually, scaled, within};

fn context(threads: usize) -> Context {
    Context::builder().threads(threads).build().unwrap()
}

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

/// Runs a job whose tasks never return until the sender is dropped, cancels it, and waits until its threads are
/// abandoned.
fn block_all_threads(ctx: &Context, threads: usize) -> Sender<()> {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let met = Arc::new(Barrier::new(threads + 1));
    let meet = Arc::clone(&met);
    let stuck = ctx.range_with(threads, 0..threads as u64);
    let stuck = ctx.spawn(move || {
        stuck.for_each(move |_| {
            meet.wait();
            let _ = wait.lock().map(|wait| wait.recv());
        })
    });
    met.wait();
    stuck.cancel("stuck");
    eventually("all threads are abandoned", || ctx.abandoned_tasks().len() == threads);
    release
}

fn is_of_the_system(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io { .. })
        && error.to_string().contains("starting a thread for")
}

/// Returns the number of threads that a context with a number of threads for tasks starts when it is built.
fn threads_of(threads: usize) -> u64 {
    2 * threads as u64 + 2
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn jobs_fail_while_stuck_threads_cannot_be_replaced_and_succeed_afterwards() {
    within(DEADLINE, || {
        for threads in 1..=3 {
            let faults = FaultPlan::new().refuse_threads(threads_of(threads) + 1, 20).arm();
            let ctx = Context::builder().threads(threads).faults(&faults).build().unwrap();
            let release = block_all_threads(&ctx, threads);
            let error = ctx.range_with(4, 0..9_u64).count().unwrap_err();
            assert!(is_of_the_system(&error), "{error}");
            assert!(error.to_string().contains("no more threads"), "{error}");
            let works = || ctx.range_with(4, 0..9_u64).count().is_ok_and(|rows| rows == 9);
            eventually("the limit is lifted", works);
            assert!(faults.fired() >= 4, "{}", faults.fired());
            let all_meet = Arc::new(Barrier::new(threads));
            let meet = move |_| {
                all_meet.wait();
            };
            ctx.range_with(threads, 0..threads as u64).for_each(meet).unwrap();
            drop(release);
        }
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn tasks_that_wait_when_their_thread_cannot_be_replaced_fail() {
    within(DEADLINE, || {
        let faults = FaultPlan::new().refuse_threads(threads_of(1) + 2, 8).arm();
        let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
        let (release, wait) = channel::<()>();
        let (began, has_begun) = channel();
        let wait = Mutex::new(wait);
        let stuck = ctx.range_with(1, 0..1_u64);
        let stuck = ctx.spawn(move || {
            stuck.for_each(move |_| {
                began.send(()).unwrap();
                let _ = wait.lock().map(|wait| wait.recv());
            })
        });
        has_begun.recv().unwrap();
        let waiting = ctx.range_with(3, 0..9_u64);
        let waiting = ctx.spawn(move || waiting.count());
        thread::sleep(Duration::from_millis(20));
        stuck.cancel("stuck");
        let error = waiting.wait().unwrap_err();
        assert!(is_of_the_system(&error), "{error}");
        eventually("the limit is lifted", || ctx.range(0..9_u64).count().is_ok());
        drop(release);
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn a_spawned_closure_that_waits_for_another_ends_though_a_thread_was_refused() {
    within(DEADLINE, || {
        for refused in 1..5 {
            let faults = FaultPlan::new().refuse_threads(threads_of(1) + 1, refused).arm();
            let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
            let (send, receive) = channel();
            let waits = ctx.spawn(move || Ok(receive.recv().unwrap()));
            let sends = ctx.spawn(move || {
                send.send(7).unwrap();
                Ok(8)
            });
            assert_eq!((waits.wait().unwrap(), sends.wait().unwrap()), (7, 8));
            assert_eq!(faults.fired(), refused);
        }
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn a_spawned_closure_for_which_there_is_no_thread_gets_the_error_of_the_system() {
    within(DEADLINE, || {
        let faults = FaultPlan::new()
            .refuse_threads(threads_of(1), 1)
            .refuse_threads(threads_of(1) + 2, 3)
            .arm();
        let ctx = Context::builder().threads(1).faults(&faults).build().unwrap();
        let error = ctx.spawn(|| Ok(1)).wait().unwrap_err();
        assert!(is_of_the_system(&error), "{error}");
        let (release, wait) = channel::<()>();
        let (began, has_begun) = channel();
        let stuck = ctx.spawn(move || {
            began.send(()).unwrap();
            Ok(wait.recv().is_ok())
        });
        has_begun.recv().unwrap();
        let waiting = ctx.spawn(|| Ok(2));
        stuck.cancel("stuck");
        let error = waiting.wait().unwrap_err();
        assert!(is_of_the_system(&error), "{error}");
        assert!(error.to_string().contains("spawn at tests/faults/threads.rs"), "{error}");
        eventually("the limit is lifted", || ctx.spawn(|| Ok(3)).wait().is_ok());
        drop(release);
    });
}

// Case R-B2 of tests/PROMISES.md.
#[test]
fn whatever_threads_are_refused_every_job_and_closure_ends() {
    within(DEADLINE, || {
        let mut failed = 0;
        for round in 0..scaled(12) as u64 {
            let threads = 1 + round as usize % 3;
            let first = threads_of(threads) + round % 5;
            let plan = FaultPlan::new().refuse_threads(first, 1 + round % 4);
            let faults = plan.refuse_threads(first + 6 + round % 3, round % 6).arm();
            let ctx = Context::builder().threads(threads).faults(&faults).build().unwrap();
            let closures = (0..6_u64).map(|n| {
                let rows = ctx.range_with(4, 0..n).map(|n| (n % 3, n)).reduce_by_key(|a, b| a + b);
                ctx.spawn(move || rows.count())
            });
            let closures: Vec<_> = closures.collect();
            let release = (round % 2 == 0).then(|| {
                let (release, wait) = channel::<()>();
                let wait = Mutex::new(wait);
                let stuck = ctx.range_with(threads, 0..3_u64);
                let stuck = ctx.spawn(move || {
                    stuck.for_each(move |_| {
                        let _ = wait.lock().map(|wait| wait.recv());
                    })
                });
                thread::sleep(Duration::from_millis(30));
                stuck.cancel("stuck");
                release
            });
            for (n, closure) in closures.into_iter().enumerate() {
                match closure.wait() {
                    Ok(keys) => assert_eq!(keys, n.min(3) as u64),
                    Err(error) => {
                        failed += 1;
                        assert!(is_of_the_system(&error), "{error}");
                    }
                }
            }
            eventually("jobs succeed again", || ctx.range(0..9_u64).count().is_ok());
            drop(release);
        }
        println!("{failed} closures failed");
    });
}

/// The environment variable of the child processes of these tests.
const CHILD: &str = "EMBERLINE_TEST_THREADS_CHILD";

/// Runs one test of this module in a child process, and returns its output.
fn run_child(name: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let name = format!("threads::{name}");
    child.args([&name, "--exact", "--ignored", "--nocapture"]).env(CHILD, "1");
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn threads_named_emberline() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("emberline-")).collect()
}

// Alone in its process, since it counts threads.
#[test]
#[ignore = "another test here starts it"]
fn child_process_in_which_contexts_cannot_start() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        for threads in 1..=3 {
            for number in 0..=threads_of(threads) {
                let faults = FaultPlan::new().refuse_threads(number, 1).arm();
                let builder = Context::builder().threads(threads).scratch_dir(folder.path());
                match builder.faults(&faults).build() {
                    Ok(ctx) => {
                        assert_eq!(number, threads_of(threads));
                        assert_eq!(ctx.range(0..9_u64).count().unwrap(), 9);
                    }
                    Err(error) => assert!(is_of_the_system(&error), "{error}"),
                }
                eventually("no thread is left", || threads_named_emberline().is_empty());
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            }
        }
    });
}

// Case R-B2 of tests/PROMISES.md.
#[cfg(target_os = "linux")]
#[test]
fn a_context_whose_threads_cannot_start_is_an_error_and_leaves_nothing() {
    within(DEADLINE, || drop(run_child("child_process_in_which_contexts_cannot_start")));
}

/// Limits the address space of this process to its present size and a few MiB, which are too few for the stack of a
/// thread, or lifts the limit. Returns false where that is not possible.
fn limit_address_space(is_limited: bool) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
    let limit = if is_limited { ((kib + 6 * 1024) * 1024).to_string() } else { "unlimited".into() };
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--pid={}", std::process::id())).arg(format!("--as={limit}:"));
    prlimit.status().is_ok_and(|status| status.success())
}

// Alone in its process, since it limits the process.
#[test]
#[ignore = "another test here starts it"]
fn child_process_that_reaches_a_limit_of_the_system() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    within(DEADLINE, || {
        let ctx = context(2);
        let (release, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let stuck = ctx.range_with(2, 0..2_u64);
        let met = Arc::new(Barrier::new(3));
        let meet = Arc::clone(&met);
        let stuck = ctx.spawn(move || {
            stuck.for_each(move |_| {
                meet.wait();
                let _ = wait.lock().map(|wait| wait.recv());
            })
        });
        met.wait();
        if !limit_address_space(true) {
            println!("skipped: this system has no prlimit");
            return;
        }
        stuck.cancel("stuck");
        eventually("all threads are abandoned", || ctx.abandoned_tasks().len() == 2);
        let error = ctx.range_with(4, 0..9_u64).count().unwrap_err();
        assert!(limit_address_space(false));
        assert!(is_of_the_system(&error), "{error}");
        println!("limited: {error}");
        eventually("jobs succeed again", || ctx.range_with(4, 0..9_u64).count().is_ok());
        println!("lifted");
        drop(release);
    });
}

// Case R-B2 of tests/PROMISES.md.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_the_system_is_the_error_of_a_job_until_it_is_lifted() {
    within(DEADLINE, || {
        let text = run_child("child_process_that_reaches_a_limit_of_the_system");
        assert!(text.contains("lifted") || text.contains("skipped"), "{text}");
        if text.contains("lifted") {
            assert!(text.contains("os error"), "{text}");
        }
    });
}

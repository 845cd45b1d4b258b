//! Dropping a context waits a bounded time and leaves no file.

use emberline::config::Speculation;
use emberline::prelude::*;
use emberline::{ContextBuilder, StorageLevel};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use testkit::{DEADLINE, eventually, scaled, within};

/// Returns a builder of a context that writes every map output to a file in `folder`.
fn on_disk(folder: &Path) -> ContextBuilder {
    Context::builder().threads(2).force_spill(true).task_memory_bytes(4096).scratch_dir(folder)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The ends of a program after which tasks may still run.
const ENDS: [&str; 14] = [
    "error in a map task",
    "error in a reduce task",
    "error after a sort",
    "error with a cache",
    "cancel",
    "cancel of a group",
    "timeout",
    "speculation",
    "dropped while spawned",
    "take",
    "cancel of an output",
    "error of a checkpoint",
    "rows read half",
    "two contexts",
];

/// The environment variables with the folder of the child process and how it ends.
const CHILD_FOLDER: &str = "EMBERLINE_TEST_SHUTDOWN_FOLDER";
const CHILD_END: &str = "EMBERLINE_TEST_SHUTDOWN_END";

/// Takes a millisecond, as slow closures do.
fn slowly<T>(row: T) -> T {
    thread::sleep(Duration::from_millis(1));
    row
}

#[expect(clippy::too_many_lines, reason = "one arm for each end of a program")]
/// Runs a program that has files when it ends with tasks that run.
fn program(folder: &Path, end: &str) {
    let ctx = match end {
        "speculation" => {
            let min_runtime = Duration::from_millis(10);
            on_disk(folder).speculation(Speculation { min_runtime, quantile: 0.5, multiplier: 1.0 })
        }
        _ => on_disk(folder),
    };
    let ctx = ctx.build().unwrap();
    let pairs = ctx.range_with(8, 0..400_u64).map(|n| (n % 50, n));
    let sums = pairs.reduce_by_key(|a, b| a + b);
    assert_eq!(sums.count().unwrap(), 50);
    assert_eq!(names_in(folder).len(), 1, "it has files");
    let fails_at = |partition: u64| move |n: u64| assert!(n / 50 != partition, "it fails");
    let slow = ctx.range_with(8, 0..400_u64).map(slowly);
    match end {
        "error in a map task" => {
            let fails = slow.inspect(move |n| fails_at(0)(*n)).map(|n| (n, n));
            fails.group_by_key().count().unwrap_err();
        }
        "error in a reduce task" => {
            let rows = sums.map(slowly).inspect(|(key, _)| assert!(*key % 7 != 3, "it fails"));
            rows.count().unwrap_err();
        }
        "error after a sort" => {
            let sorted = sums
                .sort_by_key(|(key, _)| *key)
                .map(slowly)
                .inspect(|(key, _)| assert!(*key != 1, "it fails"));
            sorted.map(|pair| pair).repartition(3).count().unwrap_err();
        }
        "error with a cache" => {
            let cached = slow.persist(StorageLevel::Disk);
            cached
                .inspect(move |n| fails_at(1)(*n))
                .map(|n| (n, n))
                .group_by_key()
                .count()
                .unwrap_err();
        }
        "cancel" => {
            let pairs = slow.map(|n| (n, n)).group_by_key();
            let handle = ctx.spawn(move || pairs.count());
            thread::sleep(Duration::from_millis(20));
            handle.cancel("enough");
            handle.wait().unwrap_err();
        }
        "cancel of a group" => {
            let pairs = slow.map(|n| (n, n)).group_by_key();
            let handle = ctx.job_group("group", || ctx.spawn(move || pairs.count()));
            thread::sleep(Duration::from_millis(20));
            ctx.cancel_group("group", "enough");
            handle.wait().unwrap_err();
        }
        "timeout" => {
            let pairs = slow.map(|n| (n, n)).group_by_key();
            let handle = ctx.spawn(move || pairs.count()).timeout(Duration::from_millis(20));
            handle.wait().unwrap_err();
        }
        "speculation" => {
            let first = AtomicBool::new(true);
            let straggler = ctx.range_with(4, 0..4_u64).map(move |n| {
                if n == 3 && first.swap(false, Ordering::Relaxed) {
                    (0..150).for_each(|n| drop(vec![slowly(n)]));
                }
                (n, n)
            });
            assert_eq!(straggler.group_by_key().count().unwrap(), 4);
        }
        "dropped while spawned" => {
            let pairs = slow.map(|n| (n, n)).group_by_key();
            drop(ctx.spawn(move || pairs.count()));
            thread::sleep(Duration::from_millis(20));
        }
        "take" => {
            let pairs = slow.map(|n| (n, n)).group_by_key();
            assert_eq!(pairs.take(1).unwrap().len(), 1);
        }
        "cancel of an output" => {
            let output = folder.join("out");
            let handle = ctx.spawn(move || slow.save_as_text_file(output));
            thread::sleep(Duration::from_millis(20));
            handle.cancel("enough");
            handle.wait().unwrap_err();
        }
        "error of a checkpoint" => {
            let fails = slow.inspect(move |n| fails_at(5)(*n));
            fails.checkpoint(folder.join("out")).unwrap_err();
        }
        "rows read half" => {
            let mut rows = slow.map(|n| (n, n)).group_by_key().to_local_iterator();
            assert!(rows.next().unwrap().is_ok());
        }
        "two contexts" => {
            let other = on_disk(folder).build().unwrap();
            let pairs = other.range_with(8, 0..400_u64).map(slowly).map(|n| (n, n));
            let handle = other.spawn(move || pairs.group_by_key().count());
            thread::sleep(Duration::from_millis(20));
            slow.inspect(move |n| fails_at(0)(*n))
                .map(|n| (n, n))
                .group_by_key()
                .count()
                .unwrap_err();
            handle.cancel("enough");
        }
        other => panic!("{other} is not an end"),
    }
}

#[test]
#[ignore = "another test here starts it"]
fn child_process_that_exits_at_once() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    program(Path::new(&folder), &std::env::var(CHILD_END).unwrap());
    // As a program does that returns from `main`.
    std::process::exit(0);
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn programs_that_return_from_main_with_running_tasks_leave_no_file() {
    within(DEADLINE, || {
        thread::scope(|scope| {
            let (even, odd): (Vec<_>, Vec<_>) = (0..scaled(100)).partition(|round| round % 2 == 0);
            for rounds in [even, odd] {
                scope.spawn(move || rounds.into_iter().for_each(exit_at_once));
            }
        });
    });
}

/// Runs a child process, and checks that it leaves no file.
fn exit_at_once(round: usize) {
    let end = ENDS[round % ENDS.len()];
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "shutdown::child_process_that_exits_at_once",
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
    child.env(CHILD_FOLDER, folder.path()).env(CHILD_END, end).env("RUST_BACKTRACE", "0");
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{end}, round {round}: {text}");
    assert_eq!(names_in(folder.path()), [""; 0], "{end}, round {round}");
}

/// The phase of a job in which a task does not return while the context is dropped.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Map,
    Reduce,
    SortInput,
    Sorted,
    Cached,
    Joined,
}

const PHASES: [Phase; 6] =
    [Phase::Map, Phase::Reduce, Phase::SortInput, Phase::Sorted, Phase::Cached, Phase::Joined];

/// Runs a job whose tasks call `stop` in the first rows of a partition at `phase`, and would write or read files afterwards.
fn run_stopping(
    ctx: &Context,
    phase: Phase,
    stop: impl Fn() + Clone + Send + Sync + 'static,
) -> Result<u64> {
    let rows = ctx.range_with(4, 0..4_000_u64);
    let stopping = move |n: u64| {
        if n % 1_000 < 2 {
            stop();
        }
        n
    };
    let pairs = |rows: &Rdd<u64>| rows.map(|n| (n % 500, vec![n; 4])).boxed();
    match phase {
        Phase::Map => pairs(&rows.map(stopping).boxed()).group_by_key().count(),
        Phase::Reduce => {
            let groups = pairs(&rows.boxed()).group_by_key();
            let stopped = groups.map(move |(key, values)| (stopping(key * 2), values.len() as u64));
            stopped.repartition(3).count()
        }
        Phase::SortInput => {
            rows.map(stopping).map(|n| (n * 7919) % 4_000).sort_by(u64::cmp).count()
        }
        Phase::Sorted => {
            let sorted = rows.map(|n| (n * 7919) % 4_000).sort_by(u64::cmp);
            sorted.map(stopping).map(|n| (n, n)).repartition(3).count()
        }
        Phase::Cached => {
            rows.map(stopping).persist(StorageLevel::Disk).map(|n| (n, n)).repartition(2).count()
        }
        Phase::Joined => {
            let joined = pairs(&rows.boxed()).join(&pairs(&rows.boxed()));
            let stopped = joined.map(move |(key, _)| (stopping(key), 1_u64));
            stopped.reduce_by_key(|a, b| a + b).count()
        }
    }
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn a_task_that_does_not_return_finds_its_files_closed_and_makes_no_new_ones() {
    within(DEADLINE, || {
        for phase in PHASES {
            for round in 0..scaled(2) {
                let folder = tempfile::tempdir().unwrap();
                let timeout = Duration::from_millis(50 * round as u64);
                let ctx = on_disk(folder.path()).shutdown_timeout(timeout).build().unwrap();
                let (release, wait) = channel::<()>();
                let wait = Arc::new(Mutex::new(wait));
                let stopped = Arc::new(AtomicUsize::new(0));
                let ended = Arc::new(AtomicUsize::new(0));
                let (begins, ends) = (Arc::clone(&stopped), Arc::clone(&ended));
                let stop = move || {
                    begins.fetch_add(1, Ordering::SeqCst);
                    let _ = wait.lock().map(|wait| wait.recv());
                    ends.fetch_add(1, Ordering::SeqCst);
                };
                let own = ctx.clone();
                let job = thread::spawn(move || run_stopping(&own, phase, stop));
                eventually("a task stops", || stopped.load(Ordering::SeqCst) >= 1);
                ctx.cancel_all("the end");
                job.join().unwrap().unwrap_err();
                let began = Instant::now();
                drop(ctx);
                let took = began.elapsed();
                assert!(took < timeout + Duration::from_millis(1500), "{phase:?} took {took:?}");
                assert_eq!(names_in(folder.path()), [""; 0], "{phase:?} {round}");
                drop(release);
                let all_end = || ended.load(Ordering::SeqCst) == stopped.load(Ordering::SeqCst);
                eventually("the tasks continue", all_end);
                for _ in 0..20 {
                    assert_eq!(names_in(folder.path()), [""; 0], "{phase:?} {round}");
                    thread::sleep(Duration::from_millis(2));
                }
            }
        }
    });
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn dropping_a_context_waits_for_a_task_that_ends_in_time() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        for drops_rdd_first in [false, true] {
            let ctx = on_disk(folder.path()).build().unwrap();
            let has_ended = Arc::new(AtomicBool::new(false));
            let ended = Arc::clone(&has_ended);
            let rows = ctx.range_with(2, 0..2_u64).map(move |n| {
                assert!(n != 0, "it fails");
                thread::sleep(Duration::from_millis(300));
                ended.store(true, Ordering::SeqCst);
                n
            });
            rows.map(|n| (n, n)).repartition(2).count().unwrap_err();
            if drops_rdd_first {
                drop((rows, ctx));
            } else {
                drop(ctx);
                drop(rows);
            }
            assert!(has_ended.load(Ordering::SeqCst));
            assert_eq!(names_in(folder.path()), [""; 0]);
        }
    });
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn a_context_waits_two_seconds_by_default_and_as_long_as_it_is_set_to() {
    within(DEADLINE, || {
        for (timeout, at_least_ms, at_most_ms) in
            [(None, 1_900, 5_000), (Some(0), 0, 1_000), (Some(400), 390, 3_000)]
        {
            let folder = tempfile::tempdir().unwrap();
            let builder = on_disk(folder.path());
            let builder = match timeout {
                Some(timeout_ms) => builder.shutdown_timeout(Duration::from_millis(timeout_ms)),
                None => builder,
            };
            let ctx = builder.build().unwrap();
            let (release, wait) = channel::<()>();
            let wait = Mutex::new(wait);
            let rows = ctx.range_with(2, 0..2_u64).map(move |n| {
                assert!(n != 0, "it fails");
                let _ = wait.lock().unwrap().recv();
                n
            });
            rows.map(|n| (n, n)).repartition(2).count().unwrap_err();
            drop(rows);
            let began = Instant::now();
            drop(ctx);
            let took_ms = began.elapsed().as_millis();
            assert!((at_least_ms..at_most_ms).contains(&took_ms), "{timeout:?} took {took_ms} ms");
            assert_eq!(names_in(folder.path()), [""; 0]);
            drop(release);
        }
    });
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn a_context_whose_last_handle_drops_in_its_own_task_or_closure_leaves_no_file() {
    within(DEADLINE, || {
        for round in 0..scaled(6) {
            let folder = tempfile::tempdir().unwrap();
            let ctx = on_disk(folder.path()).build().unwrap();
            let held = Arc::new(Mutex::new(Some(ctx.clone())));
            let inner = Arc::clone(&held);
            let pairs = ctx.range_with(3, 0..90_u64).map(|n| (n, n)).repartition(3);
            let (dropped, has_dropped) = channel();
            match round % 3 {
                0 => {
                    let rows = pairs.inspect(move |_| drop(inner.lock().unwrap().take()));
                    drop((ctx, pairs));
                    assert_eq!(rows.count().unwrap(), 90);
                    drop(rows);
                }
                1 => {
                    // The job keeps neither the context nor an RDD; the task drops the last handle.
                    let (began, has_begun) = channel();
                    let rows = pairs.inspect(move |_| {
                        let _ = began.send(());
                        thread::sleep(Duration::from_millis(20));
                        if let Some(ctx) = inner.lock().unwrap().take() {
                            drop(ctx);
                            let _ = dropped.send(());
                        }
                    });
                    let handle = ctx.spawn(move || rows.count());
                    has_begun.recv().unwrap();
                    drop((ctx, pairs));
                    let _ = handle.wait();
                    has_dropped.recv().unwrap();
                }
                _ => {
                    let handle = ctx.spawn(move || {
                        let counted = pairs.count();
                        drop(inner.lock().unwrap().take());
                        counted
                    });
                    drop(ctx);
                    // Dropping the last handle of the program cancels it.
                    let _ = handle.wait();
                }
            }
            drop(held);
            eventually("the files are deleted", || names_in(folder.path()).is_empty());
        }
    });
}

// Case R-D2 of tests/PROMISES.md.
#[test]
fn rdds_keep_their_files_after_the_handle_of_their_context() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = on_disk(folder.path()).build().unwrap();
        let pairs = ctx.range_with(3, 0..90_u64).map(|n| (n % 9, n)).group_by_key();
        let sorted = pairs.map(|(key, _)| key).sort_by(u64::cmp);
        let cached = sorted.persist(StorageLevel::Disk);
        assert_eq!(cached.count().unwrap(), 9);
        drop((ctx, pairs, sorted));
        assert_eq!(cached.collect().unwrap(), (0..9).collect::<Vec<_>>());
        let rows = cached.to_local_iterator();
        drop(cached);
        assert_eq!(rows.collect::<Result<Vec<_>>>().unwrap().len(), 9);
        assert_eq!(names_in(folder.path()), [""; 0]);
    });
}

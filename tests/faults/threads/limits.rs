//! Processes that reach a limit of the system.

use super::refused::{is_of_the_system, threads_of};
use super::*;

/// The environment variable of the child processes of these tests.
const CHILD: &str = "EMBERLINE_TEST_THREADS_CHILD";

/// Runs one test of this module in a child process, and returns its output.
fn run_child(name: &str) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let name = format!("threads::limits::{name}");
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

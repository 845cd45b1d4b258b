//! Bookkeeping is memory: what the engine records for each partition, task and segment is small, and counts against the
//! memory limit. Each job runs in a child process whose peak memory the system reports.

use emberline::ErrorKind;
use emberline::prelude::*;
use std::process::Command;
use testkit::{DEADLINE, scaled, within};

/// Names the job of the other process.
const JOB: &str = "EMBERLINE_TEST_BOOKKEEPING";
/// The memory of threads, channels and the allocator that does not depend on the number of partitions.
const FIXED_KIB: u64 = 6 << 10;

fn noise(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Runs one job in a child process, and returns the peak of its memory in KiB.
fn peak_kib(job: &str) -> u64 {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "bookkeeping::child_process_that_runs_one_job",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(JOB, job)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let errors = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "{job}: {text}{errors}");
    let peak = text.lines().find_map(|line| line.split("peak_kib=").nth(1));
    peak.unwrap_or_else(|| panic!("{job}: {text}{errors}")).trim().parse().unwrap()
}

#[test]
#[ignore = "the other tests here start it"]
fn child_process_that_runs_one_job() {
    let Ok(job) = std::env::var(JOB) else { return };
    within(DEADLINE * 4, move || run_one_job(&job));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| -> u64 {
        let of_name = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        of_name.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // Pages of the program itself count too, and a debug build has hundreds of megabytes of them.
    println!("peak_kib={}", kib("VmHWM:") - kib("RssFile:"));
}

/// Runs the job `name:partitions`, or no job if there are no partitions.
fn run_one_job(job: &str) {
    let (name, partitions) = job.split_once(':').unwrap();
    let partitions: usize = partitions.parse().unwrap();
    let memory_limit_mib: u64 = if name == "wide" { 16 } else { 1 << 10 };
    let ctx =
        Context::builder().threads(2).memory_limit_bytes(memory_limit_mib << 20).build().unwrap();
    if partitions == 0 {
        return;
    }
    let rows = ctx.range_with(partitions, 0..partitions as u64);
    let (rows_found, expected) = match name {
        "count" => (rows.count(), partitions as u64),
        "boxed" => {
            (rows.boxed().filter(|n| n % 2 == 0).boxed().count(), partitions.div_ceil(2) as u64)
        }
        "reduce" => (rows.reduce(u64::max).map(|max| max.unwrap() + 1), partitions as u64),
        "collect" => (rows.collect().map(|rows| rows.len() as u64), partitions as u64),
        "take" => (rows.take(partitions).map(|rows| rows.len() as u64), partitions as u64),
        "for_each" => (rows.for_each(drop).map(|()| 0), 0),
        "union" => (rows.union(&ctx.range(0..0_u64)).count(), partitions as u64),
        // Many map tasks into few partitions, and into many.
        "maps" => {
            (rows.map(|n| (n % 64, n)).with_partitions(16).reduce_by_key(u64::max).count(), 64)
        }
        "wide" => {
            let many = ctx.range_with(partitions, 0..100 * partitions as u64);
            (many.map(|n| (noise(n), n)).partition_by(1000).count(), 100 * partitions as u64)
        }
        other => panic!("{other} is no job"),
    };
    assert_eq!(rows_found.unwrap(), expected, "{name}");
}

/// Asserts that a job takes at most `bytes` for each partition, beyond an idle process.
fn takes_at_most(name: &'static str, partitions: usize, bytes: u64) {
    if !cfg!(target_os = "linux") {
        println!("skipped: this system does not report a process's peak memory");
        return;
    }
    within(DEADLINE * 8, move || {
        let taken = peak_kib(&format!("{name}:{partitions}"))
            .saturating_sub(peak_kib(&format!("{name}:0")));
        let allowed = FIXED_KIB + partitions as u64 * bytes / 1024;
        assert!(
            taken <= allowed,
            "{name}, {partitions} partitions: {taken} KiB, at most {allowed}"
        );
    });
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_hundred_thousand_partitions_are_counted_in_a_hundred_bytes_each() {
    takes_at_most("count", scaled(100_000), 100);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn actions_of_many_partitions_take_little_memory_for_each() {
    for name in ["boxed", "reduce", "for_each", "union", "take"] {
        takes_at_most(name, scaled(20_000), 250);
    }
    // Each partition of `collect` has a list of its rows until they are joined.
    takes_at_most("collect", scaled(20_000), 500);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn many_map_tasks_take_little_memory_for_each_output() {
    takes_at_most("maps", scaled(20_000), 1000);
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn many_map_tasks_into_many_partitions_stay_within_the_memory_limit() {
    if !cfg!(target_os = "linux") {
        println!("skipped: this system does not report a process's peak memory");
        return;
    }
    within(DEADLINE * 8, || {
        let taken = peak_kib("wide:1500").saturating_sub(peak_kib("wide:0"));
        // The promised peak: 1.25 times the memory limit, and 64 MiB.
        assert!(taken <= (20 + 64) << 10, "{taken} KiB");
    });
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn a_job_whose_tasks_alone_exceed_the_memory_limit_is_refused_with_advice() {
    within(DEADLINE, || {
        let ctx = Context::builder().memory_limit_bytes(1 << 20).build().unwrap();
        let rows = ctx.range_with(4_000_000, 0..10_u64);
        let error = rows.count().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
        for part in ["4000000 tasks", "count at", "fewer partitions", "1048576"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        // The context works on, and one partition of many needs no memory for the others.
        assert_eq!(ctx.range_with(10, 0..10_u64).count().unwrap(), 10);
    });
}

// Case R-D1 of tests/PROMISES.md.
#[test]
fn results_are_in_order_and_complete_when_tasks_are_launched_in_windows() {
    within(DEADLINE * 2, || {
        for threads in [1, 4] {
            for partitions in [255, 256, 257, 1000] {
                let ctx = Context::builder().threads(threads).build().unwrap();
                let rows = ctx.range_with(partitions, 0..5000_u64);
                assert_eq!(rows.collect().unwrap(), (0..5000).collect::<Vec<_>>());
                let pairs =
                    rows.map(|n| (n % 7, n)).with_partitions(300).reduce_by_key(|a, b| a + b);
                let mut sums = pairs.collect().unwrap();
                sums.sort_unstable();
                let expected =
                    (0..7_u64).map(|key| (key, (0..5000).filter(|n| n % 7 == key).sum()));
                assert_eq!(sums, expected.collect::<Vec<(u64, u64)>>());
                assert_eq!(ctx.last_job().unwrap().tasks(), partitions + 300);
            }
        }
    });
}

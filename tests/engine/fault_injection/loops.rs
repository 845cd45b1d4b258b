//! Long lineages and long loops: the stack, open files and memory do not grow with them.

use crate::support::context;
use emberline::prelude::*;
use std::process::Command;
use testkit::{DEADLINE, on_stack, within};

// Case F059 of tests/PROMISES.md.
#[test]
fn ten_thousand_boxed_operations_run_on_a_stack_of_two_mebibytes() {
    on_stack(2 << 20, || {
        let ctx = context();
        let mut rows = ctx.range_with(2, 0..40_u64).boxed();
        for step in 0..10_000 {
            rows = match step % 5 {
                0 => rows.map(|n| n + 1).boxed(),
                1 => rows.filter(|n| *n < u64::MAX).boxed(),
                2 => rows.flat_map(|n| [n]).boxed(),
                3 => rows.refs().map(|n| *n).boxed(),
                _ => rows.map_partitions(|rows| rows).boxed(),
            };
        }
        let wanted: Vec<u64> = (2000..2040).collect();
        assert_eq!(rows.collect().unwrap(), wanted);
        assert_eq!(rows.count().unwrap(), 40);
        assert_eq!(rows.take(3).unwrap(), [2000, 2001, 2002]);
        assert_eq!(rows.to_local_iterator().map(Result::unwrap).last(), Some(2039));
        let cached = rows.cache();
        let sums = cached.map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
        assert_eq!(sums.count().unwrap() + cached.count().unwrap(), 42);
        assert!(rows.explain().to_string().lines().count() > 10_000);
    });
}

/// Set for the process that runs the loop.
#[cfg(target_os = "linux")]
const CHILD: &str = "EMBERLINE_TEST_LOOP";
#[cfg(target_os = "linux")]
const ROUNDS: usize = 1_000;

// Runs a thousand rounds, each of which shuffles the rows of the previous one, and reports the
// open files and the memory after round 100 and at the end. A lineage that is not truncated holds
// the outputs of all rounds, in little memory if they are in files.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "the next test starts it in a process of its own"]
fn child_process_that_runs_the_loop() {
    let Ok(way) = std::env::var(CHILD) else { return };
    within(DEADLINE, move || run_the_loop(&way));
}

#[cfg(target_os = "linux")]
fn run_the_loop(way: &str) {
    let builder = Context::builder().threads(2).force_spill(way != "cut");
    let ctx = builder.build().unwrap();
    let mut ranks = ctx.range_with(3, 0..60_u64).map(|n| (n, 1_u64)).boxed();
    for round in 1..=ROUNDS {
        let moved = ranks.map(|(key, rank)| ((key * 7 + 1) % 60, rank + 1));
        ranks = moved.with_partitions(3).reduce_by_key(|a, b| a + b);
        match way {
            "uncut, in files" => assert_eq!(ranks.count().unwrap(), 60),
            _ => ranks = ranks.local_checkpoint().unwrap(),
        }
        if round == 100 || round == ROUNDS {
            let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: usize = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
            println!("round={round} open={open} resident_kib={}", pages * 4);
        }
    }
    assert_eq!(ranks.values().sum::<u64>().unwrap(), 60 * (ROUNDS as u64 + 1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_shuffles_use_no_more_files_or_memory_than_a_hundred() {
    within(DEADLINE, || {
        for way in ["cut", "cut, in files", "uncut, in files"] {
            let run = Command::new(std::env::current_exe().unwrap())
                .args([
                    "fault_injection::loops::child_process_that_runs_the_loop",
                    "--exact",
                    "--ignored",
                    "--nocapture",
                ])
                .env(CHILD, way)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&run.stdout).into_owned();
            assert!(run.status.success(), "{way}: {text}{}", String::from_utf8_lossy(&run.stderr));
            let field = |name: &str| -> Vec<i64> {
                let words = text.split_whitespace();
                words.filter_map(|word| word.strip_prefix(name)?.parse().ok()).collect()
            };
            let open = field("open=");
            let resident = field("resident_kib=");
            println!("{way}: open files {open:?}, resident KiB {resident:?}");
            assert!(open.len() == 2 && open[0] == open[1], "{way}: {text}");
            assert!(resident[1] - resident[0] <= 16 << 10, "{way}: {text}");
        }
    });
}

//! The memory of a process stays near the memory limit for rows of every shape. Each job runs in a child
//! process whose peak memory the system reports.

use crate::support::*;
use emberline::prelude::*;
use std::process::Command;
use testkit::{DEADLINE, within};

/// Names the job of the other process.
const JOB: &str = "EMBERLINE_TEST_JOB";
const MEMORY_LIMIT_BYTES: u64 = 16 << 20;
/// The promised peak is 1.25 times the memory limit and 64 MiB more than a process without a job.
const ALLOWED_MIB: u64 = 20 + 64;

/// Runs one job in a child process. Returns its peak memory beyond that of a process without a job.
fn peak_mib(job: &str) -> u64 {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["memory::child_process_that_runs_one_job", "--exact", "--ignored", "--nocapture"])
        .env(JOB, job)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let errors = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "{job}: {text}{errors}");
    let peak = text.lines().find_map(|line| line.split("peak_kib=").nth(1));
    peak.unwrap_or_else(|| panic!("{job}: {text}{errors}")).trim().parse::<u64>().unwrap() / 1024
}

fn stays_within_the_promise(job: &'static str) {
    if !cfg!(target_os = "linux") {
        println!("skipped: this system does not report a process's peak memory");
        return;
    }
    within(DEADLINE * 2 * memory_scale(), move || {
        let peak = peak_mib(job);
        let idle = peak_mib("none");
        let taken = peak.saturating_sub(idle);
        assert!(taken <= ALLOWED_MIB, "{job}: {taken} MiB beyond {idle}, at most {ALLOWED_MIB}");
    });
}

#[test]
#[ignore = "the other tests here start it"]
fn child_process_that_runs_one_job() {
    let Ok(job) = std::env::var(JOB) else { return };
    within(DEADLINE * 2 * memory_scale(), move || run_one_job(&job));
}

fn run_one_job(job: &str) {
    let ctx = Context::builder().threads(2).memory_limit_bytes(MEMORY_LIMIT_BYTES).build().unwrap();
    match job {
        "none" => {}
        "oversized" => oversized_rows_after_small_ones(&ctx).unwrap(),
        "partitions" => many_partitions(&ctx).unwrap(),
        "hollow" => rows_that_are_small_as_bytes(&ctx).unwrap(),
        "growing" => combiners_that_grow(&ctx).unwrap(),
        "clustered" => groups_of_sorted_rows(&ctx).unwrap(),
        other => panic!("{other} is no job"),
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| -> u64 {
        let of_name = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        of_name.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // Pages of the program itself count too, and a debug build has hundreds of megabytes of them.
    println!("peak_kib={}", kib("VmHWM:") - kib("RssFile:"));
}

fn oversized_rows_after_small_ones(ctx: &Context) -> Result<()> {
    let rounds = u64::from(memory_scale()) * 2;
    let rows = ctx.range_with(2, 0..rounds * 10_200).map(|n| {
        let bytes = if n % 10_200 < 10_000 { 4 } else { 1 << 20 };
        (noise(n), "x".repeat(bytes))
    });
    let sorted = rows.with_partitions(4).sort_pairs();
    let total = sorted.map(|(_, text)| text.len()).reduce(|a, b| a + b)?.unwrap();
    assert_eq!(total, rounds as usize * (10_000 * 4 + 200 * (1 << 20)));
    Ok(())
}

#[test]
fn oversized_rows_after_many_small_ones_stay_within_the_memory_limit() {
    stays_within_the_promise("oversized");
}

fn many_partitions(ctx: &Context) -> Result<()> {
    let rows = u64::from(memory_scale()) * 1_600_000;
    let pairs = ctx.range_with(4, 0..rows).map(|n| (noise(n), n));
    assert_eq!(pairs.partition_by(4000).count()?, rows);
    Ok(())
}

#[test]
fn thousands_of_partitions_stay_within_the_memory_limit() {
    stays_within_the_promise("partitions");
}

/// A row that takes two kilobytes in memory and a few bytes when encoded.
type Hollow = Option<[[u64; 32]; 8]>;

fn rows_that_are_small_as_bytes(ctx: &Context) -> Result<()> {
    let count = u64::from(memory_scale()) * 100_000;
    let rows = ctx.range_with(2, 0..count).map(|n| (noise(n), None::<Hollow>));
    assert_eq!(rows.with_partitions(2).sort_pairs().count()?, count);
    Ok(())
}

#[test]
fn rows_small_when_encoded_and_large_in_memory_stay_within_the_memory_limit() {
    stays_within_the_promise("hollow");
}

fn combiners_that_grow(ctx: &Context) -> Result<()> {
    let count = u64::from(memory_scale()) * 400_000;
    let rows = ctx.range_with(4, 0..count).map(move |n| (noise(n) % (count / 20), n));
    let lists = rows.with_partitions(4).aggregate_by_key(
        Vec::new(),
        |mut list, n| {
            list.extend([n; 40]);
            list
        },
        |mut list, more| {
            list.extend(more);
            list
        },
    );
    let total = lists.map(|(_, list)| list.len()).reduce(|a, b| a + b)?;
    assert_eq!(total, Some(count as usize * 40));
    Ok(())
}

#[test]
fn growing_combiners_stay_within_the_memory_limit() {
    stays_within_the_promise("growing");
}

fn groups_of_sorted_rows(ctx: &Context) -> Result<()> {
    let rows = ctx.range_with(4, 0..u64::from(memory_scale()) * 2_000_000).map(|n| (n / 20_000, n));
    let counts = rows.with_partitions(2).group_by_key_iter().map(|(_, group)| group.iter().count());
    assert_eq!(counts.distinct().collect()?, [20_000]);
    Ok(())
}

#[test]
fn groups_of_sorted_rows_stay_within_the_memory_limit() {
    stays_within_the_promise("clustered");
}

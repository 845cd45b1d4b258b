//! Every fault is injected into the real engine, and the answer is right or the error names the cause.

mod crash;
mod every_operation;
mod loops;
mod planned;
mod user_code;

use crate::support::{MIN_MEMORY_LIMIT_BYTES, noise, sorted};
use emberline::prelude::*;
use emberline::{ContextBuilder, StorageLevel};
use std::collections::BTreeMap;
use std::path::Path;

/// Makes a small context that spills everything that can be spilled.
fn on_disk(scratch: &Path) -> ContextBuilder {
    let builder = Context::builder()
        .threads(2)
        .memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES)
        .task_memory_bytes(8192);
    builder.force_spill(true).scratch_dir(scratch)
}

/// Sums of numbers, and their keys in order.
type Counted = (u64, Vec<u64>);

/// Runs a job that uses the disk in every way: sums with map outputs in files, a cache on disk that
/// is read three times, a sort that spills runs, and an output of two files.
fn whole_job(ctx: &Context, output: &Path) -> Result<Counted> {
    let numbers = ctx.range_with(2, 0..400_u64).map(|n| (noise(n) % 300, n));
    let sums = numbers.with_partitions(1).reduce_by_key(|a, b| a + b).persist(StorageLevel::Disk);
    let sum = sums.values().reduce(|a, b| a + b)?.unwrap_or(0);
    let keys = sums.with_partitions(1).sort_pairs().keys().collect()?;
    let lines = sums.map(|(key, sum)| format!("{key} {sum}"));
    lines.union(&ctx.range_with(1, 0..3_u64).map(|n| n.to_string())).save_as_text_file(output)?;
    Ok((sum, keys))
}

/// Returns the counts of the job and the lines that it writes, in some order.
fn whole_answer() -> (Counted, Vec<String>) {
    let mut sums = BTreeMap::new();
    (0..400_u64).for_each(|n| *sums.entry(noise(n) % 300).or_insert(0) += n);
    let lines = sums.iter().map(|(key, sum)| format!("{key} {sum}"));
    let lines = lines.chain(["0", "1", "2"].map(String::from)).collect();
    ((399 * 200, sums.into_keys().collect()), sorted(lines))
}

/// Returns the lines of an output, and checks that it is complete and has no other file.
fn lines_of(output: &Path) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(output.join(name)).unwrap();
    assert_eq!(names_in(output), ["_SUCCESS", "part-00000", "part-00001"]);
    let text = ["part-00000", "part-00001", "_SUCCESS"].map(read).concat();
    sorted(text.lines().map(String::from).collect())
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

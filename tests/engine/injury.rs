//! Nothing stays lost: every fault is inflicted on the real thing, and the answer is right or the
//! error names the cause.

mod crash;
mod every_operation;
mod loops;
mod planned;

use crate::support::{LEAST_BUDGET, noise};
use emberline::prelude::*;
use emberline::{ContextBuilder, StorageLevel};
use std::path::Path;

/// A small context on which everything that can go to disk goes there.
fn on_disk(scratch: &Path) -> ContextBuilder {
    let builder = Context::builder().threads(2).budget_bytes(LEAST_BUDGET).task_share_bytes(4096);
    builder.shuffle_to_files(true).scratch_dir(scratch)
}

/// A job with all that meets the disk: sums that are cut into runs and spilled, a sort that spills, a
/// cache on disk that is read twice, and an output. Gives what it counted on the way.
fn whole_job(ctx: &Context, output: &Path) -> Result<u64> {
    let numbers = ctx.range_with(3, 0..900_u64).map(|n| (noise(n) % 700, n));
    let sums = numbers.reduce_by_key_with(2, |a, b| a + b).persist(StorageLevel::Disk);
    let sum = sums.values().reduce(|a, b| a + b)?;
    let lines = sums.sort_by_key_with(2).map(|(key, sum)| format!("{key} {sum}"));
    lines.save_as_text_file(output)?;
    Ok(sum.unwrap_or(0))
}

/// What the job counts, and the lines that it writes.
fn whole_answer() -> (u64, Vec<String>) {
    let mut sums = std::collections::BTreeMap::new();
    (0..900_u64).for_each(|n| *sums.entry(noise(n) % 700).or_insert(0) += n);
    (899 * 450, sums.into_iter().map(|(key, sum)| format!("{key} {sum}")).collect())
}

/// The lines of an output, which is all there, with nothing else in it.
fn lines_of(output: &Path) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(output.join(name)).unwrap();
    assert_eq!(read("_SUCCESS"), "");
    let text = ["part-00000", "part-00001"].map(read).concat();
    assert_eq!(std::fs::read_dir(output).unwrap().count(), 3);
    text.lines().map(String::from).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

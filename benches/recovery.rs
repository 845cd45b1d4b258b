//! The cost of a lost map output: one file of sixteen is deleted between two actions, and the second
//! action recomputes it. That should cost as much as one map task, not as much as the stage.
//!
//! Prints the summed time of all tasks of the map stage (`map_tasks_ms`), the extra time of the action
//! compared with one that found all outputs (`rerun_ms`), and its limit (`max_ms`): 1.5/16 of the tasks'
//! time, and ten milliseconds. Fails if the median is above the limit, or if another partition ran again.
//!
//! The base is the sum of the task times rather than the duration of the stage: sixteen tasks run in
//! parallel, while one lost partition is one task on one thread on any machine.

mod support;

use emberline::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use support::Options;
use support::generate::aggregate_pair;

const LAPTOP_ROWS: u64 = 8_000_000;
const FULL_ROWS: u64 = 50_000_000;
const MAP_PARTITIONS: usize = 16;

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        measure(&options)?;
    }
    Ok(())
}

/// The times of one loss.
struct Loss {
    map_tasks_ms: f64,
    rerun_ms: f64,
}

fn measure(options: &Options) -> Result<(), BoxError> {
    let mut losses = Vec::with_capacity(options.pairs);
    for _ in 0..options.pairs {
        losses.push(lose_one(options)?);
    }
    let map_tasks_ms = support::median(losses.iter().map(|loss| loss.map_tasks_ms));
    let rerun_ms = support::median(losses.iter().map(|loss| loss.rerun_ms));
    let max_ms = 1.5 / MAP_PARTITIONS as f64 * map_tasks_ms + 10.0;
    println!(
        "bench=recovery rows={} threads={} map_outputs={MAP_PARTITIONS} map_tasks_ms={map_tasks_ms:.1} \
         rerun_ms={rerun_ms:.1} max_ms={max_ms:.1}",
        options.rows, options.threads,
    );
    assert!(
        rerun_ms <= max_ms,
        "recomputing a lost output took {rerun_ms:.1} ms, the limit is {max_ms:.1} ms"
    );
    Ok(())
}

fn lose_one(options: &Options) -> Result<Loss, BoxError> {
    let folder = tempfile::tempdir()?;
    let builder = Context::builder().threads(options.threads).force_spill(true);
    let ctx = builder.scratch_dir(folder.path()).build()?;
    let pairs = ctx.range_with(MAP_PARTITIONS, 0..options.rows).map(aggregate_pair);
    let sums = pairs.reduce_by_key(|a, b| a + b);
    let action = || -> Result<(u64, f64), BoxError> {
        let start = Instant::now();
        let answer = sums.aggregate(0, |all, (_, sum)| all + sum, |a, b| a + b)?;
        Ok((answer, start.elapsed().as_secs_f64() * 1e3))
    };
    let map_stage =
        || ctx.last_job().map(|job| (job.stages()[0].tasks(), job.stages()[0].totals()));

    let (answer, _) = action()?;
    let (_, totals) = map_stage().ok_or("the first job left no report")?;
    let (same, complete_ms) = action()?;
    let outputs = files_below(folder.path())?;
    fs::remove_file(outputs.first().ok_or("the shuffle left no file")?)?;
    let (recovered, lost_ms) = action()?;

    assert_eq!([same, recovered], [answer; 2], "a lost file changed the answer");
    assert_eq!(outputs.len(), MAP_PARTITIONS, "a map output is a file");
    assert_eq!(map_stage().map(|stage| stage.0), Some(1), "one map task runs again");
    Ok(Loss { map_tasks_ms: totals.run_us as f64 / 1e3, rerun_ms: lost_ms - complete_ms })
}

/// Returns all files of the scratch directory except its lock.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, BoxError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(files_below(&path)?),
            false if path.extension().is_some_and(|extension| extension == "lock") => {}
            false => files.push(path),
        }
    }
    Ok(files)
}

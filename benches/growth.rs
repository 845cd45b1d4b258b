//! The cost of eight times the rows, in memory and with a memory limit below both sizes: a narrow
//! chain, the hash operations with eight times the keys, and a sort. No time may grow quadratically.
//!
//! Also the cost of four times the length: partitions of a checkpoint that is read, unions one on
//! another, and text files in as many partitions.
//!
//! Prints for each case both times, their ratio (`growth`), and its limit (`max_growth`). `-- --case
//! sort` runs one of them. `-- --case partitions` counts a million partitions, and a quarter of them.

mod support;

use emberline::prelude::*;
use std::fs;
use std::path::Path;
use support::generate::{congruential, middle_bits, random, three_in_four};
use support::{Options, Time, median, timed};

const LAPTOP_ROWS: u64 = 1 << 20;
const FULL_ROWS: u64 = 5 << 19;
const TIMES: u64 = 8;
/// The partitions of the largest job that is counted.
const PARTITIONS: u64 = 1_000_000;
/// Rows of one key. Only a join has as many keys as rows.
const ROWS_OF_KEY: u64 = 16;

/// A workload.
struct Case {
    name: &'static str,
    /// The largest allowed ratio of the time for 8 n rows to the time for n rows.
    max_growth: f64,
    /// A multiple of the rows of the other workloads, since a narrow row costs next to nothing.
    rows: u64,
    /// Runs the workload on a number of rows and returns its answer.
    run: fn(&Context, u64) -> emberline::Result<u64>,
}

const CASES: [Case; 6] = [
    Case { name: "narrow_chain", max_growth: 9.0, rows: 40, run: narrow_chain },
    Case { name: "aggregate", max_growth: 10.0, rows: 1, run: aggregate },
    Case { name: "distinct", max_growth: 10.0, rows: 1, run: distinct },
    Case { name: "group", max_growth: 10.0, rows: 1, run: group },
    Case { name: "join", max_growth: 10.0, rows: 1, run: join },
    Case { name: "sort", max_growth: 10.5, rows: 1, run: sort },
];

/// A workload whose size is not a number of rows.
struct Length {
    name: &'static str,
    /// The larger size; the smaller one is a quarter of it.
    large: u64,
    /// Prepares the workload in a folder, which is not timed.
    prepare: fn(&Context, &Path, u64) -> emberline::Result<()>,
    run: fn(&Context, &Path, u64) -> emberline::Result<u64>,
}

/// The ratio of the sizes of a [`Length`], and the largest allowed ratio of its times.
const LENGTH_TIMES: u64 = 4;
const MAX_LENGTH_GROWTH: f64 = 5.0;

const LENGTHS: [Length; 3] = [
    Length {
        name: "read_checkpoint",
        large: 100_000,
        prepare: write_checkpoint,
        run: |ctx, path, _| ctx.read_checkpoint::<u64>(path).count(),
    },
    Length {
        name: "unions",
        large: 10_000,
        prepare: |_, _, _| Ok(()),
        run: |ctx, _, unions| boxed_unions(ctx, unions),
    },
    Length { name: "text_files", large: 40_000, prepare: write_files, run: read_files },
];

fn main() -> Result<(), BoxError> {
    let options = Options::widest(LAPTOP_ROWS, FULL_ROWS)?;
    let small_limit = 2 * options.rows; // an eighth of the bytes of the smaller size, with 16 bytes per row
    let wanted = support::options::setting("case");
    if wanted.as_ref().is_none_or(|wanted| wanted == "partitions") {
        // First, since it reports the peak memory of the process.
        grow_partitions(&options, &options.context()?)?;
    }
    for case in CASES.iter().filter(|case| wanted.as_ref().is_none_or(|it| it == case.name)) {
        grow(case, "memory", &options, &options.context()?)?;
        if case.name != "narrow_chain" {
            let builder = Context::builder().threads(options.threads);
            let ctx = builder.memory_limit_bytes(small_limit.max(1 << 20)).build()?;
            grow(case, "disk", &options, &ctx)?;
        }
    }
    for length in LENGTHS.iter().filter(|it| wanted.as_ref().is_none_or(|name| name == it.name)) {
        grow_length(length, &options)?;
    }
    Ok(())
}

/// Times both lengths alternately.
fn grow_length(length: &Length, options: &Options) -> Result<(), BoxError> {
    let Length { name, large, prepare, run } = length;
    let ctx = options.context()?;
    let folder = tempfile::tempdir()?;
    let sizes = [large / LENGTH_TIMES, *large];
    let paths = sizes.map(|size| folder.path().join(size.to_string()));
    for (size, path) in sizes.iter().zip(&paths) {
        prepare(&ctx, path, *size)?;
    }
    let time = |at: usize| -> Result<Time, BoxError> {
        let (found, time) = timed(|| run(&ctx, &paths[at], sizes[at]))?;
        assert_eq!(found, sizes[at], "{name}");
        Ok(time)
    };
    time(0)?;
    let mut pairs = Vec::with_capacity(options.pairs);
    for _ in 0..options.pairs {
        pairs.push((time(0)?, time(1)?));
    }
    let small = median(pairs.iter().map(|pair| pair.0.wall));
    let large = median(pairs.iter().map(|pair| pair.1.wall));
    let growth = median(pairs.iter().map(|pair| pair.1.wall / pair.0.wall));
    println!(
        "bench=growth_{name} size={} times={LENGTH_TIMES} threads={} small_s={small:.4} \
         large_s={large:.4} growth={growth:.2} max_growth={MAX_LENGTH_GROWTH}",
        sizes[0], options.threads
    );
    Ok(())
}

/// Counts a quarter of a million partitions, and a million, and reports the peak memory.
fn grow_partitions(options: &Options, ctx: &Context) -> Result<(), BoxError> {
    let run = |tasks: u64| timed(|| ctx.range_with(tasks as usize, 0..tasks).count());
    let mut pairs = Vec::with_capacity(options.pairs);
    for _ in 0..options.pairs {
        pairs.push((run(PARTITIONS / 4)?.1.wall, run(PARTITIONS)?.1.wall));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?").trim();
    let growth = median(pairs.iter().map(|(small, large)| large / small));
    println!(
        "bench=growth_partitions partitions={PARTITIONS} times=4 threads={} large_s={:.4} \
         growth={growth:.2} max_growth=5 peak={} max_peak=102400kB",
        options.threads,
        median(pairs.iter().map(|pair| pair.1)),
        peak.replace(' ', ""),
    );
    Ok(())
}

/// Writes a checkpoint of as many rows as partitions.
fn write_checkpoint(ctx: &Context, path: &Path, partitions: u64) -> emberline::Result<()> {
    ctx.range_with(partitions as usize, 0..partitions).checkpoint(path).map(drop)
}

/// Counts the rows of unions one on another, each boxed, after a plan of them was made.
fn boxed_unions(ctx: &Context, unions: u64) -> emberline::Result<u64> {
    let one = |n: u64| ctx.range_with(1, n..n + 1);
    let rows = (1..unions).fold(one(0).boxed(), |all, n| all.union(&one(n)).boxed());
    assert!(rows.explain().to_string().len() as u64 > unions);
    rows.count()
}

/// Times both sizes alternately, so that other load affects both.
fn grow(case: &Case, storage: &str, options: &Options, ctx: &Context) -> Result<(), BoxError> {
    let small = options.rows * case.rows;
    let run = |rows| timed(|| (case.run)(ctx, rows));
    run(small)?;
    let mut pairs = Vec::with_capacity(options.pairs);
    for _ in 0..options.pairs {
        pairs.push((run(small)?.1, run(TIMES * small)?.1));
    }
    let spilled: u64 = ctx.jobs().iter().map(|job| job.totals().bytes_spilled).sum();
    assert_eq!(spilled > 0, storage == "disk", "{}: {spilled} bytes spilled", case.name);
    print_line(case, storage, small, options.threads, &pairs);
    Ok(())
}

fn print_line(case: &Case, storage: &str, rows: u64, threads: usize, pairs: &[(Time, Time)]) {
    let small = median(pairs.iter().map(|pair| pair.0.wall));
    let large = median(pairs.iter().map(|pair| pair.1.wall));
    let growth = median(pairs.iter().map(|pair| pair.1.wall / pair.0.wall));
    let cpu = |side: fn(&(Time, Time)) -> f64| pairs.iter().map(side).sum::<f64>();
    let cpu_growth = cpu(|pair| pair.1.cpu) / cpu(|pair| pair.0.cpu);
    let Case { name, max_growth, .. } = case;
    println!(
        "bench=growth_{name} storage={storage} rows={rows} times={TIMES} threads={threads} \
         small_s={small:.4} large_s={large:.4} growth={growth:.2} cpu_growth={cpu_growth:.2} \
         max_growth={max_growth}"
    );
}

/// Returns a random key below `keys`, without a division.
fn key(seed: u64, index: u64, keys: u64) -> u64 {
    ((random(seed, index) >> 32) * keys) >> 32
}

fn sum(
    numbers: Rdd<u64, impl emberline::pipeline::Pipeline<Item = u64>>,
) -> emberline::Result<u64> {
    numbers.aggregate(0, u64::wrapping_add, u64::wrapping_add)
}

fn narrow_chain(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    sum(ctx.range(0..rows).map(congruential).filter(three_in_four).map(middle_bits))
}

fn aggregate(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    let pairs = ctx.range(0..rows).map(move |n| (key(1, n, rows / ROWS_OF_KEY), n));
    sum(pairs.reduce_by_key(u64::wrapping_add).map(|(key, sum)| key ^ sum))
}

fn distinct(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    sum(ctx.range(0..rows).map(move |n| key(2, n, rows / ROWS_OF_KEY)).distinct())
}

fn group(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    let pairs = ctx.range(0..rows).map(move |n| (key(3, n, rows / ROWS_OF_KEY), n));
    sum(pairs.group_by_key().map(|(key, group)| group.iter().fold(key, |all, n| all ^ n)))
}

fn join(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    let side = |seed| ctx.range(0..rows).map(move |n| (key(seed, n, rows), n));
    sum(side(4).join(&side(5)).map(|(_, (left, right))| left ^ right))
}

fn sort(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    let sorted = ctx.range(0..rows).map(|n| (random(6, n), n)).sort_pairs();
    sum(sorted.map(|(key, n)| key.wrapping_mul(n)))
}

/// Writes files of one line.
fn write_files(_ctx: &Context, path: &Path, files: u64) -> emberline::Result<()> {
    let writing = |cause| Error::io("writing the files failed", cause);
    fs::create_dir(path).map_err(writing)?;
    let write = |number: u64| fs::write(path.join(format!("{number:05}")), "a line\n");
    (0..files).try_for_each(write).map_err(writing)
}

/// Counts the lines of files, in as many partitions.
fn read_files(ctx: &Context, path: &Path, files: u64) -> emberline::Result<u64> {
    ctx.text_file_with(Text::new().partitions(files as usize), path).count()
}

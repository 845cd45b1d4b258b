//! Jobs that exceed the memory limit: a sort, an aggregation of distinct keys, one skewed key and a
//! join of numbers, and a sort and a join of strings, each with an eighth of the memory of its rows,
//! compared with the same job without a limit.
//!
//! Each run is a separate process, so that its peak memory is its own. Prints one line per case:
//! `memory_limit_mb` and `rss_mb`, the peak of the process; `unlimited_s`, `limited_s` and their `ratio`;
//! `moved_mb`, the bytes that were written to the disk and read again; `disk_mb_s`, the sequential rate
//! of the scratch disk at that time. `-- --case sort` runs one of them. Fails if the two answers
//! differ in a row or in the order. The baseline is emberline without a limit: a hand-written program
//! that spills would be another engine.

use emberline::event::{Event, EventRecord};
use emberline::prelude::*;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

mod support;

use support::Options;
use support::process::peak_rss_mb;

/// A job, its rows at full size (a tenth at laptop size), and the bytes of a row.
const CASES: [(&str, u64, u64); 6] = [
    ("sort", 20_000_000, 16),
    ("aggregate_distinct", 50_000_000, 16),
    ("skewed_key", 20_000_000, 16),
    ("join", 20_000_000, 32),
    // A `String` of 20 characters and a number; a key and two values of 20 characters.
    ("sort_strings", 20_000_000, 68),
    ("join_strings", 10_000_000, 240),
];

fn main() -> Result<(), BoxError> {
    if let Ok(case) = std::env::var("EMBERLINE_SPILL_CASE") {
        return child(&case);
    }
    let wanted = support::options::setting("case");
    for (case, full_rows, row_bytes) in CASES {
        if wanted.as_ref().is_none_or(|wanted| wanted == case) {
            compare(case, full_rows, row_bytes)?;
        }
    }
    Ok(())
}

/// The measurements of one process.
struct Ran {
    answer: u64,
    seconds: f64,
    rss_mb: u64,
    spilled_bytes: u64,
}

fn compare(case: &str, full_rows: u64, row_bytes: u64) -> Result<(), BoxError> {
    let options = Options::widest(full_rows / 10, full_rows)?;
    let limit = options.rows * row_bytes / 8;
    let run = |limit| run_in_process(case, &options, limit);
    let unlimited = run(u64::MAX)?;
    let disk_mb_s = disk_rate((options.rows * row_bytes).min(1 << 30))?;
    let limited = run(limit)?;
    assert_eq!(limited.answer, unlimited.answer, "{case}: the memory limit changed the answer");
    let allowed_rss = (1.25 * limit as f64 + (64 << 20) as f64) / f64::from(1 << 20);
    let rss_mb = limited.rss_mb;
    assert!(
        rss_mb as f64 <= allowed_rss,
        "{case}: peak of {rss_mb} MiB, the limit is {allowed_rss:.0}"
    );
    let moved_mb = 2.0 * limited.spilled_bytes as f64 / 1e6;
    let seconds = limited.seconds;
    let plain = unlimited.seconds;
    println!(
        "bench=spill_{case} rows={} threads={} memory_limit_mb={:.1} rss_mb={} unlimited_rss_mb={} \
         unlimited_s={plain:.3} limited_s={seconds:.3} ratio={:.2} moved_mb={moved_mb:.0} \
         disk_mb_s={disk_mb_s:.0} max_s={:.3}",
        options.rows,
        options.threads,
        limit as f64 / 1e6,
        limited.rss_mb,
        unlimited.rss_mb,
        seconds / plain,
        f64::max(2.0 * plain, 1.3 * moved_mb / disk_mb_s),
    );
    Ok(())
}

fn run_in_process(case: &str, options: &Options, limit: u64) -> Result<Ran, BoxError> {
    let output = Command::new(std::env::current_exe()?)
        .env("EMBERLINE_SPILL_CASE", case)
        .env("EMBERLINE_SPILL_LIMIT", limit.to_string())
        .env("EMBERLINE_BENCH_ROWS", options.rows.to_string())
        .env("EMBERLINE_BENCH_THREADS", options.threads.to_string())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = || format!("{case}: {}{text}", String::from_utf8_lossy(&output.stderr));
    let field = |name: &str| {
        let named = |word: &str| word.strip_prefix(name)?.strip_prefix('=').map(str::to_string);
        text.split_whitespace().find_map(named).ok_or_else(failed)
    };
    Ok(Ran {
        answer: field("answer")?.parse()?,
        seconds: field("seconds")?.parse()?,
        rss_mb: field("rss_mb")?.parse()?,
        spilled_bytes: field("spilled")?.parse()?,
    })
}

/// Runs one case and prints the fields of [`Ran`].
fn child(case: &str) -> Result<(), BoxError> {
    let options = Options::widest(1, 1)?;
    let limit: u64 = std::env::var("EMBERLINE_SPILL_LIMIT")?.parse()?;
    let spilled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&spilled);
    let builder =
        Context::builder().threads(options.threads).listener(move |record: &EventRecord| {
            if let Event::TaskFinished { metrics, .. } = &record.event {
                counter.fetch_add(metrics.bytes_spilled, Ordering::Relaxed);
            }
        });
    let unlimited = limit == u64::MAX;
    let builder = if unlimited { builder } else { builder.memory_limit_bytes(limit) };
    let ctx = builder.build()?;
    let start = Instant::now();
    let answer = answer(&ctx, case, options.rows)?;
    let seconds = start.elapsed().as_secs_f64();
    ctx.flush_listeners();
    let rss_mb = peak_rss_mb();
    let spilled = spilled.load(Ordering::Relaxed);
    println!("answer={answer} seconds={seconds} rss_mb={rss_mb} spilled={spilled}");
    Ok(())
}

/// Returns a checksum of the result, which depends on each row and on their order.
fn answer(ctx: &Context, case: &str, rows: u64) -> emberline::Result<u64> {
    let numbers = ctx.range_with(32, 0..rows);
    let pairs = numbers.map(|n| (mixed(n), n));
    match case {
        "sort" => in_order(&pairs.sort_pairs()),
        "aggregate_distinct" => in_order(&pairs.reduce_by_key(u64::wrapping_add)),
        "skewed_key" => {
            let groups = numbers.map(|n| (7_u64, mixed(n))).with_partitions(4).group_by_key_iter();
            let sums = groups.map_values(|group| group.iter().fold(group.len() as u64, rolled));
            in_order(&sums)
        }
        "join" => {
            let others = numbers.map(|n| (mixed(n), n ^ 1));
            in_order(&pairs.join(&others).map_values(|(a, b)| a.wrapping_mul(3) ^ b))
        }
        "sort_strings" => {
            let rows = numbers.map(|n| (text(mixed(n)), n));
            texts_in_order(&rows.sort_pairs())
        }
        "join_strings" => {
            let rows = numbers.map(|n| (text(mixed(n)), text(n)));
            let others = numbers.map(|n| (text(mixed(n)), text(n ^ 1)));
            let joined = rows.join(&others);
            texts_in_order(&joined.map_values(|(a, b)| folded(&a).wrapping_mul(3) ^ folded(&b)))
        }
        other => Err(Error::invalid_argument(format!("unknown case {other}"))),
    }
}

fn in_order<P>(rows: &Rdd<(u64, u64), P>) -> emberline::Result<u64>
where
    P: emberline::pipeline::Pipeline<Item = (u64, u64)>,
{
    rows.aggregate(7, |sum, (key, n)| rolled(rolled(sum, key), n), rolled)
}

fn texts_in_order<P>(rows: &Rdd<(String, u64), P>) -> emberline::Result<u64>
where
    P: emberline::pipeline::Pipeline<Item = (String, u64)>,
{
    // A polynomial of all rows, wherever partitions begin: the memory limit changes the sample that
    // finds the ranges of a sort.
    let add = |(sum, power): (u64, u64), (key, n): (String, u64)| {
        let row = rolled(folded(&key), n);
        (sum.wrapping_mul(FACTOR).wrapping_add(row), power.wrapping_mul(FACTOR))
    };
    let join = |a: (u64, u64), b: (u64, u64)| {
        (a.0.wrapping_mul(b.1).wrapping_add(b.0), a.1.wrapping_mul(b.1))
    };
    Ok(rows.aggregate((0, 1), add, join)?.0)
}

/// The factor of a polynomial: odd, so that none of its powers is zero.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the digits of a number, with leading zeros: 20 characters.
fn text(n: u64) -> String {
    format!("{n:020}")
}

fn folded(text: &str) -> u64 {
    text.bytes().fold(0, |sum, byte| sum.wrapping_mul(10).wrapping_add(u64::from(byte)))
}

fn rolled(sum: u64, n: u64) -> u64 {
    (sum ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

/// Returns the splitmix64 hash of `n`: distinct numbers without a pattern.
fn mixed(n: u64) -> u64 {
    let mut mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Measures the rate at which the scratch disk writes and then reads one file, in MB per second.
fn disk_rate(bytes: u64) -> Result<f64, BoxError> {
    let mut file = tempfile::tempfile()?;
    let mut block: Vec<u8> = (0..1_u64 << 17).flat_map(|n| mixed(n).to_le_bytes()).collect();
    let blocks = bytes.div_ceil(block.len() as u64).max(1);
    let start = Instant::now();
    (0..blocks).try_for_each(|_| file.write_all(&block))?;
    file.seek(SeekFrom::Start(0))?;
    (0..blocks).try_for_each(|_| file.read_exact(&mut block))?;
    Ok(2.0 * (blocks * block.len() as u64) as f64 / 1e6 / start.elapsed().as_secs_f64())
}

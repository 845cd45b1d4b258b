//! What the four benches share: their options, the timing in alternating pairs, and the one line
//! of `key=value` pairs that each measurement prints.

pub mod generate;

use emberline::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt::Debug;
use std::hint::black_box;
use std::time::Instant;

const USAGE: &str = "usage: cargo bench --bench NAME -- [--rows N] [--threads N] [--pairs N]
(or the environment: EMBERLINE_BENCH_ROWS, EMBERLINE_BENCH_THREADS, EMBERLINE_BENCH_PAIRS)";

/// How large, on how many threads, and how often.
pub struct Options {
    pub rows: u64,
    pub threads: usize,
    pub pairs: usize,
}

impl Options {
    /// Full size on every core with five pairs, unless the environment or an argument says less.
    pub fn read(full_rows: u64) -> Result<Options, BoxError> {
        let cores = std::thread::available_parallelism()?.get();
        let options = Options {
            rows: setting("rows", full_rows)?,
            threads: setting("threads", cores as u64)? as usize,
            pairs: setting("pairs", 5)? as usize,
        };
        if options.rows == 0 || options.threads == 0 || options.pairs == 0 {
            return Err(format!("rows, threads and pairs start at 1\n{USAGE}").into());
        }
        Ok(options)
    }

    pub fn context(&self) -> emberline::Result<Context> {
        Context::builder().app_name("bench").threads(self.threads).build()
    }

    fn pool(&self) -> Result<ThreadPool, BoxError> {
        Ok(ThreadPoolBuilder::new().num_threads(self.threads).build()?)
    }
}

/// `--name N` or `--name=N`, else the environment, else `usual`. Other arguments are not ours:
/// cargo adds `--bench` of its own accord, and people pass what criterion knows.
fn setting(name: &str, usual: u64) -> Result<u64, BoxError> {
    let flag = format!("--{name}");
    let mut args = std::env::args().skip(1);
    let mut given = std::env::var(format!("EMBERLINE_BENCH_{}", name.to_uppercase())).ok();
    while let Some(arg) = args.next() {
        if arg == flag {
            given = Some(args.next().unwrap_or_default());
        } else if let Some(value) = arg.strip_prefix(&flag).and_then(|rest| rest.strip_prefix('='))
        {
            given = Some(value.to_string());
        }
    }
    let Some(value) = given else { return Ok(usual) };
    let wrong = |cause| format!("{flag} {value:?}: {cause}\n{USAGE}");
    value.replace('_', "").parse().map_err(|cause: std::num::ParseIntError| wrong(cause).into())
}

/// Times both sides in alternating pairs (A B, B A, ...), so that whatever slows the machine down
/// for a while falls on both, asserts one answer, prints one line, and returns the answer.
pub fn measure<A: PartialEq + Debug + Send>(
    name: &str,
    options: &Options,
    emberline: impl Fn() -> emberline::Result<A>,
    hand: impl Fn() -> A + Send + Sync,
) -> Result<A, BoxError> {
    let pool = options.pool()?;
    let hand = || Ok(pool.install(&hand));
    let answer = emberline()?;
    assert_eq!(answer, hand()?, "{name}: the two sides disagree (left emberline, right by hand)");

    let mut pairs = Vec::with_capacity(options.pairs);
    for turn in 0..options.pairs {
        pairs.push(if turn % 2 == 0 {
            let first = seconds(&emberline, &answer)?;
            (first, seconds(&hand, &answer)?)
        } else {
            let first = seconds(&hand, &answer)?;
            (seconds(&emberline, &answer)?, first)
        });
    }
    print_line(name, options, &pairs);
    Ok(answer)
}

fn seconds<A: PartialEq + Debug>(
    side: &impl Fn() -> emberline::Result<A>,
    expected: &A,
) -> Result<f64, BoxError> {
    let start = Instant::now();
    let answer = black_box(side()?);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(&answer, expected, "the answer changed between two runs");
    Ok(seconds)
}

fn print_line(name: &str, options: &Options, pairs: &[(f64, f64)]) {
    let emberline = median(pairs.iter().map(|pair| pair.0));
    let hand = median(pairs.iter().map(|pair| pair.1));
    let ratio = median(pairs.iter().map(|pair| pair.0 / pair.1));
    let (Options { rows, threads, .. }, rss) = (options, peak_rss_mb());
    println!(
        "bench={name} rows={rows} threads={threads} pairs={} emberline_s={emberline:.4} \
         hand_s={hand:.4} ratio={ratio:.3} rss_mb={rss}",
        pairs.len()
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// The most memory the process has had at once, of both sides, where the system tells; else 0.
pub fn peak_rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

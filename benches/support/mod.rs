//! What the benches share: their options, the timing in alternating pairs, and the one line of
//! `key=value` pairs that each measurement prints.

#![allow(dead_code, reason = "each bench uses its own part of this")]

pub mod close;
pub mod files;
pub mod generate;
pub mod process;
pub mod word;

use emberline::prelude::*;
use process::{cpu_seconds, peak_rss_mb, reset_peak_rss};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt::Debug;
use std::hint::black_box;
use std::time::Instant;

const USAGE: &str =
    "usage: cargo bench --bench NAME -- [--full] [--rows N] [--threads N] [--pairs N] \
                     [--only emberline|hand]
(or the environment: EMBERLINE_BENCH_FULL, EMBERLINE_BENCH_ROWS, ...)";

/// How large, on how many threads, and how often.
#[derive(Clone)]
pub struct Options {
    pub rows: u64,
    pub threads: usize,
    pub pairs: usize,
    /// The one side to run, for a profiler; both without it.
    only: Option<String>,
}

impl Options {
    /// One for each number of threads: one thread and every core, unless `--threads` names one
    /// number. A size for a laptop, unless `--full` or `--rows` says otherwise.
    pub fn read(laptop_rows: u64, full_rows: u64) -> Result<Vec<Options>, BoxError> {
        let usual_rows = if is_full() { full_rows } else { laptop_rows };
        let (rows, pairs) = (number("rows", usual_rows)?, number("pairs", 5)? as usize);
        let cores = std::thread::available_parallelism()?.get();
        let threads = match number("threads", u64::MAX)? {
            u64::MAX if cores == 1 => vec![1],
            u64::MAX => vec![1, cores],
            threads => vec![threads as usize],
        };
        let only = setting("only");
        let known = only.as_ref().is_none_or(|only| ["emberline", "hand"].contains(&&**only));
        if rows == 0 || threads == [0] || pairs == 0 || !known {
            let wrong = "rows, threads and pairs start at 1, and there are two sides";
            return Err(format!("{wrong}\n{USAGE}").into());
        }
        let options = |threads| Options { rows, threads, pairs, only: only.clone() };
        Ok(threads.into_iter().map(options).collect())
    }

    /// Those with most threads: for benches that have no row for a single one.
    pub fn widest(laptop_rows: u64, full_rows: u64) -> Result<Options, BoxError> {
        let mut all = Options::read(laptop_rows, full_rows)?;
        Ok(all.pop().expect("there is a number of threads"))
    }

    pub fn context(&self) -> emberline::Result<Context> {
        Context::builder().app_name("bench").threads(self.threads).build()
    }

    fn pool(&self) -> Result<ThreadPool, BoxError> {
        Ok(ThreadPoolBuilder::new().num_threads(self.threads).build()?)
    }
}

/// `--name VALUE` or `--name=VALUE`, else the environment. Other arguments are not ours: cargo adds
/// `--bench` of its own accord, and people pass what criterion knows.
pub fn setting(name: &str) -> Option<String> {
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
    given
}

fn number(name: &str, usual: u64) -> Result<u64, BoxError> {
    let Some(value) = setting(name) else { return Ok(usual) };
    let wrong = |cause| format!("--{name} {value:?}: {cause}\n{USAGE}");
    value.replace('_', "").parse().map_err(|cause: std::num::ParseIntError| wrong(cause).into())
}

fn is_full() -> bool {
    let asked = std::env::args().any(|arg| arg == "--full");
    asked || std::env::var("EMBERLINE_BENCH_FULL").is_ok_and(|value| value != "0")
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
    match options.only.as_deref() {
        Some("emberline") => return alone(name, options, "emberline", emberline),
        Some(_) => return alone(name, options, "hand", hand),
        None => {}
    }

    reset_peak_rss();
    let answer = emberline()?;
    let rss_mb = peak_rss_mb();
    reset_peak_rss();
    assert_eq!(answer, hand()?, "{name}: the two sides disagree (left emberline, right by hand)");
    let hand_rss_mb = peak_rss_mb();

    let mut pairs = Vec::with_capacity(options.pairs);
    for turn in 0..options.pairs {
        pairs.push(if turn % 2 == 0 {
            let first = timed(&emberline, &answer)?;
            (first, timed(&hand, &answer)?)
        } else {
            let first = timed(&hand, &answer)?;
            (timed(&emberline, &answer)?, first)
        });
    }
    print_line(name, options, &pairs, [rss_mb, hand_rss_mb]);
    Ok(answer)
}

/// Wall and processor seconds of one run.
#[derive(Clone, Copy)]
struct Time {
    wall: f64,
    cpu: f64,
}

fn timed<A: PartialEq + Debug>(
    side: &impl Fn() -> emberline::Result<A>,
    expected: &A,
) -> Result<Time, BoxError> {
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let answer = black_box(side()?);
    let time = Time { wall: start.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu };
    assert_eq!(&answer, expected, "the answer changed between two runs");
    Ok(time)
}

/// One side, as often as there would be pairs, and nothing before: what a profiler wants to see.
fn alone<A: PartialEq + Debug>(
    name: &str,
    Options { rows, threads, pairs, .. }: &Options,
    side: &str,
    run: impl Fn() -> emberline::Result<A>,
) -> Result<A, BoxError> {
    let mut seconds = Vec::with_capacity(*pairs);
    let mut answer = None;
    for _ in 0..*pairs {
        let start = Instant::now();
        answer = Some(black_box(run()?));
        seconds.push(start.elapsed().as_secs_f64());
    }
    let (seconds, rss) = (median(seconds.into_iter()), peak_rss_mb());
    println!("bench={name} rows={rows} threads={threads} side={side} s={seconds:.4} rss_mb={rss}");
    Ok(answer.expect("there is at least one pair"))
}

fn print_line(name: &str, options: &Options, pairs: &[(Time, Time)], rss_mb: [u64; 2]) {
    let emberline = median(pairs.iter().map(|pair| pair.0.wall));
    let hand = median(pairs.iter().map(|pair| pair.1.wall));
    let ratio = median(pairs.iter().map(|pair| pair.0.wall / pair.1.wall));
    let cpu = |side: fn(&(Time, Time)) -> f64| pairs.iter().map(side).sum::<f64>();
    let cpu_ratio = cpu(|pair| pair.0.cpu) / cpu(|pair| pair.1.cpu);
    let (Options { rows, threads, .. }, [rss, hand_rss]) = (options, rss_mb);
    println!(
        "bench={name} rows={rows} threads={threads} pairs={} emberline_s={emberline:.4} \
         hand_s={hand:.4} ratio={ratio:.3} cpu_ratio={cpu_ratio:.3} rss_mb={rss} \
         hand_rss_mb={hand_rss}",
        pairs.len()
    );
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

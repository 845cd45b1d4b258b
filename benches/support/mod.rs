//! Shared code of the benches: their options, the timing in alternating pairs, and the line of
//! `key=value` pairs that each measurement prints.

#![allow(dead_code, reason = "each bench uses its own part of this")]

pub mod close;
pub mod files;
pub mod generate;
pub mod options;
pub mod process;
pub mod word;

use emberline::prelude::*;
pub use options::Options;
use process::{cpu_seconds, peak_rss_mb, reset_peak_rss};
use std::fmt::Debug;
use std::hint::black_box;
use std::time::Instant;

/// Times both sides in alternating pairs (A B, B A, ...), so that other load on the machine affects
/// both. Asserts equal answers, prints one line, and returns the answer.
pub fn measure<A: PartialEq + Debug + Send>(
    name: &str,
    options: &Options,
    emberline: impl Fn() -> emberline::Result<A>,
    hand: impl Fn() -> A + Send + Sync,
) -> Result<A, BoxError> {
    let pool = options.pool()?;
    let hand = || Ok(pool.install(&hand));
    match options.only.as_deref() {
        Some("emberline") => return measure_one_side(name, options, "emberline", emberline),
        Some(_) => return measure_one_side(name, options, "hand", hand),
        None => {}
    }

    reset_peak_rss();
    let answer = emberline()?;
    let rss_mb = peak_rss_mb();
    reset_peak_rss();
    assert_eq!(answer, hand()?, "{name}: the answers differ (left: emberline, right: baseline)");
    let baseline_rss_mb = peak_rss_mb();

    let mut pairs = Vec::with_capacity(options.pairs);
    for turn in 0..options.pairs {
        pairs.push(if turn % 2 == 0 {
            let first = same(&emberline, &answer)?;
            (first, same(&hand, &answer)?)
        } else {
            let first = same(&hand, &answer)?;
            (same(&emberline, &answer)?, first)
        });
    }
    print_line(name, options, &pairs, [rss_mb, baseline_rss_mb]);
    Ok(answer)
}

/// Wall and processor seconds of one run.
#[derive(Clone, Copy)]
pub struct Time {
    pub wall: f64,
    pub cpu: f64,
}

/// Runs once and returns the answer and its time.
pub fn timed<A>(run: impl FnOnce() -> emberline::Result<A>) -> emberline::Result<(A, Time)> {
    let cpu = cpu_seconds();
    let start = Instant::now();
    let answer = black_box(run()?);
    let time = Time { wall: start.elapsed().as_secs_f64(), cpu: cpu_seconds() - cpu };
    Ok((answer, time))
}

fn same<A: PartialEq + Debug>(
    side: &impl Fn() -> emberline::Result<A>,
    expected: &A,
) -> emberline::Result<Time> {
    let (answer, time) = timed(side)?;
    assert_eq!(&answer, expected, "the answer changed between two runs");
    Ok(time)
}

/// Runs one side alone, once per pair: for a profiler, or a table with other engines. The first run
/// counts only if it is the only one.
fn measure_one_side<A: Debug>(
    name: &str,
    Options { rows, threads, pairs, .. }: &Options,
    side: &str,
    run: impl Fn() -> emberline::Result<A>,
) -> Result<A, BoxError> {
    reset_peak_rss();
    let (answer, first) = timed(&run)?;
    let others = (1..*pairs).map(|_| timed(&run).map(|(_, time)| time));
    let mut times = others.collect::<emberline::Result<Vec<Time>>>()?;
    if times.is_empty() {
        times.push(first);
    }
    let [wall, cpu] = [|time: &Time| time.wall, |time: &Time| time.cpu]
        .map(|part| median(times.iter().map(part)));
    let rss = peak_rss_mb();
    println!(
        "bench={name} rows={rows} threads={threads} side={side} runs={pairs} s={wall:.4} \
         cpu_s={cpu:.3} rss_mb={rss} answer={answer:?}"
    );
    Ok(answer)
}

fn print_line(name: &str, options: &Options, pairs: &[(Time, Time)], rss_mb: [u64; 2]) {
    let emberline = median(pairs.iter().map(|pair| pair.0.wall));
    let baseline = median(pairs.iter().map(|pair| pair.1.wall));
    let ratio = median(pairs.iter().map(|pair| pair.0.wall / pair.1.wall));
    let cpu = |side: fn(&(Time, Time)) -> f64| pairs.iter().map(side).sum::<f64>();
    let cpu_ratio = cpu(|pair| pair.0.cpu) / cpu(|pair| pair.1.cpu);
    let Options { rows, threads, .. } = options;
    let [rss, baseline_rss] = rss_mb;
    println!(
        "bench={name} rows={rows} threads={threads} pairs={} emberline_s={emberline:.4} \
         baseline_s={baseline:.4} ratio={ratio:.3} cpu_ratio={cpu_ratio:.3} rss_mb={rss} \
         baseline_rss_mb={baseline_rss}",
        pairs.len()
    );
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

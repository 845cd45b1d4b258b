//! A context is built, runs a job over no rows, and is dropped, compared with a rayon pool that does the
//! same. `--rows` is the number of repetitions; the printed times are for one.

mod hand;
mod support;

use emberline::prelude::*;
use support::Options;

const TIMES: u64 = 100;

fn main() -> Result<(), BoxError> {
    for options in Options::read(TIMES, TIMES)? {
        let times = options.rows;
        let threads = options.threads;
        let run = || (0..times).map(|_| start_up(&options)).sum::<emberline::Result<u64>>();
        let by_hand = || (0..times).map(|_| hand::start_up::start_up(threads)).sum::<u64>();
        let start = std::time::Instant::now();
        run()?;
        let ms = start.elapsed().as_secs_f64() * 1e3 / times as f64;
        support::measure("start_up", &options, run, by_hand)?;
        println!("bench=start_up_each times={times} threads={threads} ms={ms:.3}");
    }
    Ok(())
}

fn start_up(options: &Options) -> emberline::Result<u64> {
    options.context()?.range(0..0_u64).count()
}

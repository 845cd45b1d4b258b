//! The options of a bench, from its arguments or the environment.

use emberline::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

const USAGE: &str =
    "usage: cargo bench --bench NAME -- [--full] [--rows N] [--threads N] [--pairs N] \
                     [--only emberline|hand]
(or the environment: EMBERLINE_BENCH_FULL, EMBERLINE_BENCH_ROWS, ...)";

/// The size of a run, its threads, and the number of pairs.
#[derive(Clone)]
pub struct Options {
    pub rows: u64,
    pub threads: usize,
    pub pairs: usize,
    /// The only side to run, for a profiler; both sides if it is `None`.
    pub(super) only: Option<String>,
}

impl Options {
    /// Reads the options of each run: one thread and all cores, unless `--threads` is given; laptop size,
    /// unless `--full` or `--rows` is given.
    pub fn read(laptop_rows: u64, full_rows: u64) -> Result<Vec<Options>, BoxError> {
        let usual_rows = if is_full() { full_rows } else { laptop_rows };
        let rows = number("rows", usual_rows)?;
        let pairs = number("pairs", 5)? as usize;
        let cores = std::thread::available_parallelism()?.get();
        let threads = match number("threads", u64::MAX)? {
            u64::MAX if cores == 1 => vec![1],
            u64::MAX => vec![1, cores],
            threads => vec![threads as usize],
        };
        let only = setting("only");
        let known = only.as_ref().is_none_or(|only| ["emberline", "hand"].contains(&&**only));
        if rows == 0 || threads == [0] || pairs == 0 || !known {
            let wrong =
                "rows, threads and pairs must be at least 1, and --only is emberline or hand";
            return Err(format!("{wrong}\n{USAGE}").into());
        }
        let options = |threads| Options { rows, threads, pairs, only: only.clone() };
        Ok(threads.into_iter().map(options).collect())
    }

    /// Reads the options of the run with the most threads, for benches that have no run on one thread.
    pub fn widest(laptop_rows: u64, full_rows: u64) -> Result<Options, BoxError> {
        let mut all = Options::read(laptop_rows, full_rows)?;
        Ok(all.pop().expect("there is a number of threads"))
    }

    /// Returns true unless only one side runs.
    pub fn both_sides(&self) -> bool {
        self.only.is_none()
    }

    pub fn context(&self) -> emberline::Result<Context> {
        Context::builder().app_name("bench").threads(self.threads).build()
    }

    pub(super) fn pool(&self) -> Result<ThreadPool, BoxError> {
        Ok(ThreadPoolBuilder::new().num_threads(self.threads).build()?)
    }
}

/// Returns `--name VALUE` or `--name=VALUE`, else the environment variable. Other arguments are ignored: cargo
/// adds `--bench`, and criterion has options that people pass out of habit.
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

//! A join of two sides on ten million keys, compared with a hand-written partitioned hash join.

mod hand;
mod support;

use emberline::prelude::*;
use hand::join::Matches;
use support::Options;
use support::generate::{left_pair, right_pair};

const LAPTOP_ROWS: u64 = 2_000_000;
const FULL_ROWS: u64 = 10_000_000;
const MATCHES_AT_FULL_SIZE: Matches = (10_003_440, 200_060_765_017_157);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        let run = || join(&ctx, rows);
        let matches = support::measure("join", &options, run, || hand::join::join(rows))?;
        let known = rows != FULL_ROWS || matches == MATCHES_AT_FULL_SIZE;
        assert!(known, "the generator changed: {matches:?}");
    }
    Ok(())
}

fn join(ctx: &Context, rows: u64) -> emberline::Result<Matches> {
    let left = ctx.range(0..rows).map(left_pair);
    let right = ctx.range(0..rows).map(right_pair);
    left.join(&right).aggregate(
        (0, 0),
        |(rows, sum): Matches, (_, (x, y))| (rows + 1, sum.wrapping_add(x + 3 * y)),
        |a, b| (a.0 + b.0, a.1.wrapping_add(b.1)),
    )
}

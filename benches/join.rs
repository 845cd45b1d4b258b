//! Two sides of 10 million pairs joined on ten million keys, beside a partitioned hash join
//! written by hand.

mod hand;
mod support;

use emberline::prelude::*;
use hand::join::Matches;
use support::generate::{left_pair, right_pair};

const ROWS: u64 = 10_000_000;
const MATCHES_AT_FULL_SIZE: Matches = (10_003_440, 200_060_765_017_157);

fn main() -> Result<(), BoxError> {
    let options = support::Options::read(ROWS)?;
    let ctx = options.context()?;
    let matches = support::measure(
        "join",
        &options,
        || join(&ctx, options.rows),
        || hand::join::join(options.rows),
    )?;
    let expected = options.rows != ROWS || matches == MATCHES_AT_FULL_SIZE;
    assert!(expected, "the generator changed: {matches:?}");
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

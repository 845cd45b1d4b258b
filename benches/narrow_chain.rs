//! Map, filter, map and sum over 200 million numbers: what a narrow step costs beside the same
//! iterator chain written by hand.

mod hand;
mod support;

use emberline::prelude::*;
use support::generate::{congruential, middle_bits, three_in_four};

const ROWS: u64 = 200_000_000;
const SUM_AT_FULL_SIZE: u64 = 4_915_129_815_960;

fn main() -> Result<(), BoxError> {
    let options = support::Options::read(ROWS)?;
    let ctx = options.context()?;
    let sum = support::measure(
        "narrow_chain",
        &options,
        || narrow_chain(&ctx, options.rows),
        || hand::narrow_chain::narrow_chain(options.rows),
    )?;
    assert!(options.rows != ROWS || sum == SUM_AT_FULL_SIZE, "the generator changed: {sum}");
    Ok(())
}

fn narrow_chain(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    ctx.range(0..rows).map(congruential).filter(three_in_four).map(middle_bits).aggregate(
        0_u64,
        |sum, x| sum + x,
        |a, b| a + b,
    )
}

//! Map, filter, map and sum over numbers: the cost of narrow operations, compared with a hand-written
//! iterator chain. `benches/instructions.sh` counts the instructions of both.

mod hand;
mod support;

use emberline::prelude::*;
use hand::narrow_chain::narrow_chain as by_hand;
use support::Options;
use support::generate::{congruential, middle_bits, three_in_four};

const LAPTOP_ROWS: u64 = 50_000_000;
const FULL_ROWS: u64 = 200_000_000;
const SUM_AT_FULL_SIZE: u64 = 4_915_129_815_960;

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        let run = || narrow_chain(&ctx, rows);
        let sum = support::measure("narrow_chain", &options, run, || by_hand(rows))?;
        assert!(rows != FULL_ROWS || sum == SUM_AT_FULL_SIZE, "the generator changed: {sum}");
    }
    Ok(())
}

fn narrow_chain(ctx: &Context, rows: u64) -> emberline::Result<u64> {
    ctx.range(0..rows).map(congruential).filter(three_in_four).map(middle_bits).aggregate(
        0_u64,
        |sum, x| sum + x,
        |a, b| a + b,
    )
}

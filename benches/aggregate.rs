//! Sums of 50 million pairs by a million keys, beside two hand-written ways: one table per thread
//! (`bench=aggregate`), and all pairs scattered first (`bench=aggregate_scatter`).

mod hand;
mod support;

use emberline::prelude::*;
use hand::aggregate::{Totals, plus};
use support::generate::aggregate_pair;

const ROWS: u64 = 50_000_000;
const TOTALS_AT_FULL_SIZE: Totals = (1_000_000, 26_210_294_698_395, 13_104_213_646_595_492_421);

fn main() -> Result<(), BoxError> {
    let options = support::Options::read(ROWS)?;
    let (ctx, rows) = (options.context()?, options.rows);
    let run = || aggregate(&ctx, rows);
    let tables = || hand::aggregate::aggregate(rows);
    let scatter = || hand::aggregate_scatter::aggregate_scatter(rows);

    let totals = support::measure("aggregate", &options, run, tables)?;
    support::measure("aggregate_scatter", &options, run, scatter)?;
    assert!(rows != ROWS || totals == TOTALS_AT_FULL_SIZE, "the generator changed: {totals:?}");
    Ok(())
}

fn aggregate(ctx: &Context, rows: u64) -> emberline::Result<Totals> {
    ctx.range(0..rows).map(aggregate_pair).reduce_by_key(|a, b| a + b).aggregate(
        (0, 0, 0),
        |totals, (key, sum)| plus(totals, (1, sum, u64::from(key).wrapping_mul(sum))),
        plus,
    )
}

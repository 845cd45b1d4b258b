//! Sums of pairs by a million keys, compared with two hand-written baselines: one table per thread
//! (`bench=aggregate`), and pairs that are scattered first (`bench=aggregate_scatter`).

mod hand;
mod support;

use emberline::prelude::*;
use hand::aggregate::{Totals, plus};
use support::Options;
use support::generate::aggregate_pair;

const LAPTOP_ROWS: u64 = 10_000_000;
const FULL_ROWS: u64 = 50_000_000;
const TOTALS_AT_FULL_SIZE: Totals = (1_000_000, 26_210_294_698_395, 13_104_213_646_595_492_421);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        let run = || aggregate(&ctx, rows);
        let tables = || hand::aggregate::aggregate(rows);
        let scatter = || hand::aggregate_scatter::aggregate_scatter(rows);

        let totals = support::measure("aggregate", &options, run, tables)?;
        support::measure("aggregate_scatter", &options, run, scatter)?;
        let known = rows != FULL_ROWS || totals == TOTALS_AT_FULL_SIZE;
        assert!(known, "the generator changed: {totals:?}");
    }
    Ok(())
}

fn aggregate(ctx: &Context, rows: u64) -> emberline::Result<Totals> {
    ctx.range(0..rows).map(aggregate_pair).reduce_by_key(|a, b| a + b).aggregate(
        (0, 0, 0),
        |totals, (key, sum)| plus(totals, (1, sum, u64::from(key).wrapping_mul(sum))),
        plus,
    )
}

//! Distinct keys of many rows, compared with hand-written tables over scattered keys.

mod hand;
mod support;

use emberline::prelude::*;
use hand::distinct::Keys;
use support::Options;
use support::generate::{AGGREGATE_KEYS, aggregate_pair};

const LAPTOP_ROWS: u64 = 10_000_000;
const FULL_ROWS: u64 = 50_000_000;
const KEYS_AT_FULL_SIZE: Keys = (AGGREGATE_KEYS, AGGREGATE_KEYS * (AGGREGATE_KEYS - 1) / 2);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        let by_hand = || hand::distinct::distinct(rows);

        let keys = support::measure("distinct", &options, || distinct(&ctx, rows), by_hand)?;
        assert!(rows != FULL_ROWS || keys == KEYS_AT_FULL_SIZE, "the generator changed: {keys:?}");
    }
    Ok(())
}

fn distinct(ctx: &Context, rows: u64) -> emberline::Result<Keys> {
    ctx.range(0..rows).map(|index| aggregate_pair(index).0).distinct().aggregate(
        (0, 0),
        |(keys, sum): Keys, key| (keys + 1, sum + u64::from(key)),
        |a, b| (a.0 + b.0, a.1 + b.1),
    )
}

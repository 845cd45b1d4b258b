//! The values of a million keys as lists, of which the maximum is taken, compared with tables of lists that
//! were written by hand. `bench=group_by_key_iter` reads the same groups as a stream.

mod hand;
mod support;

use emberline::prelude::*;
use hand::group::{Largest, largest, plus};
use support::Options;
use support::generate::aggregate_pair;

const LAPTOP_ROWS: u64 = 5_000_000;
const FULL_ROWS: u64 = 20_000_000;
const LARGEST_AT_FULL_SIZE: Largest = (1_000_000, 498_078_884_510_350_891);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        let by_hand = || hand::group::group(rows);

        let found = support::measure("group", &options, || group(&ctx, rows), by_hand)?;
        support::measure("group_by_key_iter", &options, || group_by_key_iter(&ctx, rows), by_hand)?;
        let known = rows != FULL_ROWS || found == LARGEST_AT_FULL_SIZE;
        assert!(known, "the generator changed: {found:?}");
    }
    Ok(())
}

fn group(ctx: &Context, rows: u64) -> emberline::Result<Largest> {
    let groups = ctx.range(0..rows).map(aggregate_pair).group_by_key();
    groups.map(|(key, group)| largest(key, &group)).aggregate((0, 0), plus, plus)
}

fn group_by_key_iter(ctx: &Context, rows: u64) -> emberline::Result<Largest> {
    let groups = ctx.range(0..rows).map(aggregate_pair).group_by_key_iter();
    let of_group = |(key, group): (u32, Group<u64>)| {
        (1, u64::from(key).wrapping_mul(group.iter().max().expect("a group has a value")))
    };
    groups.map(of_group).aggregate((0, 0), plus, plus)
}

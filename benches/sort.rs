//! Pairs sorted by key, compared with rayon's stable parallel sort (`bench=sort`) and its unstable one
//! (`bench=sort_unstable`); and a sort that holds a quarter of its rows in memory
//! (`bench=sort_spill`), compared with rayon's stable sort, which holds them all.

mod hand;
mod support;

use emberline::prelude::*;
use hand::sort::Sorted;
use support::Options;
use support::generate::sort_pair;

const LAPTOP_ROWS: u64 = 4_000_000;
const FULL_ROWS: u64 = 20_000_000;
const LAPTOP_SPILL_ROWS: u64 = 10_000_000;
const FULL_SPILL_ROWS: u64 = 50_000_000;
const SORTED_AT_FULL_SIZE: Sorted =
    (FULL_ROWS, true, 235_659_190_066, 9_223_372_028_167_579_898, 10_363_960_481_045_160_600);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_ROWS, FULL_ROWS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        let run = || sort(&ctx, rows);

        let sorted = support::measure("sort", &options, run, || hand::sort::sort(rows))?;
        let unstable = || hand::sort::sort_unstable(rows);
        support::measure("sort_unstable", &options, run, unstable)?;
        let known = rows != FULL_ROWS || sorted == SORTED_AT_FULL_SIZE;
        assert!(known, "the generator changed: {sorted:?}");
    }
    sort_spill()
}

fn sort_spill() -> Result<(), BoxError> {
    let options = Options::widest(LAPTOP_SPILL_ROWS, FULL_SPILL_ROWS)?;
    let rows = options.rows;
    let row_bytes = size_of::<(u64, u64)>() as u64;
    let builder = Context::builder().app_name("bench").threads(options.threads);
    let ctx = builder.memory_limit_bytes((rows * row_bytes / 4).max(4 << 20)).build()?;
    support::measure("sort_spill", &options, || sort(&ctx, rows), || hand::sort::sort(rows))?;
    Ok(())
}

fn sort(ctx: &Context, rows: u64) -> emberline::Result<Sorted> {
    let sorted = ctx.range(0..rows).map(sort_pair).sort_pairs();
    let runs = sorted.map_partitions(|rows| Some(rows.fold(Run::default(), Run::push)));
    let all = runs.collect()?.into_iter().fold(Run::default(), Run::append);
    Ok((all.rows, !all.disordered, all.first, all.last, all.checksum))
}

/// A summary of consecutive rows.
#[derive(Default)]
struct Run {
    rows: u64,
    disordered: bool,
    first: u64,
    last: u64,
    checksum: u64,
}

impl Run {
    fn push(self, (key, index): (u64, u64)) -> Run {
        let checksum = key.wrapping_mul(index + 1);
        self.append(Run { rows: 1, disordered: false, first: key, last: key, checksum })
    }

    fn append(self, next: Run) -> Run {
        match (self.rows, next.rows) {
            (0, _) => next,
            (_, 0) => self,
            _ => Run {
                rows: self.rows + next.rows,
                disordered: self.disordered || next.disordered || self.last > next.first,
                first: self.first,
                last: next.last,
                checksum: self.checksum.wrapping_add(next.checksum),
            },
        }
    }
}

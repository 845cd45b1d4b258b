//! Ten rounds of PageRank over an R-MAT graph. `bench=page_rank_naive` drops the partitioner of the links
//! and shuffles them in every round; `bench=page_rank` joins co-partitioned links and ranks. Both are
//! compared with the same dataflow written by hand; `bench=page_rank_arrays` compares the second with
//! flat arrays, in which nothing is moved or hashed.
//!
//! `bench=page_rank_shuffled` reports the rows and bytes that each of the two shuffled.

mod hand;
mod support;

use emberline::prelude::*;
use hand::page_rank::{ROUNDS, Ranks};
use std::sync::Arc;
use support::Options;
use support::close::Close;
use support::generate::{NODE_BITS, edge};

const LAPTOP_EDGES: u64 = 1 << 20;
const FULL_EDGES: u64 = 16 << NODE_BITS;

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_EDGES, FULL_EDGES)? {
        let ctx = options.context()?;
        let edges = options.rows;
        let dataflow = || hand::page_rank::page_rank(edges);
        let arrays = || hand::page_rank_arrays::page_rank_arrays(edges);
        let co_partitioned = || page_rank(&ctx, edges, Links::CoPartitioned);

        let naive = || page_rank(&ctx, edges, Links::Repartitioned);
        support::measure("page_rank_naive", &options, naive, dataflow)?;
        let ranks = support::measure("page_rank", &options, co_partitioned, dataflow)?;
        support::measure("page_rank_arrays", &options, co_partitioned, arrays)?;
        assert!(edges != FULL_EDGES || is_known(&ranks), "the generator changed: {ranks:?}");
    }
    let options = Options::widest(LAPTOP_EDGES, FULL_EDGES)?;
    if options.both_sides() { print_shuffled(&options) } else { Ok(()) }
}

/// Returns true if the answer is that of Spark and the other engines at full size, to their precision.
fn is_known((ranked, sum, top): &Ranks) -> bool {
    let text: Vec<String> =
        top.iter().map(|(page, rank)| format!("{page}:{:.4}", rank.0)).collect();
    (*ranked, format!("{:.4}", sum.0)) == (148_156, "127724.1377".to_string())
        && text == ["0:480.0441", "32768:192.1404", "65536:191.0212"]
}

/// The partitioning of the links.
#[derive(Clone, Copy)]
enum Links {
    /// The partitioner is dropped.
    Repartitioned,
    /// Links and ranks have the same partitioner.
    CoPartitioned,
}

fn page_rank(ctx: &Context, edges: u64, layout: Links) -> emberline::Result<Ranks> {
    let links = ctx.range(0..edges).map(edge).distinct().group_by_key();
    let links: Rdd<(u32, Arc<[u32]>)> = match layout {
        Links::Repartitioned => links.map(|(page, to)| (page, Arc::from(to))).cache(),
        Links::CoPartitioned => links.map_values(Arc::from).cache(),
    };
    let mut ranks: Rdd<(u32, f64)> = links.map_values(|_| 1.0).boxed();
    for _ in 0..ROUNDS {
        let given = links.join(&ranks).flat_map(|(_, (to, rank))| {
            let share = rank / to.len() as f64;
            (0..to.len()).map(move |at| (to[at], share))
        });
        let sums = given.reduce_by_key(|a, b| a + b);
        ranks = sums.map_values(|sum| 0.15 + 0.85 * sum).boxed();
    }
    let ranks = ranks.cache();
    let (ranked, sum) = ranks.aggregate(
        (0, 0.0),
        |(ranked, sum), (_, rank)| (ranked + 1, sum + rank),
        |a, b| (a.0 + b.0, a.1 + b.1),
    )?;
    let top = ranks.top_by_key(3, |(_, rank)| rank.to_bits())?; // positive floats have the order of their bits
    Ok((ranked, Close(sum), top.into_iter().map(|(page, rank)| (page, Close(rank))).collect()))
}

/// Prints the rows and bytes of all map outputs of a run.
fn print_shuffled(options: &Options) -> Result<(), BoxError> {
    let shuffled = |layout| -> Result<(f64, u64), BoxError> {
        let ctx = options.context()?;
        page_rank(&ctx, options.rows, layout)?;
        let totals = ctx.jobs().into_iter().map(|job| job.totals());
        let sums = totals.fold((0, 0), |sums, of_job| {
            (sums.0 + of_job.bytes_written, sums.1 + of_job.rows_written)
        });
        Ok((sums.0 as f64 / 1e6, sums.1))
    };
    let (naive_mb, naive_rows) = shuffled(Links::Repartitioned)?;
    let (mb, rows) = shuffled(Links::CoPartitioned)?;
    println!(
        "bench=page_rank_shuffled rows={} naive_mb={naive_mb:.1} naive_rows={naive_rows} \
         co_partitioned_mb={mb:.1} co_partitioned_rows={rows}",
        options.rows
    );
    Ok(())
}

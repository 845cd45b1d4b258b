//! PageRank: which R packages of Debian do the others rest on?
//!
//! ```text
//! cargo run --release --example page_rank              the graph that comes with the source
//! cargo run --release --example page_rank PATH         `from`, a tab, `to` on each line
//! ```
//!
//! Every round each page shares its rank among the pages it points at, and a page's new rank is
//! 0.15 and 0.85 of what it was given. A page that nobody points at keeps 0.15; what flows into a
//! page without links stays there and is not handed on. Prints the ten highest pages and then one
//! line `pages=N sum=S`.
//!
//! The links are partitioned by page once. So is every round's result, which `reduce_by_key` leaves
//! partitioned the same way: the join moves nothing, and only the shares cross between partitions.

use emberline::prelude::*;
use std::sync::Arc;

pub const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/r_packages.tsv");
pub const ROUNDS: usize = 10;

type Page = String;

fn main() -> Result<(), BoxError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| GRAPH.to_string());
    let ranks = page_rank(&Context::local()?, &path, ROUNDS).cache();
    // A rank is positive, and the bits of positive floats are ordered as the floats are.
    for (page, rank) in ranks.top_by(10, |(_, rank)| rank.to_bits())? {
        println!("{rank:>9.3}  {page}");
    }
    let sum = ranks.aggregate(0.0, |sum, (_, rank)| sum + rank, |a, b| a + b)?;
    println!("pages={} sum={sum:.6}", ranks.count()?);
    Ok(())
}

pub fn page_rank(ctx: &Context, path: &str, rounds: usize) -> Rdd<(Page, f64)> {
    let links: Rdd<(Page, Arc<[Page]>)> = ctx
        .text_file(path)
        .try_map(|line| link(&line))
        .group_by_key()
        .map_values(Arc::from) // shared by every round, not copied
        .cache();
    let mut ranks: Rdd<(Page, f64)> = links.map_values(|_| 1.0).boxed();
    for _ in 0..rounds {
        ranks = links
            .join(&ranks) // both sides lie the same way: no row is moved
            .flat_map(|(page, (to, rank))| shares(page, to, rank))
            .reduce_by_key(|a, b| a + b)
            .map_values(|given| 0.15 + 0.85 * given)
            .boxed(); // a loop variable keeps one type
    }
    ranks
}

/// What a page gives away in a round. The nothing it gives itself keeps it among the ranked pages
/// when nobody points at it.
fn shares(page: Page, to: Arc<[Page]>, rank: f64) -> impl Iterator<Item = (Page, f64)> {
    let share = rank / to.len() as f64;
    (0..to.len()).map(move |i| (to[i].clone(), share)).chain([(page, 0.0)])
}

fn link(line: &str) -> Result<(Page, Page), BoxError> {
    let (from, to) = line.split_once('\t').ok_or_else(|| format!("no tab in {line:?}"))?;
    Ok((from.to_string(), to.to_string()))
}

//! PageRank of the R packages of Debian: the packages that most others depend on.
//!
//! ```text
//! cargo run --release --example page_rank              the graph in examples/data
//! cargo run --release --example page_rank PATH         `from`, a tab, `to` on each line
//! ```
//!
//! In each iteration a page distributes its rank evenly over its links, and its new rank is 0.15
//! plus 0.85 times what it receives. A page without incoming links has 0.15; the rank of a page
//! without links is not distributed. Prints the ten highest pages, and then one line
//! `pages=N sum=S`.
//!
//! The links are partitioned by page once. `reduce_by_key` partitions the ranks in the same way, so
//! the join shuffles nothing: only the distributed ranks are shuffled.

use emberline::prelude::*;
use std::sync::Arc;

pub const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/r_packages.tsv");
pub const ROUNDS: usize = 10;

fn main() -> Result<(), BoxError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| GRAPH.to_string());
    let ranks = page_rank(&Context::local()?, &path, ROUNDS).cache();
    // A rank is positive, and the bits of positive floats are ordered as the floats are.
    for (page, rank) in ranks.top_by_key(10, |(_, rank)| rank.to_bits())? {
        println!("{rank:>9.3}  {page}");
    }
    println!("pages={} sum={:.6}", ranks.count()?, ranks.values().sum::<f64>()?);
    Ok(())
}

pub fn page_rank(ctx: &Context, path: &str, rounds: usize) -> Rdd<(String, f64)> {
    let links = ctx.text_file(path).try_map(|line| link(&line)).group_by_key();
    let links: Rdd<(String, Arc<[String]>)> = links.map_values(Arc::from).cache(); // shared, not copied
    let mut ranks: Rdd<(String, f64)> = links.map_values(|_| 1.0).boxed();
    for _ in 0..rounds {
        let both = links.join(&ranks); // both sides are co-partitioned: no shuffle
        let given = both.flat_map(|(page, (to, rank))| shares(page, to, rank));
        let sums = given.reduce_by_key(|a, b| a + b);
        ranks = sums.map_values(|sum| 0.15 + 0.85 * sum).boxed(); // a loop variable needs one type
    }
    ranks
}

/// Returns what a page distributes in an iteration. The 0 for itself retains it among the ranked
/// pages if no other page links to it.
fn shares(page: String, to: Arc<[String]>, rank: f64) -> impl Iterator<Item = (String, f64)> {
    let share = rank / to.len() as f64;
    (0..to.len()).map(move |i| (to[i].clone(), share)).chain([(page, 0.0)])
}

fn link(line: &str) -> Result<(String, String), BoxError> {
    let (from, to) = line.split_once('\t').ok_or_else(|| format!("no tab in {line:?}"))?;
    Ok((from.to_string(), to.to_string()))
}

//! PageRank specialized for pages that are small numbers: edges sorted by target in flat arrays, ranks in
//! a vector, nothing moved and nothing hashed.

use super::page_rank::{ROUNDS, Ranks, highest};
use crate::support::generate::{NODE_BITS, edge};
use rayon::prelude::*;

const NODES: usize = 1 << NODE_BITS;

pub fn page_rank_arrays(edges: u64) -> Ranks {
    let graph = Graph::new(edges);
    let shares_of_one: Vec<f64> = graph.links.iter().map(|links| 1.0 / f64::from(*links)).collect();
    // Not a number: the page is not ranked.
    let one = |links: &u32| if *links > 0 { 1.0 } else { f64::NAN };
    let mut ranks: Vec<f64> = graph.links.iter().map(one).collect();
    let mut shares = vec![0.0; NODES];
    for _ in 0..ROUNDS {
        let given = shares.par_iter_mut().zip(&ranks).zip(&shares_of_one).with_min_len(1 << 13);
        given.for_each(|((share, rank), of_one)| {
            *share = if of_one.is_finite() { rank * of_one } else { f64::NAN };
        });
        let pages = ranks.par_iter_mut().enumerate().with_min_len(1 << 11);
        pages.for_each(|(page, rank)| *rank = graph.rank(page, &shares));
    }
    let ranked = (0..).zip(ranks).filter(|(_, rank)| !rank.is_nan());
    highest(ranked.collect())
}

struct Graph {
    /// The pages that link to each page, consecutive; `ends` has the end of each page's range.
    sources: Vec<u32>,
    ends: Vec<u32>,
    /// The number of outgoing links of each page.
    links: Vec<u32>,
}

impl Graph {
    fn new(edges: u64) -> Graph {
        let edges = (0..edges).into_par_iter().map(edge);
        let mut edges: Vec<u64> =
            edges.map(|(from, to)| u64::from(to) << 32 | u64::from(from)).collect();
        edges.par_sort_unstable();
        edges.dedup();
        let mut ends = vec![0; NODES + 1];
        let mut links = vec![0; NODES];
        for edge in &edges {
            links[*edge as u32 as usize] += 1;
            ends[(edge >> 32) as usize + 1] += 1;
        }
        for page in 0..NODES {
            ends[page + 1] += ends[page];
        }
        Graph { sources: edges.iter().map(|edge| *edge as u32).collect(), ends, links }
    }

    #[inline(always)]
    fn rank(&self, page: usize, shares: &[f64]) -> f64 {
        let sources = &self.sources[self.ends[page] as usize..self.ends[page + 1] as usize];
        let mut given = false;
        let mut sum = 0.0;
        for source in sources {
            let share = shares[*source as usize];
            if !share.is_nan() {
                (given, sum) = (true, sum + share);
            }
        }
        if given { 0.15 + 0.85 * sum } else { f64::NAN }
    }
}

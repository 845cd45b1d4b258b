//! PageRank as the same dataflow: links and ranks in hash-partitioned tables, every round joins
//! them, scatters the contributions by page and sums them in one table per part.

use super::scatter::{PARTS, hash, part_of, scatter};
use crate::support::close::Close;
use crate::support::generate::edge;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;
use std::ops::Range;

pub const ROUNDS: usize = 10;

/// Ranked pages, the sum of their ranks, and the three highest. A page that receives no rank in a round is
/// dropped, as in Spark's example.
pub type Ranks = (u64, Close, Vec<(u32, Close)>);

pub fn page_rank(edges: u64) -> Ranks {
    let scattered = scatter(edges, edge);
    let links: Vec<Links> = (0..PARTS)
        .into_par_iter()
        .map(|part| Links::new(scattered.iter().flat_map(|parts| &parts[part]).copied().collect()))
        .collect();
    drop(scattered);
    let ones = |links: &Links| links.pages.iter().map(|page| (page.0, 1.0)).collect();
    let mut ranks: Vec<Vec<(u32, f64)>> = links.iter().map(ones).collect();
    for _ in 0..ROUNDS {
        let shares: Vec<_> = links.par_iter().zip(&ranks).map(|(l, r)| l.shares(r)).collect();
        ranks = (0..PARTS).into_par_iter().map(|part| sums(&shares, part)).collect();
    }
    highest(ranks.into_iter().flatten().collect())
}

/// Summarizes the ranked pages.
pub fn highest(mut ranks: Vec<(u32, f64)>) -> Ranks {
    ranks.sort_unstable_by_key(|(page, _)| *page); // one order of additions
    let sum = ranks.iter().map(|(_, rank)| rank).sum();
    ranks.sort_by(|a, b| b.1.total_cmp(&a.1));
    let top = ranks.iter().take(3).map(|&(page, rank)| (page, Close(rank)));
    (ranks.len() as u64, Close(sum), top.collect())
}

/// The links of one part: a table from pages to ranges of targets.
struct Links {
    pages: HashTable<(u32, Range<u32>)>,
    targets: Vec<u32>,
}

impl Links {
    fn new(mut edges: Vec<(u32, u32)>) -> Links {
        edges.sort_unstable();
        edges.dedup();
        let mut pages = HashTable::new();
        let mut start = 0;
        for of_page in edges.chunk_by(|a, b| a.0 == b.0) {
            let page = of_page[0].0;
            let end = start + of_page.len() as u32;
            pages.insert_unique(hash(page), (page, start..end), |page| hash(page.0));
            start = end;
        }
        Links { pages, targets: edges.into_iter().map(|edge| edge.1).collect() }
    }

    /// Returns the contributions of this part in a round, by the part of the receiving page.
    fn shares(&self, ranks: &[(u32, f64)]) -> Vec<Vec<(u32, f64)>> {
        let room = self.targets.len() / PARTS * 5 / 4;
        let mut parts: Vec<_> = (0..PARTS).map(|_| Vec::with_capacity(room)).collect();
        for &(page, rank) in ranks {
            let Some((_, range)) = self.pages.find(hash(page), |links| links.0 == page) else {
                continue;
            };
            let share = rank / f64::from(range.end - range.start);
            for &target in &self.targets[range.start as usize..range.end as usize] {
                parts[part_of(target.into())].push((target, share));
            }
        }
        parts
    }
}

/// Returns the new ranks of one part.
fn sums(shares: &[Vec<Vec<(u32, f64)>>], part: usize) -> Vec<(u32, f64)> {
    let mut table: HashTable<(u32, f64)> = HashTable::with_capacity(1 << 12);
    for &(page, share) in shares.iter().flat_map(|parts| &parts[part]) {
        match table.entry(hash(page), |sum| sum.0 == page, |sum| hash(sum.0)) {
            Entry::Occupied(mut sum) => sum.get_mut().1 += share,
            Entry::Vacant(vacant) => {
                vacant.insert((page, share));
            }
        }
    }
    table.into_iter().map(|(page, sum)| (page, 0.15 + 0.85 * sum)).collect()
}

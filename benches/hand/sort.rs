//! rayon's parallel sorts of one vector, stable and unstable, followed by one pass that checks the order.

use crate::support::generate::sort_pair;
use rayon::prelude::*;

/// The number of rows, true if they are in order, the smallest and the largest key, and the wrapping sum of
/// key times (index + 1).
pub type Sorted = (u64, bool, u64, u64, u64);

type Pair = (u64, u64);

/// Sorts stably.
pub fn sort(rows: u64) -> Sorted {
    sorted(rows, |pairs| pairs.par_sort_by_key(|pair| pair.0))
}

/// Sorts faster, with equal keys in any order.
pub fn sort_unstable(rows: u64) -> Sorted {
    sorted(rows, |pairs| pairs.par_sort_unstable_by_key(|pair| pair.0))
}

fn sorted(rows: u64, sort: impl Fn(&mut [Pair])) -> Sorted {
    let mut pairs: Vec<Pair> = (0..rows).into_par_iter().map(sort_pair).collect();
    sort(&mut pairs);

    let ordered = pairs.par_windows(2).all(|two| two[0].0 <= two[1].0);
    let products = pairs.par_iter().map(|&(key, index)| key.wrapping_mul(index + 1));
    let checksum = products.reduce(|| 0, u64::wrapping_add);
    let key_at = |pair: Option<&Pair>| pair.map_or(0, |pair| pair.0);
    (rows, ordered, key_at(pairs.first()), key_at(pairs.last()), checksum)
}

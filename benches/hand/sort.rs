//! rayon's stable parallel sort over one vector, then one pass that checks the order.

use crate::support::generate::sort_pair;
use rayon::prelude::*;

/// Rows, whether they are in order, the smallest and the largest key, and the wrapping sum of key
/// times index plus one.
pub type Sorted = (u64, bool, u64, u64, u64);

pub fn sort(rows: u64) -> Sorted {
    let mut pairs: Vec<(u64, u64)> = (0..rows).into_par_iter().map(sort_pair).collect();
    pairs.par_sort_by_key(|pair| pair.0);

    let ordered = pairs.par_windows(2).all(|two| two[0].0 <= two[1].0);
    let products = pairs.par_iter().map(|&(key, index)| key.wrapping_mul(index + 1));
    let checksum = products.reduce(|| 0, u64::wrapping_add);
    let key_at = |pair: Option<&(u64, u64)>| pair.map_or(0, |pair| pair.0);
    (rows, ordered, key_at(pairs.first()), key_at(pairs.last()), checksum)
}

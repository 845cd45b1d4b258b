//! Splits generated pairs by hash range: the first phase of the partitioned baselines.

use super::one_piece_per_thread;
use rayon::prelude::*;

/// The number of parts; the tables built from them fit in a core's cache.
pub const PARTS: usize = 64;

/// Spreads an integer key over all 64 bits.
#[inline(always)]
pub fn spread(key: u64) -> u64 {
    (key ^ (key >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Returns a hash for a table, which reads the low bits and the top seven: both come from the well
/// mixed half.
#[inline(always)]
pub fn hash(key: u32) -> u64 {
    let mixed = spread(key.into());
    mixed ^ (mixed >> 32)
}

/// Returns the part of a key: the highest six bits of its hash.
#[inline(always)]
pub fn part_of(key: u64) -> usize {
    (spread(key) >> (u64::BITS - PARTS.ilog2())) as usize
}

/// Returns the pairs of each part for each thread, in the order in which they were generated.
pub fn scatter<K, V>(rows: u64, pair: impl Fn(u64) -> (K, V) + Sync) -> Vec<Vec<Vec<(K, V)>>>
where
    K: Copy + Send + Into<u64>,
    V: Send,
{
    let scatter_one = |piece: std::ops::Range<u64>| {
        // Hashed keys fill the parts evenly; a twentieth more makes growing one unlikely.
        let room = (piece.end - piece.start) as usize / PARTS * 21 / 20;
        let mut parts: Vec<_> = (0..PARTS).map(|_| Vec::with_capacity(room)).collect();
        for index in piece {
            let (key, value) = pair(index);
            parts[part_of(key.into())].push((key, value));
        }
        parts
    };
    one_piece_per_thread(rows).into_par_iter().map(scatter_one).collect()
}

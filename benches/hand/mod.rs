//! The hand-written baselines: each bench with std, rayon, hashbrown and foldhash, as an experienced Rust
//! programmer would write it for this data and these keys. No framework, no unsafe code.
//!
//! Each baseline runs on the rayon pool in which it is called.

#![allow(dead_code, reason = "each bench uses its own baseline")]

pub mod aggregate;
pub mod aggregate_scatter;
pub mod distinct;
pub mod flights;
pub mod group;
pub mod join;
pub mod k_means;
pub mod narrow_chain;
pub mod page_rank;
pub mod page_rank_arrays;
pub mod scatter;
pub mod small_tasks;
pub mod sort;
pub mod start_up;
pub mod text;
pub mod word_count;
pub mod word_count_inline;

use std::ops::Range;

/// Splits `0..rows` into pieces small enough for even load.
fn pieces(rows: u64) -> Vec<Range<u64>> {
    const PIECE: u64 = 1 << 20;
    (0..rows.div_ceil(PIECE)).map(|i| i * PIECE..((i + 1) * PIECE).min(rows)).collect()
}

/// Splits `0..rows` into one piece per thread of the pool.
fn one_piece_per_thread(rows: u64) -> Vec<Range<u64>> {
    let threads = rayon::current_num_threads() as u64;
    (0..threads).map(|i| rows * i / threads..rows * (i + 1) / threads).collect()
}

//! The twins: each bench written by hand with std, rayon, hashbrown and the hash of foldhash, as an
//! experienced Rust programmer would who knows this data and these keys. No framework, no unsafe code.
//!
//! Each twin runs on whatever rayon pool it is called in.

#![allow(dead_code, reason = "each bench uses its own twin of these")]

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

/// `0..rows` in pieces that stay small enough to be shared out evenly.
fn pieces(rows: u64) -> Vec<Range<u64>> {
    const PIECE: u64 = 1 << 20;
    (0..rows.div_ceil(PIECE)).map(|i| i * PIECE..((i + 1) * PIECE).min(rows)).collect()
}

/// `0..rows` in one piece for each thread of the pool.
fn one_piece_per_thread(rows: u64) -> Vec<Range<u64>> {
    let threads = rayon::current_num_threads() as u64;
    (0..threads).map(|i| rows * i / threads..rows * (i + 1) / threads).collect()
}

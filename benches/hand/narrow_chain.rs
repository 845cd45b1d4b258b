//! The std iterator chain, split over the threads by rayon.

use super::pieces;
use crate::support::generate::{congruential, middle_bits, three_in_four};
use rayon::prelude::*;

pub fn narrow_chain(rows: u64) -> u64 {
    let sum = |piece: std::ops::Range<u64>| -> u64 {
        piece.map(congruential).filter(three_in_four).map(middle_bits).sum()
    };
    pieces(rows).into_par_iter().map(sum).sum()
}

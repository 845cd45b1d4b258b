//! A partitioned hash join: both sides are scattered by hash range; in each part the left rows are
//! chained through an index of slots and the right rows look them up.

use super::scatter::{PARTS, scatter};
use crate::support::generate::{left_pair, right_pair};
use rayon::prelude::*;

type Pair = (u64, u64);

/// Matching pairs of rows, and the wrapping sum of `left + 3 * right` over them.
pub type Matches = (u64, u64);

pub fn join(rows: u64) -> Matches {
    let left = scatter(rows, left_pair);
    let right = scatter(rows, right_pair);
    let join_part = |part: usize| {
        let index = Chained::new(left.iter().flat_map(|parts| &parts[part]).copied().collect());
        let probes = right.iter().flat_map(|parts| &parts[part]);
        probes.fold((0, 0), |matches, probe| index.matches(*probe, matches))
    };
    let plus = |a: Matches, b: Matches| (a.0 + b.0, a.1.wrapping_add(b.1));
    (0..PARTS).into_par_iter().map(join_part).reduce(Matches::default, plus)
}

const END: u32 = u32::MAX;

/// Rows by key: the slot of a key names its last row, and each row names the one before it.
struct Chained {
    rows: Vec<Pair>,
    last: Vec<u32>,
    before: Vec<u32>,
    bits: u32,
}

impl Chained {
    fn new(rows: Vec<Pair>) -> Chained {
        let bits = (rows.len() * 2).max(2).ilog2() + 1;
        let last = vec![END; 1 << bits];
        let before = vec![END; rows.len()];
        let mut chained = Chained { rows, last, before, bits };
        for row in 0..chained.rows.len() {
            let slot = chained.slot(chained.rows[row].0);
            chained.before[row] = std::mem::replace(&mut chained.last[slot], row as u32);
        }
        chained
    }

    /// Hashes with another multiplier than the scatter, because rows of one part share the high bits of that.
    #[inline(always)]
    fn slot(&self, key: u64) -> usize {
        (key.wrapping_mul(0xFF51_AFD7_ED55_8CCD) >> (u64::BITS - self.bits)) as usize
    }

    #[inline(always)]
    fn matches(&self, (key, right): Pair, mut found: Matches) -> Matches {
        let mut row = self.last[self.slot(key)];
        while row != END {
            let (left_key, left) = self.rows[row as usize];
            if left_key == key {
                found = (found.0 + 1, found.1.wrapping_add(left + 3 * right));
            }
            row = self.before[row as usize];
        }
        found
    }
}

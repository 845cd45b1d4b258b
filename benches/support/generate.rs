//! The rows of each bench as functions of their index, so that both sides make the same ones
//! inside the timing and nothing is read from disk.

/// Keys that the pairs of `aggregate` fall on.
pub const AGGREGATE_KEYS: u64 = 1_000_000;
/// Keys that both sides of `join` draw from.
pub const JOIN_KEYS: u64 = 10_000_000;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The `index`-th output of splitmix64 from `seed`.
#[inline(always)]
pub fn random(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[inline(always)]
pub fn aggregate_pair(index: u64) -> (u32, u64) {
    (((random(2, index) >> 1) % AGGREGATE_KEYS) as u32, random(3, index) >> 44)
}

#[inline(always)]
pub fn left_pair(index: u64) -> (u64, u64) {
    ((random(4, index) >> 1) % JOIN_KEYS, index)
}

#[inline(always)]
pub fn right_pair(index: u64) -> (u64, u64) {
    ((random(5, index) >> 1) % JOIN_KEYS, index)
}

#[inline(always)]
pub fn sort_pair(index: u64) -> (u64, u64) {
    (random(1, index) >> 1, index)
}

/// The three steps of `narrow_chain`.
#[inline(always)]
pub fn congruential(x: u64) -> u64 {
    x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

#[inline(always)]
pub fn three_in_four(y: &u64) -> bool {
    (y >> 33) & 3 != 0
}

#[inline(always)]
pub fn middle_bits(y: u64) -> u64 {
    (y >> 40) & 0xffff
}

//! The rows of each bench as functions of their index, so that both sides generate the same rows inside the
//! timing and nothing is read from disk. Other engines get the same rows (`benches/peers`).

/// The number of keys of `aggregate`.
pub const AGGREGATE_KEYS: u64 = 1_000_000;
/// The number of keys of both sides of `join`.
pub const JOIN_KEYS: u64 = 10_000_000;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Returns the `index`-th output of splitmix64 from `seed`.
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

/// Computes the first of the three operations of `narrow_chain`.
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

/// Returns the FNV-1a hash of a word, for the checksum of a word count; the same in every program.
pub fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Appends a random word. The number of binary digits of its rank is uniform over 20 values, so half of
/// the million words make up a twentieth of the text. Its spelling depends on the rank alone: frequent
/// words are short, and one of 64 is longer than 15 bytes.
pub fn word_at(random_number: u64, line: &mut Vec<u8>) {
    let digits = (random_number >> 32) % 20;
    let rank = (1 << digits) | (random_number & ((1 << digits) - 1));
    let mut letters = random(10, rank);
    let more = if letters.is_multiple_of(64) { 12 } else { 0 };
    let length = 2 + digits / 4 + (letters >> 8) % 5 + more;
    for _ in 0..length {
        letters = letters.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(GOLDEN);
        line.push(b'a' + ((letters >> 40) % 26) as u8);
    }
}

/// The dimensions of a point of `k_means`.
pub const DIMENSIONS: usize = 10;
pub const CENTRES: usize = 10;

pub type Point = [f64; DIMENSIONS];

/// Returns a point near one of ten centers; the first ten points are the initial centers.
#[inline(always)]
pub fn point(index: u64) -> Point {
    let center = (random(6, index * 16 + 15) >> 1) % CENTRES as u64;
    std::array::from_fn(|axis| {
        let middle = unit(66, center * 16 + axis as u64) * 100.0;
        middle + (unit(6, index * 16 + axis as u64) - 0.5) * 20.0
    })
}

/// Returns a random float below 1.
#[inline(always)]
fn unit(seed: u64, index: u64) -> f64 {
    (random(seed, index) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// The nodes of the graph of `page_rank`, as a power of two.
pub const NODE_BITS: u32 = 18;

/// Returns an edge of an R-MAT graph: each pair of bits of the two nodes is drawn from four quadrants with
/// the probabilities 57 %, 19 %, 19 % and 5 % (both bits set).
#[inline(always)]
pub fn edge(index: u64) -> (u32, u32) {
    let mut from = 0;
    let mut to = 0;
    for level in 0..u64::from(NODE_BITS) {
        let chance = random(7, index * 32 + level) >> 48;
        let both = chance >= 62_259;
        let from_bit = both || chance >= 49_807;
        let to_bit = both || (37_355..49_807).contains(&chance);
        from = from << 1 | u32::from(from_bit);
        to = to << 1 | u32::from(to_bit);
    }
    (from, to)
}

//! Exact sums of floats, which are rounded once at the end.
//!
//! A finite `f64` is an integer multiple of 2^-1074, and its square of 2^-2148. Integers of 34 and
//! 68 words hold the sum of 2^64 of them. So adding is integer arithmetic: exact, and the same in
//! any order and partitioning. This is Kulisch's long accumulator ("Computer Arithmetic and
//! Validity", 2nd edition, 2013, chapter 8).

/// Exponent of the lowest bit of a sum, as a power of two.
pub(super) const SUM_UNIT: i32 = -1074;
/// Exponent of the lowest bit of a sum of squares.
pub(super) const SQUARES_UNIT: i32 = 2 * SUM_UNIT;
/// Stored bits of the mantissa, without the hidden bit.
const MANTISSA_BITS: usize = 52;
/// Largest exponent field of a finite number.
const MAX_EXPONENT: u64 = 2046;

/// An integer of `WORDS` words, the lowest first.
#[derive(Clone)]
pub(super) struct BigInt<const WORDS: usize>(pub [u64; WORDS]);

impl<const WORDS: usize> Default for BigInt<WORDS> {
    fn default() -> Self {
        BigInt([0; WORDS])
    }
}

impl<const WORDS: usize> BigInt<WORDS> {
    /// Adds `number * 2^shift`.
    #[inline]
    fn add(&mut self, number: u128, shift: usize) {
        let word = shift / 64;
        let bits = shift % 64;
        let high = if bits == 0 { 0 } else { number >> (128 - bits) };
        let low = number << bits;
        let mut carry = false;
        for (at, part) in [low as u64, (low >> 64) as u64, high as u64].into_iter().enumerate() {
            (self.0[word + at], carry) = add_with_carry(self.0[word + at], part, carry);
        }
        for upper in &mut self.0[word + 3..] {
            if !carry {
                break;
            }
            (*upper, carry) = upper.overflowing_add(1);
        }
    }

    fn merge(&mut self, other: &Self) {
        let mut carry = false;
        for (own, word) in self.0.iter_mut().zip(&other.0) {
            (*own, carry) = add_with_carry(*own, *word, carry);
        }
    }
}

#[inline]
fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (sum, first | second)
}

/// Exact sums of finite numbers: of the positive ones, of the negative ones, and of their squares.
#[derive(Clone, Default)]
pub(super) struct Moments {
    positive: BigInt<34>,
    negative: BigInt<34>,
    squares: BigInt<68>,
}

impl Moments {
    #[inline]
    pub(super) fn add(&mut self, number: f64) {
        let bits = number.to_bits();
        let fraction = bits & ((1 << MANTISSA_BITS) - 1);
        let exponent = (bits >> MANTISSA_BITS) & 0x7ff;
        // Subnormal numbers have no hidden bit, and the exponent of the smallest normal number.
        let mantissa = u128::from(fraction | (u64::from(exponent > 0) << MANTISSA_BITS));
        let shift = exponent.saturating_sub(1) as usize;
        let signed = if number < 0.0 { &mut self.negative } else { &mut self.positive };
        signed.add(mantissa, shift);
        self.squares.add(mantissa * mantissa, 2 * shift);
    }

    pub(super) fn merge(&mut self, other: &Moments) {
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
        self.squares.merge(&other.squares);
    }

    /// Returns the absolute value of the sum in units of 2^[`SUM_UNIT`], and true if it is
    /// negative.
    pub(super) fn sum(&self) -> (Vec<u64>, bool) {
        let is_negative = self.positive.0.iter().rev().lt(self.negative.0.iter().rev());
        let (large, small) = if is_negative {
            (&self.negative, &self.positive)
        } else {
            (&self.positive, &self.negative)
        };
        (subtract(&large.0, &small.0), is_negative)
    }

    /// Returns `n` times the sum of the squared distances from the mean of `n` numbers, in units of
    /// 2^[`SQUARES_UNIT`]. That is `n` times the sum of squares minus the square of the sum.
    pub(super) fn spread(&self, n: u64) -> Vec<u64> {
        let (sum, _) = self.sum();
        subtract(&multiply(&self.squares.0, &[n]), &multiply(&sum, &sum))
    }
}

/// Returns `large - small`, which must not be negative, in the length of the longer one.
fn subtract(large: &[u64], small: &[u64]) -> Vec<u64> {
    let mut borrow = false;
    let words = 0..large.len().max(small.len());
    let word_of = |number: &[u64], at| number.get(at).copied().unwrap_or(0);
    let difference = words.map(|at| {
        let (word, first) = word_of(large, at).overflowing_sub(word_of(small, at));
        let (word, second) = word.overflowing_sub(u64::from(borrow));
        borrow = first | second;
        word
    });
    difference.collect()
}

fn multiply(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = vec![0; a.len() + b.len()];
    for (at, word) in a.iter().enumerate() {
        let mut carry = 0;
        for (digit, other) in product[at..].iter_mut().zip(b.iter().chain([&0])) {
            let sum = u128::from(*word) * u128::from(*other) + u128::from(*digit) + carry;
            (*digit, carry) = (sum as u64, sum >> 64);
        }
    }
    product
}

/// Divides in place and returns true if there is a remainder.
fn divide(number: &mut [u64], by: u64) -> bool {
    let by = u128::from(by);
    let mut rest = 0;
    for word in number.iter_mut().rev() {
        let part = (rest << 64) | u128::from(*word);
        (*word, rest) = ((part / by) as u64, part % by);
    }
    rest != 0
}

/// Returns the float nearest to `number * 2^unit / (n * m)`, with ties to even and overflow to
/// infinity. `n` and `m` must not be 0.
pub(super) fn quotient(number: &[u64], unit: i32, n: u64, m: u64) -> f64 {
    // One more word at the bottom: a quotient of a few units would have too few bits to round
    // correctly.
    let mut number: Vec<u64> = [&[0], number].concat();
    let first_rest = divide(&mut number, n);
    let second_rest = divide(&mut number, m);
    nearest(&number, unit - 64, first_rest | second_rest)
}

/// Returns the float nearest to `number * 2^unit`, or to slightly more if `has_rest` below the
/// lowest bit. The unit is at most 2^-1074.
fn nearest(number: &[u64], unit: i32, has_rest: bool) -> f64 {
    let bit = |at: usize| number.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
    let Some(top) = (0..number.len() * 64).rev().find(|at| bit(*at)) else { return 0.0 };
    // Index of the lowest bit of the result: 52 below the top bit, but not below 2^-1074.
    let min_bit = (SUM_UNIT - unit) as usize;
    let lowest = top.saturating_sub(MANTISSA_BITS).max(min_bit);
    let mantissa = (lowest..=top).rev().fold(0, |bits, at| (bits << 1) | u64::from(bit(at)));
    let half = lowest > 0 && bit(lowest - 1);
    let above_half = has_rest || (0..lowest.saturating_sub(1)).any(bit);
    let up = half && (above_half || mantissa & 1 == 1);
    // The hidden bit of the mantissa adds one to the exponent field, and so does a carry.
    let exponent = ((lowest - min_bit) as u64).min(MAX_EXPONENT) << MANTISSA_BITS;
    f64::from_bits((exponent + mantissa + u64::from(up)).min(f64::INFINITY.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(numbers: &[f64]) -> f64 {
        let mut moments = Moments::default();
        numbers.iter().for_each(|number| moments.add(*number));
        let (sum, is_negative) = moments.sum();
        let absolute = quotient(&sum, SUM_UNIT, 1, 1);
        if is_negative { -absolute } else { absolute }
    }

    #[test]
    fn large_numbers_cancel_and_small_ones_remain() {
        assert_eq!(total(&[1e308, 1e308, 3.0, -1e308, -1e308, 5e-324]), 3.0);
        assert_eq!(total(&[0.1; 10]), 1.0);
        assert_eq!(total(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(total(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(total(&[1.0, f64::EPSILON / 2.0]), 1.0, "half way, to the even one");
        assert_eq!(total(&[1.0, f64::EPSILON / 2.0, 5e-324]), 1.0 + f64::EPSILON);
    }

    proptest! {
        #[test]
        fn sums_of_one_and_two_numbers_equal_those_of_the_processor(a: f64, b: f64) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert_eq!(total(&[a]), a);
            prop_assert_eq!(total(&[a, b]), a + b);
        }

        #[test]
        fn squares_and_quotients_equal_those_of_the_processor(a: f64, n in 1_u64..1 << 53) {
            prop_assume!(a.is_finite());
            let mut one = Moments::default();
            one.add(a);
            prop_assert_eq!(quotient(&one.squares.0, SQUARES_UNIT, 1, 1), a * a);
            let (sum, _) = one.sum();
            prop_assert_eq!(quotient(&sum, SUM_UNIT, n, 1), (a / n as f64).abs());
        }
    }
}

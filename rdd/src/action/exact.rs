//! Sums of floats without rounding, and the one rounding at the end.
//!
//! A finite `f64` is a whole number of units of 2^-1074, and its square of units of 2^-2148. Numbers
//! of 34 and 68 words hold the sum of 2^64 of them, so adding is integer arithmetic: exact, and thus
//! the same in every order and however the rows are cut. This is the long accumulator of Kulisch
//! ("Computer Arithmetic and Validity", 2nd edition, 2013, chapter 8).

/// What the lowest bit of a sum is worth, as a power of two.
pub(super) const SUM_UNIT: i32 = -1074;
/// What the lowest bit of a sum of squares is worth.
pub(super) const SQUARES_UNIT: i32 = 2 * SUM_UNIT;
/// Bits of the mantissa, without the one that is not stored.
const MANTISSA_BITS: usize = 52;
/// The highest exponent field of a finite number.
const MAX_EXPONENT: u64 = 2046;

/// A whole number of `WORDS` words, the lowest first.
#[derive(Clone)]
pub(super) struct Whole<const WORDS: usize>(pub [u64; WORDS]);

impl<const WORDS: usize> Default for Whole<WORDS> {
    fn default() -> Self {
        Whole([0; WORDS])
    }
}

impl<const WORDS: usize> Whole<WORDS> {
    /// Adds `number * 2^shift`.
    #[inline]
    fn add(&mut self, number: u128, shift: usize) {
        let (word, bits) = (shift / 64, shift % 64);
        let high = if bits == 0 { 0 } else { number >> (128 - bits) };
        let low = number << bits;
        let mut carry = false;
        for (at, piece) in [low as u64, (low >> 64) as u64, high as u64].into_iter().enumerate() {
            (self.0[word + at], carry) = add_with_carry(self.0[word + at], piece, carry);
        }
        for place in &mut self.0[word + 3..] {
            if !carry {
                break;
            }
            (*place, carry) = place.overflowing_add(1);
        }
    }

    /// Adds another number.
    fn merge(&mut self, other: &Self) {
        let mut carry = false;
        for (place, word) in self.0.iter_mut().zip(&other.0) {
            (*place, carry) = add_with_carry(*place, *word, carry);
        }
    }
}

#[inline]
fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (sum, first | second)
}

/// The sums of the numbers above 0 and below 0 and of the squares, of finite numbers.
#[derive(Clone, Default)]
pub(super) struct Moments {
    positive: Whole<34>,
    negative: Whole<34>,
    squares: Whole<68>,
}

impl Moments {
    /// Adds one finite number.
    #[inline]
    pub(super) fn add(&mut self, number: f64) {
        let bits = number.to_bits();
        let (fraction, exponent) =
            (bits & ((1 << MANTISSA_BITS) - 1), (bits >> MANTISSA_BITS) & 0x7ff);
        // Numbers below the normal ones have no hidden bit, and the exponent of the least normal.
        let mantissa = u128::from(fraction | (u64::from(exponent > 0) << MANTISSA_BITS));
        let shift = exponent.saturating_sub(1) as usize;
        let signed = if number < 0.0 { &mut self.negative } else { &mut self.positive };
        signed.add(mantissa, shift);
        self.squares.add(mantissa * mantissa, 2 * shift);
    }

    /// Adds the numbers of another.
    pub(super) fn merge(&mut self, other: &Moments) {
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
        self.squares.merge(&other.squares);
    }

    /// The sum, and whether it is below 0, in units of 2^[`SUM_UNIT`].
    pub(super) fn sum(&self) -> (Vec<u64>, bool) {
        let below = self.positive.0.iter().rev().lt(self.negative.0.iter().rev());
        let (large, small) =
            if below { (&self.negative, &self.positive) } else { (&self.positive, &self.negative) };
        (subtract(&large.0, &small.0), below)
    }

    /// `n` times the sum of the squared distances from the mean of `n` numbers, in units of
    /// 2^[`SQUARES_UNIT`]: `n` times the sum of squares, less the square of the sum.
    pub(super) fn spread(&self, n: u64) -> Vec<u64> {
        let (sum, _) = self.sum();
        subtract(&multiply(&self.squares.0, &[n]), &multiply(&sum, &sum))
    }
}

/// `large - small`, which is not below 0; the longer one's length.
fn subtract(large: &[u64], small: &[u64]) -> Vec<u64> {
    let mut borrow = false;
    let places = 0..large.len().max(small.len());
    let word_of = |number: &[u64], at| number.get(at).copied().unwrap_or(0);
    let difference = places.map(|at| {
        let (word, first) = word_of(large, at).overflowing_sub(word_of(small, at));
        let (word, second) = word.overflowing_sub(u64::from(borrow));
        borrow = first | second;
        word
    });
    difference.collect()
}

/// `a * b`, by hand as in school.
fn multiply(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = vec![0; a.len() + b.len()];
    for (at, word) in a.iter().enumerate() {
        let mut carry = 0;
        for (place, other) in product[at..].iter_mut().zip(b.iter().chain([&0])) {
            let sum = u128::from(*word) * u128::from(*other) + u128::from(*place) + carry;
            (*place, carry) = (sum as u64, sum >> 64);
        }
    }
    product
}

/// Divides in place and says whether anything was left over.
fn divide(number: &mut [u64], by: u64) -> bool {
    let (mut rest, by) = (0, u128::from(by));
    for word in number.iter_mut().rev() {
        let part = (rest << 64) | u128::from(*word);
        (*word, rest) = ((part / by) as u64, part % by);
    }
    rest != 0
}

/// The float nearest to `number * 2^unit / (n * m)`, the even one of two; infinite if it is too
/// large. `n` and `m` are not 0.
pub(super) fn quotient(number: &[u64], unit: i32, n: u64, m: u64) -> f64 {
    // One more word below: a quotient of a few units would have too few bits to round by.
    let mut number: Vec<u64> = [&[0], number].concat();
    let (first, second) = (divide(&mut number, n), divide(&mut number, m));
    nearest(&number, unit - 64, first | second)
}

/// The float nearest to `number * 2^unit`, or to a little more if there is a `rest` below the lowest
/// bit. The unit is at most 2^-1074.
fn nearest(number: &[u64], unit: i32, rest: bool) -> f64 {
    let bit = |at: usize| number.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
    let Some(top) = (0..number.len() * 64).rev().find(|at| bit(*at)) else { return 0.0 };
    // The place of the result's lowest bit: 52 below the top one, but worth 2^-1074 at least.
    let least = (SUM_UNIT - unit) as usize;
    let lowest = top.saturating_sub(MANTISSA_BITS).max(least);
    let mantissa = (lowest..=top).rev().fold(0, |bits, at| (bits << 1) | u64::from(bit(at)));
    let half = lowest > 0 && bit(lowest - 1);
    let above_half = rest || (0..lowest.saturating_sub(1)).any(bit);
    let up = half && (above_half || mantissa & 1 == 1);
    // A mantissa with its hidden bit adds one to the exponent's field, and so does a carry.
    let exponent = ((lowest - least) as u64).min(MAX_EXPONENT) << MANTISSA_BITS;
    f64::from_bits((exponent + mantissa + u64::from(up)).min(f64::INFINITY.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn total(numbers: &[f64]) -> f64 {
        let mut moments = Moments::default();
        numbers.iter().for_each(|number| moments.add(*number));
        let (sum, below) = moments.sum();
        let size = quotient(&sum, SUM_UNIT, 1, 1);
        if below { -size } else { size }
    }

    #[test]
    fn what_cancels_is_gone_and_what_is_small_is_kept() {
        assert_eq!(total(&[1e308, 1e308, 3.0, -1e308, -1e308, 5e-324]), 3.0);
        assert_eq!(total(&[0.1; 10]), 1.0);
        assert_eq!(total(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(total(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(total(&[1.0, f64::EPSILON / 2.0]), 1.0, "half way, to the even one");
        assert_eq!(total(&[1.0, f64::EPSILON / 2.0, 5e-324]), 1.0 + f64::EPSILON);
    }

    proptest! {
        #[test]
        fn one_number_is_itself_and_two_are_what_the_processor_says(a: f64, b: f64) {
            prop_assume!(a.is_finite() && b.is_finite());
            prop_assert_eq!(total(&[a]), a);
            prop_assert_eq!(total(&[a, b]), a + b);
        }

        #[test]
        fn squares_and_quotients_are_what_the_processor_says(a: f64, n in 1_u64..1 << 53) {
            prop_assume!(a.is_finite());
            let mut one = Moments::default();
            one.add(a);
            prop_assert_eq!(quotient(&one.squares.0, SQUARES_UNIT, 1, 1), a * a);
            let (sum, _) = one.sum();
            prop_assert_eq!(quotient(&sum, SUM_UNIT, n, 1), (a / n as f64).abs());
        }
    }
}

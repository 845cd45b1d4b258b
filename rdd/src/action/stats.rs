//! `stats`: count, sum, mean, variance and ends of numbers, the same however the rows are cut.

use super::exact::{Moments, SQUARES_UNIT, SUM_UNIT, quotient};
use crate::accumulator::Accumulate;
use crate::driver::{run_action, run_on_driver};
use crate::pipeline::Pipeline;
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What [`stats`](Rdd::stats) finds out about numbers. Formats without NaN and infinity, such as
/// JSON, can carry it only if no part is one of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    count: u64,
    sum: f64,
    mean: f64,
    variance: f64,
    sample_variance: f64,
    min: f64,
    max: f64,
}

impl Stats {
    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum; 0 without numbers.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Their mean; 0 without numbers. It is right also where the sum is too large for a float.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The mean squared distance from the mean; NaN without numbers.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// The squared distances from the mean over `count - 1`, for a sample of a population; NaN for
    /// fewer than two numbers.
    pub fn sample_variance(&self) -> f64 {
        self.sample_variance
    }

    /// The square root of [`variance`](Stats::variance).
    pub fn stdev(&self) -> f64 {
        self.variance.sqrt()
    }

    /// The square root of [`sample_variance`](Stats::sample_variance).
    pub fn sample_stdev(&self) -> f64 {
        self.sample_variance.sqrt()
    }

    /// The smallest number; infinity without numbers.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// The largest number; minus infinity without numbers.
    pub fn max(&self) -> f64 {
        self.max
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { count, sum, mean, min, max, .. } = self;
        let stdev = self.stdev();
        write!(f, "count {count}, sum {sum}, mean {mean}, stdev {stdev}, min {min}, max {max}")
    }
}

impl<P: Pipeline<Item = f64>> Rdd<f64, P> {
    /// Returns the count, sum, mean, variances, minimum and maximum of the rows.
    ///
    /// The result has the same bits for any partitioning and order of the rows: sums of numbers and
    /// squares are exact (Kulisch's long accumulator), and each result is rounded once. See
    /// [`Stats`] for empty inputs, NaN and infinities. A task holds about 1 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let stats = ctx.parallelize(vec![1.0, 2.0, 4.0, 5.0]).stats()?;
    /// assert_eq!((stats.count(), stats.sum(), stats.mean()), (4, 12.0, 3.0));
    /// assert_eq!((stats.variance(), stats.sample_variance()), (2.5, 10.0 / 3.0));
    /// assert_eq!((stats.min(), stats.max()), (1.0, 5.0));
    /// let one = ctx.parallelize_with(3, vec![1e100, 1.0, -1e100]).stats()?;
    /// assert_eq!(one.sum(), 1.0, "no digit is lost");
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn stats(&self) -> Result<Stats> {
        let action = Operation::new("stats");
        run_action(action, || {
            let parts = self.run_all(action, |rows| {
                let mut seen = Box::<Seen>::default();
                rows.for_each(|row| seen.add(row));
                seen
            })?;
            run_on_driver(action, || {
                let mut all = Seen::default();
                parts.iter().for_each(|part| all.merge(part));
                all.stats()
            })
        })
    }
}

/// [`Stats`] in the making: an accumulator of numbers that, as [`stats`](Rdd::stats), rounds once.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::{accumulator::RunningStats, prelude::*};
///
/// let ctx = Context::local()?;
/// let lengths = ctx.accumulator(RunningStats::default());
/// let seen = lengths.clone();
/// let words = ctx.parallelize(vec!["an", "ember"]).inspect(move |w| seen.add(w.len() as f64));
/// assert_eq!(words.count()?, 2);
/// assert_eq!(lengths.value().stats().mean(), 3.5);
/// # Ok::<(), emberline_rdd::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct RunningStats(Box<Seen>);

impl RunningStats {
    /// What is known so far.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

impl Accumulate for RunningStats {
    type Input = f64;

    fn zero(&self) -> Self {
        RunningStats::default()
    }

    #[inline]
    fn add(&mut self, number: f64) {
        self.0.add(number);
    }

    fn merge(&mut self, later: Self) {
        self.0.merge(&later.0);
    }
}

impl fmt::Debug for RunningStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

/// What is known of some numbers. Nothing here rounds, so the order of merging does not show.
#[derive(Clone)]
struct Seen {
    count: u64,
    finite: Moments,
    /// Of what is not finite: infinite or NaN, else 0.
    wild: f64,
    min: f64,
    max: f64,
}

impl Default for Seen {
    fn default() -> Self {
        let finite = Moments::default();
        Seen { count: 0, finite, wild: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Seen {
    #[inline]
    fn add(&mut self, number: f64) {
        self.count += 1;
        if number.is_finite() {
            self.finite.add(number);
        } else {
            self.wild += number;
        }
        self.widen(number, number);
    }

    fn merge(&mut self, other: &Seen) {
        self.count += other.count;
        self.finite.merge(&other.finite);
        self.wild += other.wild;
        self.widen(other.min, other.max);
    }

    /// By the total order, which tells -0 from 0; what is NaN is left to `wild`.
    #[inline]
    fn widen(&mut self, min: f64, max: f64) {
        if min.total_cmp(&self.min).is_lt() {
            self.min = min;
        }
        if max.total_cmp(&self.max).is_gt() {
            self.max = max;
        }
    }

    fn stats(&self) -> Stats {
        if self.has_nan() {
            Stats { min: f64::NAN, max: f64::NAN, ..self.without_moments(f64::NAN) }
        } else if self.wild.is_nan() {
            // Both infinities. The processor chooses the bits of a NaN it makes; this is one of ours.
            self.without_moments(f64::NAN)
        } else if self.wild != 0.0 {
            self.without_moments(self.wild)
        } else {
            self.rounded()
        }
    }

    /// The one place that rounds.
    fn rounded(&self) -> Stats {
        let (count, min, max) = (self.count, self.min, self.max);
        let ((size, below), spread) = (self.finite.sum(), self.finite.spread(count));
        let over = |n| {
            let size = quotient(&size, SUM_UNIT, n, 1);
            if below { -size } else { size }
        };
        let variance_over = |n| match n {
            0 => f64::NAN,
            n => quotient(&spread, SQUARES_UNIT, count, n),
        };
        let (sum, mean) = (over(1), over(count.max(1)));
        let variance = variance_over(count);
        let sample_variance = variance_over(count.saturating_sub(1));
        Stats { count, sum, mean, variance, sample_variance, min, max }
    }

    /// Whether a number was NaN: its place in the total order is past an infinity.
    fn has_nan(&self) -> bool {
        self.min.is_nan() || self.max.is_nan()
    }

    /// The sum and the mean of numbers that are not all finite.
    fn without_moments(&self, sum: f64) -> Stats {
        let (count, min, max, none) = (self.count, self.min, self.max, f64::NAN);
        Stats { count, sum, mean: sum, variance: none, sample_variance: none, min, max }
    }
}

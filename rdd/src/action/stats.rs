//! `stats`: statistics of numbers, with the same bits for any partitioning.

use super::exact::{Moments, SQUARES_UNIT, SUM_UNIT, quotient};
use crate::accumulator::Accumulate;
use crate::driver::run_action;
use crate::pipeline::Pipeline;
use crate::rdd::Rdd;
use emberline_core::error::Result;
use emberline_core::operation::Operation;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Statistics of numbers, returned by [`stats`](Rdd::stats).
///
/// If one number is NaN, all fields but the count are NaN. With an infinite number the sum and the
/// mean are that infinity (NaN if there are both), and the variances are NaN. -0 is less than 0.
/// Formats without NaN and infinity, such as JSON, can store it only if no field is one of them.
#[doc(alias = "StatCounter")]
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
    /// Returns the number of numbers.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the sum; 0 without numbers.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns the mean; 0 without numbers. It is correct even if the sum overflows.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the population variance; NaN without numbers.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// Returns the sample variance, which divides by `count - 1`; NaN for fewer than two numbers.
    pub fn sample_variance(&self) -> f64 {
        self.sample_variance
    }

    /// Returns the square root of [`variance`](Stats::variance).
    pub fn stdev(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Returns the square root of [`sample_variance`](Stats::sample_variance).
    pub fn sample_stdev(&self) -> f64 {
        self.sample_variance.sqrt()
    }

    /// Returns the smallest number; infinity without numbers.
    pub fn min(&self) -> f64 {
        self.min
    }

    /// Returns the largest number; minus infinity without numbers.
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

/// # Actions
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
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn stats(&self) -> Result<Stats> {
        let action = Operation::new("stats");
        run_action(action, |frame| {
            let parts = self.run_all(frame, |rows| {
                let mut stats = Box::<ExactStats>::default();
                rows.for_each(|row| stats.add(row));
                stats
            })?;
            let mut all = ExactStats::default();
            parts.iter().for_each(|part| all.merge(part));
            Ok(all.stats())
        })
    }
}

/// An accumulator that computes [`Stats`], exact like [`Rdd::stats`].
///
/// ```
/// # use emberline_rdd::{accumulator::RunningStats, prelude::*};
/// # let ctx = Context::local()?;
/// let lengths = ctx.accumulator(RunningStats::default());
/// let seen = lengths.clone();
/// let words = ctx.parallelize(vec!["an", "ember"]).inspect(move |w| seen.add(w.len() as f64));
/// assert_eq!(words.count()?, 2);
/// assert_eq!(lengths.value().stats().mean(), 3.5);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Default)]
pub struct RunningStats(Box<ExactStats>);

impl RunningStats {
    /// Returns the statistics of the numbers added so far.
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

/// Exact sums of numbers. Only results are rounded, so the order of merging does not matter.
#[derive(Clone)]
struct ExactStats {
    count: u64,
    finite: Moments,
    /// Sum of the numbers that are infinite or NaN; 0 without any.
    non_finite: f64,
    min: f64,
    max: f64,
}

impl Default for ExactStats {
    fn default() -> Self {
        ExactStats {
            count: 0,
            finite: Moments::default(),
            non_finite: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl ExactStats {
    #[inline]
    fn add(&mut self, number: f64) {
        self.count += 1;
        if number.is_finite() {
            self.finite.add(number);
        } else {
            self.non_finite += number;
        }
        self.widen(number, number);
    }

    fn merge(&mut self, other: &ExactStats) {
        self.count += other.count;
        self.finite.merge(&other.finite);
        self.non_finite += other.non_finite;
        self.widen(other.min, other.max);
    }

    /// Extends the range by the total order, in which -0 < 0 and NaN is beyond the infinities.
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
        } else if self.non_finite.is_nan() {
            // Both infinities were added. The bits of a computed NaN depend on the processor, so
            // use a constant.
            self.without_moments(f64::NAN)
        } else if self.non_finite != 0.0 {
            self.without_moments(self.non_finite)
        } else {
            self.rounded()
        }
    }

    fn rounded(&self) -> Stats {
        let count = self.count;
        let (sum, is_negative) = self.finite.sum();
        let spread = self.finite.spread(count);
        let sum_over = |n| {
            let absolute = quotient(&sum, SUM_UNIT, n, 1);
            if is_negative { -absolute } else { absolute }
        };
        let variance_over = |n| match n {
            0 => f64::NAN,
            n => quotient(&spread, SQUARES_UNIT, count, n),
        };
        Stats {
            count,
            sum: sum_over(1),
            mean: sum_over(count.max(1)),
            variance: variance_over(count),
            sample_variance: variance_over(count.saturating_sub(1)),
            min: self.min,
            max: self.max,
        }
    }

    /// Returns true if a number was NaN: it is beyond the infinities in the total order.
    fn has_nan(&self) -> bool {
        self.min.is_nan() || self.max.is_nan()
    }

    fn without_moments(&self, sum: f64) -> Stats {
        Stats {
            count: self.count,
            sum,
            mean: sum,
            variance: f64::NAN,
            sample_variance: f64::NAN,
            min: self.min,
            max: self.max,
        }
    }
}

//! `sample_with_replacement`: each row a random number of times (Poisson).

use super::adapted::{Adaptor, At};
use super::sample::Sampling;
use crate::pipeline::{Element, Fused, Pipeline};
use crate::random::Random;
use crate::rdd::Rdd;
use emberline_core::error::Error;
use emberline_core::operation::Operation;
use emberline_core::task::CancelCheck;
use std::iter::{RepeatN, repeat_n};
use std::sync::Arc;

/// # Narrow transformations
impl<T: Element + Clone, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Draws each row a random number of times, `rate` times on average (Poisson).
    ///
    /// The draw depends only on `seed` and on the position of a row, so it is the same in every
    /// run. Copies of a row are adjacent. Keeps the partitioner.
    /// The action fails with `InvalidArgument` unless `rate` is from 0 to 1,000,000.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.range(0..10_000_u32);
    /// let thrice = numbers.sample_with_replacement(3.0, 42);
    /// assert!((29_000..31_000).contains(&thrice.count()?));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "sample")]
    #[track_caller]
    pub fn sample_with_replacement(
        &self,
        rate: f64,
        seed: u64,
    ) -> Rdd<T, impl Fused<Item = T> + use<T, P>> {
        let operation = Operation::new("sample_with_replacement");
        let what = || {
            format!(
                "the rate is {rate}, but must be from 0 to {MAX_RATE}: make copies of a row with \
                 `flat_map` if there must be more"
            )
        };
        let wrong = !(0.0..=MAX_RATE).contains(&rate);
        let problem = wrong.then(|| Error::invalid_argument(what()).in_operation(operation));
        self.sampled::<Poisson>(operation, Sampling { rate, seed }, problem)
    }
}

enum Poisson {}

impl<R: Iterator<Item: Element + Clone> + 'static> Adaptor<R, Sampling> for Poisson {
    type Item = R::Item;
    type Rows = DrawnRows<R>;

    fn adapt(
        rows: R,
        sampling: Arc<Sampling>,
        _: Operation,
        At { partition, task }: At<'_>,
    ) -> Self::Rows {
        let random = Random::of_partition(sampling.seed, partition);
        let cancel_check = CancelCheck::new(task);
        DrawnRows { rows, copies: None, random, rate: sampling.rate, cancel_check }
    }
}

struct DrawnRows<R: Iterator> {
    rows: R,
    copies: Option<RepeatN<R::Item>>,
    random: Random,
    rate: f64,
    /// One row may have many copies.
    cancel_check: CancelCheck,
}

impl<R: Iterator<Item: Clone>> Iterator for DrawnRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        loop {
            if let Some(row) = self.copies.as_mut().and_then(Iterator::next) {
                self.cancel_check.tick();
                return Some(row);
            }
            let row = self.rows.next()?;
            self.copies = Some(repeat_n(row, poisson(self.rate, &mut self.random)));
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let DrawnRows { rows, copies, mut random, rate, mut cancel_check } = self;
        let mut each = |accumulated, row| {
            cancel_check.tick();
            g(accumulated, row)
        };
        let accumulated = copies.into_iter().flatten().fold(init, &mut each);
        rows.fold(accumulated, |accumulated, row| {
            repeat_n(row, poisson(rate, &mut random)).fold(accumulated, &mut each)
        })
    }
}

/// Maximum rate: drawing the number of copies of one row takes time in proportion to it.
const MAX_RATE: f64 = 1_000_000.0;
/// Maximum rate of one draw, for which `exp(-rate)` is far from the smallest float.
const MAX_RATE_PER_DRAW: f64 = 500.0;

/// Draws a number of the Poisson distribution with mean `rate`, by Knuth's method: counts how many
/// random numbers can be multiplied until the product falls below `exp(-rate)`. A large rate is
/// split, since the sum of Poisson numbers is a Poisson number of the sum of their rates.
fn poisson(rate: f64, random: &mut Random) -> usize {
    let mut left = rate;
    let mut count = 0;
    while left > 0.0 {
        let part = left.min(MAX_RATE_PER_DRAW);
        let floor = (-part).exp();
        let mut product = random.unit();
        while product > floor {
            count += 1;
            product *= random.unit();
        }
        left -= part;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_mean_and_variance_equal_the_rate_also_for_large_rates() {
        for rate in [0.1, 1.0, 20.0, 1200.0] {
            let mut random = Random::new(7);
            let counts: Vec<f64> = (0..20_000).map(|_| poisson(rate, &mut random) as f64).collect();
            let mean = counts.iter().sum::<f64>() / 20_000.0;
            let variance = counts.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean / rate - 1.0).abs() < 0.1, "{mean} for {rate}");
            assert!((variance / rate - 1.0).abs() < 0.1, "{variance} for {rate}");
        }
    }

    #[test]
    fn rate_zero_draws_nothing() {
        assert!((0..100).all(|seed| poisson(0.0, &mut Random::new(seed)) == 0));
    }
}

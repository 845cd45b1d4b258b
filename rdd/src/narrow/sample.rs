//! `sample`: a random subset (Bernoulli).

use super::adapted::{Adapted, Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::random::Random;
use crate::rdd::Rdd;
use emberline_core::error::Error;
use emberline_core::lineage::Dependency;
use emberline_core::operation::Operation;
use std::sync::Arc;

/// The parameters of a sample.
pub(super) struct Sampling {
    /// Mean number of times that a row is drawn.
    pub(super) rate: f64,
    pub(super) seed: u64,
}

/// # Narrow transformations
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Keeps each row with probability `fraction`, from 0 to 1.
    ///
    /// The choice depends only on `seed` and on the position of a row, so it is the same in every
    /// run and on any number of threads. Keeps the partitioner.
    /// The action fails with `InvalidArgument` for any other fraction.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.range(0..10_000_u32);
    /// let tenth = numbers.sample(0.1, 42);
    /// assert!((900..1100).contains(&tenth.count()?));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn sample(&self, fraction: f64, seed: u64) -> Rdd<T, impl Fused<Item = T> + use<T, P>> {
        let operation = Operation::new("sample");
        let what = || format!("the fraction is {fraction}, but must be from 0 to 1");
        let wrong = !(0.0..=1.0).contains(&fraction);
        let problem = wrong.then(|| Error::invalid_argument(what()).in_operation(operation));
        self.sampled::<Bernoulli>(operation, Sampling { rate: fraction, seed }, problem)
    }

    /// Returns a sample that keeps the partitioner, or whose first action fails with `problem`.
    pub(super) fn sampled<A>(
        &self,
        operation: Operation,
        sampling: Sampling,
        problem: Option<Error>,
    ) -> Rdd<T, Adapted<P, Sampling, A>>
    where
        A: Adaptor<P::Rows, Sampling, Item = T>,
    {
        let parent = vec![Dependency::Narrow(Arc::clone(&self.lineage))];
        let mut lineage = self.context.lineage(operation, self.num_partitions(), parent);
        lineage.set_problem(problem);
        let pipeline = Adapted::new(self.pipeline.clone(), sampling, operation);
        Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone())
    }
}

enum Bernoulli {}

impl<R: Iterator<Item: Element> + 'static> Adaptor<R, Sampling> for Bernoulli {
    type Item = R::Item;
    type Rows = SampledRows<R>;

    fn adapt(
        rows: R,
        sampling: Arc<Sampling>,
        _: Operation,
        At { partition, .. }: At<'_>,
    ) -> Self::Rows {
        let random = Random::of_partition(sampling.seed, partition);
        SampledRows { rows, random, fraction: sampling.rate }
    }
}

/// Sampled rows. One random number is drawn per row, so only its position decides.
struct SampledRows<R> {
    rows: R,
    random: Random,
    fraction: f64,
}

impl<R: Iterator> Iterator for SampledRows<R> {
    type Item = R::Item;

    #[inline]
    fn next(&mut self) -> Option<R::Item> {
        let random = &mut self.random;
        let fraction = self.fraction;
        self.rows.find(|_| random.unit() < fraction)
    }

    #[inline]
    fn fold<B, G: FnMut(B, R::Item) -> B>(self, init: B, mut g: G) -> B {
        let mut random = self.random;
        let fraction = self.fraction;
        self.rows.fold(init, |accumulated, row| {
            if random.unit() < fraction { g(accumulated, row) } else { accumulated }
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.rows.size_hint().1)
    }
}

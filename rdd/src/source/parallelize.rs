//! `parallelize`: a collection of the program as an RDD.

use super::split_range;
use crate::context::Context;
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Element, Fused, Pipeline, gather, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use std::any::type_name;
use std::sync::Arc;
use std::vec;

/// # Sources
impl Context {
    /// Distributes a collection over `default_partitions` partitions, or fewer for fewer rows.
    ///
    /// It stays in memory, shared by all readers and not counted against the memory limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize(vec![3, 1, 2]).collect()?, [3, 1, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "makeRDD")]
    #[track_caller]
    pub fn parallelize<T, I>(&self, rows: I) -> Rdd<T, impl Fused<Item = T> + use<T, I>>
    where
        T: Element + Clone + Sync,
        I: IntoIterator<Item = T>,
    {
        let rows = collected(rows);
        let partitions = self.default_partitions().min(rows.len().max(1));
        self.parallelized(Operation::new("parallelize"), partitions, rows)
    }

    /// Distributes a collection over a given number of partitions.
    ///
    /// Like [`parallelize`](Context::parallelize).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let rows = ctx.parallelize_with(3, 0..100);
    /// let sizes = rows.map_partitions(|rows| [rows.count()]).collect()?;
    /// assert_eq!(sizes, [33, 33, 34]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "makeRDD")]
    #[track_caller]
    pub fn parallelize_with<T, I>(
        &self,
        partitions: usize,
        rows: I,
    ) -> Rdd<T, impl Fused<Item = T> + use<T, I>>
    where
        T: Element + Clone + Sync,
        I: IntoIterator<Item = T>,
    {
        self.parallelized(Operation::new("parallelize"), partitions, collected(rows))
    }

    fn parallelized<T: Element + Clone + Sync>(
        &self,
        operation: Operation,
        partitions: usize,
        rows: Vec<T>,
    ) -> Rdd<T, Parallelized<T>> {
        let pipeline = Parallelized { rows: Arc::new(rows), partitions };
        Rdd::new(self, self.source_lineage(operation, partitions), pipeline)
    }
}

/// Collects a collection of the user's, whose size hint may be wrong. A `Vec` is not copied.
fn collected<T, I: IntoIterator<Item = T>>(rows: I) -> Vec<T> {
    let rows = rows.into_iter();
    if type_name::<I::IntoIter>() == type_name::<vec::IntoIter<T>>() {
        return rows.collect();
    }
    gather(rows)
}

struct Parallelized<T> {
    rows: Arc<Vec<T>>,
    partitions: usize,
}

impl<T> Clone for Parallelized<T> {
    fn clone(&self) -> Self {
        Parallelized { rows: Arc::clone(&self.rows), partitions: self.partitions }
    }
}

impl<T> Sealed for Parallelized<T> {}
impl<T: Element + Clone + Sync> Fused for Parallelized<T> {}

impl<T: Element + Clone + Sync> Pipeline for Parallelized<T> {
    type Item = T;
    type Rows = MaterializedRows<T>;

    fn open(&self, partition: usize, task: &TaskContext) -> MaterializedRows<T> {
        let (low, high) = split_range(self.rows.len() as u64, self.partitions, partition);
        task.count_read((high - low) as usize);
        MaterializedRows::new(Arc::clone(&self.rows), low as usize..high as usize, task)
    }

    fn materialized(&self, partition: usize, task: &TaskContext) -> Option<MaterializedRows<T>> {
        Some(self.open(partition, task))
    }

    fn depth(&self) -> usize {
        0
    }
}

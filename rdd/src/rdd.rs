//! The `Rdd` handle.

use crate::context::Context;
use crate::partitioner::KnownPartitioner;
use crate::pipeline::boxed::Boxed;
use crate::pipeline::{Element, Fused, Pipeline};
use emberline_core::ids::RddId;
use emberline_core::lineage::{Dependency, LineageNode};
use emberline_core::operation::Operation;
use emberline_core::quiet::Quiet;
use emberline_shuffle::Partitioning;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A lazy, typed, partitioned collection of rows, which can be recomputed from its lineage.
///
/// An `Rdd` is a handle: cloning it copies a few pointers, and dropping the last one frees what is
/// stored for it: that never panics, even if the destructor of a row does. Transformations are lazy, take `&self`, never fail and never run a job. Actions
/// run jobs and return [`Result`](crate::Result).
///
/// # Defaults
///
/// Unless its documentation says otherwise, a transformation is **narrow** (it computes each
/// partition from the same partition of its parent, in the same task), leaves the number of
/// **partitions** unchanged, drops the **partitioner** of keys, takes a constant amount of
/// **memory**, and leaves the **order** of rows unchanged. An invalid argument, such as zero or more
/// than [`MAX_PARTITIONS`](crate::config::MAX_PARTITIONS) partitions, is reported by the first
/// action. So is a partitioner that returns a partition that
/// does not exist (`PartitionOutOfRange`), by any operation that partitions rows with it.
///
/// An action computes all partitions, one task each, and returns the first error of a task. An
/// action that returns rows fails with `ResultTooLarge` if they exceed
/// [`max_result_bytes`](crate::ContextBuilder::max_result_bytes).
///
/// The table `emberline::guide::operations` lists all operations with all of these properties.
///
/// # Type of the pipeline
///
/// The second type parameter carries the narrow operations since the last shuffle, so that they
/// compile to one loop. Write `Rdd<T>` where a type must be named, such as that of a loop variable,
/// and call [`boxed`](Rdd::boxed) to get it. A `&Rdd<T>` argument accepts an RDD with any pipeline:
///
/// ```
/// # use emberline_rdd::prelude::*;
/// fn long_lines(lines: &Rdd<String>) -> Rdd<String> {
///     lines.filter(|line| line.len() > 3).boxed()
/// }
/// let ctx = Context::local()?;
/// let upper = ctx.parallelize(vec!["ember", "is", "warm"]).map(|word| word.to_uppercase());
/// assert_eq!(long_lines(&upper).collect()?, ["EMBER", "WARM"]);
/// # Ok::<(), Error>(())
/// ```
#[must_use = "an RDD is lazy and does nothing until an action such as `collect` asks for its rows"]
pub struct Rdd<T: 'static, P = Boxed<T>> {
    pub(crate) context: Context,
    pub(crate) lineage: Arc<LineageNode>,
    pub(crate) pipeline: Quiet<P>,
    pub(crate) partitioner: Quiet<Option<KnownPartitioner>>,
    boxed: OnceLock<Box<Rdd<T>>>,
}

/// The effect of a narrow operation on keys, and so on the partitioner.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyEffect {
    /// All remaining rows have their old keys, so the partitioner is unchanged.
    Preserved,
    /// Keys may have changed, so the partitioner is dropped.
    Changed,
}

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    pub(crate) fn new(context: &Context, lineage: LineageNode, pipeline: P) -> Self {
        Rdd::partitioned(context, lineage, pipeline, None)
    }

    pub(crate) fn partitioned(
        context: &Context,
        lineage: LineageNode,
        pipeline: P,
        partitioner: Option<KnownPartitioner>,
    ) -> Self {
        let (context, lineage, partitioner) = handle(context, lineage, partitioner);
        let pipeline = Quiet::new(pipeline);
        let partitioner = Quiet::new(partitioner);
        Rdd { context, lineage, pipeline, partitioner, boxed: OnceLock::new() }
    }

    /// Returns the RDD of a narrow operation on this one, computed by `pipeline`.
    pub(crate) fn narrow<U: Element, Q: Pipeline<Item = U>>(
        &self,
        operation: Operation,
        closure_bytes: usize,
        key_effect: KeyEffect,
        pipeline: Q,
    ) -> Rdd<U, Q> {
        let lineage = narrow_node(&self.context, &self.lineage, operation, closure_bytes);
        let partitioner = match key_effect {
            KeyEffect::Preserved => self.partitioner.clone(),
            KeyEffect::Changed => None,
        };
        Rdd::partitioned(&self.context, lineage, pipeline, partitioner)
    }
}

/// Returns the parts of a new `Rdd` that do not depend on its rows.
fn handle(
    context: &Context,
    mut lineage: LineageNode,
    partitioner: Option<KnownPartitioner>,
) -> (Context, Arc<LineageNode>, Option<KnownPartitioner>) {
    lineage.info.partitioner = partitioner.as_ref().map(KnownPartitioner::describe);
    (context.without_owner(), Arc::new(lineage), partitioner)
}
fn narrow_node(
    context: &Context,
    parent: &Arc<LineageNode>,
    operation: Operation,
    closure_bytes: usize,
) -> LineageNode {
    let dependency = vec![Dependency::Narrow(Arc::clone(parent))];
    let mut lineage = context.lineage(operation, parent.partitions(), dependency);
    lineage.info.closure_bytes = closure_bytes;
    lineage
}

/// # Inspection
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the id of the RDD in events and in a [`FaultPlan`](crate::fault::FaultPlan).
    ///
    /// A context numbers its RDDs from 0 in the order of their creation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::{id::RddId, prelude::*};
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.range(0..4_u64);
    /// assert_eq!((numbers.id(), numbers.cache().id()), (RddId(0), RddId(1)));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn id(&self) -> RddId {
        self.lineage.id()
    }

    /// Erases the type of the pipeline, so that variables, fields and branches can hold the RDD.
    ///
    /// Costs one virtual call for each chunk of rows, and the memory of a chunk: up to 1,024 rows
    /// and 64 KiB. Keeps the partitioner.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let numbers = ctx.range(0..4_u64);
    /// let even = numbers.filter(|n| n % 2 == 0);
    /// let chosen: Rdd<u64> = if even.count()? > 1 { even.boxed() } else { numbers.boxed() };
    /// assert_eq!(chosen.collect()?, [0, 2]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn boxed(&self) -> Rdd<T> {
        Rdd {
            context: self.context.clone(),
            lineage: Arc::clone(&self.lineage),
            pipeline: Quiet::new(self.pipeline.to_boxed()),
            partitioner: Quiet::new(self.partitioner.clone()),
            boxed: OnceLock::new(),
        }
    }

    /// Returns the number of partitions, without running a job.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// assert_eq!(ctx.parallelize_with(3, vec![1, 2, 3, 4]).num_partitions(), 3);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "getNumPartitions")]
    pub fn num_partitions(&self) -> usize {
        self.lineage.partitions()
    }

    /// Returns the name given with [`set_name`](Rdd::set_name).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let links = ctx.range(0..3_u32).set_name("links");
    /// assert_eq!(links.name().as_deref(), Some("links"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn name(&self) -> Option<String> {
        self.lineage.name()
    }

    /// Sets the name of the RDD in `explain`, for all of its handles.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let ids = ctx.range(0..3_u32).set_name("ids");
    /// assert!(ids.explain().to_string().contains("ids"));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "setName")]
    pub fn set_name(&self, name: impl Into<String>) -> Rdd<T, P> {
        self.lineage.set_name(name.into());
        self.clone()
    }

    /// Returns the context of the RDD.
    #[doc(alias = "sparkContext")]
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl<K: 'static, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P>
where
    (K, V): Element,
{
    /// Returns the partitioner of the keys, if one is known.
    pub(crate) fn partitioning(&self) -> Option<Partitioning<K>> {
        self.partitioner.as_ref().and_then(KnownPartitioner::of_keys)
    }
}

impl<T: 'static, P: Clone> Rdd<T, P> {
    /// Returns a handle for the lineage of another RDD, which does not keep the context running.
    pub(crate) fn for_lineage(&self) -> Self {
        Rdd { context: self.context.for_lineage(), ..self.clone() }
    }
}

impl<T: 'static, P: Clone> Clone for Rdd<T, P> {
    fn clone(&self) -> Self {
        Rdd {
            context: self.context.clone(),
            lineage: Arc::clone(&self.lineage),
            pipeline: Quiet::new(self.pipeline.clone()),
            partitioner: Quiet::new(self.partitioner.clone()),
            boxed: OnceLock::new(),
        }
    }
}

/// Dereferences to a boxed `Rdd<T>`, so that a `&Rdd<T>` argument accepts an RDD with any pipeline.
impl<T: Element, P: Fused<Item = T>> Deref for Rdd<T, P> {
    type Target = Rdd<T>;

    fn deref(&self) -> &Rdd<T> {
        if let Some(boxed) = self.boxed.get() {
            return boxed;
        }
        // Made outside of the cell, in which a thread that needs it again would wait for itself.
        let boxed = Box::new(self.boxed());
        self.boxed.get_or_init(|| boxed)
    }
}

impl<T: 'static, P> fmt::Debug for Rdd<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lineage = &self.lineage;
        write!(
            f,
            "Rdd({}, {}, {} partitions",
            lineage.id(),
            lineage.operation(),
            lineage.partitions()
        )?;
        match lineage.name() {
            Some(name) => write!(f, ", {name:?})"),
            None => write!(f, ")"),
        }
    }
}

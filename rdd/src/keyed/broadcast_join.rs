//! `broadcast_join` and `broadcast_left_outer_join`: joins that do not shuffle the probe side.

use super::shuffled::{Outputs, shuffle};
use crate::context::two_contexts;
use crate::narrow::adapted::{Adapted, Adaptor, At};
use crate::pipeline::{Element, Fused, Pipeline};
use crate::rdd::Rdd;
use emberline_core::bounds::{Key, Stored};
use emberline_core::error::Result;
use emberline_core::lineage::Dependency;
use emberline_core::memory::Reservation;
use emberline_core::operation::Operation;
use emberline_core::sync::Mutex;
use emberline_core::task::{CancelCheck, OperatorMemory, TaskContext};
use emberline_core::unwind::{blame, raise};
use emberline_shuffle::map_side::{self, AssignedRow, Distribute};
use emberline_shuffle::{BroadcastTable, Hashed, hash_of};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// A row of an inner join.
type Both<K, V, W> = (K, (V, W));
/// A row of a left outer join.
type LeftBoth<K, V, W> = (K, (V, Option<W>));

/// # Joins
impl<K: Element, V: Element, P: Pipeline<Item = (K, V)>> Rdd<(K, V), P> {
    /// Pairs each value with each value of the same key in `build_side`, which must fit in memory.
    ///
    /// An inner join like [`join`](Rdd::join), but each row of this RDD is looked up in a hash
    /// table of `build_side`. This RDD is not shuffled and keeps its partitioner; `build_side` is
    /// shuffled into one partition. The first tasks each build the table; it is stored as long as
    /// the RDD if the memory limit has room for it, otherwise each task builds its own.
    ///
    /// # Errors
    ///
    /// The action fails with [`BroadcastTooLarge`](crate::ErrorKind::BroadcastTooLarge) if the
    /// table exceeds its part of the task memory limit: a third, or less if operations before it in
    /// the same stage hold rows too. Use [`join`](Rdd::join) then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sales = ctx.parallelize(vec![(2, 40), (1, 30), (9, 7), (2, 41)]);
    /// let names = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let named = sales.broadcast_join(&names);
    /// assert_eq!(named.collect()?, [(2, (40, 'b')), (1, (30, 'a')), (2, (41, 'b'))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn broadcast_join<W, Q>(
        &self,
        build_side: &Rdd<(K, W), Q>,
    ) -> Rdd<Both<K, V, W>, impl Fused<Item = Both<K, V, W>> + use<K, V, P, W, Q>>
    where
        K: Key,
        V: Clone,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        self.hash_joined::<Inner, _, _, _>(Operation::new("broadcast_join"), build_side)
    }

    /// Pairs each value with each value of the same key in `build_side`, or with `None`.
    ///
    /// Like [`broadcast_join`](Rdd::broadcast_join), but every row of this RDD remains.
    ///
    /// # Errors
    ///
    /// The action fails with [`BroadcastTooLarge`](crate::ErrorKind::BroadcastTooLarge) as
    /// `broadcast_join` does. Use [`left_outer_join`](Rdd::left_outer_join) then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// let sales = ctx.parallelize(vec![(2, 40), (9, 7)]);
    /// let names = ctx.parallelize(vec![(1, 'a'), (2, 'b')]);
    /// let named = sales.broadcast_left_outer_join(&names);
    /// assert_eq!(named.collect()?, [(2, (40, Some('b'))), (9, (7, None))]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn broadcast_left_outer_join<W, Q>(
        &self,
        build_side: &Rdd<(K, W), Q>,
    ) -> Rdd<LeftBoth<K, V, W>, impl Fused<Item = LeftBoth<K, V, W>> + use<K, V, P, W, Q>>
    where
        K: Key,
        V: Clone,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
    {
        let operation = Operation::new("broadcast_left_outer_join");
        self.hash_joined::<LeftOuter, _, _, _>(operation, build_side)
    }

    fn hash_joined<M, O, W, Q>(
        &self,
        operation: Operation,
        build_side: &Rdd<(K, W), Q>,
    ) -> Rdd<Both<K, V, O>, impl Fused<Item = Both<K, V, O>> + use<K, V, P, M, O, W, Q>>
    where
        K: Key,
        V: Clone,
        W: Stored,
        Q: Pipeline<Item = (K, W)>,
        O: Element,
        M: JoinKind<W, Out = O>,
    {
        let write_rows = move |rows: Q::Rows, task: &TaskContext| {
            let assign = |(key, value)| {
                let hash = blame(&operation, || hash_of(&key));
                AssignedRow::by_hash(0, hash, Hashed { hash, key, value })
            };
            map_side::run(Distribute { segments: 1, assign }, rows, task)
        };
        let (outputs, edge) = shuffle(build_side, operation, 1, write_rows);
        let edges = vec![Dependency::Narrow(Arc::clone(&self.lineage)), edge];
        let mut lineage = self.context.lineage(operation, self.num_partitions(), edges);
        lineage.set_problem(two_contexts(operation, &self.context, &build_side.context));
        lineage.set_holds_rows();
        let operators = lineage.operators();
        let build_side = BuildSide { outputs, operators, stored: Mutex::new(None) };
        let pipeline =
            Adapted::<_, _, HashProbe<M>>::new(self.pipeline.clone(), build_side, operation);
        Rdd::partitioned(&self.context, lineage, pipeline, self.partitioner.clone())
    }
}

/// The join type: inner or left outer.
trait JoinKind<W>: 'static {
    /// The right value of an output row.
    type Out: Element;
    /// The smallest number of output rows for a row of the probe side.
    const MIN_ROWS: usize;

    /// Returns the right value of an output row, or nothing if the row is left out.
    fn right_value(value: Option<&W>) -> Option<Self::Out>;
}

enum Inner {}

impl<W: Stored> JoinKind<W> for Inner {
    type Out = W;
    const MIN_ROWS: usize = 0;

    #[inline]
    fn right_value(value: Option<&W>) -> Option<W> {
        value.cloned()
    }
}

enum LeftOuter {}

impl<W: Stored> JoinKind<W> for LeftOuter {
    type Out = Option<W>;
    const MIN_ROWS: usize = 1;

    #[inline]
    fn right_value(value: Option<&W>) -> Option<Option<W>> {
        Some(value.cloned())
    }
}

/// The build side: its shuffle outputs, and its table once a task has built and stored it.
struct BuildSide<K: Key, W: Stored> {
    outputs: Arc<Outputs<Hashed<K, W>>>,
    operators: usize,
    stored: Mutex<Option<Arc<Table<K, W>>>>,
}

/// A hash table, with its reservation if it is stored between tasks.
struct Table<K, W> {
    rows: BroadcastTable<K, W>,
    _reservation: Option<Reservation>,
}

/// The table that a task probes. One that is not stored counts toward the memory of the task.
struct TaskTable<K, W> {
    table: Arc<Table<K, W>>,
    memory: Option<OperatorMemory>,
}

impl<K: Key, W: Stored> BuildSide<K, W> {
    /// Returns the stored table, or builds one and tries to store it.
    ///
    /// A stored table stays valid if one of its outputs is lost later: the recomputed output has
    /// the same keys and number of rows, or the job fails with `NotDeterministic`.
    fn table(&self, task: &TaskContext) -> Result<TaskTable<K, W>> {
        if let Some(table) = self.stored() {
            return Ok(TaskTable { table, memory: None });
        }
        let reader = self.outputs.read(0, task);
        let rows = BroadcastTable::read(reader, task.operator_memory_limit(), task)?;
        if let Some(table) = self.stored() {
            // Another task stored its table first. A reservation for a table that is about to be
            // dropped could evict stored blocks. Dropped before the return, since Rust leaks a returned
            // value if the destructor of a local variable panics.
            drop(rows);
            return Ok(TaskTable { table, memory: None });
        }
        let bytes = rows.bytes();
        match task.memory.try_reserve(bytes) {
            Some(reservation) => {
                let table = self.store(Table { rows, _reservation: Some(reservation) });
                Ok(TaskTable { table, memory: None })
            }
            None => {
                let mut memory = OperatorMemory::new(task);
                memory.set(bytes);
                let table = Arc::new(Table { rows, _reservation: None });
                Ok(TaskTable { table, memory: Some(memory) })
            }
        }
    }

    fn stored(&self) -> Option<Arc<Table<K, W>>> {
        self.stored.lock().clone()
    }

    /// Stores a table unless another task did so first, and returns the stored one. The other is
    /// dropped outside the lock, since dropping rows runs the user's code.
    fn store(&self, table: Table<K, W>) -> Arc<Table<K, W>> {
        let table = Arc::new(table);
        let stored = Arc::clone(self.stored.lock().get_or_insert_with(|| Arc::clone(&table)));
        drop(table);
        stored
    }
}

/// The adaptor that looks each row of the probe side up in the table.
struct HashProbe<M>(PhantomData<fn() -> M>);

impl<R, K, V, W, M> Adaptor<R, BuildSide<K, W>> for HashProbe<M>
where
    R: Iterator<Item = (K, V)> + 'static,
    K: Key,
    V: Element + Clone,
    W: Stored,
    M: JoinKind<W>,
{
    type Item = Both<K, V, M::Out>;
    type Rows = ProbedRows<R, K, V, W, M>;

    fn adapt(
        rows: R,
        build_side: Arc<BuildSide<K, W>>,
        operation: Operation,
        at: At<'_>,
    ) -> Self::Rows {
        let task = at.task.with_operators(build_side.operators);
        let table = blame(&operation, || build_side.table(&task));
        let TaskTable { table, memory } =
            table.unwrap_or_else(|error| raise(error.in_operation(operation)));
        ProbedRows {
            rows,
            pending: PendingMatches::default(),
            table,
            operation,
            cancel_check: CancelCheck::new(at.task),
            kind: PhantomData,
            _memory: memory,
        }
    }
}

struct ProbedRows<R, K: Key, V, W: Stored, M> {
    rows: R,
    pending: PendingMatches<K, V>,
    table: Arc<Table<K, W>>,
    operation: Operation,
    /// Checked per output row, since one input row may match the whole build side.
    cancel_check: CancelCheck,
    kind: PhantomData<fn() -> M>,
    _memory: Option<OperatorMemory>,
}

/// A row of the probe side, and the output rows of it that were not returned yet.
struct PendingMatches<K, V> {
    row: Option<(K, V)>,
    /// Indexes of the remaining values.
    matches: Range<usize>,
    remaining_rows: usize,
}

impl<K, V> Default for PendingMatches<K, V> {
    fn default() -> Self {
        PendingMatches { row: None, matches: 0..0, remaining_rows: 0 }
    }
}

impl<K: Key, V: Clone> PendingMatches<K, V> {
    #[inline]
    fn new<W: Stored, M: JoinKind<W>>(row: (K, V), matches: Range<usize>) -> Self {
        let remaining_rows = matches.len().max(M::MIN_ROWS);
        PendingMatches { row: Some(row), matches, remaining_rows }
    }

    /// Returns the next row. Clones the key and the value for all rows except the last.
    #[inline]
    fn next<W: Stored, M: JoinKind<W>>(&mut self, values: &[W]) -> Option<Both<K, V, M::Out>> {
        self.remaining_rows = self.remaining_rows.checked_sub(1)?;
        let row = if self.remaining_rows == 0 { self.row.take() } else { self.row.clone() };
        let right = M::right_value(self.matches.next().and_then(|index| values.get(index)))?;
        row.map(|(key, value)| (key, (value, right)))
    }

    /// Folds all rows. Cold and out of line, because most keys have one value, and the loop over
    /// those contains the downstream operations and must not carry the state of a pending row.
    #[cold]
    #[inline(never)]
    fn fold_all<W: Stored, M: JoinKind<W>, B>(
        mut self,
        values: &[W],
        init: B,
        operation: &Operation,
        cancel_check: &mut CancelCheck,
        g: &mut impl FnMut(B, Both<K, V, M::Out>) -> B,
    ) -> B {
        let mut accumulated = init;
        while let Some(row) = blame(operation, || self.next::<W, M>(values)) {
            cancel_check.tick();
            accumulated = g(accumulated, row);
        }
        accumulated
    }
}

impl<R, K, V, W, M> Iterator for ProbedRows<R, K, V, W, M>
where
    R: Iterator<Item = (K, V)>,
    K: Key,
    V: Clone,
    W: Stored,
    M: JoinKind<W>,
{
    type Item = Both<K, V, M::Out>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let table = &self.table.rows;
        loop {
            let next = blame(&self.operation, || self.pending.next::<W, M>(table.values()));
            if next.is_some() {
                self.cancel_check.tick();
                return next;
            }
            let row = self.rows.next()?;
            let matches = blame(&self.operation, || table.range_of(hash_of(&row.0), &row.0));
            self.pending = PendingMatches::new::<W, M>(row, matches);
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, Self::Item) -> B>(self, init: B, mut g: G) -> B {
        let ProbedRows { rows, pending, table, operation, mut cancel_check, .. } = self;
        let table = &table.rows;
        let values = table.values();
        let accumulated =
            pending.fold_all::<W, M, B>(values, init, &operation, &mut cancel_check, &mut g);
        rows.fold(accumulated, |accumulated, row| {
            let matches = blame(&operation, || table.range_of(hash_of(&row.0), &row.0));
            if matches.len() > 1 {
                let pending = PendingMatches::new::<W, M>(row, matches);
                let cancel_check = &mut cancel_check;
                return pending.fold_all::<W, M, B>(
                    values,
                    accumulated,
                    &operation,
                    cancel_check,
                    &mut g,
                );
            }
            match blame(&operation, || M::right_value(values[matches].first())) {
                Some(right) => g(accumulated, (row.0, (row.1, right))),
                None => accumulated,
            }
        })
    }
}

//! Accumulators: values that tasks add to, and that the program reads after the action.
//!
//! A task adds to its own partial value without a lock. The partial value is stored with the
//! result, the map output or the block of its task; a later attempt replaces an earlier one. All
//! are merged when the action has succeeded, in the order of stages and partitions. So every
//! partition counts once, and float sums have the same bits on any number of threads.
//! - `committed`: partial values that belong to map outputs and stored partitions.

mod committed;

pub use crate::action::RunningStats;

pub(crate) use committed::CommittedDeltas;

use crate::context::Context;
use emberline_core::engine::Engine;
use emberline_core::error::Error;
use emberline_core::sync::{Mutex, MutexGuard};
use emberline_core::unwind::raise;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Weak};

/// A value that an [`Accumulator`] can hold: a number (summed), a `Vec`, or a type of your own.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::{accumulator::Accumulate, prelude::*};
/// #[derive(Clone)]
/// struct Longest(String);
///
/// impl Accumulate for Longest {
///     type Input = String;
///     fn zero(&self) -> Self {
///         Longest(String::new())
///     }
///     fn add(&mut self, word: String) {
///         if word.len() > self.0.len() {
///             self.0 = word;
///         }
///     }
///     fn merge(&mut self, later: Self) {
///         self.add(later.0);
///     }
/// }
/// let ctx = Context::local()?;
/// let longest = ctx.accumulator(Longest(String::new()));
/// let seen = longest.clone();
/// let words = ctx.parallelize(vec!["an", "ember", "glows", "on"]);
/// words.for_each(move |word| seen.add(word.to_string()))?;
/// assert_eq!(longest.value().0, "ember");
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an accumulator",
    note = "use a number, a `Vec` or `RunningStats`, or implement `Accumulate` for a type of your own"
)]
pub trait Accumulate: Clone + Send + 'static {
    /// The type of the inputs.
    type Input;

    /// Returns the value with which each task begins.
    fn zero(&self) -> Self;

    /// Adds one input.
    fn add(&mut self, input: Self::Input);

    /// Adds the partial value of a later task or partition.
    fn merge(&mut self, later: Self);
}

/// A value that closures add to and the program reads; made by [`Context::accumulator`]. Clones
/// share the value.
#[doc(alias = "AccumulatorV2")]
pub struct Accumulator<A: Accumulate> {
    value: Arc<Mutex<A>>,
    engine: Weak<Engine>,
}

/// # Shared values
impl Context {
    /// Returns an accumulator with the value `start`: closures add to a clone of it while tasks
    /// run, and the program reads its value after the action.
    ///
    /// An addition in the stage of the result counts once per result partition, however many
    /// attempts a task needs. An addition before a shuffle or a [`cache`](crate::Rdd::cache) counts
    /// once per partition, with the first action that succeeds, even if the output is recomputed
    /// later. A failed action adds nothing. An operation that two actions compute counts in both,
    /// and so does a partition that did not fit in the cache. A sort computes its input twice,
    /// first for a sample.
    ///
    /// Call `add` on the thread of the closure. In rayon work that a closure starts it is an error
    /// where it can be detected; count locally there, and add the count once.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let skipped = ctx.accumulator(0_u64);
    /// let counter = skipped.clone();
    /// let numbers = ctx.parallelize(vec!["1", "two", "3"]).filter_map(move |text| {
    ///     text.parse::<u32>().inspect_err(|_| counter.add(1)).ok()
    /// });
    /// assert_eq!(numbers.collect()?, [1, 3]);
    /// assert_eq!(skipped.value(), 1);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "longAccumulator")]
    #[doc(alias = "doubleAccumulator")]
    #[doc(alias = "collectionAccumulator")]
    pub fn accumulator<A: Accumulate>(&self, start: A) -> Accumulator<A> {
        Accumulator { value: Arc::new(Mutex::new(start)), engine: Arc::downgrade(&self.engine) }
    }
}

impl<A: Accumulate> Accumulator<A> {
    /// Adds `input` to the partial value of the current task, or to the value itself on a thread
    /// that runs no task, such as one that a closure starts.
    pub fn add(&self, input: A::Input) {
        match TaskDeltas::take_out(self) {
            Some(mut delta) => {
                delta.value.add(input);
                TaskDeltas::put_back(delta);
            }
            None => {
                self.refuse_rayon_work();
                self.lock().add(input);
            }
        }
    }

    /// Raises an error on a pool thread that runs no task: it runs rayon work of some closure.
    fn refuse_rayon_work(&self) {
        if self.engine.upgrade().is_some_and(|engine| engine.is_pool_thread()) {
            let message = "accumulator updated from rayon work inside a closure; accumulate locally and add \
                           once, in the closure itself";
            raise(Error::invalid_argument(message));
        }
    }

    /// Returns the start plus the additions of successful actions and of the program itself.
    pub fn value(&self) -> A {
        self.lock().clone()
    }

    /// Returns the value and resets it to zero, for one count per iteration.
    #[doc(alias = "reset")]
    pub fn take(&self) -> A {
        let mut value = self.lock();
        let zero = value.zero();
        std::mem::replace(&mut value, zero)
    }

    fn lock(&self) -> MutexGuard<'_, A> {
        self.value.lock()
    }

    /// Returns an address that identifies the accumulator while a handle to it exists.
    fn address(&self) -> usize {
        Arc::as_ptr(&self.value).addr()
    }
}

impl<A: Accumulate> Clone for Accumulator<A> {
    fn clone(&self) -> Self {
        Accumulator { value: Arc::clone(&self.value), engine: Weak::clone(&self.engine) }
    }
}

impl<A: Accumulate + fmt::Debug> fmt::Debug for Accumulator<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Accumulator").field(&*self.lock()).finish()
    }
}

macro_rules! accumulate_integers {
    ($($number:ty)*) => {$(
        /// The sum. Overflow panics in the operation that adds.
        impl Accumulate for $number {
            type Input = $number;

            fn zero(&self) -> Self {
                0
            }

            #[inline]
            fn add(&mut self, input: $number) {
                let sum = self.checked_add(input);
                *self = sum.expect(concat!("accumulator overflowed ", stringify!($number)));
            }

            fn merge(&mut self, later: Self) {
                self.add(later);
            }
        }
    )*};
}
accumulate_integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! accumulate_floats {
    ($($number:ty)*) => {$(
        /// The sum, rounded at each addition; [`RunningStats`] rounds once.
        impl Accumulate for $number {
            type Input = $number;

            fn zero(&self) -> Self {
                0.0
            }

            #[inline]
            fn add(&mut self, input: $number) {
                *self += input;
            }

            fn merge(&mut self, later: Self) {
                *self += later;
            }
        }
    )*};
}
accumulate_floats!(f32 f64);

/// The list of all inputs, in the order of partitions and rows.
impl<T: Clone + Send + 'static> Accumulate for Vec<T> {
    type Input = T;

    fn zero(&self) -> Self {
        Vec::new()
    }

    fn add(&mut self, input: T) {
        self.push(input);
    }

    fn merge(&mut self, mut later: Self) {
        self.append(&mut later);
    }
}

thread_local! {
    /// The additions of the task on this thread; `None` on a thread without one.
    static TASK: RefCell<Option<TaskDeltas>> = const { RefCell::new(None) };
}

/// The additions of one task, sorted by the address of their accumulator.
#[derive(Default)]
pub(crate) struct TaskDeltas(Vec<(usize, Option<Box<dyn AnyDelta>>)>);

/// The partial value of one task.
struct Delta<A: Accumulate> {
    accumulator: Accumulator<A>,
    value: A,
}

/// A [`Delta`] with its type erased.
trait AnyDelta: Any + Send {
    fn address(&self) -> usize;
    /// Adds the partial value of the same accumulator.
    fn absorb(&mut self, later: Box<dyn AnyDelta>);
    fn merge(self: Box<Self>);
}

impl<A: Accumulate> AnyDelta for Delta<A> {
    fn address(&self) -> usize {
        self.accumulator.address()
    }

    fn absorb(&mut self, later: Box<dyn AnyDelta>) {
        if let Ok(later) = (later as Box<dyn Any>).downcast::<Self>() {
            self.value.merge(later.value);
        }
    }

    fn merge(self: Box<Self>) {
        self.accumulator.lock().merge(self.value);
    }
}

impl TaskDeltas {
    /// Takes the partial value of the task on this thread, or returns `None` without a task. The
    /// user's `add`, which may add to other accumulators, runs while the value is taken out.
    fn take_out<A: Accumulate>(accumulator: &Accumulator<A>) -> Option<Box<Delta<A>>> {
        let existing = TASK.with_borrow_mut(|deltas| {
            let deltas = deltas.as_mut()?;
            let at = deltas.index_of(accumulator.address());
            Some(deltas.0[at].1.take())
        })?;
        let delta = existing.and_then(|delta| (delta as Box<dyn Any>).downcast::<Delta<A>>().ok());
        Some(delta.unwrap_or_else(|| {
            let value = accumulator.lock().zero();
            Box::new(Delta { accumulator: accumulator.clone(), value })
        }))
    }

    fn put_back<A: Accumulate>(delta: Box<Delta<A>>) {
        let other = TASK.with_borrow_mut(|deltas| {
            let deltas = deltas.as_mut()?;
            let at = deltas.index_of(delta.address());
            deltas.0[at].1.replace(delta)
        });
        // Only an `add` that adds to its own accumulator has put another one there.
        if let Some(other) = other {
            TaskDeltas(vec![(other.address(), Some(other))]).merge_into_task();
        }
    }

    /// Returns the index of an accumulator, which is added if it is new.
    #[inline]
    fn index_of(&mut self, address: usize) -> usize {
        self.0.binary_search_by_key(&address, |(address, _)| *address).unwrap_or_else(|at| {
            self.0.insert(at, (address, None));
            at
        })
    }

    /// Takes the additions so far of this task, which then no longer count with its result.
    pub(crate) fn take() -> TaskDeltas {
        TASK.with_borrow_mut(|deltas| deltas.as_mut().map(std::mem::take)).unwrap_or_default()
    }

    /// Adds these to the additions of the task on this thread.
    pub(crate) fn merge_into_task(self) {
        for later in self.0.into_iter().filter_map(|(_, delta)| delta) {
            let address = later.address();
            let own = TASK.with_borrow_mut(|deltas| {
                let deltas = deltas.as_mut()?;
                let at = deltas.index_of(address);
                deltas.0[at].1.take()
            });
            let merged = match own {
                Some(mut own) => {
                    own.absorb(later);
                    own
                }
                None => later,
            };
            TASK.with_borrow_mut(|deltas| {
                if let Some(deltas) = deltas {
                    let at = deltas.index_of(address);
                    deltas.0[at].1 = Some(merged);
                }
            });
        }
    }

    /// Adds the partial values to their accumulators.
    pub(crate) fn merge(self) {
        self.0.into_iter().filter_map(|(_, delta)| delta).for_each(AnyDelta::merge);
    }
}

/// Runs the work of a task and returns its result with its additions.
pub(crate) fn with_accumulators<R>(work: impl FnOnce() -> R) -> (R, TaskDeltas) {
    /// Restores the additions of the outer task on drop: a task may run while another waits.
    struct Restore(Option<TaskDeltas>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TASK.replace(self.0.take());
        }
    }
    let _restore = Restore(TASK.replace(Some(TaskDeltas::default())));
    let result = work();
    (result, TASK.take().unwrap_or_default())
}

//! Accumulators: values that tasks add to, and that the program reads once the action is done.
//!
//! A task adds to a part of its own, without a lock. What a task of the result has added lies with its
//! result, that of a map task with its output, and that of a stored partition with its block; a later
//! attempt takes the place of an earlier one. All of it is merged when the action has ended well, in
//! the order of stages and partitions. So nothing is counted twice, and float sums have the same bits
//! on any number of threads.

mod committed;

pub use crate::action::RunningStats;

pub(crate) use committed::CommittedDeltas;

use crate::context::Context;
use emberline_core::engine::Engine;
use emberline_core::error::Error;
use emberline_core::unwind::raise;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What an [`Accumulator`] keeps: numbers are added up and a `Vec` collects; implement it for more.
///
/// ```
/// # use emberline_rdd as emberline;
/// use emberline::{accumulator::Accumulate, prelude::*};
///
/// /// The longest word so far; the first of equals.
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
///
/// let ctx = Context::local()?;
/// let longest = ctx.accumulator(Longest(String::new()));
/// let seen = longest.clone();
/// let words = ctx.parallelize(vec!["an", "ember", "glows", "on"]);
/// words.for_each(move |word| seen.add(word.to_string()))?;
/// assert_eq!(longest.value().0, "ember");
/// # Ok::<(), emberline_rdd::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be what an accumulator keeps",
    note = "use a number, a `Vec` that collects, or `RunningStats`; or implement `Accumulate` for a \
            type of your own"
)]
pub trait Accumulate: Clone + Send + 'static {
    /// What is added.
    type Input;

    /// A value like this one to which nothing was added: where each task begins.
    fn zero(&self) -> Self;

    /// Adds one input.
    fn add(&mut self, input: Self::Input);

    /// Adds all that was added to `later`, which comes behind in the order of partitions.
    fn merge(&mut self, later: Self);
}

/// A value that closures add to and the program reads; made by [`Context::accumulator`]. It is a
/// handle: clones of it share the value.
pub struct Accumulator<A: Accumulate> {
    value: Arc<Mutex<A>>,
    engine: Weak<Engine>,
}

impl Context {
    /// An accumulator: closures [`add`](Accumulator::add) to a clone of it while tasks run, and the
    /// program reads its [`value`](Accumulator::value) after the action. It begins with `start`.
    ///
    /// What is added in an action, or in a step of the stage that gives its result, counts once for
    /// each partition of the result, however often a task was tried. What is added in a step before
    /// a shuffle or before a [`cache`](crate::Rdd::cache) counts once for each partition of that step,
    /// with the first action that ends well, even if what is kept gets lost and is computed again. An
    /// action that fails adds nothing.
    ///
    /// A step that two actions compute counts in both, and so does a partition that there was no room
    /// to cache. A sort asks for its keys twice, and computes what is before it twice: first for a
    /// sample.
    ///
    /// Add on the thread of the closure. What a closure hands to rayon runs on threads that may
    /// belong to another task, which is an error where it can be told: count there, and add the
    /// count once it is done.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let skipped = ctx.accumulator(0_u64);
    /// let counter = skipped.clone();
    /// let numbers = ctx.parallelize(vec!["1", "two", "3"]).filter_map(move |text| {
    ///     let number = text.parse::<u32>().ok();
    ///     if number.is_none() {
    ///         counter.add(1);
    ///     }
    ///     number
    /// });
    /// assert_eq!(numbers.collect()?, [1, 3]);
    /// assert_eq!(skipped.value(), 1);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn accumulator<A: Accumulate>(&self, start: A) -> Accumulator<A> {
        Accumulator { value: Arc::new(Mutex::new(start)), engine: Arc::downgrade(&self.engine) }
    }
}

impl<A: Accumulate> Accumulator<A> {
    /// Adds `input`: in a task, to the task's own part; on the program's threads, to the value. A
    /// thread that a closure starts is one of the program's.
    pub fn add(&self, input: A::Input) {
        match TaskDeltas::take_out(self) {
            Some(mut part) => {
                part.part.add(input);
                TaskDeltas::put_back(part);
            }
            None => {
                self.refuse_rayon_work();
                self.lock().add(input);
            }
        }
    }

    /// A thread of the pool that runs no task runs a piece of one: rayon work of a closure.
    fn refuse_rayon_work(&self) {
        if self.engine.upgrade().is_some_and(|engine| engine.is_pool_thread()) {
            let what = "an accumulator was added to in rayon work of a closure: count there, and add \
                        the count in the closure itself";
            raise(Error::invalid_argument(what));
        }
    }

    /// The value: the start, and what jobs that have ended well and the program itself have added.
    pub fn value(&self) -> A {
        self.lock().clone()
    }

    /// The value, leaving zero in its place: for one count a round.
    pub fn take(&self) -> A {
        let mut value = self.lock();
        let zero = value.zero();
        std::mem::replace(&mut value, zero)
    }

    fn lock(&self) -> MutexGuard<'_, A> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells it from all others while a handle is there.
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
        /// The sum; one that does not fit is a panic of the step that adds.
        impl Accumulate for $number {
            type Input = $number;

            fn zero(&self) -> Self {
                0
            }

            #[inline]
            fn add(&mut self, input: $number) {
                let sum = self.checked_add(input);
                *self = sum.expect(concat!("the sum of an accumulator is past ", stringify!($number)));
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
        /// The sum, rounded at each step; [`RunningStats`](crate::accumulator::RunningStats) rounds once.
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

/// All inputs, in the order of partitions and rows.
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
    /// What the task on this thread has added; nothing on a thread without one.
    static PARTS: RefCell<Option<TaskDeltas>> = const { RefCell::new(None) };
}

/// What one task has added, to each accumulator it has met, by its address.
#[derive(Default)]
pub(crate) struct TaskDeltas(Vec<(usize, Option<Box<dyn AnyPart>>)>);

struct Part<A: Accumulate> {
    whole: Accumulator<A>,
    part: A,
}

/// A part of an accumulator whose type is not named.
trait AnyPart: Any + Send {
    fn address(&self) -> usize;
    /// Adds what another part of the same accumulator has.
    fn absorb(&mut self, later: Box<dyn AnyPart>);
    fn merge(self: Box<Self>);
}

impl<A: Accumulate> AnyPart for Part<A> {
    fn address(&self) -> usize {
        self.whole.address()
    }

    fn absorb(&mut self, later: Box<dyn AnyPart>) {
        if let Ok(later) = (later as Box<dyn Any>).downcast::<Self>() {
            self.part.merge(later.part);
        }
    }

    fn merge(self: Box<Self>) {
        self.whole.lock().merge(self.part);
    }
}

impl TaskDeltas {
    /// The part of `whole` that the task on this thread has; nothing where no task runs. It is taken
    /// out while the user's code adds to it, which may add to others.
    fn take_out<A: Accumulate>(whole: &Accumulator<A>) -> Option<Box<Part<A>>> {
        let known = PARTS.with_borrow_mut(|parts| {
            let parts = parts.as_mut()?;
            let at = parts.place(whole.address());
            Some(parts.0[at].1.take())
        })?;
        let part = known.and_then(|part| (part as Box<dyn Any>).downcast::<Part<A>>().ok());
        Some(part.unwrap_or_else(|| {
            let part = whole.lock().zero();
            Box::new(Part { whole: whole.clone(), part })
        }))
    }

    fn put_back<A: Accumulate>(part: Box<Part<A>>) {
        let other = PARTS.with_borrow_mut(|parts| {
            let parts = parts.as_mut()?;
            let at = parts.place(part.address());
            parts.0[at].1.replace(part)
        });
        // Only an `add` that adds to its own accumulator leaves another one there.
        if let Some(other) = other {
            TaskDeltas(vec![(other.address(), Some(other))]).merge_into_task();
        }
    }

    /// Where the part of an accumulator is, or will be.
    #[inline]
    fn place(&mut self, address: usize) -> usize {
        self.0.binary_search_by_key(&address, |(address, _)| *address).unwrap_or_else(|at| {
            self.0.insert(at, (address, None));
            at
        })
    }

    /// What the work that is counted on this thread has added so far; it does not give it again.
    pub(crate) fn take_counted() -> TaskDeltas {
        PARTS.with_borrow_mut(|parts| parts.as_mut().map(std::mem::take)).unwrap_or_default()
    }

    /// Counts these with what the task on this thread has added.
    pub(crate) fn merge_into_task(self) {
        for later in self.0.into_iter().filter_map(|(_, part)| part) {
            let address = later.address();
            let own = PARTS.with_borrow_mut(|parts| {
                let parts = parts.as_mut()?;
                let at = parts.place(address);
                parts.0[at].1.take()
            });
            let joined = match own {
                Some(mut own) => {
                    own.absorb(later);
                    own
                }
                None => later,
            };
            PARTS.with_borrow_mut(|parts| {
                if let Some(parts) = parts {
                    let at = parts.place(address);
                    parts.0[at].1 = Some(joined);
                }
            });
        }
    }

    /// Adds the parts to their accumulators.
    pub(crate) fn merge(self) {
        self.0.into_iter().filter_map(|(_, part)| part).for_each(AnyPart::merge);
    }
}

/// Runs the work of a task, and gives what it added beside its result.
pub(crate) fn with_accumulators<R>(work: impl FnOnce() -> R) -> (R, TaskDeltas) {
    /// Gives back what the outer task has added: a task may run while another waits.
    struct Restore(Option<TaskDeltas>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PARTS.replace(self.0.take());
        }
    }
    let _restore = Restore(PARTS.replace(Some(TaskDeltas::default())));
    let result = work();
    (result, PARTS.take().unwrap_or_default())
}

//! Accumulators whose methods use the accumulator itself.

use super::*;

/// The method of an accumulator that calls the hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Clone,
    Zero,
    Add,
    Merge,
    Debug,
}

/// The function that each method calls with its own accumulator.
pub(super) type Hook = Arc<dyn Fn(&Accumulator<Hooked>, Call) + Send + Sync>;

/// A sum that calls a hook in every method.
pub(super) struct Hooked {
    pub(super) sum: u64,
    own: Arc<OnceLock<Accumulator<Hooked>>>,
    hook: Hook,
}

impl Hooked {
    pub(super) fn accumulator(
        ctx: &Context,
        hook: impl Fn(&Accumulator<Hooked>, Call) + Send + Sync + 'static,
    ) -> Accumulator<Hooked> {
        let own = Arc::new(OnceLock::new());
        let start = Hooked { sum: 0, own: Arc::clone(&own), hook: Arc::new(hook) };
        let accumulator = ctx.accumulator(start);
        let _ = own.set(accumulator.clone());
        accumulator
    }

    fn call(&self, call: Call) {
        assert_eq!(emberline_core::sync::held_locks(), 0, "{call:?}");
        if let Some(own) = self.own.get() {
            (self.hook)(own, call);
        }
    }

    fn of(&self, sum: u64) -> Hooked {
        Hooked { sum, own: Arc::clone(&self.own), hook: Arc::clone(&self.hook) }
    }
}

impl Clone for Hooked {
    fn clone(&self) -> Self {
        self.call(Call::Clone);
        self.of(self.sum)
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        assert!(emberline_core::sync::held_locks() == 0 || thread::panicking());
    }
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.call(Call::Debug);
        write!(f, "{}", self.sum)
    }
}

impl Accumulate for Hooked {
    type Input = u64;

    fn zero(&self) -> Self {
        self.call(Call::Zero);
        self.of(0)
    }

    fn add(&mut self, n: u64) {
        self.call(Call::Add);
        self.sum += n;
    }

    fn merge(&mut self, later: Self) {
        self.call(Call::Merge);
        self.sum += later.sum;
    }
}

/// Returns a hook that runs `work` in the first `times` calls of one method, and never inside itself.
fn at_first(
    wanted: Call,
    times: usize,
    work: impl Fn(&Accumulator<Hooked>) + Send + Sync + 'static,
) -> impl Fn(&Accumulator<Hooked>, Call) + Send + Sync + 'static {
    let left = AtomicUsize::new(times);
    let is_running = AtomicBool::new(false);
    move |own, call| {
        if call == wanted && !is_running.swap(true, Ordering::SeqCst) {
            let is_left =
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            if is_left.is_ok() {
                work(own);
            }
            is_running.store(false, Ordering::SeqCst);
        }
    }
}

const CALLS: [Call; 5] = [Call::Clone, Call::Zero, Call::Add, Call::Merge, Call::Debug];

// Case R-B3 of tests/PROMISES.md.
#[test]
fn an_accumulator_whose_methods_read_and_change_itself_neither_hangs_nor_loses_an_addition() {
    /// The work of the hook.
    type Work = fn(&Context, &Accumulator<Hooked>);
    let works: [(&str, u64, Work); 5] = [
        ("value", 0, |_, own| drop(own.value())),
        ("debug", 0, |_, own| drop(format!("{own:?}"))),
        ("add", 100, |_, own| own.add(100)),
        ("action", 0, |ctx, _| {
            let _ = ctx.range_with(2, 0..4_u32).count();
        }),
        ("own action", 400, |ctx, own| {
            let own = own.clone();
            let _ = ctx.range_with(2, 0..4_u32).for_each(move |_| own.add(100));
        }),
    ];
    test(move || {
        for (name, adds, work) in works {
            for wanted in CALLS {
                let ctx = context();
                let calls = Arc::new(AtomicUsize::new(0));
                let called = Arc::clone(&calls);
                let caller = ctx.clone();
                let hook = at_first(wanted, 1, move |own| {
                    // An action inside a task is an error of the task.
                    if !thread::current().name().is_some_and(|name| name.starts_with("emberline-"))
                    {
                        called.fetch_add(1, Ordering::SeqCst);
                        work(&caller, own);
                    }
                });
                let own = Hooked::accumulator(&ctx, hook);
                own.add(1);
                let adder = own.clone();
                ctx.range_with(2, 0..10_u32).for_each(move |_| adder.add(1))?;
                let _ = format!("{own:?}");
                let expected = 11 + adds * calls.load(Ordering::SeqCst) as u64;
                assert_eq!(own.value().sum, expected, "{name} in {wanted:?}");
                assert_eq!(own.take().sum, expected, "{name} in {wanted:?}");
            }
        }
        Ok(())
    });
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn a_merge_that_changes_its_own_accumulator_each_time_is_an_error() {
    type Work = fn(&Context, &Accumulator<Hooked>);
    let works: [(&str, Work); 3] = [
        ("add", |_, own| own.add(1)),
        ("take", |_, own| drop(own.take())),
        ("action", |ctx, own| {
            let own = own.clone();
            let _ = ctx.range_with(1, 0..1_u32).for_each(move |_| own.add(1));
        }),
    ];
    test(move || {
        for (name, work) in works {
            let ctx = context();
            let caller = ctx.clone();
            let hook = at_first(Call::Merge, usize::MAX, move |own| work(&caller, own));
            let own = Hooked::accumulator(&ctx, hook);
            let adder = own.clone();
            let other = ctx.accumulator(0_u64);
            let counter = other.clone();
            let added = ctx.range_with(2, 0..10_u32).for_each(move |_| {
                adder.add(1);
                counter.add(1);
            });
            let text = added.unwrap_err().to_string();
            assert!(text.contains("Accumulate"), "{name}: {text}");
            assert_eq!(other.value(), 0, "{name}");
            assert_eq!(ctx.range(0..3_u32).count()?, 3, "and the context still works");
        }
        Ok(())
    });
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn accumulators_may_read_each_other_on_many_threads() {
    test(|| {
        let ctx = context();
        let pair: Arc<[OnceLock<Accumulator<Hooked>>; 2]> = Arc::default();
        for number in 0..2 {
            let others = Arc::clone(&pair);
            let is_inside = AtomicBool::new(false);
            let hook = move |_: &_, _| {
                if !is_inside.swap(true, Ordering::SeqCst) {
                    let _ = others[1 - number].get().map(Accumulator::value);
                    is_inside.store(false, Ordering::SeqCst);
                }
            };
            let _ = pair[number].set(Hooked::accumulator(&ctx, hook));
        }
        let workers = (0..8_usize).map(|number| {
            let (ctx, own) = (ctx.clone(), pair[number % 2].get().unwrap().clone());
            thread::spawn(move || {
                for _ in 0..10 {
                    let adder = own.clone();
                    ctx.range_with(2, 0..4_u32).for_each(move |_| adder.add(1)).unwrap();
                    own.add(1);
                }
            })
        });
        workers.collect::<Vec<_>>().into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(pair.each_ref().map(|own| own.get().unwrap().value().sum), [200, 200]);
        Ok(())
    });
}

//! Random programs of nested actions, compared with a model.

use super::reentrant::{Call, Hooked};
use super::*;

/// The rows that an action of a program reads.
#[derive(Clone, Copy, Debug)]
enum Source {
    Plain,
    /// A persisted RDD or a shuffle, by number.
    Stored(usize),
}

/// One action of a random program.
#[derive(Clone, Debug)]
struct Action {
    number: usize,
    source: Source,
    /// Added to the large, the small and the hooked accumulator for each row of the result stage.
    adds: (u64, u8, u64),
    /// Added to the small accumulator by the merge on the driver.
    driver_add: u8,
    /// The row whose task panics.
    failing_row: Option<u32>,
    has_failing_merge: bool,
    /// Run by the merge on the driver.
    in_merge: Vec<Action>,
    /// Run by the merge of the hooked accumulator, if the action adds to it.
    in_accumulator: Vec<Action>,
}

const ROWS: u32 = 6;
/// The sources that store each row with one addition.
const FIRST_STORED: usize = 7;
/// All sources that are stored. Each one after the first ones reads another, with more additions.
const STORED: usize = 12;
/// The sources that they read.
const PARENTS: [usize; STORED - FIRST_STORED] = [5, 7, 0, 9, 8];

fn action() -> impl Strategy<Value = Action> {
    let source = prop_oneof![Just(Source::Plain), (0..STORED).prop_map(Source::Stored)];
    let adds = (
        0..3_u64,
        prop_oneof![3 => 0..3_u8, 1 => 20..60_u8],
        prop_oneof![2 => Just(0), 1 => 1..3_u64],
    );
    let failing_row = proptest::option::weighted(0.15, 0..ROWS);
    let shape = (source, adds, 0..3_u8, failing_row, proptest::bool::weighted(0.15));
    let leaf =
        shape.prop_map(|(source, adds, driver_add, failing_row, has_failing_merge)| Action {
            number: 0,
            source,
            adds,
            driver_add,
            failing_row,
            has_failing_merge,
            in_merge: Vec::new(),
            in_accumulator: Vec::new(),
        });
    leaf.prop_recursive(2, 8, 2, |inner| {
        let nested = proptest::collection::vec(inner.clone(), 0..3);
        (inner, nested.clone(), nested).prop_map(|(action, in_merge, in_accumulator)| Action {
            in_merge,
            in_accumulator,
            ..action
        })
    })
}

/// Numbers the actions, so that the model can name them.
fn number(actions: &mut [Action], next: &mut usize) {
    for action in actions {
        action.number = *next;
        *next += 1;
        number(&mut action.in_merge, next);
        number(&mut action.in_accumulator, next);
    }
}

/// The values that must count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Values {
    large: u64,
    small: u8,
    hooked: u64,
    list: Vec<u32>,
}

/// Returns the number that a stored source adds for each row.
fn adds_of(source: usize) -> u64 {
    if source < FIRST_STORED { 1 } else { 10 + source as u64 }
}

/// The values that a program must leave, computed without the engine.
#[derive(Default)]
struct Model {
    values: Values,
    has_counted: [bool; STORED],
    /// The actions whose merge of the hooked accumulator ran. If merging another accumulator fails
    /// first, it does not run.
    merged: HashSet<usize>,
}

impl Model {
    fn run_all(&mut self, actions: &[Action]) {
        for action in actions {
            self.run(action);
        }
    }

    /// Returns the sources whose additions count with the next action that reads `source`.
    fn uncounted(&self, source: Source) -> Vec<usize> {
        let parent = |source: &usize| Some(PARENTS[source.checked_sub(FIRST_STORED)?]);
        let first = match source {
            Source::Stored(number) => Some(number),
            Source::Plain => None,
        };
        let sources = successors(first, parent);
        sources.filter(|source| !self.has_counted[*source]).collect()
    }

    /// Runs an action, and returns true if it succeeds.
    fn run(&mut self, action: &Action) -> bool {
        if action.failing_row.is_some() {
            return false;
        }
        self.run_all(&action.in_merge);
        if action.has_failing_merge {
            return false;
        }
        if self.merged.contains(&action.number) {
            self.run_all(&action.in_accumulator);
        }
        let mut next = self.values.clone();
        let uncounted = self.uncounted(action.source);
        let rows = u64::from(ROWS);
        let (large, small, hooked) = action.adds;
        // A shuffled or stored source adds one, and its rows, for each row.
        next.large += rows * large;
        for source in &uncounted {
            next.large += rows * adds_of(*source);
            if *source < FIRST_STORED {
                next.list.extend(0..ROWS);
            }
        }
        next.hooked += rows * hooked;
        let small = rows as u32 * u32::from(small) + u32::from(action.driver_add);
        let Some(small) = u8::try_from(small).ok().and_then(|small| next.small.checked_add(small))
        else {
            return false;
        };
        next.small = small;
        self.values = next;
        uncounted.into_iter().for_each(|source| self.has_counted[source] = true);
        true
    }
}

/// The accumulators and sources of a program.
struct World {
    ctx: Context,
    large: Accumulator<u64>,
    small: Accumulator<u8>,
    hooked: Accumulator<Hooked>,
    list: Accumulator<Vec<u32>>,
    stored: Vec<Rdd<u32>>,
    /// The actions that the next merge of the hooked accumulator runs.
    in_accumulator: Mutex<Option<Action>>,
    /// The actions whose merge ran.
    merged: Mutex<HashSet<usize>>,
}

impl World {
    fn new(ctx: Context) -> Arc<World> {
        Arc::new_cyclic(|world: &std::sync::Weak<World>| {
            let world = world.clone();
            let hook = move |_: &_, call| {
                if call == Call::Merge {
                    let Some(world) = world.upgrade() else { return };
                    let Some(action) = world.in_accumulator.lock().unwrap().take() else { return };
                    world.merged.lock().unwrap().insert(action.number);
                    action.in_accumulator.into_iter().for_each(|inner| drop(world.run(inner)));
                }
            };
            let hooked = Hooked::accumulator(&ctx, hook);
            let (large, list) = (ctx.accumulator(0_u64), ctx.accumulator(Vec::new()));
            let rows = || {
                let (counter, log) = (large.clone(), list.clone());
                ctx.range_with(3, 0..ROWS).inspect(move |n| {
                    counter.add(1);
                    log.add(*n);
                })
            };
            let stored = LEVELS.map(|level| rows().persist(level));
            let combined = rows().map(|n| (n, n)).reduce_by_key(|a, _| a).keys().boxed();
            let moved = rows().repartition(2).boxed();
            let mut sources: Vec<_> = stored.into_iter().chain([combined, moved]).collect();
            for (number, parent) in PARENTS.into_iter().enumerate() {
                let counter = large.clone();
                let adds = adds_of(FIRST_STORED + number);
                let rows = sources[parent].inspect(move |_| counter.add(adds));
                sources.push(match number % 2 {
                    0 => rows.persist(LEVELS[number]),
                    _ => rows.map(|n| (n, n)).reduce_by_key(|a, _| a).keys().boxed(),
                });
            }
            World {
                stored: sources,
                small: ctx.accumulator(0),
                in_accumulator: Mutex::default(),
                merged: Mutex::default(),
                large,
                hooked,
                list,
                ctx,
            }
        })
    }

    fn run(self: &Arc<Self>, action: Action) -> Result<u32> {
        let rows = match action.source {
            Source::Plain => self.ctx.range_with(3, 0..ROWS).boxed(),
            Source::Stored(number) => self.stored[number].clone(),
        };
        let (large, small, hooked) = (self.large.clone(), self.small.clone(), self.hooked.clone());
        let Action { adds, failing_row, .. } = action;
        let adding = rows.map(move |n| {
            assert_ne!(Some(n), failing_row);
            large.add(adds.0);
            small.add(adds.1);
            if adds.2 > 0 {
                hooked.add(adds.2);
            }
            n
        });
        let world = Arc::clone(self);
        let left = AtomicBool::new(true);
        let merge = move |a: u32, b: u32| {
            if left.swap(false, Ordering::SeqCst) {
                world.small.add(action.driver_add);
                action.in_merge.iter().for_each(|inner| drop(world.run(inner.clone())));
                assert!(!action.has_failing_merge, "merging");
                let in_accumulator = Some(action.clone()).filter(|action| action.adds.2 > 0);
                *world.in_accumulator.lock().unwrap() = in_accumulator;
            }
            a + b
        };
        adding.aggregate(0, |sum, n| sum + n, merge)
    }

    fn values(&self) -> Values {
        Values {
            large: self.large.value(),
            small: self.small.value(),
            hooked: self.hooked.value().sum,
            list: self.list.value(),
        }
    }
}

// Case R-A8 of tests/PROMISES.md.
#[test]
fn programs_of_nested_actions_count_what_succeeded_and_nothing_else() {
    let config = ProptestConfig { cases: scaled(250) as u32, ..ProptestConfig::default() };
    let programs = proptest::collection::vec(action(), 1..6);
    proptest!(config, |(mut program in programs, threads in 1..4_usize, force_spill: bool)| {
        within(DEADLINE, move || {
            number(&mut program, &mut 0);
            let ctx = Context::builder().threads(threads).force_spill(force_spill).build().unwrap();
            let (world, mut model) = (World::new(ctx), Model::default());
            for action in program {
                let result = world.run(action.clone());
                model.merged.clone_from(&world.merged.lock().unwrap());
                let succeeds = model.run(&action);
                let text = format!("{result:?}");
                assert_eq!(result.is_ok(), succeeds, "{text}");
                let mut values = world.values();
                // A shuffle reads its rows in another order; the additions before it are in order.
                values.list.sort_unstable();
                let mut expected = model.values.clone();
                expected.list.sort_unstable();
                assert_eq!(values, expected, "after {text}");
            }
        });
    });
}

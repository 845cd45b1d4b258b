//! Default partitioners: Spark's cases of operations without an explicit partitioner, and of the ranges of
//! a sort.

use crate::support::*;
use emberline::prelude::*;

type Numbers = Rdd<(u32, u32)>;

fn plain(ctx: &Context, partitions: usize) -> Numbers {
    ctx.range_with(partitions, 0..300_u32).map(|n| (n, n)).boxed()
}

fn placed(ctx: &Context, partitions: usize) -> Numbers {
    plain(ctx, 2).partition_by(partitions)
}

/// Returns the number of partitions of every operation on these RDDs, which must be equal.
#[track_caller]
fn default_of_two(a: &Numbers, b: &Numbers) -> usize {
    let partitions = a.join(b).num_partitions();
    let others = [
        a.left_outer_join(b).num_partitions(),
        a.right_outer_join(b).num_partitions(),
        a.full_outer_join(b).num_partitions(),
        a.cogroup(b).num_partitions(),
        a.cogroup_iter(b).num_partitions(),
        b.join(a).num_partitions(),
        a.cogroup3(b, b).num_partitions(),
    ];
    assert_eq!(others, [partitions; 7]);
    partitions
}

// Case B175 of tests/spark_cases.md.
// Spark's case sets a default parallelism of 4, which is the result if no input has a partitioner; here
// the result is the most partitions of any input.
#[test]
fn default_partitioner_of_inputs_with_and_without_one() {
    test(|| {
        let ctx = context();
        let a = plain(&ctx, 150);
        let b = placed(&ctx, 10);
        let c = placed(&ctx, 100);
        let d = placed(&ctx, 9);
        let e = plain(&ctx, 11);
        assert_eq!(default_of_two(&a, &b), 150, "10 is less than a tenth of 150");
        assert_eq!(default_of_two(&b, &c), 100);
        assert_eq!(default_of_two(&c, &a), 100);
        for (first, second, third) in [(&a, &b, &c), (&b, &c, &a), (&c, &a, &b)] {
            assert_eq!(first.cogroup3(second, third).num_partitions(), 100);
        }
        assert_eq!(default_of_two(&d, &e), 9);
        assert_eq!(default_of_two(&e, &e), 11);
        assert_eq!(default_of_two(&a, &placed(&ctx, 3)), 150);
        Ok(())
    });
}

// `subtract_by_key` uses the partitioner of its left side, and `subtract` that of whole rows, which have none.
#[test]
fn subtractions_have_the_partitions_of_their_left_side() {
    test(|| {
        let ctx = context();
        let plain = plain(&ctx, 5);
        let placed = placed(&ctx, 3);
        assert_eq!(plain.subtract_by_key(&placed).num_partitions(), 5);
        assert_eq!(placed.subtract_by_key(&plain).num_partitions(), 3);
        assert_eq!(plain.subtract(&placed).num_partitions(), 5);
        assert_eq!(placed.subtract(&plain).num_partitions(), 3);
        assert_eq!(placed.intersection(&plain).num_partitions(), 5);
        Ok(())
    });
}

// Case B167 of tests/spark_cases.md.
// Spark compares the bounds of two sorts. Here the first action computes them, so they do not exist when a
// join is defined: the range partitioner of a sort equals only itself. Descending keys have another type.
#[test]
fn a_range_partitioner_equals_only_itself() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let constant = |partitions| ctx.range_with(partitions, 0..50_u32).map(|n| (7_u32, n));
        let one = constant(2).with_partitions(3).sort_pairs();
        let two = constant(5).with_partitions(3).sort_pairs();
        assert_eq!((one.count()?, two.count()?), (50, 50));
        let (rows, counts) = counter.during(|| one.join(&one).count());
        assert_eq!((rows?, counts.rows_written), (2500, 0));
        assert_eq!(one.union(&one).num_partitions(), 3);
        let (rows, counts) = counter.during(|| one.join(&two).count());
        assert_eq!((rows?, counts.rows_written), (2500, 50));
        assert_eq!(one.union(&two).num_partitions(), 6);
        Ok(())
    });
}

// Case B171 of tests/spark_cases.md.
#[test]
fn ranges_of_skewed_input_stay_even() {
    test(|| {
        let ctx = context();
        let skewed = ctx.generate(20, |partition| {
            let rows = if partition == 0 { 0..20_000_u64 } else { 0..100 };
            rows.map(move |n| (noise(n << 8 | partition as u64), n))
        });
        let sizes = sizes(&skewed.with_partitions(10).sort_pairs())?;
        let least = sizes.iter().min().unwrap();
        let most = sizes.iter().max().unwrap();
        assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (10, 21_900));
        assert!(*most < 3 * least, "{sizes:?}");
        Ok(())
    });
}

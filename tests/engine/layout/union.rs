//! `union`: the concatenation of any number of RDDs.

use super::{one_to_four, refused};
use crate::support::*;
use emberline::prelude::*;

#[test]
fn context_union_concatenates_in_argument_order() {
    for count in [0, 1, 2, 5] {
        let rows: Vec<i64> = (0..40).map(|n| noise(n) as i64).collect();
        check(rows.repeat(count), move |ctx, p| {
            // Each has another number of partitions.
            let parts = (0..count).map(|n| ctx.parallelize_with(p + n, rows.clone()));
            let all = ctx.union(parts);
            let partitions: usize = (0..count).map(|n| p + n).sum();
            assert_eq!(all.num_partitions(), partitions);
            all.collect()
        });
    }
}

#[test]
fn context_union_accepts_boxed_rdds_of_different_pipelines() {
    test(|| {
        let ctx = context();
        let numbers = one_to_four(&ctx);
        let none = ctx.parallelize_with(3, Vec::<i64>::new()).boxed();
        let all = [none.clone(), numbers.map(|n| n * 10).boxed(), none, numbers];
        assert_eq!(ctx.union(all).collect()?, [10, 20, 30, 40, 1, 2, 3, 4]);
        Ok(())
    });
}

// Case B085 of tests/spark_cases.md.
#[test]
fn union_of_numbers_with_zero_one_and_two_others() {
    test(|| {
        let ctx = context();
        let numbers = one_to_four(&ctx);
        for count in 1..4 {
            let all = ctx.union(vec![numbers.clone(); count]);
            assert_eq!(all.collect()?, [1, 2, 3, 4].repeat(count));
        }
        Ok(())
    });
}

// Case B087 of tests/spark_cases.md.
#[test]
fn union_keeps_a_partitioner_only_if_all_inputs_have_it() {
    test(|| {
        let ctx = context();
        let pairs = ctx.range_with(3, 0..12_i64).map(|n| (n % 4, n)).boxed();
        let left = pairs.partition_by(5);
        let right = pairs.map_values(|n| -n).partition_by(5);
        let together = ctx.union([left.clone(), right.clone(), left.clone()]);
        assert_eq!(together.num_partitions(), 5);
        let sums = together.with_partitions(5).reduce_by_key(|a, b| a + b);
        // Two shuffles before, and none for the sums.
        assert!(!sums.explain().to_string().contains("stage 3"), "{}", sums.explain());
        assert_eq!(sorted(sums.collect()?), [(0, 12), (1, 15), (2, 18), (3, 21)]);
        for (row, other) in together.glom().collect()?.into_iter().zip(left.glom().collect()?) {
            assert_eq!(row.len(), 3 * other.len());
            assert_eq!(row[..other.len()], other);
        }
        let plain = ctx.union([left.clone(), pairs]);
        assert_eq!(plain.num_partitions(), 8);
        assert_eq!(ctx.union([left.clone(), right.partition_by(4)]).num_partitions(), 9);
        Ok(())
    });
}

#[test]
fn rdds_without_partitions_do_not_affect_the_partitioner() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let none = || ctx.union(Vec::<Rdd<(i64, i64)>>::new()).boxed();
        let placed = ctx.range_with(3, 0..12_i64).map(|n| (n % 4, n)).partition_by(5);
        assert_eq!(placed.count()?, 12);
        let negative = placed.map_values(|n| -n).boxed();
        let unions = [
            (placed.union(&none()).boxed(), 12),
            (none().union(&placed).boxed(), 12),
            (ctx.union([none(), placed.clone(), none()]).boxed(), 12),
            (ctx.union([none(), placed.clone(), none(), negative]).boxed(), 24),
        ];
        for (union, rows) in unions {
            let (groups, counts) = counter.during(|| union.group_by_key().collect());
            let sizes = groups?.into_iter().map(|(_, values)| values.len()).collect::<Vec<_>>();
            assert_eq!((sizes, counts.rows_written), (vec![rows / 4; 4], 0));
            assert_eq!(union.num_partitions(), 5);
        }
        assert_eq!(none().union(&none()).num_partitions(), 0);
        Ok(())
    });
}

// Case B089 of tests/spark_cases.md.
#[test]
fn union_of_two_zips_repeats_their_pairs() {
    test(|| {
        let ctx = context();
        let numbers = ctx.parallelize(vec![1, 2]);
        let zipped = numbers.zip(&numbers);
        let all = ctx.union([zipped.clone(), zipped]);
        assert_eq!(sorted(all.collect()?), [(1, 1), (1, 1), (2, 2), (2, 2)]);
        Ok(())
    });
}

#[test]
fn a_union_of_no_rdds_is_empty_for_every_action() {
    test(|| {
        let ctx = context();
        let none = ctx.union(Vec::<Rdd<i64>>::new());
        assert_eq!(none.num_partitions(), 0);
        assert_eq!((none.count()?, none.collect()?, none.first()?), (0, Vec::new(), None));
        assert_eq!((none.take(3)?, none.reduce(|a, b| a + b)?), (Vec::new(), None));
        assert_eq!(none.fold(7, |a, b| a + b)?, 7);
        assert_eq!(none.union(&one_to_four(&ctx)).collect()?, [1, 2, 3, 4]);
        assert_eq!(none.map(|n| (n, n)).with_partitions(2).reduce_by_key(|a, b| a + b).count()?, 0);
        assert_eq!(none.map(|n| (n, n)).reduce_by_key(|a, b| a + b).count()?, 0);
        assert_eq!((none.distinct().count()?, none.sort_by_key(|n| *n).count()?), (0, 0));
        assert_eq!((none.subtract(&none).count()?, none.intersection(&none).count()?), (0, 0));
        Ok(())
    });
}

#[test]
fn context_union_refuses_an_rdd_of_another_context() {
    test(|| {
        let ctx = context();
        let other = context();
        let mixed = ctx.union([one_to_four(&ctx), one_to_four(&other)]);
        refused(&mixed, &["union at", "two contexts"]);
        Ok(())
    });
}

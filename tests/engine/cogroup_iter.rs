//! `cogroup_iter`: the rows of `cogroup`, as groups that are iterated.

use crate::support::*;
use emberline::prelude::*;

type Groups = (i64, (Group<i64>, Group<i64>));
type Lists = (i64, (Vec<i64>, Vec<i64>));

fn pairs(shift: i64) -> Vec<(i64, i64)> {
    (0..200).map(|n| (noise(n) as i64 % 20 + shift, n as i64)).collect()
}

fn in_lists((key, (values, others)): Groups) -> Lists {
    let sizes = (values.len(), others.len());
    let (again, lists) =
        (values.iter().count(), (values.iter().collect(), others.into_iter().collect()));
    assert_eq!((again, values.is_empty()), (sizes.0, sizes.0 == 0));
    let (left, right): &(Vec<i64>, Vec<i64>) = &lists;
    assert_eq!((left.len(), right.len()), sizes);
    (key, lists)
}

#[test]
fn cogroup_iter_yields_the_rows_of_cogroup_in_order() {
    for (left, right) in [(pairs(0), pairs(10)), (pairs(0), vec![]), (vec![], vec![])] {
        same_bytes(move |ctx, p| {
            let left = spread(ctx, p, &left);
            let right = spread(ctx, 3, &right);
            let groups = left.cogroup_iter(&right).map(in_lists).collect()?;
            assert_eq!(groups, left.cogroup(&right).collect()?);
            let groups = left.with_partitions(5).cogroup_iter(&right).map(in_lists).collect()?;
            assert_eq!(groups, left.with_partitions(5).cogroup(&right).collect()?);
            Ok(groups)
        });
    }
}

#[test]
fn cogroup_iter_does_not_shuffle_a_co_partitioned_side() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let placed = |shift| spread(&ctx, 3, &pairs(shift)).partition_by(4).cache();
        let left = placed(0);
        let right = placed(10);
        assert_eq!((left.count()?, right.count()?), (200, 200));
        let written = |rows: Rdd<Groups>| {
            let (count, counts) = counter.during(|| rows.count());
            count.map(|_| counts.rows_written)
        };
        assert_eq!(written(left.cogroup_iter(&right))?, 0);
        assert_eq!(
            written(left.cogroup_iter(&spread(&ctx, 2, &pairs(5))))?,
            200,
            "one side of two"
        );
        assert_eq!(written(left.with_partitions(7).cogroup_iter(&right))?, 400, "placed otherwise");
        Ok(())
    });
}

#[test]
fn a_cogroup_list_beyond_the_task_memory_limit_names_the_streaming_method() {
    test(|| {
        let ctx = Context::builder().threads(2).task_memory_bytes(4096).build()?;
        let rows = |n| ctx.range_with(3, 0..n).map(|n| (0_u8, n));
        let few = rows(512_u64);
        let many = rows(513);
        assert_eq!(few.cogroup(&few).count()?, 1);
        for refused in [few.cogroup(&many), many.with_partitions(2).cogroup(&few)] {
            let text = refused.count().unwrap_err().to_string();
            assert!(text.contains("513 values") && text.contains("`cogroup_iter`"), "{text}");
        }
        let sizes = many.cogroup_iter(&few).map_values(|(a, b)| (a.len(), b.len()));
        assert_eq!(sizes.collect()?, [(0, (513, 512))]);
        Ok(())
    });
}

//! Narrow operations keep or drop the partitioner, as shown by the rows that the next operation shuffles.

use crate::support::*;
use emberline::prelude::*;

type Numbers = Rdd<(u32, u32)>;
type Narrow = (&'static str, fn(&Numbers) -> Numbers);

/// Makes a hundred pairs with distinct keys, partitioned by hash into three, and computes the
/// shuffle.
fn placed(ctx: &Context) -> Numbers {
    let placed = ctx.range_with(4, 0..100_u32).map(|n| (n, n)).partition_by(3);
    placed.count().unwrap();
    placed
}

/// Counts the rows that a reduction after each operation shuffles, next to the rows of the
/// operation.
fn assert_moved_after(operations: Vec<Narrow>, moves: impl Fn(u64) -> u64 + Send + 'static) {
    test(move || {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let placed = placed(&ctx);
        for (name, step) in operations {
            let turned = step(&placed);
            let keys = turned.map(|(key, _)| key).collect()?.len() as u64;
            // Grouping does not combine: each row that moves is written.
            let (answer, counts) = counter.during(|| turned.group_by_key().count());
            assert!(answer? > 0, "{name}");
            assert_eq!(counts.rows_written, moves(keys), "{name} of {keys} rows");
        }
        Ok(())
    });
}

#[test]
fn operations_that_preserve_keys_keep_the_partitioner() {
    let operations: Vec<Narrow> = vec![
        ("filter", |rdd| rdd.filter(|row| row.0 % 2 == 0).boxed()),
        ("try_filter", |rdd| rdd.try_filter(|row| Ok(row.0 % 2 == 0)).boxed()),
        ("map_values", |rdd| rdd.map_values(|n| n + 1).boxed()),
        ("flat_map_values", |rdd| rdd.flat_map_values(|n| [n, n]).boxed()),
        ("broadcast_join", |rdd| rdd.broadcast_join(rdd).map_values(|both| both.0).boxed()),
        ("broadcast_left_outer_join", |rdd| {
            rdd.broadcast_left_outer_join(&rdd.filter(|row| row.0 > 9))
                .map_values(|both| both.0)
                .boxed()
        }),
        ("inspect", |rdd| rdd.inspect(|_| ()).boxed()),
        ("sample", |rdd| rdd.sample(0.5, 1).boxed()),
        ("sample_with_replacement", |rdd| rdd.sample_with_replacement(1.5, 1).boxed()),
        ("cache", |rdd| rdd.cache()),
        ("boxed", |rdd| rdd.boxed()),
        ("set_name", |rdd| rdd.set_name("named")),
        ("with.filter", |rdd| rdd.with(7).filter(|n, row| row.0 > *n).boxed()),
        ("union of both", |rdd| rdd.union(&rdd.filter(|row| row.0 > 9)).boxed()),
        ("union of all", |rdd| {
            rdd.context().union([rdd.clone(), rdd.cache(), rdd.map_values(|n| n).boxed()]).boxed()
        }),
    ];
    assert_moved_after(operations, |_| 0);
}

#[test]
fn operations_that_may_change_keys_or_partitions_drop_the_partitioner() {
    let operations: Vec<Narrow> = vec![
        ("map", |rdd| rdd.map(|row| row).boxed()),
        ("filter_map", |rdd| rdd.filter_map(Some).boxed()),
        ("flat_map", |rdd| rdd.flat_map(|row| [row, row]).boxed()),
        ("flat_map_into", |rdd| rdd.flat_map_into(|row, out| out.push(row)).boxed()),
        ("try_map", |rdd| rdd.try_map(Ok).boxed()),
        ("try_flat_map", |rdd| rdd.try_flat_map(|row| Ok([row])).boxed()),
        ("with.map", |rdd| rdd.with(1).map(|n, (key, m)| (key, m + n)).boxed()),
        ("with.filter_map", |rdd| rdd.with(1).filter_map(|_, row| Some(row)).boxed()),
        ("with.flat_map", |rdd| rdd.with(1).flat_map(|_, row| [row]).boxed()),
        ("map_partitions", |rdd| rdd.map_partitions(|rows| rows).boxed()),
        ("map_partitions_with_index", |rdd| rdd.map_partitions_with_index(|_, rows| rows).boxed()),
        ("key_by", |rdd| rdd.key_by(|row| row.0).map_values(|row| row.1).boxed()),
        ("keys", |rdd| rdd.keys().key_by(|key| *key).boxed()),
        ("values", |rdd| rdd.values().key_by(|n| *n).boxed()),
        ("glom", |rdd| rdd.glom().flat_map(|rows| rows).boxed()),
        ("zip", |rdd| rdd.keys().zip(&rdd.values()).boxed()),
        ("zip_partitions", |rdd| rdd.zip_partitions(rdd, |rows, _| rows).boxed()),
        ("coalesce to fewer", |rdd| rdd.coalesce(2).boxed()),
        ("coalesce to as many", |rdd| rdd.coalesce(3).boxed()),
        ("union with a plain one", |rdd| rdd.union(&rdd.map(|row| row)).boxed()),
        ("union with a plain one", |rdd| {
            rdd.context().union([rdd.clone(), rdd.map(|row| row).boxed()]).boxed()
        }),
        ("union of none", |rdd| {
            let plain = rdd.map(|row| row).boxed();
            rdd.context().union([plain.clone(), plain]).boxed()
        }),
    ];
    assert_moved_after(operations, |rows| rows);
}

#[test]
fn wide_operations_without_key_partitioning_have_no_partitioner() {
    let operations: Vec<Narrow> = vec![
        ("repartition", |rdd| rdd.repartition(3)),
        ("sort_by_key", |rdd| rdd.sort_by_key(|row| row.0)),
        ("sort_by", |rdd| rdd.sort_by(Ord::cmp)),
        ("subtract", |rdd| rdd.subtract(&rdd.filter(|row| row.0 > 50))),
        ("subtract with partitions", |rdd| {
            rdd.with_partitions(3).subtract(&rdd.filter(|row| row.0 > 50))
        }),
        ("intersection", |rdd| rdd.intersection(rdd)),
        ("intersection with partitions", |rdd| rdd.with_partitions(3).intersection(rdd)),
        ("distinct with partitions", |rdd| rdd.with_partitions(3).distinct()),
    ];
    test(move || {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let placed = placed(&ctx);
        for (name, step) in operations {
            let turned = step(&placed);
            let rows = turned.count()?;
            let (_, counts) = counter.during(|| turned.group_by_key().count());
            assert_eq!(counts.rows_written, rows, "{name}");
        }
        Ok(())
    });
}

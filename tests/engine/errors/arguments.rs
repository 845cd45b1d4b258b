//! An invalid argument is an error of the first action, not of the transformation.

use super::assert_blames;
use emberline::bounds::Element;
use emberline::prelude::*;
use std::panic::Location;
use testkit::{DEADLINE, within};

/// Checks that an RDD with zero partitions can be defined and explained, and that every action on it and
/// on RDDs derived from it returns the error of `operation`.
#[track_caller]
fn refused<T: Element>(
    operation: &'static str,
    make: impl FnOnce(&Context) -> Rdd<T> + Send + 'static,
) {
    let here = Location::caller();
    let errors = within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let rdd = make(&ctx);
        let text = rdd.explain().to_string();
        assert!(text.contains("problem"), "{text}");
        let downstream = rdd.map(|_| (1, 1)).reduce_by_key(|a, b| a + b);
        let errors = [rdd.count(), downstream.count(), rdd.take(1).map(|rows| rows.len() as u64)];
        assert_eq!(ctx.range(0..3_u64).count().unwrap(), 3);
        errors
    });
    for error in errors {
        let error = error.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }), "{error}");
        assert!(error.to_string().contains("at least 1"), "{error}");
        assert_blames(&error, operation, here);
    }
}

fn pairs(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(3, 0..9_u64).map(|n| (n, n)).boxed()
}

#[test]
fn a_source_with_zero_partitions_fails_its_first_action() {
    refused("generate", |ctx| ctx.generate(0, |_| [1_u8]).boxed());
    refused("range", |ctx| ctx.range_with(0, 0..3_u8).boxed());
    refused("parallelize", |ctx| ctx.parallelize_with(0, vec![1_u8]).boxed());
    refused("text_file", |ctx| ctx.text_file_with(Text::new().partitions(0), "Cargo.toml").boxed());
}

#[test]
fn a_combining_shuffle_into_zero_partitions_fails_its_first_action() {
    refused("reduce_by_key", |ctx| pairs(ctx).with_partitions(0).reduce_by_key(|a, b| a + b));
    refused("aggregate_by_key", |ctx| {
        pairs(ctx).with_partitions(0).aggregate_by_key(0, |a, b| a + b, |a, b| a + b)
    });
    refused("combine_by_key", |ctx| {
        pairs(ctx).with_partitions(0).combine_by_key(|v| v, |a, b| a + b, |a, b| a + b)
    });
    refused("distinct", |ctx| pairs(ctx).with_partitions(0).distinct());
}

#[test]
fn a_grouping_shuffle_into_zero_partitions_fails_its_first_action() {
    refused("group_by_key", |ctx| pairs(ctx).with_partitions(0).group_by_key());
    refused("group_by_key_iter", |ctx| pairs(ctx).with_partitions(0).group_by_key_iter());
    refused("cogroup", |ctx| pairs(ctx).with_partitions(0).cogroup(&pairs(ctx)));
    refused("join", |ctx| pairs(ctx).with_partitions(0).join(&pairs(ctx)));
}

#[test]
fn a_repartition_or_sort_into_zero_partitions_fails_its_first_action() {
    refused("partition_by", |ctx| pairs(ctx).partition_by(0));
    refused("repartition", |ctx| pairs(ctx).repartition(0));
    refused("sort_by_key", |ctx| pairs(ctx).with_partitions(0).sort_by_key(|pair| pair.1));
    refused("sort_pairs", |ctx| pairs(ctx).with_partitions(0).sort_pairs());
}

#[test]
fn every_operation_accepts_an_empty_input() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let empty = ctx.parallelize(Vec::<u64>::new());
        let none = ctx.range_with(3, 0..30_u64).filter(|_| false);
        for rows in [empty.boxed(), none.boxed()] {
            let pairs = rows.map(|n| (n, n)).boxed();
            assert!(rows.collect().unwrap().is_empty());
            assert_eq!(pairs.reduce_by_key(|a, b| a + b).count().unwrap(), 0);
            assert_eq!(pairs.with_partitions(3).group_by_key().count().unwrap(), 0);
            assert_eq!(pairs.join(&pairs).count().unwrap(), 0);
            assert_eq!(pairs.sort_pairs().count().unwrap(), 0);
            assert_eq!(rows.distinct().count().unwrap(), 0);
            assert!(rows.with_partitions(4).sort_by_key(|n| *n).collect().unwrap().is_empty());
            assert_eq!(rows.repartition(5).count().unwrap(), 0);
            assert_eq!(rows.union(&rows).cache().count().unwrap(), 0);
        }
    });
}

#[test]
fn every_action_accepts_an_empty_input() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let ctx = Context::builder().threads(2).build().unwrap();
        let empty = ctx.parallelize(Vec::<u64>::new());
        let none = ctx.range_with(3, 0..30_u64).filter(|_| false);
        for (number, rows) in [empty.boxed(), none.boxed()].into_iter().enumerate() {
            assert_eq!(rows.count().unwrap(), 0);
            assert_eq!(rows.first().unwrap(), None);
            assert!(rows.take(5).unwrap().is_empty());
            assert_eq!(rows.reduce(|a, b| a + b).unwrap(), None);
            assert_eq!(rows.fold(0, |a, b| a + b).unwrap(), 0);
            assert_eq!(rows.aggregate(1, |a, b| a + b, |a, b| a * b).unwrap(), 1);
            assert!(rows.top(3).unwrap().is_empty());
            assert!(rows.take_ordered(3).unwrap().is_empty());
            assert_eq!(rows.count_by_value().unwrap().len(), 0);
            rows.for_each(|_| panic!("there is no row")).unwrap();
            let path = folder.path().join(format!("out-{number}"));
            rows.save_as_text_file(&path).unwrap();
            assert!(path.join("_SUCCESS").exists());
        }
    });
}

#[test]
fn an_invalid_source_shows_in_explain_and_fails_the_first_action() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let line = line!() + 1;
        let lines = ctx.text_file("no/such/file.txt");
        let words = lines.map(|line| (line, 1_u64)).reduce_by_key(|a, b| a + b);
        let text = words.explain().to_string();
        assert!(text.contains("problem: no input at `no/such/file.txt`"), "{text}");
        for error in [lines.count().unwrap_err(), words.count().unwrap_err()] {
            assert!(matches!(error.kind(), ErrorKind::InputNotFound { .. }), "{error}");
            let site = format!("text_file at {}:{line}", file!());
            assert!(error.to_string().starts_with(&site), "{error}");
        }
    });
}

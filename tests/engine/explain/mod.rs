//! `explain` as text and as a picture: the branch of each operation, the metrics after a run, and names
//! with special characters.

mod picture;
mod tables;

use crate::cleanup::{files, scratch};

use crate::support::{context, test};
use emberline::prelude::*;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::on_stack;

/// Returns the text of `explain` without positions in this file.
fn shape<T: Send + 'static>(rdd: &Rdd<T>) -> String {
    let text = rdd.explain().to_string();
    let mut shape = String::new();
    for part in text.split_inclusive('\n') {
        let (before, after) = part.split_once(&format!(" at {}:", file!())).unwrap_or((part, ""));
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
        shape.push_str(&format!("{before}{after}"));
    }
    shape
}

#[test]
fn a_straight_chain_stays_in_one_column_source_first() {
    test(|| {
        let rows = context().range_with(2, 0..9_u64).map(|n| n + 1).filter(|n| n % 2 == 0);
        let wanted = "\
stage 0: 2 partitions, returns the result
  range
  map
  filter
";
        assert_eq!(shape(&rows), wanted);
        Ok(())
    });
}

#[test]
fn each_branch_has_a_rail_down_to_the_operation_that_joins_it() {
    test(|| {
        let ctx = context();
        let numbers = |partitions| ctx.range_with(partitions, 0..9_u64).boxed();
        let all = ctx.union([numbers(1), numbers(2).map(|n| n * 2).boxed(), numbers(3)]);
        let rows = all.set_name("all").filter(|n| *n > 1).zip(&numbers(6).map(|n| n)).cache();
        let wanted = "\
stage 0: 6 partitions, returns the result
  ┌─ range
  ├─ range
  │  map
  ├─ range
  └─ union \"all\"
  filter
  ├─ range
  │  map
  └─ zip
  cache, 0 of 6 partitions stored
";
        assert_eq!(shape(&rows), wanted);
        Ok(())
    });
}

#[test]
fn a_block_inside_a_later_branch_is_indented_and_a_loop_of_unions_is_not() {
    test(|| {
        let ctx = context();
        let one = || ctx.range_with(1, 0..9_u64).boxed();
        let inner = one().union(&one()).map(|n| n + 1);
        let wanted = "\
stage 0: 3 partitions, returns the result
  ┌─ range
  ├─ ┌─ range
  │  ├─ range
  │  └─ union
  │  map
  └─ union
";
        assert_eq!(shape(&one().union(&inner)), wanted);
        let mut rows = one();
        for _ in 0..3 {
            rows = rows.union(&one()).boxed();
        }
        let wanted = "\
stage 0: 4 partitions, returns the result
  ┌─ range
  ├─ range
  └─ union
  ├─ range
  └─ union
  ├─ range
  └─ union
";
        assert_eq!(shape(&rows), wanted);
        Ok(())
    });
}

#[test]
fn a_node_reached_twice_is_printed_once_and_referred_to() {
    test(|| {
        let rows = context().range_with(2, 0..9_u64).map(|n| n + 1).boxed();
        let wanted = "\
stage 0: 2 partitions, returns the result
  ┌─ range
  │  map [1]
  ├─ map, see [1]
  │  filter
  └─ zip
";
        assert_eq!(shape(&rows.zip(&rows.filter(|_| true))), wanted);
        Ok(())
    });
}

#[test]
fn a_co_partitioned_join_shows_which_side_reads_which_stage() {
    test(|| {
        let ctx = context();
        let pairs = ctx.range_with(3, 0..9_u64).map(|n| (n, n));
        let sums = pairs.with_partitions(2).reduce_by_key(|a, b| a + b);
        let joined = sums.join(&sums.map_values(|n| n + 1)).join(&pairs);
        let wanted = "\
stage 0: 3 partitions, writes a shuffle into 2 partitions
  range
  map
stage 1: 3 partitions, writes a shuffle into 2 partitions
  range
  map
stage 2: 2 partitions, reads stage 0, reads stage 1, returns the result
  ┌─ reduce_by_key [1], reads stage 0, partitioned by Hash(2)
  ├─ reduce_by_key, see [1]
  │  map_values, partitioned by Hash(2)
  └─ join, partitioned by Hash(2)
  join, reads stage 1, partitioned by Hash(2)
";
        assert_eq!(shape(&joined), wanted);
        Ok(())
    });
}

#[test]
fn a_problem_is_printed_below_its_operation_inside_its_branch() {
    test(|| {
        let ctx = context();
        let lines = ctx.text_file("no\u{1b}[2J/file").map(|_| 0_u64);
        let both = ctx.range_with(1, 0..9_u64).union(&lines).boxed();
        let text = shape(&both);
        assert!(
            text.contains("  ├─ text_file\n  │      problem: no input at `no\\u{1b}[2J"),
            "{text}"
        );
        let uneven = shape(&both.zip(&ctx.range_with(7, 0..9_u64)));
        assert!(uneven.contains("  └─ zip\n         problem: the left RDD has"), "{uneven}");
        Ok(())
    });
}

/// Sums of 400 numbers by their last digit, in four map tasks and three partitions.
fn sums(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(4, 0..400_u64)
        .map(|n| (n % 10, n))
        .with_partitions(3)
        .reduce_by_key(|a, b| a + b)
}

/// Returns the lines in brackets, which have the metrics of stages.
fn numbers<T: Send + 'static>(rdd: &Rdd<T>) -> Vec<String> {
    let text = rdd.explain().to_string();
    let lines = text.lines().filter_map(|line| line.strip_prefix("  (")?.strip_suffix(')'));
    lines.map(String::from).collect()
}

#[test]
fn metrics_appear_after_the_first_run_and_stay_when_outputs_are_reused() {
    test(|| {
        let sums = sums(&context());
        assert_eq!(numbers(&sums), [""; 0]);
        assert_eq!(sums.count()?, 10);
        let first = numbers(&sums);
        let wrote = "read 400 rows; 4 of 4 map outputs hold 40 rows, ";
        assert!(first[0].starts_with(wrote) && first[0].ends_with(" in memory"), "{first:?}");
        assert_eq!(first[1], "read 40 rows");
        assert_eq!(sums.count()?, 10);
        assert_eq!(numbers(&sums), first);
        let later = sums.map_values(|n| n + 1);
        assert_eq!(numbers(&later), first[..1], "the outputs are there, the action was on another");
        Ok(())
    });
}

#[test]
fn outputs_in_files_are_counted_in_encoded_bytes() {
    test(|| {
        let (folder, builder) = scratch();
        let sums = sums(&builder.build()?);
        sums.count()?;
        let bytes = files(folder.path()).into_iter().map(|file| fs::metadata(file).unwrap().len());
        let bytes = bytes.sum::<u64>();
        let wanted = format!("read 400 rows; 4 of 4 map outputs hold 40 rows, {bytes} B in files");
        assert_eq!(numbers(&sums)[0], wanted);
        Ok(())
    });
}

#[test]
fn a_lost_output_is_no_longer_counted() {
    test(|| {
        let (folder, builder) = scratch();
        let ctx = builder.build()?;
        let broken = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&broken);
        let rows =
            ctx.range_with(4, 0..400_u64).try_map(move |n| match fails.load(Ordering::SeqCst) {
                true => Err("broken".into()),
                false => Ok((n % 10, n)),
            });
        let sums = rows.with_partitions(3).reduce_by_key(|a, b| a + b);
        sums.count()?;
        fs::remove_file(&files(folder.path())[0]).unwrap();
        broken.store(true, Ordering::SeqCst);
        assert!(sums.count().is_err());
        let text = numbers(&sums)[0].clone();
        assert!(text.starts_with("read 300 rows; 3 of 4 map outputs hold 30 rows, "), "{text}");
        broken.store(false, Ordering::SeqCst);
        assert_eq!(sums.count()?, 10);
        let text = numbers(&sums)[0].clone();
        assert!(text.starts_with("read 400 rows; 4 of 4 map outputs hold 40 rows, "), "{text}");
        Ok(())
    });
}

#[test]
fn cached_rows_and_bytes_show_until_unpersist() {
    test(|| {
        let cached = context().range_with(4, 0..1_024_u64).map(|n| n + 1).cache();
        let line = || shape(&cached).lines().last().unwrap().to_string();
        assert_eq!(line(), "  cache, 0 of 4 partitions stored");
        assert_eq!(cached.first()?, Some(1));
        assert_eq!(line(), "  cache, 1 of 4 partitions stored, 256 rows, 2.0 KiB in memory");
        assert_eq!(cached.count()?, 1_024);
        assert_eq!(line(), "  cache, 4 of 4 partitions stored, 1,024 rows, 8.0 KiB in memory");
        cached.unpersist();
        assert_eq!(line(), "  cache, 0 of 4 partitions stored");
        Ok(())
    });
}

#[test]
fn cached_rows_count_once_when_computed_and_again_when_read() {
    test(|| {
        let ctx = context();
        let rows = ctx.range_with(4, 0..100_u64).cache();
        for _ in 0..2 {
            assert_eq!(rows.count()?, 100);
            assert_eq!(numbers(&rows), ["read 100 rows"], "of the range, then of the blocks");
        }
        let links = ctx
            .range_with(2, 0..60_u64)
            .map(|n| (n % 7, n))
            .with_partitions(3)
            .group_by_key()
            .cache();
        let both = links.join(&links.map_values(|_| 1.0));
        assert_eq!(both.count()?, 7);
        assert_eq!(numbers(&both)[1], "read 67 rows", "60 of the shuffle, 7 of the blocks");
        assert_eq!(both.count()?, 7);
        assert_eq!(numbers(&both).last().unwrap(), "read 14 rows", "7 of the blocks, twice");
        Ok(())
    });
}

#[test]
fn a_partial_action_shows_the_rows_it_read() {
    test(|| {
        let rows = context().range_with(8, 0..8_u64);
        assert_eq!(rows.take(6)?.len(), 6);
        let text = numbers(&rows)[0].clone();
        let read: u64 =
            text.strip_prefix("read ").unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((6..=8).contains(&read), "{text}");
        assert_eq!(rows.count()?, 8);
        assert_eq!(numbers(&rows), ["read 8 rows"]);
        Ok(())
    });
}

#[test]
fn an_rdd_of_two_contexts_can_be_explained() {
    test(|| {
        let one = context();
        let other = context();
        let deep = other.range_with(1, 0..9_u64).map(|n| n).map(|n| n).map(|n| n);
        let both = one.range_with(1, 0..9_u64).union(&deep).boxed();
        assert_eq!(both.explain().to_string().matches("map at").count(), 3);
        assert!(both.explain().to_string().contains("problem: "));
        Ok(())
    });
}

#[test]
fn ten_thousand_operations_are_explained_and_drawn_on_a_small_stack() {
    on_stack(2 << 20, || {
        let ctx = context();
        let mut rows = ctx.range_with(1, 0..9_u64).boxed();
        for _ in 0..10_000 {
            rows = rows.map(|n| n + 1).boxed();
        }
        let explained = rows.explain();
        assert_eq!(explained.to_string().lines().count(), 10_002);
        let svg = explained.svg();
        assert!(
            svg.contains("... 9,978 more operations ...") && svg.len() < 20_000,
            "{}",
            svg.len()
        );
        // Each round's union is the second branch of the next, so every round is nested one level deeper.
        let mut nested = ctx.range_with(1, 0..9_u64).boxed();
        for _ in 0..2_000 {
            nested = ctx.range_with(1, 0..9_u64).union(&nested).boxed();
        }
        let text = nested.explain().to_string();
        assert!(text.lines().count() == 4_002 && text.lines().all(|line| line.len() < 200));
        let mut wide = ctx.range_with(1, 0..9_u64).map(|n| (n, n)).boxed();
        for _ in 0..300 {
            wide = wide.reduce_by_key(|a, b| a + b).map(|(key, n)| (key + 1, n)).boxed();
        }
        assert_eq!(wide.explain().svg().matches("class=\"stage\"").count(), 301);
    });
}

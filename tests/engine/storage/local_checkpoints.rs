//! `local_checkpoint`: it truncates the lineage, and a lost block is a clear error.

use super::*;
use testkit::{DEADLINE, within};

// Case F072 of tests/PROMISES.md.
#[test]
fn a_local_checkpoint_stores_every_partition_and_truncates_the_lineage() {
    within(DEADLINE, || {
        for limit_bytes in [MIN_MEMORY_LIMIT_BYTES, 1 << 30] {
            let builder = Context::builder()
                .threads(2)
                .memory_limit_bytes(limit_bytes)
                .max_result_bytes(u64::MAX);
            let (ctx, recorder) = Recorder::on(builder);
            let calls = Calls::default();
            let checkpointed = calls.range(&ctx, 8, 300_000).local_checkpoint().unwrap();
            assert_eq!(calls.take(), 300_000);
            assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 8);
            assert_eq!(checkpointed.first().unwrap(), Some(noise(0)));
            assert!(checkpointed.collect().unwrap() == numbers(300_000));
            assert_eq!(checkpointed.refs().map(|n| *n).count().unwrap(), 300_000);
            let others = ctx.range_with(8, 0..100_000_u64).cache();
            assert_eq!(others.count().unwrap(), 100_000);
            assert!(checkpointed.collect().unwrap() == numbers(300_000));
            assert_eq!(calls.take(), 0);
            let plan = checkpointed.explain().to_string();
            assert!(plan.contains("local_checkpoint at") && !plan.contains("range"), "{plan}");
            assert!(plan.contains("8 of 8 partitions stored"), "{plan}");
        }
    });
}

// Case F072 of tests/PROMISES.md.
#[test]
fn a_lost_block_of_a_local_checkpoint_is_an_error_with_advice() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(1).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES);
        let ctx = builder.scratch_dir(folder.path()).build().unwrap();
        let checkpointed = ctx.range_with(8, 0..300_000_u64).map(noise).local_checkpoint().unwrap();
        let files = block_files(folder.path());
        assert!(!files.is_empty(), "all of it fitted the memory limit");
        for file in files {
            std::fs::remove_file(file).unwrap();
        }
        let error =
            assert_kind(checkpointed.count(), |kind| matches!(kind, ErrorKind::BlockLost { .. }));
        let text = error.to_string();
        let advises = text.contains("use checkpoint instead of local_checkpoint");
        assert!(advises && text.contains("the block of partition"), "{text}");
        assert_eq!(error.attempts(), 1, "{text}");
        assert_eq!(checkpointed.take(3).unwrap(), numbers(3), "the others are there");
    });
}

// Case F072 of tests/PROMISES.md.
#[test]
fn an_unpersisted_local_checkpoint_is_lost() {
    within(DEADLINE, || {
        let ctx = context();
        let checkpointed = ctx.range_with(2, 0..9_u64).local_checkpoint().unwrap();
        checkpointed.unpersist();
        assert_kind(checkpointed.collect(), |kind| {
            matches!(kind, ErrorKind::BlockLost { partition: 0 | 1, .. })
        });
    });
}

#[test]
fn a_local_checkpoint_keeps_the_partitioner_and_frees_its_parents() {
    within(DEADLINE, || {
        let ctx = context();
        let captured = Arc::new(());
        let held = Arc::clone(&captured);
        let pairs =
            ctx.range_with(3, 0..90_u64).map(move |n| (n % 9 + Arc::strong_count(&held) as u64, n));
        let checkpointed =
            pairs.with_partitions(4).reduce_by_key(|a, b| a + b).local_checkpoint().unwrap();
        drop(pairs);
        assert_eq!(Arc::strong_count(&captured), 1);
        let plan =
            checkpointed.with_partitions(4).reduce_by_key(|a, b| a + b).explain().to_string();
        assert!(!plan.contains("writes a shuffle"), "{plan}");
        assert_eq!(checkpointed.count().unwrap(), 9);
    });
}

#[test]
fn a_failed_local_checkpoint_leaves_nothing() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let builder = Context::builder().threads(1).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES);
        let (ctx, recorder) = Recorder::on(builder.scratch_dir(folder.path()));
        let rows = ctx.range_with(8, 0..300_000_u64).map(|n| {
            assert!(n != 299_999, "boom");
            n
        });
        let error = rows.local_checkpoint().map(drop).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
        assert_eq!(count_of(&recorder.events(&ctx), "BlocksDropped"), 1);
        assert_eq!(files_in(folder.path()), 0);
    });
}

//! Tests of `output` and `reader`.

use super::*;
use crate::map_output::builder::MapOutputBuilder;
use crate::map_output::builder::OUTPUT_BYTES;
use emberline_core::attempt::Attempt;
use emberline_core::config::Config;
use emberline_core::disk::{Disk, DiskReader, FaultyDisk, RealDisk};
use emberline_core::faults::{FaultPlan, Faults, fail_reads};
use emberline_core::ids::TaskId;
use emberline_core::unwind::Raised;
use proptest::prelude::*;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

const SHUFFLE: ShuffleId = ShuffleId(3);

type Row = (u32, String);

/// Returns tasks that store their output in memory, in files because of `force_spill`, and in files
/// because the memory limit is too small.
fn three_ways() -> [TaskContext; 3] {
    let to_files = Config { force_spill: true, ..Config::default() };
    let small = Config { memory_limit_bytes: 1, ..Config::default() };
    [Config::default(), to_files, small].map(TaskContext::for_test)
}

fn to_files(disk: impl Disk + 'static) -> TaskContext {
    let disk = Arc::new(disk);
    TaskContext::for_test(Config { force_spill: true, disk, ..Config::default() })
}

fn faulty(faults: impl Into<Faults>) -> FaultyDisk {
    FaultyDisk::new(Arc::new(RealDisk), faults)
}

fn rows(numbers: std::ops::Range<u32>) -> Vec<Row> {
    numbers.map(|n| (n, format!("row {n}"))).collect()
}

/// Makes three outputs for two partitions; the middle one has no rows for the second partition.
fn outputs(task: &TaskContext) -> MapOutputs<Row> {
    let outputs = MapOutputs::new(3);
    for (map_partition, second) in [(0, rows(10..20)), (1, vec![]), (2, rows(30..31))] {
        let segments = vec![rows(map_partition..map_partition + 1), second];
        let output = store(segments, task).unwrap();
        outputs.put(map_partition as usize, output).unwrap();
    }
    outputs
}

/// Makes an output of one run.
fn store(segments: Vec<Vec<Row>>, task: &TaskContext) -> Result<MapOutput<Row>> {
    let mut output = MapOutputBuilder::new(segments.len());
    output.add_rows(segments, task)?;
    output.finish(task)
}

fn lose(outputs: &MapOutputs<Row>, map_partition: usize) {
    assert!(lock(&outputs.table.slots[map_partition]).take().is_some());
}

/// Returns the length of the file of each output, or `None` for one in memory.
fn file_bytes(outputs: &MapOutputs<Row>) -> Vec<Option<u64>> {
    let of_output =
        |slot| lock(slot).as_ref().unwrap().file.as_ref().map(|(_, index)| index.file_bytes);
    outputs.table.slots.iter().map(of_output).collect()
}

fn read(outputs: &MapOutputs<Row>, partition: usize, task: &TaskContext) -> Result<Vec<Row>> {
    let (mut reader, mut rows) = (outputs.read(Some(SHUFFLE), partition, task), Vec::new());
    while let Some(chunk) = reader.next_chunk()? {
        rows.extend_from_slice(chunk.rows());
    }
    Ok(rows)
}

fn scratch_files(task: &TaskContext) -> Vec<std::path::PathBuf> {
    let Some(folder) = task.scratch.dir() else { return Vec::new() };
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
    files.sort();
    files
}

/// Checks that a fetch failure names the lost output and the reason.
fn assert_lost(result: Result<Vec<Row>>, map_partition: usize, why: &str) {
    let error = result.expect_err(why);
    assert_eq!(error.fetch_failure(), Some((SHUFFLE, map_partition)), "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn rows_come_in_map_partition_order_in_memory_and_from_files() {
    for task in three_ways() {
        let outputs = outputs(&task);
        let second = [rows(10..20), rows(30..31)].concat();
        assert_eq!(read(&outputs, 0, &task).unwrap(), rows(0..3));
        assert_eq!(read(&outputs, 1, &task).unwrap(), second);
        assert_eq!(task.metrics().rows_read, 14);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn files_and_memory_give_the_same_rows(
        maps in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((any::<u32>(), ".{0,9}"), 0..9), 3), 0..6),
    ) {
        let expected = |p: usize| maps.iter().flat_map(|m| m[p].clone()).collect::<Vec<_>>();
        for task in three_ways() {
            let outputs = MapOutputs::new(maps.len());
            for (at, map) in maps.iter().enumerate() {
                outputs.put(at, store(map.clone(), &task).unwrap()).unwrap();
            }
            for partition in 0..3 {
                prop_assert_eq!(read(&outputs, partition, &task).unwrap(), expected(partition));
            }
        }
    }
}

#[test]
fn outputs_are_reserved_or_in_files_and_released() {
    let [memory, files, small] = three_ways();
    let stored = outputs(&memory);
    assert!(memory.memory.used_bytes() > 14 * size_of::<Row>() as u64);
    assert_eq!(file_bytes(&stored), [None; 3]);
    assert_eq!((memory.metrics().bytes_spilled, scratch_files(&memory).len()), (0, 0));
    drop(stored);
    assert_eq!(memory.memory.used_bytes(), 0);
    for task in [files, small] {
        let stored = outputs(&task);
        let bytes = file_bytes(&stored).into_iter().map(Option::unwrap).sum::<u64>();
        assert_eq!((task.metrics().bytes_spilled, scratch_files(&task).len()), (bytes, 3));
        let own_bytes = 3 * (OUTPUT_BYTES + size_of::<MapRun>()) as u64;
        assert!(task.memory.used_bytes() < own_bytes + 300, "no more than where the rows are");
        drop(stored);
        assert_eq!((scratch_files(&task).len(), task.memory.used_bytes()), (0, 0));
    }
}

#[test]
fn an_output_without_rows_makes_no_file() {
    for task in three_ways() {
        let outputs = MapOutputs::new(1);
        outputs.put(0, store(vec![vec![], vec![]], &task).unwrap()).unwrap();
        assert_eq!(read(&outputs, 1, &task).unwrap(), []);
        assert_eq!(scratch_files(&task).len(), 0);
    }
}

#[test]
fn a_missing_output_is_a_fetch_failure_until_it_is_put_again() {
    for task in three_ways() {
        let outputs = outputs(&task);
        lose(&outputs, 1);
        assert_lost(read(&outputs, 1, &task), 1, "does not exist");
        outputs.put(1, store(vec![vec![], rows(7..9)], &task).unwrap()).unwrap();
        let expected = [rows(10..20), rows(7..9), rows(30..31)].concat();
        assert_eq!(read(&outputs, 1, &task).unwrap(), expected);
    }
}

#[test]
fn a_reader_that_failed_gives_no_more_rows() {
    let task = TaskContext::for_test(Config::default());
    let outputs = outputs(&task);
    lose(&outputs, 0);
    let mut reader = outputs.read(Some(SHUFFLE), 1, &task);
    for _ in 0..3 {
        assert_eq!(reader.next_chunk().unwrap_err().fetch_failure(), Some((SHUFFLE, 0)));
    }
}

#[test]
fn a_removed_cut_or_changed_file_is_a_fetch_failure() {
    let [_, task, _] = three_ways();
    let outputs = outputs(&task);
    let last = &scratch_files(&task)[2];
    let bytes = fs::read(last).unwrap();
    fs::write(last, &bytes[..bytes.len() - 1]).unwrap();
    assert_lost(read(&outputs, 1, &task), 2, "were written");
    let mut changed = bytes.clone();
    // The first byte after the header of the first frame.
    changed[24] ^= 4;
    fs::write(last, &changed).unwrap();
    assert_lost(read(&outputs, 0, &task), 2, "checksum");
    assert_eq!(read(&outputs, 1, &task).unwrap().len(), 11, "the other segment is whole");
    fs::write(last, vec![b'?'; bytes.len()]).unwrap();
    assert_lost(read(&outputs, 1, &task), 2, "does not begin as a frame");
    fs::remove_file(last).unwrap();
    assert_lost(read(&outputs, 1, &task), 2, "removed");
}

#[test]
fn a_disk_that_loses_or_changes_bytes_is_detected() {
    let task = to_files(faulty(FaultPlan::new().truncate_file(1, 1)));
    assert_lost(read(&outputs(&task), 0, &task), 1, "were written");
    let task = to_files(faulty(FaultPlan::new().flip_append(2)));
    let outputs = outputs(&task);
    let read = [0, 1].map(|partition| read(&outputs, partition, &task));
    let [lost] = read.into_iter().filter_map(Result::err).collect::<Vec<_>>().try_into().unwrap();
    assert_lost(Err(lost), 2, "");
}

/// A file whose reads fail with an error of the operating system.
struct BadSector(i32);

impl DiskReader for BadSector {
    fn len(&self) -> std::io::Result<u64> {
        Err(std::io::Error::from_raw_os_error(self.0))
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
        self.len().map(drop)
    }
}

// Case E04 of tests/PROMISES.md.
#[test]
fn an_output_that_cannot_be_read_twice_is_lost_and_others_are_not() {
    let faults = FaultPlan::new().fail_reads_of_map_output(SHUFFLE, 1).arm();
    let disk = Arc::new(faulty(&faults));
    let (force_spill, faults) = (true, Some(faults));
    let task = TaskContext::for_test(Config { force_spill, disk, faults, ..Config::default() });
    let outputs = outputs(&task);
    let file = lock(&outputs.table.slots[1]).as_ref().unwrap().path().map(Path::to_path_buf);
    fail_reads(task.config.faults.as_ref(), SHUFFLE, 1, file.as_deref());
    let error = read(&outputs, 0, &task).unwrap_err();
    assert_eq!(others_of(&error), []);
    assert_lost(Err(error), 1, "injected fault");
    assert_eq!(outputs.storage_stats().stored_partitions, 2);
    assert_lost(read(&outputs, 0, &task), 1, "injected fault");
    assert_eq!(
        read(&outputs, 1, &task).unwrap().len(),
        11,
        "it has no rows for the second partition"
    );
    outputs.put(1, store(vec![rows(1..2), vec![]], &task).unwrap()).unwrap();
    assert_eq!(read(&outputs, 0, &task).unwrap(), rows(0..3));
}

// Case E06 of tests/PROMISES.md.
#[test]
fn an_output_is_never_lost_because_of_too_many_open_files() {
    let outputs = outputs(&to_files(RealDisk));
    let task = to_files(RealDisk);
    let mut reader = outputs.read(Some(SHUFFLE), 0, &task);
    reader.untyped.output = lock(&outputs.table.slots[0]).clone();
    let refused = |code| {
        let open = OpenFile::new(Box::new(BadSector(code)), "shuffle-0");
        let index = FileIndex { segments: vec![], file_bytes: 9 };
        reader.untyped.as_fetch_failure(open.check_length(&index).unwrap_err()).fetch_failure()
    };
    let (eio, [emfile, enfile, enomem]) = (5, [24, 23, 12]);
    for code in [emfile, enfile, enomem].repeat(2) {
        assert_eq!(refused(code), None, "{code}");
    }
    assert_eq!([refused(emfile), refused(eio)], [None, Some((SHUFFLE, 0))]);
}

/// Returns the other outputs that a fetch failure reports as lost.
fn others_of(error: &Error) -> Vec<usize> {
    match error.kind() {
        ErrorKind::FetchFailed { others, .. } => others.clone(),
        _ => panic!("no fetch failure: {error}"),
    }
}

#[test]
fn a_reader_that_finds_one_output_lost_checks_all_and_names_the_lost_ones() {
    let [_, task, _] = three_ways();
    let outputs = outputs(&task);
    let files = scratch_files(&task);
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[2], b"short").unwrap();
    let error = read(&outputs, 1, &task).unwrap_err();
    assert_eq!(others_of(&error), [2]);
    assert_lost(Err(error), 0, "and 1 other output");
    assert_eq!(outputs.storage_stats().stored_partitions, 1);
    // A later reader does not access the disk, and reports the same.
    fs::remove_file(&files[1]).unwrap();
    assert_eq!(others_of(&read(&outputs, 0, &task).unwrap_err()), [2]);
    for (at, second) in [(0, rows(10..20)), (2, rows(30..31))] {
        let first = rows(at..at + 1);
        outputs.put(at as usize, store(vec![first, second], &task).unwrap()).unwrap();
    }
    assert_lost(read(&outputs, 0, &task), 1, "removed");
}

/// Makes an output with the given digest.
fn with_digest(digest: u64, task: &TaskContext) -> MapOutput<Row> {
    let mut output = store(vec![rows(0..1), rows(1..2)], task).unwrap();
    output.untyped.digest = digest;
    output
}

#[test]
fn a_lost_output_in_memory_is_compared_with_its_replacement() {
    for task in three_ways() {
        let outputs = MapOutputs::new(1);
        outputs.put(0, with_digest(1, &task)).unwrap();
        assert_eq!(read(&outputs, 0, &task).unwrap().len(), 1);
        outputs.apply_damage(0, Damage::Lost);
        assert_eq!(read(&outputs, 0, &task).unwrap_err().fetch_failure(), Some((SHUFFLE, 0)));
        let changed = Changed { before: 2, now: 2 };
        assert_eq!(outputs.put(0, with_digest(2, &task)), Err(changed));
        outputs.put(0, with_digest(1, &task)).unwrap();
        assert_eq!(read(&outputs, 0, &task).unwrap().len(), 1);
    }
}

// Case E20 of tests/PROMISES.md.
#[test]
fn an_equal_replacement_of_a_read_output_counts_as_read() {
    let [task, ..] = three_ways();
    let outputs = MapOutputs::new(1);
    outputs.put(0, with_digest(1, &task)).unwrap();
    outputs.put(0, with_digest(2, &task)).unwrap();
    assert_eq!(read(&outputs, 0, &task).unwrap().len(), 1);
    // A cancelled attempt may still store its output.
    outputs.put(0, with_digest(2, &task)).unwrap();
    assert!(outputs.put(0, with_digest(3, &task)).is_err(), "the second one was read");
}

/// Stores one output and reads it.
fn store_and_read(task: &TaskContext) -> Result<Vec<Row>> {
    let outputs = MapOutputs::new(1);
    outputs.put(0, store(vec![rows(0..1), rows(10..20)], task)?).unwrap();
    read(&outputs, 1, task)
}

// Each disk operation fails once. Writers return the error of the disk, and readers read again.
#[test]
fn a_disk_that_refuses_once_is_an_io_error_or_read_again_and_not_a_lost_output() {
    let faults = FaultPlan::new().arm();
    assert_eq!(store_and_read(&to_files(faulty(&faults))).unwrap(), rows(10..20));
    // The last operation removes the file.
    let operations = faults.disk_operations() - 1;
    assert!(operations >= 5);
    let mut read_again = 0;
    for operation in 0..operations {
        let task = to_files(faulty(FaultPlan::new().fail_disk_operation(operation)));
        let error = match store_and_read(&task) {
            Ok(read) => {
                assert_eq!(read, rows(10..20), "{operation}");
                read_again += 1;
                continue;
            }
            Err(error) => error,
        };
        assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{operation}: {error}");
        assert!(error.to_string().contains("shuffle-"), "{error}");
        assert_eq!(scratch_files(&task).len(), 0, "{operation}");
    }
    assert!(read_again >= 2, "{read_again}: opening and reading");
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn every_output_that_fails_one_read_is_read_again_and_none_is_lost() {
    let faults = FaultPlan::new().arm();
    let task = to_files(faulty(&faults));
    let (written, before) = (outputs(&task), faults.disk_operations());
    let expected = read(&written, 0, &task).unwrap();
    let each = (faults.disk_operations() - before) / 3;
    assert!(each >= 2, "opening and reading");
    for operation in 0..each {
        // One read of each of the three outputs fails, and is repeated.
        let failing = (0..3).map(|output| before + output * (each + 1) + operation);
        let plan = failing.fold(FaultPlan::new(), FaultPlan::fail_disk_operation);
        let task = to_files(faulty(plan));
        assert_eq!(read(&outputs(&task), 0, &task).unwrap(), expected, "operation {operation}");
    }
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn a_reader_that_finds_one_flipped_bit_verifies_all_outputs_and_names_the_damaged_ones() {
    for segment in [0, 1] {
        let [_, task, _] = three_ways();
        let outputs = outputs(&task);
        let files = scratch_files(&task);
        for file in [&files[0], &files[2]] {
            let mut bytes = fs::read(file).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(file, bytes).unwrap();
        }
        let mut found = Vec::new();
        for segment in [segment, 1 - segment] {
            if let Err(error) = read(&outputs, segment, &task) {
                let (_, first) = error.fetch_failure().unwrap();
                found.push([vec![first], others_of(&error)].concat());
            }
        }
        found.iter_mut().for_each(|lost| lost.sort_unstable());
        assert!(!found.is_empty() && found.iter().all(|lost| *lost == [0, 2]), "{found:?}");
        assert_eq!(outputs.storage_stats().stored_partitions, 1);
    }
}

#[test]
fn a_cancelled_task_reads_no_further() {
    let task = TaskContext::for_test(Config::default());
    let attempt = Arc::new(Attempt::new(TaskId(0), Arc::default()));
    let (config, memory, scratch) =
        (task.config.clone(), task.memory.clone(), task.scratch.clone());
    let task = TaskContext::new(task.attempt_id, config, memory, scratch, attempt.clone());
    let outputs = outputs(&task);
    let mut reader = outputs.read(Some(SHUFFLE), 0, &task);
    assert!(reader.next_chunk().unwrap().is_some());
    attempt.cancel();
    let caught = catch_unwind(AssertUnwindSafe(|| reader.next_chunk().is_ok())).unwrap_err();
    let raised = caught.downcast::<Raised>().unwrap();
    assert!(matches!(raised.0.kind(), ErrorKind::Cancelled { .. }));
}

#[test]
fn outputs_cross_threads() {
    fn crosses_threads<T: Send + Sync + 'static>() {}
    crosses_threads::<MapOutputs<Row>>();
}

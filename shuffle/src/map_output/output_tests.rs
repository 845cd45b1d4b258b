//! Tests of `output` and `reader`.

use super::*;
use crate::map_output::builder::MapOutputBuilder;
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

/// Tasks that keep their output in memory, in files because they are told to, and in files because
/// the budget is too small.
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

/// Three outputs for two partitions; the middle one has nothing for the second.
fn outputs(task: &TaskContext) -> MapOutputs<Row> {
    let outputs = MapOutputs::new(3);
    for (map_partition, second) in [(0, rows(10..20)), (1, vec![]), (2, rows(30..31))] {
        let segments = vec![rows(map_partition..map_partition + 1), second];
        let output = keep(segments, task).unwrap();
        outputs.put(map_partition as usize, output).unwrap();
    }
    outputs
}

/// An output of one run.
fn keep(segments: Vec<Vec<Row>>, task: &TaskContext) -> Result<MapOutput<Row>> {
    let mut output = MapOutputBuilder::new(segments.len());
    output.add_rows(segments, task)?;
    output.finish(task)
}

fn lose(outputs: &MapOutputs<Row>, map_partition: usize) {
    assert!(lock(&outputs.table.slots[map_partition]).take().is_some());
}

/// The length of the file of each output, or nothing for one in memory.
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

/// A lost output is named, and so is what was wrong with it.
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
                outputs.put(at, keep(map.clone(), &task).unwrap()).unwrap();
            }
            for partition in 0..3 {
                prop_assert_eq!(read(&outputs, partition, &task).unwrap(), expected(partition));
            }
        }
    }
}

#[test]
fn what_is_kept_is_reserved_or_in_files_and_given_back() {
    let [memory, files, small] = three_ways();
    let kept = outputs(&memory);
    assert!(memory.memory.used_bytes() > 14 * size_of::<Row>() as u64);
    assert_eq!(file_bytes(&kept), [None; 3]);
    assert_eq!((memory.metrics().bytes_spilled, scratch_files(&memory).len()), (0, 0));
    drop(kept);
    assert_eq!(memory.memory.used_bytes(), 0);
    for task in [files, small] {
        let kept = outputs(&task);
        let bytes = file_bytes(&kept).into_iter().map(Option::unwrap).sum::<u64>();
        assert_eq!((task.metrics().bytes_spilled, scratch_files(&task).len()), (bytes, 3));
        let runs = 3 * size_of::<MapRun>() as u64;
        assert!(task.memory.used_bytes() < runs + 300, "no more than where the rows are");
        drop(kept);
        assert_eq!((scratch_files(&task).len(), task.memory.used_bytes()), (0, 0));
    }
}

#[test]
fn an_output_without_rows_makes_no_file() {
    for task in three_ways() {
        let outputs = MapOutputs::new(1);
        outputs.put(0, keep(vec![vec![], vec![]], &task).unwrap()).unwrap();
        assert_eq!(read(&outputs, 1, &task).unwrap(), []);
        assert_eq!(scratch_files(&task).len(), 0);
    }
}

#[test]
fn a_missing_output_is_a_fetch_failure_until_it_is_put_again() {
    for task in three_ways() {
        let outputs = outputs(&task);
        lose(&outputs, 1);
        assert_lost(read(&outputs, 1, &task), 1, "not there");
        outputs.put(1, keep(vec![vec![], rows(7..9)], &task).unwrap()).unwrap();
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
fn a_disk_that_loses_or_changes_bytes_is_found_out() {
    let task = to_files(faulty(FaultPlan::new().truncate_file(1, 1)));
    assert_lost(read(&outputs(&task), 0, &task), 1, "were written");
    let task = to_files(faulty(FaultPlan::new().flip_append(2)));
    let outputs = outputs(&task);
    let read = [0, 1].map(|partition| read(&outputs, partition, &task));
    let [lost] = read.into_iter().filter_map(Result::err).collect::<Vec<_>>().try_into().unwrap();
    assert_lost(Err(lost), 2, "");
}

/// Reads that fail with an error of the system.
struct BadSector(i32);

impl DiskReader for BadSector {
    fn len(&self) -> std::io::Result<u64> {
        Err(std::io::Error::from_raw_os_error(self.0))
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
        self.len().map(drop)
    }
}

#[test]
fn e04_an_output_that_the_disk_refuses_to_read_twice_is_lost_and_others_are_not() {
    let faults = FaultPlan::new().fail_reads_of_map_output(SHUFFLE, 1).arm();
    let disk = Arc::new(faulty(&faults));
    let (force_spill, faults) = (true, Some(faults));
    let task = TaskContext::for_test(Config { force_spill, disk, faults, ..Config::default() });
    let outputs = outputs(&task);
    let file = lock(&outputs.table.slots[1]).as_ref().unwrap().path().map(Path::to_path_buf);
    fail_reads(task.config.faults.as_ref(), SHUFFLE, 1, file.as_deref());
    let error = read(&outputs, 0, &task).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Io { .. }),
        "the first time it may be chance: {error}"
    );
    let error = read(&outputs, 0, &task).unwrap_err();
    assert_eq!(others_of(&error), []);
    assert_lost(Err(error), 1, "injected fault");
    assert_eq!(outputs.storage_stats().parts, 2);
    assert_lost(read(&outputs, 0, &task), 1, "injected fault");
    assert_eq!(read(&outputs, 1, &task).unwrap().len(), 11, "it has nothing for the second");
    outputs.put(1, keep(vec![rows(1..2), vec![]], &task).unwrap()).unwrap();
    assert_eq!(read(&outputs, 0, &task).unwrap(), rows(0..3));
}

#[test]
fn e06_too_few_open_files_say_nothing_of_an_output_however_often() {
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
    assert_eq!([refused(eio), refused(emfile), refused(eio)], [None, None, Some((SHUFFLE, 0))]);
}

/// The other outputs that a fetch failure says are gone.
fn others_of(error: &Error) -> Vec<usize> {
    match error.kind() {
        ErrorKind::FetchFailed { others, .. } => others.clone(),
        _ => panic!("no fetch failure: {error}"),
    }
}

#[test]
fn a_reader_that_finds_one_output_gone_looks_at_all_and_names_those_that_are() {
    let [_, task, _] = three_ways();
    let outputs = outputs(&task);
    let files = scratch_files(&task);
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[2], b"short").unwrap();
    let error = read(&outputs, 1, &task).unwrap_err();
    assert_eq!(others_of(&error), [2]);
    assert_lost(Err(error), 0, "and 1 others");
    assert_eq!(outputs.storage_stats().parts, 1);
    // A later reader does not access the disk, and reports the same.
    fs::remove_file(&files[1]).unwrap();
    assert_eq!(others_of(&read(&outputs, 0, &task).unwrap_err()), [2]);
    for (at, second) in [(0, rows(10..20)), (2, rows(30..31))] {
        let first = rows(at..at + 1);
        outputs.put(at as usize, keep(vec![first, second], &task).unwrap()).unwrap();
    }
    assert_lost(read(&outputs, 0, &task), 1, "removed");
}

/// An output with these rows and a digest of its own.
fn with_digest(digest: u64, task: &TaskContext) -> MapOutput<Row> {
    let mut output = keep(vec![rows(0..1), rows(1..2)], task).unwrap();
    output.untyped.digest = digest;
    output
}

#[test]
fn e20_an_output_in_memory_that_is_lost_is_compared_with_what_comes_in_its_place() {
    for task in three_ways() {
        let outputs = MapOutputs::new(1);
        outputs.put(0, with_digest(1, &task)).unwrap();
        assert_eq!(read(&outputs, 0, &task).unwrap().len(), 1);
        outputs.harm(0, Damage::Lost);
        assert_eq!(read(&outputs, 0, &task).unwrap_err().fetch_failure(), Some((SHUFFLE, 0)));
        let changed = Changed { before: 2, now: 2 };
        assert_eq!(outputs.put(0, with_digest(2, &task)), Err(changed));
        outputs.put(0, with_digest(1, &task)).unwrap();
        assert_eq!(read(&outputs, 0, &task).unwrap().len(), 1);
    }
}

#[test]
fn e20_what_was_read_is_remembered_when_an_equal_output_takes_its_place_unread() {
    let [task, ..] = three_ways();
    let outputs = MapOutputs::new(1);
    outputs.put(0, with_digest(1, &task)).unwrap();
    outputs.put(0, with_digest(2, &task)).unwrap();
    assert_eq!(read(&outputs, 0, &task).unwrap().len(), 1);
    // A cancelled attempt may still store its output.
    outputs.put(0, with_digest(2, &task)).unwrap();
    assert!(outputs.put(0, with_digest(3, &task)).is_err(), "the second one was read");
}

/// One output, kept and read.
fn keep_and_read(task: &TaskContext) -> Result<Vec<Row>> {
    let outputs = MapOutputs::new(1);
    outputs.put(0, keep(vec![rows(0..1), rows(10..20)], task)?).unwrap();
    read(&outputs, 1, task)
}

/// Every single operation fails once: the writer's error is its own, and a reader's is the disk's.
#[test]
fn a_disk_that_refuses_once_is_an_io_error_and_not_a_lost_output() {
    let faults = FaultPlan::new().arm();
    assert_eq!(keep_and_read(&to_files(faulty(&faults))).unwrap(), rows(10..20));
    // The last operation removes the file.
    let operations = faults.disk_operations() - 1;
    assert!(operations >= 5);
    for operation in 0..operations {
        let task = to_files(faulty(FaultPlan::new().fail_disk_operation(operation)));
        let error = keep_and_read(&task).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{operation}: {error}");
        assert!(error.to_string().contains("shuffle-"), "{error}");
        assert_eq!(scratch_files(&task).len(), 0, "{operation}");
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

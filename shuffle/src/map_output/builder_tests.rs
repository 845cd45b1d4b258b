//! Tests of `builder`.

use super::*;
use crate::map_output::output::MapOutputs;
use emberline_core::config::Config;
use emberline_core::disk::{FaultyDisk, RealDisk};
use emberline_core::error::ErrorKind;
use emberline_core::faults::{FaultPlan, Faults};
use std::fmt::Debug;
use std::fs;

const SEGMENTS: usize = 300;

fn tiny(force_spill: bool) -> TaskContext {
    TaskContext::for_test(Config { memory_limit_bytes: 1 << 20, force_spill, ..Config::default() })
}

/// Returns the rows of a segment of run `run`: none for most.
fn rows(run: usize, segment: usize) -> Vec<(u64, u64)> {
    let rows = if segment % 7 == run % 7 { 5 } else { 0 };
    (0..rows).map(|n| (run as u64, n)).collect()
}

fn output<R: Stored>(
    runs: usize,
    task: &TaskContext,
    rows: impl Fn(usize, usize) -> Vec<R>,
) -> Result<MapOutput<R>> {
    let mut output = MapOutputBuilder::new(SEGMENTS);
    for run in 0..runs {
        output.add_rows((0..SEGMENTS).map(|segment| rows(run, segment)), task)?;
    }
    output.finish(task)
}

#[test]
fn many_runs_are_merged_and_every_segment_has_its_rows_in_order() {
    check_segments(rows);
    // Rows that own memory are decoded and encoded; the frames of others are concatenated as bytes.
    let text = |(run, n): (u64, u64)| (run, n.to_string());
    check_segments(|run, segment| rows(run, segment).into_iter().map(text).collect());
}

fn check_segments<R: Stored + PartialEq + Debug>(rows: impl Fn(usize, usize) -> Vec<R>) {
    for runs in [1, 7, 8, 9, 64, 65, 200] {
        let task = tiny(true);
        let output = output(runs, &task, &rows).unwrap();
        let used_bytes = index_bytes(&output.untyped.runs);
        // A few runs of a level may stay unmerged, with all segments each.
        assert!(used_bytes <= max_index_bytes(&task) + 8 * SEGMENTS, "{runs}: {used_bytes}");
        let outputs = MapOutputs::own(output);
        for segment in 0..SEGMENTS {
            let mut reader = outputs.read(None, segment, &task);
            let mut found = Vec::new();
            while let Some(chunk) = reader.next_chunk().unwrap() {
                found.extend_from_slice(chunk.rows());
            }
            let expected: Vec<_> = (0..runs).flat_map(|run| rows(run, segment)).collect();
            assert_eq!(found, expected, "{runs} runs, segment {segment}");
        }
    }
}

#[test]
fn runs_in_memory_stay_between_those_in_the_file() {
    let task = tiny(false);
    let mut builder = MapOutputBuilder::new(1);
    let mut taken = None;
    for run in 0..40_u64 {
        // At times another task has all the memory.
        let is_short = !(18..22).contains(&run);
        taken = is_short.then(|| taken.take().unwrap_or_else(|| all_of(&task)));
        builder.add_rows([vec![run; 3]], &task).unwrap();
    }
    let output = builder.finish(&task).unwrap();
    let in_memory =
        output.untyped.runs.iter().filter(|run| matches!(run, MapRun::InMemory { .. })).count();
    assert_eq!(in_memory, 4);
    let (outputs, mut found) = (MapOutputs::own(output), Vec::new());
    let mut reader = outputs.read(None, 0, &task);
    while let Some(chunk) = reader.next_chunk().unwrap() {
        found.extend_from_slice(chunk.rows());
    }
    assert_eq!(found, (0..40).flat_map(|run| [run; 3]).collect::<Vec<u64>>());
}

/// Returns the error of merging runs whose file was damaged.
fn merged_after(damage: impl Fn(&mut Vec<u8>)) -> ErrorKind {
    let task = tiny(true);
    let mut output = MapOutputBuilder::new(SEGMENTS);
    for run in 0..7 {
        output.add_rows((0..SEGMENTS).map(|segment| rows(run, segment)), &task).unwrap();
    }
    let written = output.untyped.file.as_mut().unwrap();
    written.writer.flush().unwrap();
    let path = written.file.path();
    let mut bytes = fs::read(path).unwrap();
    damage(&mut bytes);
    fs::write(path, bytes).unwrap();
    output.untyped.merge_from(0, 1, concatenate::<(u64, u64)>, &task).unwrap_err().kind().clone()
}

#[test]
fn a_merge_finds_out_that_its_file_was_cut_or_changed() {
    let cut = merged_after(|bytes| bytes.truncate(bytes.len() - 1));
    assert!(matches!(cut, ErrorKind::Corrupt { .. }), "{cut:?}");
    for part in 1..10 {
        let changed = merged_after(|bytes| {
            let at = bytes.len() * part / 10;
            bytes[at] ^= 0xa5;
        });
        assert!(matches!(changed, ErrorKind::Corrupt { .. }), "{part}: {changed:?}");
    }
}

#[test]
fn a_disk_that_refuses_one_operation_is_an_io_error_or_no_row_is_lost() {
    let mut refused = 0;
    for operation in 0..200 {
        let faults = Faults::from(FaultPlan::new().fail_disk_operation(operation));
        let disk = FaultyDisk::new(Arc::new(RealDisk), &faults);
        let config = Config { memory_limit_bytes: 1 << 20, force_spill: true, ..Config::default() };
        let task = TaskContext::for_test(Config { disk: Arc::new(disk), ..config });
        match output(40, &task, rows) {
            Ok(output) => assert_eq!(output.rows(), output_rows(40)),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Io { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

fn output_rows(runs: usize) -> u64 {
    (0..runs)
        .flat_map(|run| (0..SEGMENTS).map(move |segment| rows(run, segment).len() as u64))
        .sum()
}

fn all_of(task: &TaskContext) -> Reservation {
    let free = task.memory.limit_bytes() - task.memory.used_bytes();
    task.memory.try_reserve(free).unwrap()
}

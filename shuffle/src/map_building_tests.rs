//! Tests of `map_building`.

use super::*;
use crate::map_output::MapOutputs;
use emberline_core::config::Config;

const SEGMENTS: usize = 300;

fn tiny(shuffle_to_files: bool) -> TaskContext {
    TaskContext::alone(Config { budget_bytes: 1 << 20, shuffle_to_files, ..Config::default() })
}

/// The rows that run `run` has for a segment: none for most.
fn rows(run: usize, segment: usize) -> Vec<(u64, u64)> {
    let rows = if segment % 7 == run % 7 { 5 } else { 0 };
    (0..rows).map(|n| (run as u64, n)).collect()
}

fn output(runs: usize, task: &TaskContext) -> MapOutput<(u64, u64)> {
    let mut output = MapOutputBuilder::new(SEGMENTS);
    for run in 0..runs {
        output.add_run((0..SEGMENTS).map(|segment| rows(run, segment)).collect(), task).unwrap();
    }
    output.finish(task).unwrap()
}

#[test]
fn many_runs_are_merged_and_every_segment_has_its_rows_in_order() {
    for runs in [1, 7, 8, 9, 64, 65, 200] {
        let task = tiny(true);
        let output = output(runs, &task);
        let places = place_bytes(&output.runs);
        // Fewer runs of a level than are merged may stay, of all segments each.
        assert!(places <= most_places(&task) + 8 * SEGMENTS, "{runs}: {places}");
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
        // Now and then somebody else has all the memory.
        let is_short = !(18..22).contains(&run);
        taken = is_short.then(|| taken.take().unwrap_or_else(|| all_of(&task)));
        builder.add_run(vec![vec![run; 3]], &task).unwrap();
    }
    let output = builder.finish(&task).unwrap();
    let in_memory = output.runs.iter().filter(|run| matches!(run, MapRun::Typed { .. })).count();
    assert_eq!(in_memory, 4);
    let (outputs, mut found) = (MapOutputs::own(output), Vec::new());
    let mut reader = outputs.read(None, 0, &task);
    while let Some(chunk) = reader.next_chunk().unwrap() {
        found.extend_from_slice(chunk.rows());
    }
    assert_eq!(found, (0..40).flat_map(|run| [run; 3]).collect::<Vec<u64>>());
}

fn all_of(task: &TaskContext) -> Reservation {
    let free = task.memory.limit_bytes() - task.memory.used_bytes();
    task.memory.try_reserve(free).unwrap()
}

//! Tests of the text and the size of errors.

use super::*;

#[test]
fn an_error_is_one_pointer_wide_and_can_cross_threads() {
    fn crosses_threads<T: Send + Sync + 'static>() {}
    crosses_threads::<Error>();
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

#[test]
fn the_text_names_operation_call_site_stage_partition_attempt_and_cause() {
    let task = TaskAttemptId { job: JobId(0), stage: StageId(2), partition: 7, attempt: 1 };
    let operation = Operation::new("map");
    let text = Error::new(ErrorKind::ClosureFailed)
        .caused_by("not a number")
        .in_operation(operation)
        .in_task(task)
        .in_action(Operation::new("collect"))
        .to_string();
    assert!(text.starts_with(&format!("map at {}", operation.call_site)), "{text}");
    assert!(text.contains("not a number"), "{text}");
    assert!(text.contains("stage 2, partition 7, attempt 1"), "{text}");
    assert!(text.contains("collect at"), "{text}");
}

#[test]
fn the_text_names_the_attempts_if_there_was_more_than_one() {
    let error = Error::corrupt("a frame's checksum");
    assert!(!error.to_string().contains("after"), "{error}");
    let same = vec![error.clone(); 3];
    let text = error.clone().after_attempts(4, same).to_string();
    assert!(text.ends_with("checksum after 4 attempts"), "{text}");
    let other = Error::new(ErrorKind::ClosureFailed).caused_by("no number");
    let text = error.after_attempts(2, vec![other]).to_string();
    assert!(text.ends_with("failed with: a closure returned an error: no number"), "{text}");
}

#[test]
fn the_first_operation_is_retained() {
    let first = Operation::new("map");
    let second = Operation::new("filter");
    let error = Error::new(ErrorKind::ClosureFailed).in_operation(first).in_operation(second);
    assert_eq!(error.operation(), Some(first));
}

#[test]
fn a_fetch_failure_counts_the_other_lost_outputs_and_gives_advice() {
    let text = |others: Vec<usize>| {
        Error::new(ErrorKind::FetchFailed { shuffle: ShuffleId(0), map_partition: 1, others })
            .to_string()
    };
    assert!(text(vec![]).contains("shuffle 0 is lost: check the disks"), "{}", text(vec![]));
    assert!(text(vec![2]).contains("is lost, and 1 other output: check"), "{}", text(vec![2]));
    assert!(text(vec![2, 3]).contains("is lost, and 2 other outputs: check"));
}

#[test]
fn an_operation_that_is_not_deterministic_is_named_and_each_of_several_is() {
    let text = |operations: &str| {
        Error::new(ErrorKind::NotDeterministic {
            shuffle: ShuffleId(0),
            map_partition: 0,
            rows_before: 1,
            rows_after: 2,
            operations: operations.into(),
        })
        .to_string()
    };
    assert!(text("map at a.rs:1").contains("): map at a.rs:1 must return the same rows"));
    let two = text("map at a.rs:1, generate at a.rs:2");
    assert!(two.contains("): each of map at a.rs:1, generate at a.rs:2 must return"), "{two}");
}

//! Each disk operation fails, once or from then on.

use super::{Counted, lines_of, names_in, on_disk, whole_answer, whole_job};
use emberline::fault::FaultPlan;
use emberline::prelude::*;
use testkit::{DEADLINE, eventually, within};

/// The outcome of a run with a fault plan.
struct Ended {
    outcome: Result<Counted>,
    fired: u64,
    operations: u64,
    /// The names at the path of the output.
    left: Vec<String>,
}

/// Runs the job in folders of its own. Whatever its outcome, the engine leaves no file, and
/// an output is whole.
fn run(plan: FaultPlan, what: &str) -> Ended {
    let scratch = tempfile::tempdir().unwrap();
    let outputs = tempfile::tempdir().unwrap();
    let output = outputs.path().join("out");
    let faults = plan.arm();
    let ctx = on_disk(scratch.path()).faults(&faults).build().unwrap();
    let outcome = whole_job(&ctx, &output);
    eventually(&format!("{what}: an empty memory pool"), || ctx.memory_used_bytes() == 0);
    drop(ctx);
    eventually(&format!("{what}: an empty scratch folder"), || names_in(scratch.path()).is_empty());
    let (counted, lines) = whole_answer();
    if output.exists() {
        assert!(lines_of(&output) == lines, "{what}: the output is half or wrong");
    }
    match &outcome {
        Ok(answer) => assert!(*answer == counted && output.exists(), "{what}: {answer:?}"),
        Err(error) => names_its_cause(error, what),
    }
    let fired = faults.fired();
    let operations = faults.disk_operations();
    Ended { outcome, fired, operations, left: names_in(outputs.path()) }
}

/// Checks that an error names the disk operation, the line of this test and the injected cause.
fn names_its_cause(error: &Error, what: &str) {
    let kind = error.kind();
    let typed = matches!(kind, ErrorKind::Io { .. } | ErrorKind::FetchFailed { .. });
    let text = error.to_string();
    let placed = text.contains("fault_injection/mod.rs:") && error.operation().is_some();
    assert!(typed && placed && text.contains("injected fault"), "{what}: {text}");
}

#[test]
fn any_disk_operation_may_fail_once_without_a_leak() {
    within(2 * DEADLINE, || {
        let mut survived = 0;
        let mut operation = 0;
        loop {
            let what = format!("operation {operation} fails once");
            let ended = run(FaultPlan::new().fail_disk_operation(operation), &what);
            match &ended.outcome {
                Ok(_) => survived += 1,
                // A failed deletion was retried.
                Err(_) => assert_eq!(ended.left, [""; 0], "{what}"),
            }
            if ended.fired == 0 {
                assert!(operation >= ended.operations, "{what} did not happen");
                break;
            }
            operation += 1;
        }
        assert!(operation > 60, "the job has {operation} operations only");
        assert!(survived * 10 > operation * 7, "{survived} of {operation} survived");
    });
}

#[test]
fn a_disk_that_fails_from_any_operation_on_is_an_error_with_its_cause() {
    within(2 * DEADLINE, || {
        let mut failed = 0;
        let mut operation = 0;
        loop {
            let what = format!("operations from {operation} on fail");
            let ended = run(FaultPlan::new().fail_from(operation), &what);
            failed += u64::from(ended.outcome.is_err());
            if ended.fired == 0 {
                break;
            }
            operation += 1;
        }
        // The last operations only remove what is no longer needed.
        assert!(operation > 60 && failed * 10 > operation * 7, "{failed} of {operation} failed");
    });
}

#[test]
fn a_disk_that_is_full_after_any_number_of_bytes_is_a_clear_error() {
    within(2 * DEADLINE, || {
        let mut failed = 0;
        let mut bytes = 0;
        loop {
            let what = format!("the disk is full after {bytes} bytes");
            let ended = run(FaultPlan::new().full_after(bytes), &what);
            if ended.fired == 0 {
                break;
            }
            // A partition that cannot be stored on disk is not stored.
            if let Err(error) = &ended.outcome {
                assert!(error.to_string().contains("full"), "{what}: {error}");
                assert_eq!(ended.left, [""; 0], "{what}: half an output is left");
                failed += 1;
            }
            bytes += 127;
        }
        assert!(bytes > 5_000 && failed > 20, "{failed} failed in {bytes} bytes");
    });
}

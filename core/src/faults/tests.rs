//! Tests of fault plans.

use super::*;
use crate::ids::JobId;

fn task(stage: u64, partition: usize, attempt: usize) -> TaskAttemptId {
    TaskAttemptId { job: JobId(0), stage: StageId(stage), partition, attempt }
}

#[test]
fn only_the_chosen_attempt_of_the_chosen_task_fails() {
    let faults = FaultPlan::new().fail_task(StageId(1), 2, 3).arm();
    for (stage, partition, attempt) in [(0, 2, 3), (1, 1, 3), (1, 2, 2), (1, 2, 4)] {
        end_task(Some(&faults), &task(stage, partition, attempt)).unwrap();
    }
    let error = end_task(Some(&faults), &task(1, 2, 3)).unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("injected fault"), "{error}");
    assert_eq!(faults.fired(), 1);
}

#[test]
fn first_attempts_of_the_chosen_stage_panic_and_no_others() {
    let faults = FaultPlan::new().panic_in_stage(StageId(1)).arm();
    begin_task(Some(&faults), &task(0, 0, 0));
    begin_task(Some(&faults), &task(1, 0, 1));
    for partition in 0..2 {
        let begin = || begin_task(Some(&faults), &task(1, partition, 0));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(begin)).unwrap_err();
    }
}

#[test]
fn damage_happens_as_often_as_it_was_planned() {
    let shuffle = ShuffleId(1);
    let rdd = RddId(1);
    let plan = FaultPlan::new()
        .damage_map_output(shuffle, 0, Damage::Lost)
        .damage_map_output(shuffle, 0, Damage::Corrupted)
        .damage_block(rdd, 0, Damage::Truncated);
    let faults = plan.arm();
    assert_eq!(damage_to_output(Some(&faults), ShuffleId(0), 0), None);
    assert_eq!(damage_to_output(Some(&faults), shuffle, 1), None);
    assert_eq!(damage_to_output(Some(&faults), shuffle, 0), Some(Damage::Lost));
    assert_eq!(damage_to_output(Some(&faults), shuffle, 0), Some(Damage::Corrupted));
    assert_eq!(damage_to_output(Some(&faults), shuffle, 0), None);
    assert_eq!(damage_to_block(Some(&faults), rdd, 0), Some(Damage::Truncated));
    assert_eq!(damage_to_block(Some(&faults), rdd, 0), None);
}

#[test]
fn without_a_plan_no_fault_is_injected() {
    FailPoint::ALL.into_iter().for_each(|point| hit(None, point));
    begin_task(None, &task(0, 0, 0));
    end_task(None, &task(0, 0, 0)).unwrap();
    assert_eq!(damage_to_output(None, ShuffleId(0), 0), None);
}

#[test]
fn each_fail_point_is_counted_separately() {
    let faults = FaultPlan::new().kill_at(FailPoint::ScratchDirCreated, 9).arm();
    for (visits, point) in FailPoint::ALL.into_iter().enumerate() {
        assert_eq!(point as usize, visits, "the order of `ALL` is that of the type");
        (0..visits).for_each(|_| hit(Some(&faults), point));
    }
    assert_eq!(FailPoint::ALL.map(|point| faults.hits(point)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_file_is_deleted_truncated_or_corrupted_in_one_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let after = |damage: Damage| {
        std::fs::write(&path, b"abcdef").unwrap();
        damage.inflict(&path).unwrap();
        std::fs::read(&path).ok()
    };
    assert_eq!(after(Damage::Lost), None);
    assert_eq!(after(Damage::Truncated).unwrap(), b"abc");
    assert_eq!(after(Damage::Corrupted).unwrap(), b"abceef");
}

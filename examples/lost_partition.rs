//! Recovery of a lost map output: its file is deleted during a job, and the events show which tasks
//! run again.
//!
//! ```text
//! cargo run --release --example lost_partition
//! ```
//!
//! Prints the events of the scheduler and the tasks in order, and then one line
//! `rerun_tasks=N answer=same`: the number of successful tasks that had to run again, and a
//! comparison with the result of a run without the loss.

use emberline::event::{Event, EventRecord};
use emberline::fault::{Damage, FaultPlan};
use emberline::id::ShuffleId;
use emberline::prelude::*;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

fn main() -> Result<(), BoxError> {
    let (answer, _) = run(FaultPlan::new())?;
    // The output of map task 2 is deleted as soon as the task has written it.
    let plan = FaultPlan::new().damage_map_output(ShuffleId(0), 2, Damage::Lost);
    let (recovered, events) = run(plan)?;
    events.iter().filter_map(line).for_each(|line| println!("{line}"));
    let same = if recovered == answer { "same" } else { "different" };
    println!("rerun_tasks={} answer={same}", rerun_tasks(&events));
    Ok(())
}

type Sums = Vec<(u64, u64)>;

/// Returns the sums of a few numbers by their last digit, and all events. One thread makes their
/// order deterministic.
fn run(plan: FaultPlan) -> emberline::Result<(Sums, Vec<Event>)> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&events);
    let listener = move |record: &EventRecord| recorded.lock().unwrap().push(record.event.clone());
    let builder = Context::builder().threads(1).force_spill(true).faults(plan);
    let ctx = builder.listener(listener).build()?;
    let sums = sums(&ctx, |n| (n % 10, n)).collect()?;
    ctx.flush_listeners();
    let events = std::mem::take(&mut *events.lock().unwrap());
    Ok((sums, events))
}

/// Sums 400 numbers with four map tasks and two reduce tasks. `key` is called once per number.
pub fn sums<F>(ctx: &Context, key: F) -> Rdd<(u64, u64)>
where
    F: Fn(u64) -> (u64, u64) + Send + Sync + 'static,
{
    ctx.range_with(4, 0..400_u64).map(key).with_partitions(2).reduce_by_key(|a, b| a + b)
}

/// Formats the events of interest.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::StageStarted { stage, attempt, tasks } => {
            format!("{stage}, attempt {attempt}: {tasks} tasks")
        }
        Event::TaskFinished { stage, partition, .. } => {
            format!("  {stage}, task {partition}: done")
        }
        Event::TaskFailed { stage, partition, .. } => {
            format!("  {stage}, task {partition}: cannot read its input")
        }
        Event::OutputLost { map_partition, .. } => {
            format!("output of map task {map_partition} is lost")
        }
        Event::StageFinished { stage } => format!("{stage}: done"),
        _ => return None,
    })
}

/// Returns the number of tasks that succeeded more than once.
pub fn rerun_tasks(events: &[Event]) -> usize {
    let mut finished = HashSet::new();
    let again = |event: &&Event| match event {
        Event::TaskFinished { stage, partition, .. } => !finished.insert((*stage, *partition)),
        _ => false,
    };
    events.iter().filter(again).count()
}

//! What happens when a piece of the work is lost? The file of one map output is removed from the disk in
//! the middle of a job, and the events show which tasks run again: one map task, and those that read.
//!
//! ```text
//! cargo run --release --example lost_partition
//! ```
//!
//! Prints what the scheduler and the tasks did, in order, and then one line `rerun_tasks=N
//! answer=same`: how many tasks that had ended well had to run again, and whether the answer is the
//! one of a run without the loss.

use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{
    event::{Event, EventRecord},
    id::ShuffleId,
};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

fn main() -> Result<(), BoxError> {
    let (answer, _) = run(FaultPlan::new())?;
    // The output of map partition 2 goes as soon as its task has written it.
    let plan = FaultPlan::new().damage_map_output(ShuffleId(0), 2, Damage::Lost);
    let (recovered, events) = run(plan)?;
    events.iter().filter_map(line).for_each(|line| println!("{line}"));
    let same = if recovered == answer { "same" } else { "different" };
    println!("rerun_tasks={} answer={same}", rerun_tasks(&events));
    Ok(())
}

type Sums = Vec<(u64, u64)>;

/// The sums of a few numbers by their last digit, and everything that happened. One thread, so that the
/// order of the events is the same each time.
fn run(plan: FaultPlan) -> emberline::Result<(Sums, Vec<Event>)> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let listener = move |record: &EventRecord| heard.lock().unwrap().push(record.event.clone());
    let builder = Context::builder().threads(1).force_spill(true).faults(plan);
    let ctx = builder.listener(listener).build()?;
    let sums = sums(&ctx, |n| (n % 10, n)).collect()?;
    ctx.flush_listeners();
    let events = std::mem::take(&mut *events.lock().unwrap());
    Ok((sums, events))
}

/// Four map tasks and two that read them. `key` is called once for each of 400 numbers.
pub fn sums<F>(ctx: &Context, key: F) -> Rdd<(u64, u64)>
where
    F: Fn(u64) -> (u64, u64) + Send + Sync + 'static,
{
    ctx.range_with(4, 0..400_u64).map(key).with_partitions(2).reduce_by_key(|a, b| a + b)
}

/// What an event says, of those that tell the story.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::StageStarted { stage, attempt, tasks } => {
            format!("{stage}, attempt {attempt}: {tasks} tasks to run")
        }
        Event::TaskFinished { stage, partition, .. } => {
            format!("  {stage}, task {partition}: done")
        }
        Event::TaskFailed { stage, partition, .. } => {
            format!("  {stage}, task {partition}: cannot read its input")
        }
        Event::OutputLost { map_partition, .. } => {
            format!("the output of map task {map_partition} is lost")
        }
        Event::StageFinished { stage } => format!("{stage}: done"),
        _ => return None,
    })
}

/// How many tasks ended well more than once.
pub fn rerun_tasks(events: &[Event]) -> usize {
    let mut ended = HashSet::new();
    let again = |event: &&Event| match event {
        Event::TaskFinished { stage, partition, .. } => !ended.insert((*stage, *partition)),
        _ => false,
    };
    events.iter().filter(again).count()
}

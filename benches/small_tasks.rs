//! The cost of an empty task, compared with a rayon pool and a channel.

mod hand;
mod support;

use emberline::prelude::*;
use support::Options;

const TASKS: u64 = 100_000;

fn main() -> Result<(), BoxError> {
    for options in Options::read(TASKS, TASKS)? {
        let ctx = options.context()?;
        let tasks = options.rows;
        let by_hand = || hand::small_tasks::small_tasks(tasks);
        support::measure("small_tasks", &options, || small_tasks(&ctx, tasks), by_hand)?;
        let us_a_task = ctx.last_job().map(|job| job.wall_us() as f64 / tasks as f64);
        let us_a_task = us_a_task.unwrap_or(0.0);
        let threads = options.threads;
        println!("bench=small_tasks_each tasks={tasks} threads={threads} us_a_task={us_a_task:.2}");
    }
    Ok(())
}

/// Runs one task per row; `count` reads none of the rows.
fn small_tasks(ctx: &Context, tasks: u64) -> emberline::Result<u64> {
    ctx.range_with(tasks as usize, 0..tasks).count()
}

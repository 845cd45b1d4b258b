//! Empty tasks, each spawned on a rayon pool and reported through a channel.

use std::sync::mpsc::channel;

pub fn small_tasks(tasks: u64) -> u64 {
    let (sender, ends) = channel();
    rayon::scope(|scope| {
        for task in 0..tasks {
            let sender = sender.clone();
            scope.spawn(move |_| sender.send(task).expect("the receiver waits"));
        }
        drop(sender);
    });
    ends.iter().count() as u64
}

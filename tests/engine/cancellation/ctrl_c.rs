//! Ctrl-C, in a child process.

#![cfg(unix)]

use super::endless;
use emberline::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, within};

/// Set for the child, and in no other run of the tests.
const CHILD: &str = "EMBERLINE_TEST_CTRL_C";
/// Its value if a job runs at the end.
const BUSY: &str = "busy";

// The test below runs this in a child process.
#[test]
#[ignore = "it waits for Ctrl-C"]
fn child_process_that_receives_ctrl_c() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    within(DEADLINE, || {
        let build = || Context::builder().threads(1).cancel_on_ctrl_c(true).build().unwrap();
        let ctx = build();
        let other = build();
        let deaf = Context::local().unwrap();
        let rows = endless(&ctx).0;
        let others = endless(&other).0;
        let others = other.spawn(move || others.count());
        let quiet = deaf.spawn(|| {
            thread::sleep(Duration::from_secs(1));
            Ok(())
        });
        println!("ready");
        let error = rows.count().unwrap_err();
        println!("first: {error}");
        println!("second: {}", others.wait().unwrap_err());
        println!("third: {}", quiet.wait().is_ok());
        println!("next: {}", ctx.range(0..10_u64).count().unwrap());
        // A second signal soon after the first ends the process, and so does a signal without running jobs.
        let rows = endless(&ctx).0;
        let is_busy = std::env::var(CHILD).unwrap() == BUSY;
        let _busy = is_busy.then(|| ctx.spawn(move || rows.count()));
        println!("again");
        loop {
            thread::sleep(Duration::from_millis(10));
        }
    });
}

/// Starts the child, sends it a signal when it is ready and `at_the_end` others a tenth of a second
/// apart, and returns its output and its exit status.
fn signalled(signal: &str, value: &str, at_the_end: usize) -> (String, Option<i32>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["cancellation::ctrl_c::child_process_that_receives_ctrl_c", "--exact"])
        .args(["--ignored", "--nocapture"])
        .env(CHILD, value)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let send = || assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.trim_start_matches("test ") {
            ready if ready.ends_with("ready") => {
                thread::sleep(Duration::from_millis(200));
                send();
            }
            "again" => {
                thread::sleep(Duration::from_millis(2_100));
                for _ in 0..at_the_end {
                    send();
                    thread::sleep(Duration::from_millis(100));
                }
            }
            _ => said.push(line),
        }
    }
    (said.join("\n"), child.wait().unwrap().code())
}

fn is_cancelled_and_runs_another_job(said: &str) {
    for part in ["first: ", "second: "] {
        let line = said.lines().find(|line| line.starts_with(part)).unwrap_or(said);
        assert!(line.contains("interrupted by a signal (Ctrl-C, SIGTERM or SIGHUP)"), "{said}");
    }
    assert!(said.contains("third: true") && said.contains("next: 10"), "{said}");
}

// Case E50 of tests/PROMISES.md.
#[test]
fn ctrl_c_cancels_running_jobs_if_enabled_and_twice_ends_the_process() {
    within(DEADLINE, || {
        let (said, status) = signalled("-INT", BUSY, 2);
        is_cancelled_and_runs_another_job(&said);
        assert_eq!(status, Some(130));
    });
}

// Case E50 of tests/PROMISES.md.
#[test]
fn sigterm_cancels_running_jobs_and_ends_an_idle_process() {
    within(DEADLINE, || {
        let (said, status) = signalled("-TERM", "idle", 1);
        is_cancelled_and_runs_another_job(&said);
        assert_eq!(status, Some(130));
    });
}

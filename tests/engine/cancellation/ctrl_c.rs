//! Ctrl-C, in a process of its own.

#![cfg(unix)]

use super::endless;
use crate::support::{DEADLINE, within};
use emberline::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Set for the child, and in no other run of the tests.
const CHILD: &str = "EMBERLINE_TEST_CTRL_C";

/// Run by the test below in a process of its own.
#[test]
#[ignore = "it waits for Ctrl-C"]
fn this_is_the_process_that_hears_ctrl_c() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    within(DEADLINE, || {
        let build = || Context::builder().threads(1).cancel_on_ctrl_c(true).build().unwrap();
        let (ctx, other, deaf) = (build(), build(), Context::local().unwrap());
        let (rows, others) = (endless(&ctx).0, endless(&other).0);
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
        // The second one, soon after the first, ends the process.
        println!("again");
        loop {
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn e50_ctrl_c_cancels_what_runs_where_that_was_asked_for_and_twice_ends_the_process() {
    within(DEADLINE, || {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["cancellation::ctrl_c::this_is_the_process_that_hears_ctrl_c", "--exact"])
            .args(["--ignored", "--nocapture"])
            .env(CHILD, "yes")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let interrupt = || {
            assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        };
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            match line.trim_start_matches("test ") {
                ready if ready.ends_with("ready") => {
                    thread::sleep(Duration::from_millis(200));
                    interrupt();
                }
                "again" => {
                    interrupt();
                    thread::sleep(Duration::from_millis(100));
                    interrupt();
                }
                _ => said.push(line),
            }
        }
        let said = said.join("\n");
        for part in ["first: ", "second: "] {
            let line = said.lines().find(|line| line.starts_with(part)).unwrap_or(&said);
            assert!(line.contains("Ctrl-C was pressed"), "{said}");
        }
        assert!(said.contains("third: true") && said.contains("next: 10"), "{said}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
    });
}

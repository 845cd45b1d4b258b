//! The thirteen commonest mistakes that the compiler finds, with the message that users see.
//!
//! `guide::compiler_errors` explains each. `TRYBUILD=overwrite cargo test --test ui` records the messages again.

use std::process::Command;

/// The compiler whose messages are recorded; others word them differently.
const RECORDED_WITH: &str = "rustc 1.95.";

#[test]
fn common_mistakes_are_reported_as_recorded() {
    let version = Command::new("rustc").arg("--version").output().expect("rustc runs").stdout;
    let version = String::from_utf8_lossy(&version);
    if !version.starts_with(RECORDED_WITH) {
        println!("skipped: messages are recorded with {RECORDED_WITH}x, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

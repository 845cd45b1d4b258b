//! The workflow builds with the oldest supported version of Rust, which Cargo.toml names.

use super::root;
use std::fs;

/// Returns the quoted text after the first `key` in a text.
fn quoted_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split('"').nth(1)
}

/// Returns true if the toolchains of a workflow include the version of `rust-version` in a manifest.
fn agree(workflow: &str, manifest: &str) -> bool {
    let supported = quoted_after(manifest, "rust-version =");
    supported.is_some() && quoted_after(workflow, "toolchain: [") == supported
}

#[test]
fn the_workflow_builds_with_the_oldest_supported_version() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let agree = agree(&read(".github/workflows/ci.yml"), &read("Cargo.toml"));
    assert!(agree, "the toolchain in ci.yml is not rust-version in Cargo.toml");
}

#[test]
fn a_workflow_with_another_version_is_found() {
    let workflow = "toolchain: [stable, \"1.95\"]\n";
    assert!(agree(workflow, "rust-version = \"1.95\"\n"));
    assert!(!agree(workflow, "rust-version = \"1.96\"\n"));
    assert!(!agree("toolchain: [stable]\n", "edition = \"2024\"\n"), "neither names a version");
}

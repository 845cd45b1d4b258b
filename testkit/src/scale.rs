//! The number of cases that a generator of inputs tries.

use std::env;

/// The environment variable with the scale of the generators (`.ci/nightly` sets it).
const SCALE: &str = "EMBERLINE_TEST_SCALE";

/// Returns the number of cases that a generator tries: `cases` in the gate, and a multiple of it if
/// the environment variable `EMBERLINE_TEST_SCALE` is set.
pub fn scaled(cases: usize) -> usize {
    let scale = env::var(SCALE).ok();
    cases * scale.map_or(1, |scale| scale.parse().expect("EMBERLINE_TEST_SCALE is a number"))
}

//! Measurements of this process from `/proc`; 0 where it does not exist.

use std::fs;

/// Returns the peak memory of the process since the last [`reset_peak_rss`]. Memory that one side has freed
/// and the allocator has retained counts for the other side too.
pub fn peak_rss_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Resets the peak, where the system supports it.
pub fn reset_peak_rss() {
    let _ = fs::write("/proc/self/clear_refs", "5"); // on failure the peak covers both sides
}

/// Returns the user and system time of all threads so far, with a resolution of 10 ms. Other load changes it less
/// than the wall clock.
pub fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

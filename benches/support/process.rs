//! What the system says of this process, where it has a `/proc`; else 0.

use std::fs;

/// The most memory the process has had at once since the last [`reset_peak_rss`]. What one side
/// has freed and the allocator kept counts for the other as well.
pub fn peak_rss_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Lets the peak begin anew, where the system can.
pub fn reset_peak_rss() {
    let _ = fs::write("/proc/self/clear_refs", "5"); // else the peak is that of both sides
}

/// User and system time of all threads so far. Other people's load changes it less than the clock
/// on the wall; it counts in hundredths of a second.
pub fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

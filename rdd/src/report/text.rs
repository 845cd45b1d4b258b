//! A report as an aligned table. Times, which depend on the machine, are the last columns.

use super::{JobReport, StageReport};
use crate::display::{bytes, columns, counted, printable, with_separators};
use emberline_core::event::TaskMetrics;
use std::fmt;

/// The headers; the first column is aligned to the left, all others to the right.
const HEADERS: [&str; 13] = [
    "stage",
    "tasks",
    "attempts",
    "rows in",
    "rows out",
    "bytes out",
    "spilled",
    "files",
    "peak memory",
    "task time",
    "i/o time",
    "slowest",
    "skew",
];

type Line = [String; HEADERS.len()];

impl fmt::Display for JobReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = printable(&self.action);
        let call_site = printable(&self.call_site);
        let stages = counted(self.stages.len() as u64, "stage");
        write!(f, "{}: {action} at {call_site}, {stages}, in {}", self.job, time(self.wall_us))?;
        if let Some(error) = &self.error {
            write!(f, "\nfailed: {}", printable(error))?;
        }
        let mut lines = vec![HEADERS.map(str::to_string)];
        lines.extend(self.stages.iter().map(line));
        if self.stages.len() > 1 {
            let name = "total".to_string();
            let times = [String::new(), String::new()];
            lines.push(cells(name, self.tasks(), self.attempts(), &self.totals(), times));
        }
        write_table(f, &lines)
    }
}

fn line(stage: &StageReport) -> Line {
    let mut name = format!("{} at {}", stage.operation, stage.call_site);
    if stage.skipped {
        name.push_str(" (skipped)");
    }
    let times = match stage.tasks {
        0 => [String::new(), String::new()],
        _ => [time(stage.slowest_us), format!("{:.1}", stage.skew())],
    };
    cells(printable(&name), stage.tasks, stage.attempts, &stage.totals, times)
}

fn cells(
    name: String,
    tasks: usize,
    attempts: usize,
    totals: &TaskMetrics,
    [slowest, skew]: [String; 2],
) -> Line {
    [
        name,
        with_separators(tasks as u64),
        with_separators(attempts as u64),
        with_separators(totals.rows_read),
        with_separators(totals.rows_written),
        bytes(totals.bytes_written),
        bytes(totals.bytes_spilled),
        with_separators(totals.files_spilled),
        bytes(totals.peak_bytes),
        time(totals.run_us),
        time(totals.read_us.saturating_add(totals.write_us)),
        slowest,
        skew,
    ]
}

/// Returns a time with its unit: `830 us`, `12.5 ms`, `3.2 s`.
fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, lines: &[Line]) -> fmt::Result {
    let widest = |at: usize| lines.iter().map(|line| columns(&line[at])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADERS.len()).map(widest).collect();
    for line in lines {
        let [name, numbers @ ..] = line;
        let mut text = format!("{name}{}", " ".repeat(widths[0] - columns(name)));
        for (number, width) in numbers.iter().zip(&widths[1..]) {
            text.push_str(&" ".repeat(2 + width - columns(number)));
            text.push_str(number);
        }
        write!(f, "\n{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_the_unit_that_fits() {
        let texts = [0, 999, 1_000, 12_540, 999_900, 1_000_000, 75_000_000].map(time);
        assert_eq!(texts, ["0 us", "999 us", "1.0 ms", "12.5 ms", "999.9 ms", "1.0 s", "75.0 s"]);
    }
}

//! The reports of `last_job` and `jobs`.

use crate::events::Recorder;
use crate::support::{context, test};
use emberline::prelude::*;
use emberline::{
    event::{Event, TaskMetrics},
    report::JobReport,
};

/// Runs a job of four map tasks with 1,000 rows in all and two result tasks with 10 keys.
fn two_stages(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(4, 0..1000_u64)
        .map(|n| (n % 10, n))
        .with_partitions(2)
        .reduce_by_key(|a, b| a + b)
}

/// Returns the text without times and positions, which differ between runs.
fn timeless(report: &JobReport) -> String {
    let text = report.to_string();
    let mut lines = text.lines();
    let head = lines.next().unwrap().rsplit_once(", in ").unwrap().0.to_string();
    let table: Vec<&str> = lines.collect();
    let times = table[0].find("time").unwrap();
    // Titles are aligned to the right, so a time may begin before its title: two columns are never
    // closer than two blanks.
    let cut = |line: &&str| match line.get(..times) {
        Some(row) => row.rsplit_once("  ").map_or(row, |(row, _)| row).trim_end().to_string(),
        None => line.to_string(),
    };
    let rows: Vec<String> = table.iter().map(cut).collect();
    let text = format!("{head}\n{}", rows.join("\n"));
    let call_sites = report.stages().iter().map(|stage| stage.call_site());
    call_sites.chain([report.call_site()]).fold(text, |text, call_site| {
        let (file, line) = call_site.rsplit_once(':').unwrap();
        text.replace(call_site, &format!("{file}:{}", "?".repeat(line.len())))
    })
}

#[test]
fn the_text_of_a_job_of_two_stages_is_a_table() {
    test(|| {
        let ctx = context();
        two_stages(&ctx).collect()?;
        let text = timeless(&ctx.last_job().unwrap());
        let wanted = "\
job 0: collect at tests/engine/reports.rs:??, 2 stages
stage                                        tasks  attempts  rows in  rows out  bytes out  spilled  files  peak memory
reduce_by_key at tests/engine/reports.rs:??      4         4    1,000        40      960 B      0 B      0      7.9 KiB
collect at tests/engine/reports.rs:??            2         2       40         0        0 B      0 B      0         80 B
total                                            6         6    1,040        40      960 B      0 B      0      7.9 KiB";
        assert_eq!(text, wanted);
        Ok(())
    });
}

#[test]
fn a_report_sums_the_metrics_of_its_task_events() {
    test(|| {
        let builder = Context::builder().threads(2).task_memory_bytes(16 << 10);
        let (ctx, recorder) = Recorder::on(builder.force_spill(true));
        let rows =
            ctx.range_with(4, 0..20_000_u64).map(|n| (n, n)).with_partitions(3).group_by_key();
        assert_eq!(rows.count()?, 20_000);
        let events = recorder.events(&ctx);
        let mut sum = TaskMetrics::default();
        let mut times = Vec::new();
        for event in &events {
            if let Event::TaskFinished { metrics, .. } = event {
                sum.add(metrics);
                times.push(metrics.run_us);
            }
        }
        let report = ctx.last_job().unwrap();
        assert_eq!(report.totals(), sum);
        assert!(sum.files_spilled >= 4 && report.error().is_none());
        assert_eq!((report.tasks(), report.attempts()), (7, 7));
        let slowest = report.stages().iter().map(|stage| stage.slowest_us()).max();
        assert_eq!(slowest, times.iter().copied().max());
        for stage in report.stages() {
            assert!(stage.median_us() <= stage.slowest_us() && stage.skew() >= 1.0);
        }
        Ok(())
    });
}

#[test]
fn a_stage_with_existing_outputs_is_skipped_and_costs_nothing() {
    test(|| {
        let ctx = context();
        let sums = two_stages(&ctx);
        sums.count()?;
        sums.collect()?;
        let report = ctx.last_job().unwrap();
        let skipped = &report.stages()[0];
        assert!(skipped.is_skipped() && skipped.totals() == TaskMetrics::default());
        assert_eq!((skipped.tasks(), skipped.attempts(), report.tasks()), (0, 0, 2));
        assert!(report.to_string().contains("(skipped)"), "{report}");
        Ok(())
    });
}

#[test]
fn the_report_of_a_failed_job_has_the_cause_and_the_attempts() {
    test(|| {
        let ctx = Context::builder().threads(1).max_attempts(3).build()?;
        let rows = ctx.range_with(1, 0..10_u32).map(|n| {
            assert!(n < 5, "five is too\n\u{1b}[31mmany");
            n
        });
        rows.count().unwrap_err();
        let report = ctx.last_job().unwrap();
        assert_eq!((report.tasks(), report.attempts()), (0, 3));
        assert!(report.error().unwrap().contains("five is too"));
        let text = report.to_string();
        assert!(text.contains("failed: ") && !text.contains('\u{1b}'), "{text}");
        Ok(())
    });
}

#[test]
fn only_the_last_hundred_reports_are_retained() {
    test(|| {
        let ctx = context();
        assert!(ctx.last_job().is_none() && ctx.jobs().is_empty());
        let rows = ctx.range_with(1, 0..10_u32);
        for _ in 0..105 {
            rows.count()?;
        }
        rows.first()?;
        let jobs = ctx.jobs();
        assert_eq!((jobs.len(), jobs[0].job().0, jobs[99].job().0), (100, 6, 105));
        assert_eq!((jobs[98].action(), jobs[99].action()), ("count", "first"));
        Ok(())
    });
}

#[test]
fn concurrent_jobs_have_separate_reports() {
    test(|| {
        let ctx = context();
        std::thread::scope(|scope| {
            for rows in 1..=8_u64 {
                let ctx = ctx.clone();
                scope.spawn(move || ctx.range_with(3, 0..rows * 100).count().unwrap());
            }
        });
        let mut read: Vec<u64> = ctx.jobs().iter().map(|job| job.totals().rows_read).collect();
        read.sort_unstable();
        assert_eq!(read, (1..=8).map(|rows| rows * 100).collect::<Vec<u64>>());
        assert!(ctx.jobs().iter().all(|job| job.tasks() == 3));
        Ok(())
    });
}

#[test]
fn a_report_survives_serialization() {
    test(|| {
        let ctx = context();
        two_stages(&ctx).collect()?;
        let report = ctx.last_job().unwrap();
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<JobReport>(&json).unwrap(), report);
        Ok(())
    });
}

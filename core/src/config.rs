//! Context configuration: units, defaults, validation.

use crate::disk::{Disk, RealDisk};
use crate::error::{Error, ErrorKind, Result};
use crate::faults::Faults;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The compression of rows in scratch files. A frame that does not become at least 5 % smaller is
/// stored uncompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression, for scratch directories in memory.
    None,
    /// LZ4, which takes less time than it saves on most disks.
    #[default]
    Lz4,
    /// Zstandard at level 1: smaller files, slower writes. Requires the feature `zstd`.
    Zstd,
}

/// The rule that decides when a straggler gets a speculative attempt. The first of the two attempts
/// to finish provides the result, and the other is cancelled.
///
/// It helps against slow disks and busy machines, not against a partition with more rows than the
/// others, whose second attempt takes equally long. A second attempt calls the closures again, so
/// side effects may happen twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speculation {
    /// The fraction of the stage's tasks that must have finished first, 0 to 1. Default: 0.75.
    pub quantile: f64,
    /// The run time of a straggler as a multiple of the median run time of the finished tasks, at
    /// least 1. Default: 3.
    pub multiplier: f64,
    /// The minimum run time of a straggler. Default: 100 ms.
    pub min_runtime: Duration,
}

impl Default for Speculation {
    fn default() -> Self {
        Speculation { quantile: 0.75, multiplier: 3.0, min_runtime: Duration::from_millis(100) }
    }
}

/// The settings of a context. They do not change during its lifetime.
#[derive(Clone)]
pub struct Config {
    /// The name of the run in events. Default: `emberline`.
    pub app_name: String,
    /// The number of tasks that run at the same time. Default: the number of cores.
    pub threads: usize,
    /// The memory limit of the engine in bytes. Default: 60 % of the memory of the machine or of
    /// its control group.
    pub memory_limit_bytes: u64,
    /// The memory limit of one task in bytes. Default: 256 MiB, and never more than an eighth of
    /// the memory limit. It does not depend on the number of threads, so that threads never change
    /// a result.
    pub task_memory_bytes: u64,
    /// The directories that contain the scratch directories; files use them in turn. Default: the
    /// temporary directory of the system.
    pub scratch_dirs: Vec<PathBuf>,
    /// The maximum size of all scratch files together, in bytes. Default: no quota.
    pub scratch_quota_bytes: Option<u64>,
    /// The number of partitions of a source that sets none. Default: 16. It does not depend on the
    /// number of threads, so that a program returns the same bytes on every machine.
    pub default_partitions: usize,
    /// The seed of all random numbers, such as the sample of a sort. Default: 0.
    pub seed: u64,
    /// The attempts of a task whose closure fails. Default: 1. Disk errors get at least four, and
    /// a stage that loses its inputs four.
    pub max_attempts: usize,
    /// The rule for speculative attempts. Default: none.
    pub speculation: Option<Speculation>,
    /// The maximum size of the rows that one action returns, in bytes. Default: the memory limit.
    pub max_result_bytes: Option<u64>,
    /// True if map outputs are written to files even while they fit in memory. Default: false.
    pub force_spill: bool,
    /// The compression of scratch files. Default: LZ4.
    pub spill_compression: Compression,
    /// The maximum time that dropping the context waits for tasks that still run. Default: 2 s.
    pub shutdown_timeout: Duration,
    /// True if the console listener draws progress on a terminal. Default: false.
    pub progress: bool,
    /// The file system backend. Default: the operating system.
    pub disk: Arc<dyn Disk>,
    /// The faults to inject, for tests and teaching. Default: none.
    pub faults: Option<Faults>,
}

/// The smallest valid memory limit in bytes: a frame and a chunk for a few tasks.
pub const MIN_MEMORY_LIMIT_BYTES: u64 = 1 << 20;
/// The smallest valid task memory limit in bytes. Below it runs would have only a few rows.
pub const MIN_TASK_MEMORY_BYTES: u64 = 4 << 10;
/// The most partitions of an RDD: 4,194,304. A partition after a shuffle takes about 64 bytes in
/// each map task that runs, so 256 MiB at the maximum. More are a mistake, such as a number of bytes,
/// and would end in an allocation that aborts the process.
pub const MAX_PARTITIONS: usize = 1 << 22;
/// The maximum number of threads.
const MAX_THREADS: usize = 4096;

impl Default for Config {
    fn default() -> Self {
        Config {
            app_name: "emberline".into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit_bytes: machine_memory_bytes() / 10 * 6,
            task_memory_bytes: 256 << 20,
            scratch_dirs: vec![std::env::temp_dir()],
            scratch_quota_bytes: None,
            default_partitions: 16,
            seed: 0,
            max_attempts: 1,
            speculation: None,
            max_result_bytes: None,
            force_spill: false,
            spill_compression: Compression::default(),
            shutdown_timeout: Duration::from_secs(2),
            progress: false,
            disk: Arc::new(RealDisk),
            faults: None,
        }
    }
}

impl Config {
    /// Returns the task memory limit: the configured one, or an eighth of a smaller memory limit.
    pub fn task_memory_limit(&self) -> u64 {
        self.task_memory_bytes.min(self.memory_limit_bytes / 8).max(1)
    }

    /// Returns the number of tasks that run at the same time: the number of threads, limited to the
    /// task memory limits that fit into half of the memory limit. No task therefore waits for
    /// memory.
    pub fn task_threads(&self) -> usize {
        let tasks = self.memory_limit_bytes / 2 / self.task_memory_limit();
        self.threads.min(usize::try_from(tasks).unwrap_or(usize::MAX)).max(1)
    }

    /// Returns the memory available to stored blocks and map outputs: the memory limit without the
    /// task memory of the running tasks.
    pub fn storage_memory_bytes(&self) -> u64 {
        self.memory_limit_bytes
            .saturating_sub(self.task_threads() as u64 * self.task_memory_limit())
    }

    /// Returns the maximum size of the rows that one action returns.
    pub fn result_limit(&self) -> u64 {
        self.max_result_bytes.unwrap_or(self.memory_limit_bytes)
    }

    /// Validates the settings and reports all problems together.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, what: String| {
            if wrong {
                problems.push(what);
            }
        };
        refuse(cfg!(panic = "abort"), "panic = \"abort\" ends the process when a closure panics; build with panic = \"unwind\"".into());
        refuse(self.app_name.trim().is_empty(), "app_name is empty; set a name".into());
        refuse(self.threads == 0, "threads is 0; set at least 1".into());
        refuse(
            self.threads > MAX_THREADS,
            format!("threads is {}; set at most {MAX_THREADS}", self.threads),
        );
        refuse(
            self.memory_limit_bytes < MIN_MEMORY_LIMIT_BYTES,
            format!(
                "memory_limit_bytes is {}; set at least {MIN_MEMORY_LIMIT_BYTES}",
                self.memory_limit_bytes
            ),
        );
        refuse(
            self.task_memory_bytes < MIN_TASK_MEMORY_BYTES,
            format!(
                "task_memory_bytes is {}; set at least {MIN_TASK_MEMORY_BYTES}",
                self.task_memory_bytes
            ),
        );
        refuse(self.default_partitions == 0, "default_partitions is 0; set at least 1".into());
        refuse(
            self.default_partitions > MAX_PARTITIONS,
            format!(
                "default_partitions is {}; set at most {MAX_PARTITIONS}",
                self.default_partitions
            ),
        );
        refuse(
            self.spill_compression == Compression::Zstd && !cfg!(feature = "zstd"),
            "spill_compression is Zstd, which this build does not include; enable the feature \
             `zstd` of emberline, or use Lz4"
                .into(),
        );
        refuse(self.max_attempts == 0, "max_attempts is 0; set at least 1".into());
        if let Some(Speculation { quantile, multiplier, .. }) = self.speculation {
            let what = format!("the quantile of speculation is {quantile}; set 0 to 1");
            refuse(!(0.0..=1.0).contains(&quantile), what);
            let what = format!("the multiplier of speculation is {multiplier}; set at least 1");
            refuse(multiplier.is_nan() || multiplier < 1.0, what);
        }
        let nothing = "max_result_bytes is 0; set at least 1, or u64::MAX for no limit";
        refuse(self.max_result_bytes == Some(0), nothing.into());
        let no_folders = "scratch_dirs is empty; set at least one directory";
        refuse(self.scratch_dirs.is_empty(), no_folders.into());
        for dir in &self.scratch_dirs {
            let what = format!(
                "scratch_dirs entry `{}` is not a directory; create it first",
                dir.display()
            );
            refuse(!dir.is_dir(), what);
        }
        let no_bytes = "scratch_quota_bytes is 0; set at least 1, or none for no quota";
        refuse(self.scratch_quota_bytes == Some(0), no_bytes.into());
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidConfig { problems }))
    }
}

impl Config {
    /// Makes scratch directories absolute, so that the directory of the program may change later.
    pub(crate) fn resolve_paths(&mut self) {
        for dir in &mut self.scratch_dirs {
            if let Ok(absolute) = crate::files::absolute(dir) {
                *dir = absolute;
            }
        }
    }
}

/// Returns the memory of the machine or of the control groups of this process, whichever is
/// smallest, or 2 GiB if none can be read.
fn machine_memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = group_limit_files(&groups).into_iter().filter_map(|file| {
        // The file of a group without a limit contains `max`, or a number larger than any memory.
        std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    });
    let known = groups.chain(machine).min();
    known.unwrap_or(2 << 30).max(16 * MIN_MEMORY_LIMIT_BYTES)
}

/// Returns the files with the memory limits of the control groups in a `/proc/self/cgroup`: those
/// of the process and of all their parents, which limit it too. In a container the group names may
/// be those of the host; then the limit at the root is the container's own.
fn group_limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_all_parent_control_groups_are_read() {
        let version_2 = group_limit_files("0::/user.slice/run.scope\n");
        let expected = ["user.slice/run.scope/", "user.slice/", ""];
        let file = |group| PathBuf::from(format!("/sys/fs/cgroup/{group}memory.max"));
        assert_eq!(version_2, expected.map(file));
        let version_1 = group_limit_files("5:cpu,cpuacct:/a\n4:memory:/docker/1f\n");
        let expected = ["docker/1f/", "docker/", ""];
        let top = "/sys/fs/cgroup/memory";
        let file = |group| PathBuf::from(format!("{top}/{group}memory.limit_in_bytes"));
        assert_eq!(version_1, expected.map(file));
        assert_eq!(group_limit_files("nonsense"), Vec::<PathBuf>::new());
        assert!(machine_memory_bytes() >= 16 * MIN_MEMORY_LIMIT_BYTES);
    }

    #[test]
    fn the_default_is_valid() {
        Config::default().check().unwrap();
    }

    #[test]
    fn zstd_is_refused_without_its_feature() {
        let config = Config { spill_compression: Compression::Zstd, ..Config::default() };
        let refused = config.check().err().map(|error| error.to_string());
        let names_feature = refused.as_ref().is_some_and(|text| text.contains("feature `zstd`"));
        assert_eq!(refused.is_some(), !cfg!(feature = "zstd"));
        assert_eq!(names_feature, refused.is_some());
    }

    #[test]
    fn all_problems_are_reported_together() {
        let defaults = Speculation::default();
        let config = Config {
            threads: 0,
            default_partitions: 0,
            max_attempts: 0,
            speculation: Some(Speculation { quantile: -0.5, multiplier: f64::NAN, ..defaults }),
            memory_limit_bytes: 3,
            scratch_dirs: vec!["/no/such/folder".into(), "/nor/this".into()],
            scratch_quota_bytes: Some(0),
            ..Config::default()
        };
        let text = config.check().unwrap_err().to_string();
        let sizes = ["threads", "default_partitions", "max_attempts", "memory_limit_bytes"];
        let scratch =
            ["scratch_dirs entry `/no/such/folder`", "`/nor/this`", "scratch_quota_bytes"];
        let speculation = ["quantile of speculation is -0.5", "multiplier of speculation is NaN"];
        for wanted in sizes.into_iter().chain(scratch).chain(speculation) {
            assert!(text.contains(wanted), "{wanted} is missing from: {text}");
        }
    }

    #[test]
    fn an_empty_list_of_scratch_dirs_is_refused() {
        let config = Config { scratch_dirs: Vec::new(), ..Config::default() };
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("scratch_dirs is empty"), "{text}");
    }
}

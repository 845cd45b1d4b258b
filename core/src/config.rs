//! Every knob of a context: its unit, its default, and what cannot work.

use crate::disk::{Disk, RealDisk};
use crate::error::{Error, ErrorKind, Result};
use crate::faults::Faults;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How rows that go to disk are made smaller. A frame of rows that does not get at least 5 % smaller
/// is stored as it is, whatever was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: for a scratch folder in memory.
    None,
    /// LZ4, which costs less than most disks do.
    #[default]
    Lz4,
    /// Zstandard at level 1: smaller, and slower to write. Needs the feature `zstd`.
    Zstd,
}

/// When a task that takes far longer than the others of its stage gets a copy that runs beside it. The
/// first of the two to end gives the result, and the other is cancelled.
///
/// It helps against slow disks and machines that are busy with something else, not against a
/// partition with more rows than the others: its copy takes as long. A copy calls the closures again,
/// so side effects may happen twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speculation {
    /// The part of a stage's tasks that must have ended first, 0 to 1. Default: 0.75.
    pub quantile: f64,
    /// How many times as long as the median of those a task must run, at least 1. Default: 3.
    pub multiplier: f64,
    /// How long it must run in any case. Default: 100 ms.
    pub min_runtime: Duration,
}

impl Default for Speculation {
    fn default() -> Self {
        Speculation { quantile: 0.75, multiplier: 3.0, min_runtime: Duration::from_millis(100) }
    }
}

/// The settings of one context. They do not change while it lives.
#[derive(Clone)]
pub struct Config {
    /// What the run is called in events. Default: `emberline`.
    pub app_name: String,
    /// Tasks that run at the same time, in threads. Default: the machine's cores.
    pub threads: usize,
    /// What the engine may hold in memory, in bytes. Default: 60 % of what the machine, or its
    /// control group, has.
    pub memory_limit_bytes: u64,
    /// What one task may hold of that, in bytes. Default: 256 MiB, and never more than an eighth of the
    /// budget. It is not derived from the threads, so that they never change a result.
    pub task_memory_bytes: u64,
    /// The folders in which scratch folders are made; files take them in turn. Default: the
    /// system's temporary folder.
    pub scratch_dirs: Vec<PathBuf>,
    /// What all scratch files together may take, in bytes. Default: no quota.
    pub scratch_quota_bytes: Option<u64>,
    /// Partitions of a source that was given no number. Default: 16. It is not derived from the
    /// threads, so that the same program gives the same bytes on every machine.
    pub default_partitions: usize,
    /// The seed of everything random, such as the sample behind a sort. Default: 0.
    pub seed: u64,
    /// Attempts of a task whose closure fails. Default: 1. Faults of the disk and lost blocks have
    /// at least four.
    pub max_attempts: usize,
    /// When stragglers get a copy. Default: never.
    pub speculation: Option<Speculation>,
    /// What the rows that one action hands to the program may take, in bytes. Default: as much as
    /// the budget.
    pub max_result_bytes: Option<u64>,
    /// Whether map outputs go to files even while they fit in memory. Default: no.
    pub force_spill: bool,
    /// How rows that go to disk are made smaller. Default: LZ4.
    pub spill_compression: Compression,
    /// Whether the console listener draws progress on a terminal. Default: no.
    pub progress: bool,
    /// The door to the disk. Default: the real one.
    pub disk: Arc<dyn Disk>,
    /// What goes wrong on purpose, for tests and teaching. Default: nothing.
    pub faults: Option<Faults>,
}

/// The least memory budget that works, in bytes: one frame and one chunk for a few tasks.
pub const MIN_MEMORY_LIMIT_BYTES: u64 = 1 << 20;
/// The least share of a task that works, in bytes: below it runs would be of a few rows each.
pub const MIN_TASK_MEMORY_BYTES: u64 = 4 << 10;

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
            progress: false,
            disk: Arc::new(RealDisk),
            faults: None,
        }
    }
}

impl Config {
    /// What one task may hold of the budget: what was configured, or an eighth of a small budget.
    pub fn task_memory_limit(&self) -> u64 {
        self.task_memory_bytes.min(self.memory_limit_bytes / 8).max(1)
    }

    /// Tasks that run at the same time: as many as there are threads, and as half of the budget has
    /// shares for.
    pub fn task_threads(&self) -> usize {
        let shares = self.memory_limit_bytes / 2 / self.task_memory_limit();
        self.threads.min(usize::try_from(shares).unwrap_or(usize::MAX)).max(1)
    }

    /// What is kept between tasks may take: the budget without the shares of the running ones.
    pub fn storage_memory_bytes(&self) -> u64 {
        self.memory_limit_bytes
            .saturating_sub(self.task_threads() as u64 * self.task_memory_limit())
    }

    /// What the rows that one action hands to the program may take.
    pub fn result_limit(&self) -> u64 {
        self.max_result_bytes.unwrap_or(self.memory_limit_bytes)
    }

    /// Refuses settings that cannot work, naming all of them at once.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, what: String| {
            if wrong {
                problems.push(what);
            }
        };
        refuse(cfg!(panic = "abort"), "panic = \"abort\" turns a closure's panic into the end of the process; build with panic = \"unwind\"".into());
        refuse(self.app_name.trim().is_empty(), "app_name is empty; give the run a name".into());
        refuse(self.threads == 0, "threads is 0; give at least 1".into());
        refuse(self.threads > 4096, format!("threads is {}; give at most 4096", self.threads));
        refuse(
            self.memory_limit_bytes < MIN_MEMORY_LIMIT_BYTES,
            format!(
                "memory_limit_bytes is {}; give at least {MIN_MEMORY_LIMIT_BYTES}",
                self.memory_limit_bytes
            ),
        );
        refuse(
            self.task_memory_bytes < MIN_TASK_MEMORY_BYTES,
            format!(
                "task_memory_bytes is {}; give at least {MIN_TASK_MEMORY_BYTES}",
                self.task_memory_bytes
            ),
        );
        refuse(self.default_partitions == 0, "default_partitions is 0; give at least 1".into());
        refuse(
            self.spill_compression == Compression::Zstd && !cfg!(feature = "zstd"),
            "spill_compression is Zstd, which this build lacks; build emberline with the feature \
             `zstd`, or choose Lz4"
                .into(),
        );
        refuse(self.max_attempts == 0, "max_attempts is 0; give at least 1".into());
        if let Some(Speculation { quantile, multiplier, .. }) = self.speculation {
            let what = format!("speculation's quantile is {quantile}; give a part from 0 to 1");
            refuse(!(0.0..=1.0).contains(&quantile), what);
            let what = format!("speculation's multiplier is {multiplier}; give at least 1");
            refuse(multiplier.is_nan() || multiplier < 1.0, what);
        }
        let nothing = "max_result_bytes is 0; give at least 1, or u64::MAX for no limit";
        refuse(self.max_result_bytes == Some(0), nothing.into());
        let no_folders = "scratch_dirs names no folder; give at least one";
        refuse(self.scratch_dirs.is_empty(), no_folders.into());
        for dir in &self.scratch_dirs {
            let what =
                format!("`{}` of scratch_dirs is not a folder; make it first", dir.display());
            refuse(!dir.is_dir(), what);
        }
        let no_bytes = "scratch_quota_bytes is 0; give at least 1, or set none for no quota";
        refuse(self.scratch_quota_bytes == Some(0), no_bytes.into());
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidConfig { problems }))
    }
}

/// The memory of the machine or of the control groups this process is in, whichever is least; 2 GiB
/// where none can be read.
fn machine_memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = group_limit_files(&groups).into_iter().filter_map(|file| {
        // A group without a limit says `max`, or a number larger than any machine.
        std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()
    });
    let known = groups.chain(machine).min();
    known.unwrap_or(2 << 30).max(16 * MIN_MEMORY_LIMIT_BYTES)
}

/// Where the limits of a process's control groups stand, from its `/proc/self/cgroup`: those of its
/// own groups and of all above, which bind it too. In a container the names may be the host's; then
/// the group at the top is its own.
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
    fn the_limits_of_all_control_groups_above_a_process_count() {
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
    fn the_default_works() {
        Config::default().check().unwrap();
    }

    #[test]
    fn zstd_is_refused_where_it_is_not_built_in() {
        let config = Config { spill_compression: Compression::Zstd, ..Config::default() };
        let refused = config.check().err().map(|error| error.to_string());
        let says_why = refused.as_ref().is_some_and(|text| text.contains("feature `zstd`"));
        assert_eq!((refused.is_some(), says_why), (!cfg!(feature = "zstd"), refused.is_some()));
    }

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let speculation = Speculation::default();
        let config = Config {
            threads: 0,
            default_partitions: 0,
            max_attempts: 0,
            speculation: Some(Speculation { quantile: -0.5, multiplier: f64::NAN, ..speculation }),
            memory_limit_bytes: 3,
            scratch_dirs: vec!["/no/such/folder".into(), "/nor/this".into()],
            scratch_quota_bytes: Some(0),
            ..Config::default()
        };
        let text = config.check().unwrap_err().to_string();
        let knobs = ["threads", "default_partitions", "max_attempts", "memory_limit_bytes"];
        let scratch = ["`/no/such/folder` of scratch_dirs", "`/nor/this`", "scratch_quota_bytes"];
        let copies = ["quantile is -0.5", "multiplier is NaN"];
        for wanted in knobs.into_iter().chain(scratch).chain(copies) {
            assert!(text.contains(wanted), "{wanted} is missing from: {text}");
        }
    }

    #[test]
    fn a_scratch_without_folders_is_refused() {
        let config = Config { scratch_dirs: Vec::new(), ..Config::default() };
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("scratch_dirs names no folder"), "{text}");
    }
}

//! A directory of output files that appears as a whole or not at all.

use super::staging::{StagingDir, attempts_dir, output_dir, remove_stale};
use emberline_core::config::Config;
use emberline_core::disk::{Access, Disk, DiskWriter};
use emberline_core::engine::commit_point;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::faults::{FailPoint, Faults, hit};
use emberline_core::files;
use emberline_core::task::TaskContext;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The digits of the numbers in the names of files, unless there are more partitions.
const MIN_PART_DIGITS: usize = 5;

/// Returns the name of the file of a partition. All names of an output of `partitions` have the same
/// length, so that they are in order when they are sorted as texts.
pub(crate) fn part_name(partition: usize, partitions: usize) -> String {
    let digits = partitions.saturating_sub(1).to_string().len().max(MIN_PART_DIGITS);
    format!("part-{partition:0digits$}")
}

/// Returns the name of the file of a partition in checkpoints of version 2, which differs from
/// [`part_name`] if there are more than 100,000 partitions.
pub(crate) fn old_part_name(partition: usize) -> String {
    format!("part-{partition:0MIN_PART_DIGITS$}")
}

/// The file of one attempt at one partition. It is deleted when the attempt fails or unwinds.
pub(crate) struct AttemptFile {
    /// Path while the file is written.
    path: PathBuf,
    part: PathBuf,
    disk: Arc<dyn Disk>,
    faults: Option<Faults>,
    renamed: bool,
}

impl AttemptFile {
    /// Creates the file in the staging directory of an output of `partitions`, which must not be
    /// committed yet.
    pub(crate) fn create(
        staging: &Path,
        partitions: usize,
        task: &TaskContext,
    ) -> Result<(Box<dyn DiskWriter>, AttemptFile)> {
        let name = part_name(task.attempt_id.partition, partitions);
        let attempt = task.attempt_id.attempt;
        let attempt_file = AttemptFile {
            path: attempts_dir(staging).join(format!("{name}-attempt-{attempt}")),
            part: output_dir(staging).join(name),
            disk: Arc::clone(&task.config.disk),
            faults: task.config.faults.clone(),
            renamed: false,
        };
        let file = attempt_file.disk.create(&attempt_file.path, Access::Shared);
        Ok((file.map_err(|cause| attempt_file.error(cause))?, attempt_file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// Moves the file, which must be synced, into the output, unless another attempt has committed.
    pub(crate) fn commit(mut self, task: &TaskContext) -> Result<()> {
        task.commit(|| {
            hit(self.faults.as_ref(), FailPoint::BeforePartRename);
            self.disk.rename(&self.path, &self.part).map_err(|cause| self.error(cause))
        })?;
        self.renamed = true;
        Ok(())
    }

    fn error(&self, cause: std::io::Error) -> Error {
        Error::io(format!("writing `{}` failed", self.part.display()), cause)
    }
}

impl Drop for AttemptFile {
    fn drop(&mut self) {
        if !self.renamed {
            // The file may not exist. If it cannot be removed, it is deleted with the staging
            // directory.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

/// An output directory that is being written. Nothing of it remains if it drops uncommitted.
pub(crate) struct Output {
    path: PathBuf,
    parent: PathBuf,
    staging: StagingDir,
    config: Arc<Config>,
}

impl Output {
    /// Creates the staging directory of the output `path`, which must not exist, and missing
    /// parents of `path`. Removes stale staging directories of the same output.
    pub(crate) fn begin(path: &Path, config: &Arc<Config>) -> Result<Output> {
        let no_name = || {
            Error::invalid_argument(format!(
                "`{}` does not end in the name of a new directory",
                path.display()
            ))
        };
        let absolute = files::absolute(path).map_err(|cause| no_name().caused_by(cause))?;
        let (Some(name), Some(parent)) = (path.file_name(), absolute.parent()) else {
            return Err(no_name());
        };
        let parent = parent.to_path_buf();
        remove_stale(&parent, name, &*config.disk);
        refuse_existing(&absolute)?;
        std::fs::create_dir_all(&parent).map_err(|cause| cannot_create(&parent, cause))?;
        let staging = StagingDir::create(&parent, name, &config.disk);
        let staging = staging.map_err(|cause| cannot_create(&absolute, cause))?;
        Ok(Output { path: absolute, parent, staging, config: Arc::clone(config) })
    }

    /// Returns the staging directory, for [`AttemptFile::create`].
    pub(crate) fn staging(&self) -> &Path {
        self.staging.path()
    }

    /// Writes the last file and renames the output to its path, unless the job was cancelled. After
    /// that the output survives a power failure, and cancelling has no effect. Fails if a file of
    /// one of the `partitions` is missing: another program removed it.
    pub(crate) fn commit(self, partitions: usize, last: &str, bytes: &[u8]) -> Result<()> {
        self.check_parts(partitions)?;
        let last = self.staging.output().join(last);
        self.hit(FailPoint::BeforeSuccessFile);
        self.write_last(&last, bytes).map_err(|cause| cannot_create(&last, cause))?;
        refuse_existing(&self.path)?;
        commit_point(|| self.rename())
    }

    fn check_parts(&self, partitions: usize) -> Result<()> {
        let output = self.staging.output();
        let listed = self.config.disk.list(&output);
        let mut found = listed.map_err(|cause| cannot_create(&self.path, cause))?;
        found.sort_unstable();
        let mut expected = (0..partitions).map(|it| output.join(part_name(it, partitions)));
        let Some(missing) = expected.find(|part| found.binary_search(part).is_err()) else {
            return Ok(());
        };
        let what = format!(
            "creating `{}` failed: another program removed `{}` (exclude the directory from programs that clean up)",
            self.path.display(),
            missing.display()
        );
        Err(Error::io(what, std::io::ErrorKind::NotFound.into()))
    }

    fn write_last(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = self.config.disk.create(path, Access::Shared)?;
        if !bytes.is_empty() {
            file.append(bytes)?;
        }
        file.sync()?;
        self.config.disk.sync_dir(&self.staging.output())
    }

    fn rename(&self) -> Result<()> {
        let disk = &self.config.disk;
        self.hit(FailPoint::BeforeOutputRename);
        disk.rename(&self.staging.output(), &self.path)
            .map_err(|cause| cannot_create(&self.path, cause))?;
        self.hit(FailPoint::AfterOutputRename);
        disk.sync_dir(&self.parent).map_err(|cause| self.roll_back(cause))
    }

    /// Renames the output back, since a power failure could undo the rename at any time. It is not
    /// deleted in place: readers see all of it or none.
    fn roll_back(&self, cause: std::io::Error) -> Error {
        match self.config.disk.rename(&self.path, &self.staging.output()) {
            Ok(()) => cannot_create(&self.path, cause),
            Err(_) => {
                let path = self.path.display();
                let what = format!(
                    "`{path}` is complete, but may not survive a power failure and could not be renamed \
                     back: syncing its parent directory failed"
                );
                Error::io(what, cause)
            }
        }
    }

    fn hit(&self, point: FailPoint) {
        hit(self.config.faults.as_ref(), point);
    }
}

fn refuse_existing(path: &Path) -> Result<()> {
    // `symlink_metadata` also finds a dangling symbolic link.
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::OutputExists { path: path.to_path_buf() }));
    }
    Ok(())
}

fn cannot_create(path: &Path, cause: std::io::Error) -> Error {
    Error::io(format!("creating `{}` failed", path.display()), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_any_number_of_partitions_are_in_order() {
        for partitions in [1, 2, 99_999, 100_000, 100_001, 1_000_000, 1_000_001] {
            let near_powers = (0..7).map(|power| 10_usize.pow(power));
            let mut numbers: Vec<usize> = near_powers.flat_map(|n| [n - 1, n, n + 1]).collect();
            numbers.retain(|number| *number < partitions);
            numbers.sort_unstable();
            numbers.dedup();
            let names: Vec<String> =
                numbers.into_iter().map(|number| part_name(number, partitions)).collect();
            assert!(names.is_sorted_by(|left, right| left < right), "{partitions}: {names:?}");
        }
        assert_eq!(part_name(7, 100_000), "part-00007");
        assert_eq!(part_name(7, 100_001), "part-000007");
    }
}

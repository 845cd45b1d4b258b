//! A folder of output files, all of it or nothing.

use super::staging::{StagingDir, out_in, remove_stale, trials_in};
use emberline_core::config::Config;
use emberline_core::disk::{Access, Disk, DiskWriter};
use emberline_core::engine::commit_point;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::faults::{FailPoint, Faults, hit};
use emberline_core::task::TaskContext;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file of a partition.
pub(crate) fn part_name(partition: usize) -> String {
    format!("part-{partition:05}")
}

/// The file of one attempt at one partition, under a name of its own. It goes when the attempt fails,
/// also by unwinding.
pub(crate) struct AttemptFile {
    path: PathBuf,
    part: PathBuf,
    disk: Arc<dyn Disk>,
    faults: Option<Faults>,
    renamed: bool,
}

impl AttemptFile {
    /// Makes the file in the [`folder`](Output::folder) of an output. An attempt that comes after the
    /// output has its name finds no such folder.
    pub(crate) fn create(
        folder: &Path,
        task: &TaskContext,
    ) -> Result<(Box<dyn DiskWriter>, AttemptFile)> {
        let (name, attempt) = (part_name(task.place.partition), task.place.attempt);
        let part = out_in(folder).join(&name);
        let path = trials_in(folder).join(format!("{name}-attempt-{attempt}"));
        let (disk, faults) = (Arc::clone(&task.config.disk), task.config.faults.clone());
        let trial = AttemptFile { path, part, disk, faults, renamed: false };
        let file = trial.disk.create(&trial.path, Access::Shared);
        Ok((file.map_err(|cause| trial.error(cause))?, trial))
    }

    /// What it is called while it is written.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it will be called.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// Gives the file, which must be synced, its name, unless another attempt was first.
    pub(crate) fn commit(mut self, task: &TaskContext) -> Result<()> {
        task.commit(|| {
            hit(self.faults.as_ref(), FailPoint::BeforePartRename);
            self.disk.rename(&self.path, &self.part).map_err(|cause| self.error(cause))
        })?;
        self.renamed = true;
        Ok(())
    }

    fn error(&self, cause: std::io::Error) -> Error {
        Error::io(format!("writing `{}`", self.part.display()), cause)
    }
}

impl Drop for AttemptFile {
    fn drop(&mut self) {
        if !self.renamed {
            // It may never have been made, and what stays behind goes with its folder.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

/// An output folder in the making, beside where it is to be. Dropped before it is committed, it leaves
/// nothing.
pub(crate) struct Output {
    path: PathBuf,
    parent: PathBuf,
    aside: StagingDir,
    config: Arc<Config>,
}

impl Output {
    /// Makes the folder, and the parents of `path` if they are missing. `path` must not exist. What a
    /// process that died left of the same output goes.
    pub(crate) fn begin(path: &Path, config: &Arc<Config>) -> Result<Output> {
        let name = path.file_name().ok_or_else(|| {
            Error::invalid_argument(format!("`{}` is not the name of a new folder", path.display()))
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).to_path_buf();
        remove_stale(&parent, name, &*config.disk);
        refuse_existing(path)?;
        std::fs::create_dir_all(&parent).map_err(|cause| making(&parent, cause))?;
        let aside = StagingDir::make(&parent, name, &config.disk);
        let aside = aside.map_err(|cause| making(path, cause))?;
        let (path, config) = (path.to_path_buf(), Arc::clone(config));
        Ok(Output { path, parent, aside, config })
    }

    /// Where its files are written: for [`AttemptFile::create`].
    pub(crate) fn folder(&self) -> &Path {
        self.aside.path()
    }

    /// Writes a last file, and gives the folder its name, unless this was cancelled: from now on it
    /// survives a power cut, and cancelling comes too late.
    pub(crate) fn commit(self, last: &str, bytes: &[u8]) -> Result<()> {
        let last = self.aside.out().join(last);
        self.hit(FailPoint::BeforeLastFile);
        self.write_last(&last, bytes).map_err(|cause| making(&last, cause))?;
        refuse_existing(&self.path)?;
        commit_point(|| self.give_name())
    }

    fn write_last(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = self.config.disk.create(path, Access::Shared)?;
        if !bytes.is_empty() {
            file.append(bytes)?;
        }
        file.sync()?;
        self.config.disk.sync_dir(&self.aside.out())
    }

    fn give_name(&self) -> Result<()> {
        let disk = &self.config.disk;
        self.hit(FailPoint::BeforeOutputRename);
        disk.rename(&self.aside.out(), &self.path).map_err(|cause| making(&self.path, cause))?;
        self.hit(FailPoint::AfterOutputRename);
        disk.sync_dir(&self.parent).map_err(|cause| self.roll_back(cause))
    }

    /// Undoes the name, which a power cut might do as well: then there is no output. Readers see all
    /// of it or none, so nothing is removed under the name.
    fn roll_back(&self, cause: std::io::Error) -> Error {
        match self.config.disk.rename(&self.path, &self.aside.out()) {
            Ok(()) => making(&self.path, cause),
            Err(_) => {
                let path = self.path.display();
                let what = format!(
                    "`{path}` is whole, but its name may not survive a power cut, and could not be \
                     taken back: syncing the folder around it"
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
    // `symlink_metadata` also sees a link that leads nowhere.
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::OutputExists { path: path.to_path_buf() }));
    }
    Ok(())
}

fn making(path: &Path, cause: std::io::Error) -> Error {
    Error::io(format!("making `{}`", path.display()), cause)
}

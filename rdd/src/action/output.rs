//! A folder of output files, all of it or nothing.

use emberline_core::config::Config;
use emberline_core::disk::{Access, Disk, DiskWriter};
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::faults::{Faults, Point, come_to};
use emberline_core::task::TaskContext;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often the removal of a folder is tried while tasks may still write into it.
const REMOVALS: usize = 16;

/// The name of the file of a partition.
pub(crate) fn part_name(partition: usize) -> String {
    format!("part-{partition:05}")
}

/// The file of one attempt at one partition, under a name of its own. It goes when the attempt fails,
/// also by unwinding.
pub(crate) struct Trial {
    path: PathBuf,
    part: PathBuf,
    disk: Arc<dyn Disk>,
    faults: Option<Faults>,
    renamed: bool,
}

impl Trial {
    /// Makes the file in an output folder.
    pub(crate) fn create(
        folder: &Path,
        task: &TaskContext,
    ) -> Result<(Box<dyn DiskWriter>, Trial)> {
        let (name, attempt) = (part_name(task.place.partition), task.place.attempt);
        let part = folder.join(&name);
        let path = folder.join(format!(".{name}-attempt-{attempt}"));
        let (disk, faults) = (Arc::clone(&task.config.disk), task.config.faults.clone());
        let trial = Trial { path, part, disk, faults, renamed: false };
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
            come_to(self.faults.as_ref(), Point::BeforePartRename);
            self.disk.rename(&self.path, &self.part).map_err(|cause| self.error(cause))
        })?;
        self.renamed = true;
        Ok(())
    }

    fn error(&self, cause: std::io::Error) -> Error {
        Error::io(format!("writing `{}`", self.part.display()), cause)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.renamed {
            // It may never have been made, and what stays behind is hidden.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

/// An output folder in the making, beside where it is to be. Dropped before it is committed, it leaves
/// nothing.
pub(crate) struct Output {
    path: PathBuf,
    parent: PathBuf,
    aside: PathBuf,
    config: Arc<Config>,
    committed: bool,
}

impl Output {
    /// Makes the folder, and the parents of `path` if they are missing. `path` must not exist.
    pub(crate) fn begin(path: &Path, config: &Arc<Config>) -> Result<Output> {
        let name = path.file_name().ok_or_else(|| {
            Error::invalid_argument(format!("`{}` is not the name of a new folder", path.display()))
        })?;
        refuse_existing(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).to_path_buf();
        std::fs::create_dir_all(&parent).map_err(|cause| making(&parent, cause))?;
        // Unlike any other: two runs may write beside each other.
        let unique = format!("{:x}", std::hash::RandomState::new().hash_one(std::process::id()));
        let aside = parent.join(format!(".{}.writing-{unique}", name.to_string_lossy()));
        let made = config.disk.create_dir(&aside, Access::Shared);
        made.map_err(|cause| making(&aside, cause))?;
        let (path, config) = (path.to_path_buf(), Arc::clone(config));
        Ok(Output { path, parent, aside, config, committed: false })
    }

    /// Where its files are written.
    pub(crate) fn folder(&self) -> &Path {
        &self.aside
    }

    /// Writes a last file, and gives the folder its name: from now on it survives a power cut.
    pub(crate) fn commit(mut self, last: &str, bytes: &[u8]) -> Result<()> {
        let last = self.aside.join(last);
        self.come_to(Point::BeforeLastFile);
        self.write_last(&last, bytes).map_err(|cause| making(&last, cause))?;
        refuse_existing(&self.path)?;
        self.come_to(Point::BeforeOutputRename);
        let disk = Arc::clone(&self.config.disk);
        disk.rename(&self.aside, &self.path).map_err(|cause| making(&self.path, cause))?;
        // If this fails, a power cut may undo the name: then there is no output.
        self.aside = self.path.clone();
        self.come_to(Point::AfterOutputRename);
        disk.sync_dir(&self.parent).map_err(|cause| making(&self.path, cause))?;
        self.committed = true;
        Ok(())
    }

    fn write_last(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = self.config.disk.create(path, Access::Shared)?;
        if !bytes.is_empty() {
            file.append(bytes)?;
        }
        file.sync()?;
        self.config.disk.sync_dir(&self.aside)
    }

    fn come_to(&self, point: Point) {
        come_to(self.config.faults.as_ref(), point);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Tasks of a failed job may still be on their way and make a file between a look into the
        // folder and its end. If all of this fails, the folder's name says what it is.
        let remove = || self.config.disk.remove_dir_all(&self.aside).is_ok();
        let _ = !self.committed && (0..REMOVALS).any(|_| remove());
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

//! `save_as_text_file`: a folder of text files, all of it or nothing.

use crate::accumulator::in_one_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::disk::{Access, Disk};
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::step::{Step, blame, or_raise, raise};
use emberline_core::task::TaskContext;
use std::fmt::{Display, Write};
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is handed to the disk at once.
const BLOCK_BYTES: usize = 1 << 20;
/// How often the removal of a folder is tried while tasks may still write into it.
const REMOVALS: usize = 16;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Writes each row as a line of text into the new folder `path`: one file for each partition
    /// (`part-00000` and up, also for empty ones), then an empty `_SUCCESS`.
    ///
    /// The files are written into a folder beside `path`, synced and renamed as a whole, so a reader
    /// sees all of the output or none, also after a crash. An existing `path` is an error and is not
    /// touched. Missing parent folders are made.
    ///
    /// - **Shape**: `Rdd<T>` to a folder of files
    /// - **Partitions**: all, one task and one file each
    /// - **Partitioner**: not used
    /// - **Shuffle**: none
    /// - **Memory**: one block of 1 MiB for each task
    /// - **Order**: of the rows within a file; files are numbered in partition order
    ///
    /// # Errors
    ///
    /// `OutputExists` if there is something at `path`; the first error of a task; what the disk says.
    /// Nothing of the output is left behind; parent folders that were made stay.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// # let folder = std::env::temp_dir().join(format!("emberline-doc-save-{}", std::process::id()));
    /// let ctx = Context::local()?;
    /// ctx.range_with(2, 0..4_u32).save_as_text_file(&folder)?;
    /// assert_eq!(std::fs::read_to_string(folder.join("part-00001")).unwrap(), "2\n3\n");
    /// assert_eq!(ctx.text_file(&folder).count()?, 4);
    /// assert!(ctx.range(0..1_u32).save_as_text_file(&folder).is_err());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn save_as_text_file(&self, path: impl AsRef<Path>) -> Result<()>
    where
        T: Display,
    {
        let action = Step::new("save_as_text_file");
        let saved = Output::begin(path.as_ref(), &self.context.engine.config().disk);
        let output = saved.map_err(|error| error.in_step(action).in_action(action))?;
        let folder = output.aside.clone();
        let work = move |rows: P::Rows, task: &TaskContext| write_part(action, rows, &folder, task);
        in_one_action(action, || {
            self.run(action, 0..self.num_partitions(), work)?;
            output.commit().map_err(|error| error.in_step(action).in_action(action))
        })
    }
}

/// Writes one partition under a name of this attempt's own, then gives it its final name.
fn write_part<T: Display>(
    action: Step,
    rows: impl Iterator<Item = T>,
    folder: &Path,
    task: &TaskContext,
) -> Result<()> {
    let (partition, attempt) = (task.place.partition, task.place.attempt);
    let part = folder.join(format!("part-{partition:05}"));
    let disk = &*task.config.disk;
    let trial = folder.join(format!(".part-{partition:05}-attempt-{attempt}"));
    let mut trial = Trial { path: trial, disk, renamed: false };
    let writing = |cause| Error::io(format!("writing `{}`", part.display()), cause);
    let mut file = disk.create(&trial.path, Access::Shared).map_err(writing)?;
    let mut block = String::with_capacity(BLOCK_BYTES);
    rows.for_each(|row| {
        // Writing to a String fails only if the row's own Display does.
        let displayed = blame(&action, || writeln!(block, "{row}"));
        if displayed.is_err() {
            let message = "a row's Display returned an error".into();
            raise(Error::new(ErrorKind::Panicked { message }).in_step(action));
        }
        if block.len() >= BLOCK_BYTES {
            or_raise(file.append(block.as_bytes()).map_err(writing));
            block.clear();
        }
    });
    file.append(block.as_bytes()).and_then(|()| file.sync()).map_err(writing)?;
    disk.rename(&trial.path, &part).map_err(writing)?;
    trial.renamed = true;
    Ok(())
}

/// The file of an attempt. It goes when the attempt fails, also by unwinding.
struct Trial<'a> {
    path: PathBuf,
    disk: &'a dyn Disk,
    renamed: bool,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // It may never have been made, and what stays behind is hidden.
            let _ = self.disk.remove_file(&self.path);
        }
    }
}

/// An output folder in the making. Dropped before it is committed, it leaves nothing.
struct Output {
    path: PathBuf,
    aside: PathBuf,
    disk: Arc<dyn Disk>,
    committed: bool,
}

impl Output {
    fn begin(path: &Path, disk: &Arc<dyn Disk>) -> Result<Output> {
        let name = path.file_name().ok_or_else(|| {
            Error::invalid_argument(format!("`{}` is not the name of a new folder", path.display()))
        })?;
        refuse_existing(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|cause| making(parent, cause))?;
        // Unlike any other: two runs may write beside each other.
        let unique = format!("{:x}", std::hash::RandomState::new().hash_one(std::process::id()));
        let aside = parent.join(format!(".{}.writing-{unique}", name.to_string_lossy()));
        disk.create_dir(&aside, Access::Shared).map_err(|cause| making(&aside, cause))?;
        Ok(Output { path: path.to_path_buf(), aside, disk: Arc::clone(disk), committed: false })
    }

    fn commit(mut self) -> Result<()> {
        let marker = self.aside.join("_SUCCESS");
        let marked = self.disk.create(&marker, Access::Shared).and_then(|mut file| file.sync());
        marked
            .and_then(|()| self.disk.sync_dir(&self.aside))
            .map_err(|cause| making(&marker, cause))?;
        refuse_existing(&self.path)?;
        self.disk.rename(&self.aside, &self.path).map_err(|cause| making(&self.path, cause))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Tasks of a failed job may still be on their way and make a file between a look into the
        // folder and its end. If all of this fails, the folder's name says what it is.
        let remove = || self.disk.remove_dir_all(&self.aside).is_ok();
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

//! `save_as_text_file`: a folder of text files, all of it or nothing.

use super::output::{AttemptFile, Output};
use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, or_raise, raise};
use std::fmt::{Display, Write};
use std::path::Path;

/// What is handed to the disk at once.
const BLOCK_BYTES: usize = 1 << 20;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Writes each row as a line of text into the new folder `path`: one file for each partition
    /// (`part-00000` and up, also for empty ones), then an empty `_SUCCESS`.
    ///
    /// The files are written into a folder beside `path`, synced and renamed as a whole, so a reader
    /// sees all of the output or none, also after a crash. An existing `path` is an error and is not
    /// touched. Missing parent folders are made. What a process that was killed left in the making under
    /// the same name is removed.
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
    /// Nothing of the output is left behind; parent folders that were made stay. If the name of a whole
    /// output cannot be made to last, nor be taken back, the error says so.
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
        let action = Operation::new("save_as_text_file");
        let saved = Output::begin(path.as_ref(), self.context.engine.config());
        let output = saved.map_err(|error| error.in_operation(action).in_action(action))?;
        let folder = output.folder().to_path_buf();
        let work = move |rows: P::Rows, task: &TaskContext| write_part(action, rows, &folder, task);
        run_action(action, || {
            self.run(action, 0..self.num_partitions(), work)?;
            output
                .commit("_SUCCESS", &[])
                .map_err(|error| error.in_operation(action).in_action(action))
        })
    }
}

/// Writes one partition under a name of this attempt's own, then gives it its final name.
fn write_part<T: Display>(
    action: Operation,
    rows: impl Iterator<Item = T>,
    folder: &Path,
    task: &TaskContext,
) -> Result<()> {
    let (mut file, trial) = AttemptFile::create(folder, task)?;
    let writing = |cause| Error::io(format!("writing `{}`", trial.part().display()), cause);
    let mut block = String::with_capacity(BLOCK_BYTES);
    rows.for_each(|row| {
        // Writing to a String fails only if the row's own Display does.
        let displayed = blame(&action, || writeln!(block, "{row}"));
        if displayed.is_err() {
            let message = "a row's Display returned an error".into();
            raise(Error::new(ErrorKind::Panicked { message }).in_operation(action));
        }
        if block.len() >= BLOCK_BYTES {
            or_raise(file.append(block.as_bytes()).map_err(writing));
            block.clear();
        }
    });
    file.append(block.as_bytes()).and_then(|()| file.sync()).map_err(writing)?;
    trial.commit(task)
}

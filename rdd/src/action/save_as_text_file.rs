//! `save_as_text_file`: a directory of text files that appears as a whole or not at all.

use super::output::{AttemptFile, Output};
use crate::driver::run_action;
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::disk::DiskWriter;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, or_raise, raise};
use std::fmt::{Display, Write};
use std::path::Path;

/// Size of the writes that are passed to the disk.
const BUFFER_BYTES: usize = 1 << 20;

/// # Actions
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Writes each row as a line of text into the new directory `path`.
    ///
    /// A row is written with [`Display`]. Pairs have no `Display`: map them to a `String` first,
    /// such as with `map(|(k, v)| format!("{k},{v}"))`.
    ///
    /// There is one file for each partition (`part-00000` and up; the numbers are longer if there
    /// are more than 100,000), and an empty `_SUCCESS`. The
    /// output is written into a hidden staging directory, synced and renamed, so readers see all of
    /// it or none, also after a crash. Missing parent directories are created. Staging directories
    /// of killed processes are removed. A task holds a buffer of 1 MiB.
    ///
    /// # Errors
    ///
    /// `OutputExists` if `path` exists, and I/O errors. Nothing of a failed output remains, except
    /// for created parent directories.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let folder = folder.path().join("numbers");
    /// ctx.range_with(2, 0..4_u32).save_as_text_file(&folder)?;
    /// assert_eq!(std::fs::read_to_string(folder.join("part-00001")).unwrap(), "2\n3\n");
    /// assert_eq!(ctx.text_file(&folder).count()?, 4);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "saveAsTextFile")]
    #[track_caller]
    pub fn save_as_text_file(&self, path: impl AsRef<Path>) -> Result<()>
    where
        T: Display,
    {
        let action = Operation::new("save_as_text_file");
        run_action(action, |frame| {
            let output = Output::begin(path.as_ref(), self.context.engine.config())?;
            let staging = output.staging().to_path_buf();
            let partitions = self.num_partitions();
            let work = move |rows: P::Rows, task: &TaskContext| {
                let created = AttemptFile::create(&staging, partitions, task)?;
                write_part(action, rows, created, task)
            };
            self.run(frame, 0..partitions, work)?;
            frame.publish_at_end(move || output.commit(partitions, "_SUCCESS", &[]));
            Ok(())
        })
    }
}

/// Writes one partition to a file of this attempt, and commits the file.
fn write_part<T: Display>(
    action: Operation,
    rows: impl Iterator<Item = T>,
    (mut file, attempt_file): (Box<dyn DiskWriter>, AttemptFile),
    task: &TaskContext,
) -> Result<()> {
    let writing =
        |cause| Error::io(format!("writing `{}` failed", attempt_file.part().display()), cause);
    let mut block = String::with_capacity(BUFFER_BYTES);
    rows.for_each(|row| {
        // Writing to a String fails only if the Display implementation of the row does.
        let displayed = blame(&action, || writeln!(block, "{row}"));
        if displayed.is_err() {
            let message = "the Display implementation of a row returned an error".into();
            raise(Error::new(ErrorKind::Panicked { message }).in_operation(action));
        }
        if block.len() >= BUFFER_BYTES {
            or_raise(file.append(block.as_bytes()).map_err(writing));
            block.clear();
        }
    });
    file.append(block.as_bytes()).and_then(|()| file.sync()).map_err(writing)?;
    attempt_file.commit(task)
}

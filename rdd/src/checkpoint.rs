//! `checkpoint` and `read_checkpoint`: files that outlive the program (README of `action`).

use crate::action::output::{AttemptFile, Output, part_name};
use crate::context::Context;
use crate::driver::run_action;
use crate::pipeline::boxed::Boxed;
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::disk::{Disk, DiskReader};
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::files::{self, is_no_file};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, raise};
use emberline_shuffle::Batches;
use emberline_shuffle::OpenFile;
use emberline_shuffle::{MANIFEST_NAME, Manifest, Part, PartReader, write_part};
use std::any::type_name;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// # Persistence
impl<T: Stored, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Writes all rows into the new directory `path`, and returns an RDD that reads them.
    ///
    /// The lineage of the result begins at the files: one for each partition, and a manifest. They
    /// are written into a hidden staging directory, synced and renamed, so a crash leaves a whole
    /// checkpoint or none. A later run reads it with [`read_checkpoint`](Context::read_checkpoint).
    /// The directory is never deleted by emberline. Keeps the partitioner.
    ///
    /// # Errors
    ///
    /// `OutputExists` if `path` exists, and I/O errors. Nothing of a failed checkpoint remains,
    /// except for created parent directories.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("squares");
    /// let squares = ctx.range_with(2, 0..4_u64).map(|n| n * n).checkpoint(&path)?;
    /// assert_eq!(squares.collect()?, [0, 1, 4, 9]);
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<Rdd<T>> {
        let operation = Operation::new("checkpoint");
        let path = path.as_ref();
        let folder = files::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let manifest = run_action(operation, |frame| {
            let output = Output::begin(path, self.context.engine.config())?;
            let staging = output.staging().to_path_buf();
            let work = move |rows: P::Rows, task: &TaskContext| {
                blame(&operation, || write(rows, &staging, task))
            };
            let parts = self.run(frame, 0..self.num_partitions(), work)?;
            let manifest = Manifest { parts };
            let encoded = manifest.encode();
            frame.publish_at_end(move || output.commit(MANIFEST_NAME, &encoded));
            Ok(manifest)
        })?;
        let lineage = self.context.lineage(operation, self.num_partitions(), Vec::new());
        let pipeline = Saved::new(folder, manifest);
        let partitioner = self.partitioner.clone();
        Ok(Rdd::partitioned(&self.context, lineage, Boxed::new(pipeline), partitioner))
    }
}

/// Writes one partition to a file of this attempt, and commits the file.
fn write<T: Stored>(
    rows: impl Iterator<Item = T>,
    staging: &Path,
    task: &TaskContext,
) -> Result<Part> {
    let (file, attempt_file) = AttemptFile::create(staging, task)?;
    let batches = Batches::new(rows, task).measured().inspect(|_| task.check_cancelled());
    let partition = task.attempt_id.partition;
    let part = write_part(batches, partition, attempt_file.path(), file, &task.config)?;
    attempt_file.commit(task)?;
    Ok(part)
}

/// # Sources
impl Context {
    /// Reads a directory that [`checkpoint`](Rdd::checkpoint) wrote, in this run or in another one.
    ///
    /// `T` must be the type that was written, which the files do not record. Partitions are those
    /// that were written; the partitioner is not, since hashes may differ between builds. A task
    /// holds one frame.
    ///
    /// # Errors
    ///
    /// The first action fails with `InvalidCheckpoint` if the directory is missing, incomplete,
    /// damaged, or of another format version.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("words");
    /// let words = ctx.parallelize_with(2, vec!["tea".to_string(), "rye".to_string()]);
    /// words.checkpoint(&path)?;
    /// let read = ctx.read_checkpoint::<String>(&path);
    /// assert_eq!((read.num_partitions(), read.collect()?), (2, words.collect()?));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "checkpointFile")]
    #[track_caller]
    pub fn read_checkpoint<T: Stored>(&self, path: impl AsRef<Path>) -> Rdd<T> {
        let operation = Operation::new("read_checkpoint");
        let path = path.as_ref();
        let path = files::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        match read_manifest(&path, &*self.engine.config().disk) {
            Ok(manifest) => {
                let lineage = self.lineage(operation, manifest.parts.len(), Vec::new());
                Rdd::new(self, lineage, Boxed::new(Saved::new(path, manifest)))
            }
            Err(problem) => {
                let mut lineage = self.lineage(operation, 1, Vec::new());
                lineage.set_problem(Some(problem.in_operation(operation)));
                Rdd::new(self, lineage, Boxed::new(Saved::new(path, Manifest::default())))
            }
        }
    }
}

/// Reads the manifest of a checkpoint, and checks that none of its files is missing.
fn read_manifest(path: &Path, disk: &dyn Disk) -> Result<Manifest> {
    let listed = disk.list(path).map_err(|cause| match is_no_file(&cause) {
        true => invalid(path, "no such directory"),
        false => reading(path, cause),
    })?;
    let names: Vec<String> = listed.iter().filter_map(|path| file_name(path)).collect();
    if !names.iter().any(|name| name == MANIFEST_NAME) {
        let what = "missing manifest: it is not a checkpoint, or an incomplete one";
        return Err(invalid(path, what));
    }
    let file = disk
        .open(&path.join(MANIFEST_NAME))
        .map_err(|cause| not_opened(path, MANIFEST_NAME, cause))?;
    let found = names.iter().filter(|name| name.starts_with("part-")).count();
    let manifest = Manifest::read(&*file, found).map_err(|cause| reading(path, cause))?;
    let manifest = manifest.map_err(|what| invalid(path, what))?;
    let wanted = manifest.parts.len();
    let missing = (0..wanted).map(part_name).find(|part| !names.contains(part));
    match missing {
        Some(part) => Err(invalid(path, format!("file `{part}` is missing"))),
        None if found > wanted => {
            let what =
                format!("the manifest lists {wanted} partitions, but there are {found} files");
            Err(invalid(path, what))
        }
        None => Ok(manifest),
    }
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn invalid(path: &Path, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidCheckpoint { path: path.to_path_buf(), what: what.into() })
}

fn reading(path: &Path, cause: io::Error) -> Error {
    Error::io(format!("reading the checkpoint `{}` failed", path.display()), cause)
}

/// Returns the error of a file of the checkpoint `path` that cannot be opened.
fn not_opened(path: &Path, name: &str, cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::NotFound => invalid(path, format!("file `{name}` is missing")),
        _ if is_no_file(&cause) => invalid(path, format!("`{name}` is no file: {cause}")),
        _ => reading(path, cause),
    }
}

struct Saved<T> {
    folder: Arc<Path>,
    manifest: Arc<Manifest>,
    row: PhantomData<fn() -> T>,
}

impl<T> Clone for Saved<T> {
    fn clone(&self) -> Self {
        Saved {
            folder: Arc::clone(&self.folder),
            manifest: Arc::clone(&self.manifest),
            row: PhantomData,
        }
    }
}

impl<T: Stored> Saved<T> {
    fn new(folder: PathBuf, manifest: Manifest) -> Self {
        Saved { folder: folder.into(), manifest: Arc::new(manifest), row: PhantomData }
    }

    fn frames(&self, partition: usize, disk: &dyn Disk) -> Result<PartReader<T>> {
        let name = part_name(partition);
        let opened = disk.open(&self.folder.join(&name));
        let file: Box<dyn DiskReader> =
            opened.map_err(|cause| not_opened(&self.folder, &name, cause))?;
        PartReader::new(self.manifest.parts[partition], OpenFile::new(file, name))
    }

    /// Turns damage of a file, and rows of another type, into `InvalidCheckpoint`, which is not
    /// retried.
    fn explain(&self, error: Error) -> Error {
        let (ErrorKind::Corrupt { what } | ErrorKind::NotEncodable { what, .. }) = error.kind()
        else {
            return error;
        };
        let rows = type_name::<T>();
        let what = format!("{what} (the file is damaged, or its rows are not `{rows}`)");
        invalid(&self.folder, what)
    }
}

impl<T> Sealed for Saved<T> {}

impl<T: Stored> Pipeline for Saved<T> {
    type Item = T;
    type Rows = MaterializedRows<T>;

    fn open(&self, partition: usize, task: &TaskContext) -> MaterializedRows<T> {
        let opened = self.frames(partition, &*task.config.disk);
        let mut frames = opened.unwrap_or_else(|error| raise(self.explain(error)));
        let saved = self.clone();
        let counting = task.clone();
        let batches = std::iter::from_fn(move || {
            let rows = frames.next_frame().unwrap_or_else(|error| raise(saved.explain(error)))?;
            counting.count_read(rows.len());
            Some(rows)
        });
        MaterializedRows::batched(batches, task)
    }

    fn depth(&self) -> usize {
        0
    }
}

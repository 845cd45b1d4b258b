//! `checkpoint` and `read_checkpoint`: files that outlive the program (README of `action`).

use crate::action::output::{AttemptFile, Output, old_part_name, part_name};
use crate::context::Context;
use crate::driver::run_action;
use crate::pipeline::boxed::Boxed;
use crate::pipeline::materialized::MaterializedRows;
use crate::pipeline::{Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::bounds::Stored;
use emberline_core::disk::{Disk, DiskReader, DiskWriter};
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::files::{self, is_no_file};
use emberline_core::operation::Operation;
use emberline_core::shape::Shape;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{blame, raise};
use emberline_shuffle::Batches;
use emberline_shuffle::OpenFile;
use emberline_shuffle::{MANIFEST_NAME, Manifest, Part, PartReader, write_part};
use std::any::type_name;
use std::collections::HashSet;
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
            let partitions = self.num_partitions();
            let work = move |rows: P::Rows, task: &TaskContext| {
                let created = AttemptFile::create(&staging, partitions, task)?;
                blame(&operation, || write(rows, created, task))
            };
            let parts = self.run(frame, 0..partitions, work)?;
            let manifest = Manifest { shape: Shape::of::<T>(), parts };
            let encoded = manifest.encode();
            frame.publish_at_end(move || output.commit(partitions, MANIFEST_NAME, &encoded));
            Ok(manifest)
        })?;
        let lineage = self.context.lineage(operation, self.num_partitions(), Vec::new());
        let pipeline = Saved::new(folder, operation, manifest, part_name);
        let partitioner = self.partitioner.clone();
        Ok(Rdd::partitioned(&self.context, lineage, Boxed::new(pipeline), partitioner))
    }
}

/// Writes one partition to a file of this attempt, and commits the file.
fn write<T: Stored>(
    rows: impl Iterator<Item = T>,
    (file, attempt_file): (Box<dyn DiskWriter>, AttemptFile),
    task: &TaskContext,
) -> Result<Part> {
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
    /// `T` must have the shape of the type that was written: the same kinds of values, and the same
    /// names of fields and variants in the same order. Names of types do not matter. To find out the
    /// shape, `T` is deserialized from a few sample values when the checkpoint is written and when
    /// it is read. What `T` refuses is not checked, and neither are checkpoints of emberline before
    /// version 3 of their manifest.
    ///
    /// Partitions are those that were written; the partitioner is not, since hashes may differ
    /// between builds. A task holds one frame.
    ///
    /// # Errors
    ///
    /// The first action fails with `InvalidCheckpoint` if the directory is missing, incomplete,
    /// damaged, of rows of another shape, or of another format version.
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
        let opened = Directory::open(&path, &*self.engine.config().disk);
        let opened = opened.and_then(|directory| directory.with_rows::<T>());
        let (partitions, pipeline, problem) = match opened {
            Ok(Directory { manifest, name_of, .. }) => {
                let partitions = manifest.parts.len();
                (partitions, Saved::new(path, operation, manifest, name_of), None)
            }
            Err(problem) => {
                let nothing = Saved::new(path, operation, Manifest::default(), part_name);
                (1, nothing, Some(problem.in_operation(operation)))
            }
        };
        let mut lineage = self.lineage(operation, partitions, Vec::new());
        lineage.set_problem(problem);
        Rdd::new(self, lineage, Boxed::new(pipeline))
    }
}

/// Returns the name of the file of a partition, given the number of partitions.
type PartName = fn(usize, usize) -> String;

/// The directory of a checkpoint, of which all files are there.
struct Directory<'a> {
    path: &'a Path,
    manifest: Manifest,
    name_of: PartName,
}

impl<'a> Directory<'a> {
    /// Reads the manifest, and compares it with the names of the files.
    fn open(path: &'a Path, disk: &dyn Disk) -> Result<Self> {
        let listed = disk.list(path).map_err(|cause| match is_no_file(&cause) {
            true => invalid(path, "no such directory"),
            false => reading(path, cause),
        })?;
        let names: Vec<String> = listed.iter().filter_map(|path| file_name(path)).collect();
        if !names.iter().any(|name| name == MANIFEST_NAME) {
            let what = "missing manifest: it is not a checkpoint, or an incomplete one";
            return Err(invalid(path, what));
        }
        let manifest = path.join(MANIFEST_NAME);
        let unreadable = |cause| reading(&manifest, cause);
        let opened = disk.open(&manifest);
        let file = opened.map_err(|cause| not_opened(path, MANIFEST_NAME, cause))?;
        let parts = Manifest::read_partitions(&*file).map_err(unreadable)?;
        let parts = parts.map_err(|what| invalid(path, what))?;
        let names: HashSet<String> =
            names.into_iter().filter(|name| name.starts_with("part-")).collect();
        let name_of = compare_names(&names, parts).map_err(|what| invalid(path, what))?;
        let manifest = Manifest::read(&*file, names.len()).map_err(unreadable)?;
        let manifest = manifest.map_err(|what| invalid(path, what))?;
        Ok(Directory { path, manifest, name_of })
    }

    /// Checks that the rows that were written have the shape of `T`.
    fn with_rows<T: Stored>(self) -> Result<Self> {
        let wanted = Shape::of::<T>();
        let Some(difference) = self.manifest.shape.difference(&wanted) else { return Ok(self) };
        let rows = type_name::<T>();
        let mut what = format!(
            "its rows were written as `{}`, and `{rows}` is read as `{wanted}`",
            self.manifest.shape
        );
        if !difference.path.is_empty() {
            let [written, read] = difference.parts;
            what += &format!(
                "; the first difference is at `{}`: `{written}`, `{read}`",
                difference.path
            );
        }
        what += " (read it with the type that wrote it, and convert its rows with `map`)";
        Err(invalid(self.path, what))
    }
}

/// Checks that there is a file for each partition, and no other one, in time that is linear in the
/// number of files. Returns the form of their names.
fn compare_names(names: &HashSet<String>, parts: u64) -> Result<PartName, String> {
    let counts = |problem: String| {
        let files = names.len();
        format!("{parts} partitions were written, but there are {files} files: {problem}")
    };
    let partitions = usize::try_from(parts).unwrap_or(usize::MAX);
    let forms: [PartName; 2] = [part_name, |partition, _| old_part_name(partition)];
    let is_there = |name_of: PartName| partitions > 0 && names.contains(&name_of(0, partitions));
    let name_of = forms.into_iter().find(|name_of| is_there(*name_of)).unwrap_or(part_name);
    let missing = (0..partitions).map(|at| name_of(at, partitions)).find(|it| !names.contains(it));
    if let Some(name) = missing {
        return Err(counts(format!("`{name}` is missing")));
    }
    let is_part = |name: &String| {
        let number = name.strip_prefix("part-").and_then(|number| number.parse().ok());
        number.is_some_and(|number| number < partitions && name_of(number, partitions) == *name)
    };
    let mut others: Vec<&String> = names.iter().filter(|name| !is_part(name)).collect();
    others.sort_unstable();
    match others.first() {
        None => Ok(name_of),
        Some(first) => {
            let problem = format!("`{first}` is not one of them (move it to another directory)");
            Err(counts(problem))
        }
    }
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn invalid(path: &Path, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidCheckpoint { path: path.to_path_buf(), what: what.into() })
}

/// Returns the error of a file of a checkpoint that could not be read.
fn reading(path: &Path, cause: io::Error) -> Error {
    Error::io(format!("reading the checkpoint file `{}` failed", path.display()), cause)
}

/// Returns the error of a file of the checkpoint `path` that cannot be opened.
fn not_opened(path: &Path, name: &str, cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::NotFound => invalid(path, format!("file `{name}` is missing")),
        _ if is_no_file(&cause) => invalid(path, format!("`{name}` is no file: {cause}")),
        _ => reading(&path.join(name), cause),
    }
}

struct Saved<T> {
    checkpoint: Arc<SavedRows>,
    row: PhantomData<fn() -> T>,
}

/// A checkpoint that is read.
struct SavedRows {
    path: PathBuf,
    /// The operation that reads it.
    operation: Operation,
    manifest: Manifest,
    name_of: PartName,
}

impl<T> Clone for Saved<T> {
    fn clone(&self) -> Self {
        Saved { checkpoint: Arc::clone(&self.checkpoint), row: PhantomData }
    }
}

impl<T: Stored> Saved<T> {
    fn new(path: PathBuf, operation: Operation, manifest: Manifest, name_of: PartName) -> Self {
        let checkpoint = SavedRows { path, operation, manifest, name_of };
        Saved { checkpoint: Arc::new(checkpoint), row: PhantomData }
    }

    fn frames(&self, partition: usize, disk: &dyn Disk) -> Result<PartReader<T>> {
        let SavedRows { path, manifest, .. } = &*self.checkpoint;
        let name = self.checkpoint.name(partition);
        let file_path = path.join(&name);
        let opened = disk.open(&file_path);
        let file: Box<dyn DiskReader> = opened.map_err(|cause| not_opened(path, &name, cause))?;
        let file = OpenFile::durable(file, file_path.display().to_string());
        PartReader::new(manifest.parts[partition], file)
    }

    /// Turns damage of a file, and rows of another type, into `InvalidCheckpoint`, which is not
    /// retried. The error names the operation that reads the checkpoint.
    fn explain(&self, partition: usize, error: Error) -> Error {
        let SavedRows { path, operation, .. } = &*self.checkpoint;
        let error = match error.kind() {
            ErrorKind::Corrupt { what } | ErrorKind::NotEncodable { what, .. } => {
                let name = self.checkpoint.name(partition);
                let rows = type_name::<T>();
                let what = format!(
                    "file `{name}`: {what} (the file is damaged, or its rows are not `{rows}`)"
                );
                invalid(path, what)
            }
            _ => error,
        };
        error.in_operation(*operation)
    }
}

impl SavedRows {
    /// Returns the name of the file of a partition.
    fn name(&self, partition: usize) -> String {
        (self.name_of)(partition, self.manifest.parts.len())
    }
}

impl<T> Sealed for Saved<T> {}

impl<T: Stored> Pipeline for Saved<T> {
    type Item = T;
    type Rows = MaterializedRows<T>;

    fn open(&self, partition: usize, task: &TaskContext) -> MaterializedRows<T> {
        let opened = self.frames(partition, &*task.config.disk);
        let mut frames = opened.unwrap_or_else(|error| raise(self.explain(partition, error)));
        let saved = self.clone();
        let counting = task.clone();
        let batches = std::iter::from_fn(move || {
            let rows = frames.next_frame();
            let rows = rows.unwrap_or_else(|error| raise(saved.explain(partition, error)))?;
            counting.count_read(rows.len());
            Some(rows)
        });
        MaterializedRows::batched(batches, task)
    }

    fn depth(&self) -> usize {
        0
    }
}

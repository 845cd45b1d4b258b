//! `text_file`: the lines of text files, split by bytes so that every line is read exactly once.
//!
//! The files are one sequence of bytes, split into even partitions. A line belongs to the partition
//! of its first byte; a partition that begins inside a line skips to the next one.

use super::line_reader::LineReader;
use super::split_range;
use super::text_paths::TextPaths;
use crate::context::{Context, no_partitions};
use crate::pipeline::{Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::engine::CancelScope;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::files::{self, ListedFile, ListedReader, MAX_MAGIC_BYTES};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{or_raise, raise};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// The minimum size of a partition if the number of partitions was not given.
const MIN_PARTITION_BYTES: u64 = 64 << 10;
/// The maximum size of a partition if the number of partitions was not given.
const MAX_PARTITION_BYTES: u64 = 32 << 20;

/// Options for reading text files with [`Context::text_file_with`].
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until they are passed to `Context::text_file_with`"]
pub struct Text {
    partitions: Option<usize>,
    strict_utf8: bool,
}

impl Text {
    /// Returns the options that [`Context::text_file`] uses.
    pub fn new() -> Text {
        Text::default()
    }

    /// Sets the number of partitions, some of which are empty if there are fewer lines. By default
    /// the number follows from the size of the files.
    pub fn partitions(self, partitions: usize) -> Text {
        Text { partitions: Some(partitions), ..self }
    }

    /// Makes bytes that are not UTF-8 an error that names the file and the byte. By default they
    /// are replaced by U+FFFD.
    pub fn strict_utf8(self) -> Text {
        Text { strict_utf8: true, ..self }
    }
}

/// # Sources
impl Context {
    /// Reads text files as an RDD of lines.
    ///
    /// `paths` is a file, a folder, a pattern such as `corpus/**/*.txt`, or a list of these. Relative
    /// paths are resolved and files are listed once, by this call. A line ends with `\n` or `\r\n`, which are not part of it. Bytes that are not UTF-8
    /// become U+FFFD; see [`text_file_with`](Context::text_file_with) for an error instead.
    ///
    /// | path | files |
    /// |---|---|
    /// | a path that exists | the file, or the files of the folder that are not hidden, by name |
    /// | `*`, `?`, `[a-z]`, `[!a-z]` | a pattern: these match characters of one name |
    /// | `**` | any number of folders: `d/**/*` has all files below `d` |
    /// | `[*]`, `[?]`, `[[]` | `*`, `?` and `[` themselves |
    /// | a pattern that matches a folder | its files, as if it were named |
    /// | a hidden name (`.x`, `_x`) | matched only by a part that begins with the same character |
    /// | a link | followed; a pattern visits each folder once, so links in a circle end |
    ///
    /// There are about `default_partitions` partitions of 64 KiB to 32 MiB each, in the order of
    /// files and lines, and none if a folder is empty. A task holds a buffer of 256 KiB or of its
    /// longest line.
    ///
    /// # Errors
    ///
    /// The first action fails if a path or pattern matches nothing, or if a file cannot be read, is
    /// compressed (by its name or its first bytes), has no length (a pipe or a device), or changes
    /// after it was listed, also while it is read (`InputChanged`). A listing looks at 4,000,000
    /// names at most, and ends when the context or the caller's job is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("poem.txt");
    /// std::fs::write(&path, "the ember\nof the line\r\n").unwrap();
    /// assert_eq!(ctx.text_file(&path).collect()?, ["the ember", "of the line"]);
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "textFile")]
    #[track_caller]
    pub fn text_file<S: TextPaths>(
        &self,
        paths: S,
    ) -> Rdd<String, impl Fused<Item = String> + use<S>> {
        self.text_lines(Operation::new("text_file"), &Text::new(), &paths)
    }

    /// Reads text files like [`text_file`](Context::text_file), with options.
    ///
    /// # Errors
    ///
    /// Like [`text_file`](Context::text_file). The first action also fails for zero partitions, and
    /// with `InvalidInput` if [`strict_utf8`](Text::strict_utf8) is set and a line is not UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// # let ctx = Context::local()?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("bytes.txt");
    /// std::fs::write(&path, b"good\nb\xffd\n").unwrap();
    /// let lines = ctx.text_file_with(Text::new().partitions(8), &path);
    /// assert_eq!(lines.collect()?, ["good", "b\u{FFFD}d"]);
    /// let error = ctx.text_file_with(Text::new().strict_utf8(), &path).count().unwrap_err();
    /// assert!(error.to_string().contains("byte 6 is not UTF-8"));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "textFile")]
    #[track_caller]
    pub fn text_file_with<S: TextPaths>(
        &self,
        options: Text,
        paths: S,
    ) -> Rdd<String, impl Fused<Item = String> + use<S>> {
        self.text_lines(Operation::new("text_file"), &options, &paths)
    }

    fn text_lines(
        &self,
        operation: Operation,
        options: &Text,
        paths: &impl TextPaths,
    ) -> Rdd<String, TextLines> {
        let (files, problem) = match self.list_input(&paths.paths()) {
            Ok(files) => (files, None),
            Err(error) => (Vec::new(), Some(error.in_operation(operation))),
        };
        let input = Input::new(files);
        let partitions_by_size = || {
            let even = input.bytes() / self.default_partitions() as u64;
            let target = even.clamp(MIN_PARTITION_BYTES, MAX_PARTITION_BYTES);
            let least = usize::from(!input.files.is_empty() || problem.is_some());
            (input.bytes().div_ceil(target) as usize).max(least)
        };
        let partitions = options.partitions.unwrap_or_else(partitions_by_size);
        let mut lineage = self.lineage(operation, partitions, Vec::new());
        // A folder without files has no partitions, which is no mistake of the caller.
        let refused = no_partitions(operation, options.partitions.unwrap_or(1));
        lineage.set_problem(refused.or(problem));
        let lines = TextLines {
            input: Arc::new(input),
            partitions,
            strict_utf8: options.strict_utf8,
            operation,
        };
        Rdd::new(self, lineage, lines)
    }

    /// Lists files on this thread. Cancelling the context, or a scope of this thread, ends it.
    fn list_input(&self, paths: &[PathBuf]) -> Result<Vec<ListedFile>> {
        let listing = self.engine.open_scope(None);
        let scopes = listing.with_current();
        let cancelled = |scope: &Arc<CancelScope>| scope.cancel_error();
        files::list(paths, &|| scopes.iter().find_map(cancelled).map_or(Ok(()), Err))
    }
}

/// The listed files, as one sequence of bytes.
struct Input {
    files: Vec<ListedFile>,
    /// The position of the first byte of each file, and of the end.
    starts: Vec<u64>,
}

impl Input {
    fn new(files: Vec<ListedFile>) -> Input {
        let mut starts = Vec::with_capacity(files.len() + 1);
        let mut end = 0_u64;
        for file in &files {
            starts.push(end);
            end = end.saturating_add(file.identity.length());
        }
        starts.push(end);
        Input { files, starts }
    }

    fn bytes(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Returns the indexes of the files that begin or have bytes in `bytes`, among them those
    /// without bytes. The files at the end without bytes belong to the last partition.
    fn files_in(&self, bytes: &Range<u64>, is_last: bool) -> Range<usize> {
        let first = self.starts[1..].partition_point(|end| *end <= bytes.start);
        let before = self.starts[..first].partition_point(|start| *start < bytes.start);
        let last = match is_last {
            true => self.files.len(),
            false => self.starts.partition_point(|start| *start < bytes.end),
        };
        before..last
    }

    /// Returns the bytes of a file that are in `bytes`, as positions in the file.
    fn bytes_of(&self, file: usize, bytes: &Range<u64>) -> Range<u64> {
        let own = self.starts[file]..self.starts[file + 1];
        let at = |position: u64| position.clamp(own.start, own.end) - own.start;
        at(bytes.start)..at(bytes.end)
    }
}

#[derive(Clone)]
struct TextLines {
    input: Arc<Input>,
    partitions: usize,
    strict_utf8: bool,
    operation: Operation,
}

impl Sealed for TextLines {}
impl Fused for TextLines {}

impl Pipeline for TextLines {
    type Item = String;
    type Rows = LineRows;

    fn open(&self, partition: usize, task: &TaskContext) -> LineRows {
        let (start, end) = split_range(self.input.bytes(), self.partitions, partition);
        let bytes = start..end;
        let files = self.input.files_in(&bytes, partition + 1 == self.partitions);
        LineRows {
            input: Arc::clone(&self.input),
            bytes,
            files,
            open_split: None,
            strict_utf8: self.strict_utf8,
            operation: self.operation,
            task: task.clone(),
        }
    }

    fn depth(&self) -> usize {
        0
    }
}

struct LineRows {
    input: Arc<Input>,
    /// The bytes of the partition.
    bytes: Range<u64>,
    /// The indexes of its files that were not opened yet.
    files: Range<usize>,
    /// The index of the file that is being read, and its reader.
    open_split: Option<(usize, LineReader<ListedReader>)>,
    strict_utf8: bool,
    operation: Operation,
    task: TaskContext,
}

impl LineRows {
    fn next_split(&mut self) -> Option<()> {
        self.task.check_cancelled();
        let file = self.files.next()?;
        let opened = open_split(&self.input, file, &self.bytes, &self.task);
        let reader = or_raise(opened.map_err(|error| error.in_operation(self.operation)));
        self.open_split = reader.map(|reader| (file, reader));
        Some(())
    }

    /// Closes the file that was read to the end of the partition. Fails if the file has changed, so
    /// that the partitions of a file are of one version.
    #[cold]
    fn close_split(&mut self) {
        let Some((file, reader)) = self.open_split.take() else { return };
        let listed = &self.input.files[file];
        let checked = reader.input().check().map_err(|cause| listed.read_error(cause));
        or_raise(checked.map_err(|error| error.in_operation(self.operation)));
    }
}

/// Opens the part of a file that belongs to a partition. Returns nothing for a file without bytes.
fn open_split(
    input: &Input,
    file: usize,
    bytes: &Range<u64>,
    task: &TaskContext,
) -> Result<Option<LineReader<ListedReader>>> {
    let listed = &input.files[file];
    let split = input.bytes_of(file, bytes);
    let length = listed.identity.length();
    if split.is_empty() && length > 0 {
        return Ok(None);
    }
    let mut reader = listed.open()?;
    if length == 0 {
        return Ok(None);
    }
    let first = first_bytes(&mut reader, length).map_err(|cause| listed.read_error(cause))?;
    if let Some(compression) = files::compression_of_bytes(&first) {
        return Err(files::compressed(listed.path.clone(), compression));
    }
    let lines = LineReader::new(reader, split, length, task);
    lines.map(Some).map_err(|cause| listed.read_error(cause))
}

/// Returns the bytes at the beginning of a file by which its compression is recognized.
fn first_bytes(reader: &mut ListedReader, length: u64) -> std::io::Result<Vec<u8>> {
    let mut first = vec![0; MAX_MAGIC_BYTES.min(length as usize)];
    reader.seek(SeekFrom::Start(0))?;
    reader.read_exact(&mut first)?;
    Ok(first)
}

impl Iterator for LineRows {
    type Item = String;

    #[inline]
    fn next(&mut self) -> Option<String> {
        loop {
            if let Some((file, reader)) = &mut self.open_split {
                let listed = || &self.input.files[*file];
                match reader.next_line() {
                    Ok(Some((line, offset))) => {
                        let text = match str::from_utf8(line) {
                            Ok(text) => Ok(text.to_owned()),
                            Err(_) if !self.strict_utf8 => {
                                Ok(String::from_utf8_lossy(line).into_owned())
                            }
                            Err(error) => Err(not_utf8(listed(), offset, error)),
                        };
                        return Some(or_raise(
                            text.map_err(|error| error.in_operation(self.operation)),
                        ));
                    }
                    Ok(None) => {}
                    Err(cause) => raise(listed().read_error(cause).in_operation(self.operation)),
                }
                self.close_split();
            }
            self.next_split()?;
        }
    }
}

/// Returns the error of a line that is not UTF-8 and begins at `offset` of its file.
fn not_utf8(file: &ListedFile, offset: u64, error: std::str::Utf8Error) -> Error {
    let byte = offset + error.valid_up_to() as u64;
    let what = format!(
        "byte {byte} is not UTF-8; read without `Text::strict_utf8` to replace such bytes by U+FFFD"
    );
    Error::new(ErrorKind::InvalidInput { path: file.path.clone(), what })
}

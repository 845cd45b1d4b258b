//! `text_file`: the lines of text files, split by bytes so that every line is read exactly once.
//!
//! The files are one sequence of bytes, split into even partitions. A line belongs to the partition
//! of its first byte; a partition that begins inside a line skips to the next one.

use super::line_reader::LineReader;
use super::split_range;
use super::text_paths::{InputFile, TextPaths, list_files};
use crate::context::Context;
use crate::pipeline::{Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::error::{Error, ErrorKind};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{or_raise, raise};
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
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
    /// `paths` is a file, a folder (its files by name, without those that begin with `.` or `_`), a
    /// pattern such as `corpus/**/*.txt`, or a list of these. The files are listed once, by this
    /// call. A line ends with `\n` or `\r\n`, which are not part of it. Bytes that are not UTF-8
    /// become U+FFFD; see [`text_file_with`](Context::text_file_with) for an error instead.
    ///
    /// There are about `default_partitions` partitions of 64 KiB to 32 MiB each, in the order of
    /// files and lines. A task holds a buffer of 256 KiB or of its longest line.
    ///
    /// # Errors
    ///
    /// The first action fails if a path or pattern matches nothing, or if a file cannot be read, is
    /// compressed, has no length (a pipe or a device), or has changed since it was listed.
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
        let (files, problem) = match list_files(&paths.paths()) {
            Ok(files) => (files, None),
            Err(error) => (Vec::new(), Some(error.in_operation(operation))),
        };
        let bytes: u64 = files.iter().map(|file| file.len).sum();
        let partitions_by_size = || {
            let even = bytes / self.default_partitions() as u64;
            let target = even.clamp(MIN_PARTITION_BYTES, MAX_PARTITION_BYTES);
            bytes.div_ceil(target).max(1) as usize
        };
        let partitions = options.partitions.unwrap_or_else(partitions_by_size);
        let mut lineage = self.source_lineage(operation, partitions);
        lineage.problem = lineage.problem.take().or(problem);
        let lines = TextLines {
            files: Arc::new(files),
            bytes,
            partitions,
            strict_utf8: options.strict_utf8,
            operation,
        };
        Rdd::new(self, lineage, lines)
    }
}

#[derive(Clone)]
struct TextLines {
    files: Arc<Vec<InputFile>>,
    bytes: u64,
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
        LineRows {
            files: Arc::clone(&self.files),
            splits: self.splits(partition),
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

impl TextLines {
    /// Returns the splits of one partition, in the order of files.
    fn splits(&self, partition: usize) -> VecDeque<Split> {
        let (start, end) = split_range(self.bytes, self.partitions, partition);
        let mut splits = VecDeque::new();
        let mut file_start = 0;
        for (file, listed) in self.files.iter().enumerate() {
            let file_end = file_start + listed.len;
            let from = start.max(file_start);
            let to = end.min(file_end);
            if from < to {
                splits.push_back(Split { file, bytes: from - file_start..to - file_start });
            }
            file_start = file_end;
        }
        splits
    }
}

/// The bytes of one file that belong to one partition.
struct Split {
    file: usize,
    bytes: Range<u64>,
}

struct LineRows {
    files: Arc<Vec<InputFile>>,
    splits: VecDeque<Split>,
    /// The index of the file that is being read, and its reader.
    open_split: Option<(usize, LineReader<File>)>,
    strict_utf8: bool,
    operation: Operation,
    task: TaskContext,
}

impl LineRows {
    fn next_split(&mut self) -> Option<()> {
        self.task.check_cancelled();
        let Split { file, bytes } = self.splits.pop_front()?;
        let listed = &self.files[file];
        let opened = listed.open().and_then(|input| {
            let lines = LineReader::new(input, bytes, listed.len, &self.task);
            lines.map_err(|cause| read_error(listed, cause))
        });
        let reader = or_raise(opened.map_err(|error| error.in_operation(self.operation)));
        self.open_split = Some((file, reader));
        Some(())
    }
}

impl Iterator for LineRows {
    type Item = String;

    #[inline]
    fn next(&mut self) -> Option<String> {
        loop {
            if let Some((file, reader)) = &mut self.open_split {
                let listed = &self.files[*file];
                match reader.next_line() {
                    Ok(Some((line, offset))) => {
                        let text = match str::from_utf8(line) {
                            Ok(text) => Ok(text.to_owned()),
                            Err(_) if !self.strict_utf8 => {
                                Ok(String::from_utf8_lossy(line).into_owned())
                            }
                            Err(error) => Err(not_utf8(listed, offset, error)),
                        };
                        return Some(or_raise(
                            text.map_err(|error| error.in_operation(self.operation)),
                        ));
                    }
                    Ok(None) => {}
                    Err(cause) => raise(read_error(listed, cause).in_operation(self.operation)),
                }
                self.open_split = None;
            }
            self.next_split()?;
        }
    }
}

/// Returns the error of a line that is not UTF-8 and begins at `offset` of its file.
fn not_utf8(file: &InputFile, offset: u64, error: std::str::Utf8Error) -> Error {
    let byte = offset + error.valid_up_to() as u64;
    let what = format!(
        "byte {byte} is not UTF-8; read without `Text::strict_utf8` to replace such bytes by U+FFFD"
    );
    Error::new(ErrorKind::InvalidInput { path: file.path.clone(), what })
}

/// Returns the error of a failed read. A file that ends before its listed length has changed.
fn read_error(file: &InputFile, cause: std::io::Error) -> Error {
    if cause.kind() == std::io::ErrorKind::UnexpectedEof {
        return Error::new(ErrorKind::InputChanged { path: file.path.clone() }).caused_by(cause);
    }
    Error::io(format!("reading `{}` failed", file.path.display()), cause)
}

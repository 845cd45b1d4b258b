//! `text_file`: the lines of text files, cut by bytes so that every line is read exactly once.
//!
//! All files lie end to end in one space of bytes, which is cut into even partitions. A line belongs
//! to the partition that holds its first byte; whoever owns it reads it to its end, also past the
//! cut, and whoever starts in the middle of a line skips to the next.

use super::line_reader::LineReader;
use super::split_range;
use super::text_paths::{InputFile, TextPaths, list_files};
use crate::context::Context;
use crate::pipeline::{Fused, Pipeline, sealed::Sealed};
use crate::rdd::Rdd;
use emberline_core::error::{Error, ErrorKind, Result};
use emberline_core::operation::Operation;
use emberline_core::task::TaskContext;
use emberline_core::unwind::{or_raise, raise};
use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

/// A partition of a file that was given no number has at least and at most this many bytes.
const MIN_PARTITION_BYTES: u64 = 64 << 10;
const MAX_PARTITION_BYTES: u64 = 32 << 20;

impl Context {
    /// Makes an RDD of the lines of text files: a file, a folder (its files by name, without those
    /// that begin with `.` or `_`), a pattern such as `corpus/**/*.txt`, or a list of these.
    ///
    /// A line ends with `\n` or `\r\n`, which are not part of it; the last line needs neither. Bytes
    /// that are not UTF-8 become U+FFFD; [`text_file_strict`](Context::text_file_strict) refuses
    /// them. The files are listed once, at this call; a file that has changed when it is read is an
    /// error.
    ///
    /// - **Shape**: paths to `Rdd<String>`
    /// - **Partitions**: by size: the bytes of all files in even cuts of 64 KiB to 32 MiB, about
    ///   `default_partitions` of them where that fits
    /// - **Partitioner**: none
    /// - **Shuffle**: none
    /// - **Memory**: a block of 256 KiB, or the longest line
    /// - **Order**: of the files as given, then of the lines
    ///
    /// # Errors
    ///
    /// The first action fails when a path or pattern finds nothing, the list is empty, a file cannot be
    /// read, has no length (a pipe, a device) or is compressed, or changes while it is read. A folder
    /// without files is no lines.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// # let folder = std::env::temp_dir().join(format!("emberline-doc-text-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder).unwrap();
    /// let path = folder.join("poem.txt");
    /// std::fs::write(&path, "the ember\nof the line\r\n").unwrap();
    ///
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.text_file(&path).collect()?, ["the ember", "of the line"]);
    /// assert!(ctx.text_file("no/such/*.txt").count().is_err());
    /// # std::fs::remove_dir_all(&folder).unwrap();
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn text_file<S: TextPaths>(
        &self,
        paths: S,
    ) -> Rdd<String, impl Fused<Item = String> + use<S>> {
        self.text_lines(Operation::new("text_file"), None, &paths, decode_lossy)
    }

    /// Makes an RDD of the lines of text files in a given number of partitions, some empty if there
    /// are few lines. Zero partitions are the error of the first action.
    ///
    /// - **Shape**: paths to `Rdd<String>`
    /// - **Partitions**: given
    /// - **Partitioner**: none
    /// - **Shuffle**: none
    /// - **Memory**: a block of 256 KiB, or the longest line
    /// - **Order**: of the files as given, then of the lines
    ///
    /// # Errors
    ///
    /// As [`text_file`](Context::text_file).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// # let path = std::env::temp_dir().join(format!("emberline-doc-cut-{}.txt", std::process::id()));
    /// std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
    /// let ctx = Context::local()?;
    /// for partitions in 1..9 {
    ///     let lines = ctx.text_file_with(partitions, &path);
    ///     assert_eq!(lines.collect()?, ["one", "two", "three"]);
    /// }
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn text_file_with<S: TextPaths>(
        &self,
        partitions: usize,
        paths: S,
    ) -> Rdd<String, impl Fused<Item = String> + use<S>> {
        self.text_lines(Operation::new("text_file"), Some(partitions), &paths, decode_lossy)
    }

    /// Makes an RDD of the lines of text files, and fails where a line is not UTF-8, naming the file
    /// and the byte.
    ///
    /// - **Shape**: paths to `Rdd<String>`
    /// - **Partitions**: by size, as [`text_file`](Context::text_file)
    /// - **Partitioner**: none
    /// - **Shuffle**: none
    /// - **Memory**: a block of 256 KiB, or the longest line
    /// - **Order**: of the files as given, then of the lines
    ///
    /// # Errors
    ///
    /// As [`text_file`](Context::text_file), and `InvalidInput` for bytes that are not UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// # let path = std::env::temp_dir().join(format!("emberline-doc-utf-{}.txt", std::process::id()));
    /// std::fs::write(&path, b"good\nb\xffd\n").unwrap();
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.text_file(&path).collect()?, ["good", "b\u{FFFD}d"]);
    /// let error = ctx.text_file_strict(&path).count().unwrap_err();
    /// assert!(error.to_string().contains("byte 6"));
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn text_file_strict<S: TextPaths>(
        &self,
        paths: S,
    ) -> Rdd<String, impl Fused<Item = String> + use<S>> {
        self.text_lines(Operation::new("text_file_strict"), None, &paths, decode_strict)
    }

    /// [`text_file_strict`](Context::text_file_strict) in a given number of partitions.
    ///
    /// - **Shape**: paths to `Rdd<String>`
    /// - **Partitions**: given
    /// - **Partitioner**: none
    /// - **Shuffle**: none
    /// - **Memory**: a block of 256 KiB, or the longest line
    /// - **Order**: of the files as given, then of the lines
    ///
    /// # Errors
    ///
    /// As [`text_file_strict`](Context::text_file_strict).
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// # let path = std::env::temp_dir().join(format!("emberline-doc-strict-{}.txt", std::process::id()));
    /// std::fs::write(&path, "one\ntwo\n").unwrap();
    /// let ctx = Context::local()?;
    /// assert_eq!(ctx.text_file_strict_with(2, &path).collect()?, ["one", "two"]);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    #[track_caller]
    pub fn text_file_strict_with<S: TextPaths>(
        &self,
        partitions: usize,
        paths: S,
    ) -> Rdd<String, impl Fused<Item = String> + use<S>> {
        self.text_lines(Operation::new("text_file_strict"), Some(partitions), &paths, decode_strict)
    }

    fn text_lines<D: Decode>(
        &self,
        operation: Operation,
        partitions: Option<usize>,
        paths: &impl TextPaths,
        decode: D,
    ) -> Rdd<String, TextLines<D>> {
        let (files, problem) = match list_files(&paths.paths()) {
            Ok(files) => (files, None),
            Err(error) => (Vec::new(), Some(error.in_operation(operation))),
        };
        let bytes: u64 = files.iter().map(|file| file.len).sum();
        let by_size = || {
            let even = bytes / self.default_partitions() as u64;
            let target = even.clamp(MIN_PARTITION_BYTES, MAX_PARTITION_BYTES);
            bytes.div_ceil(target).max(1) as usize
        };
        let partitions = partitions.unwrap_or_else(by_size);
        let mut lineage = self.source_lineage(operation, partitions);
        lineage.problem = lineage.problem.take().or(problem);
        let files = Arc::new(files);
        Rdd::new(self, lineage, TextLines { files, bytes, partitions, decode, operation })
    }
}

/// Turns the bytes of a line into text; knows the file and the line's first byte for its error.
trait Decode: Fn(&[u8], &InputFile, u64) -> Result<String> + Copy + Send + Sync + 'static {}
impl<F: Fn(&[u8], &InputFile, u64) -> Result<String> + Copy + Send + Sync + 'static> Decode for F {}

fn decode_lossy(line: &[u8], _: &InputFile, _: u64) -> Result<String> {
    Ok(match str::from_utf8(line) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(line).into_owned(),
    })
}

fn decode_strict(line: &[u8], file: &InputFile, offset: u64) -> Result<String> {
    str::from_utf8(line).map(str::to_owned).map_err(|error| {
        let byte = offset + error.valid_up_to() as u64;
        let what = format!("byte {byte} is not UTF-8; `text_file` replaces such bytes by U+FFFD");
        Error::new(ErrorKind::InvalidInput { path: file.path.clone(), what })
    })
}

#[derive(Clone)]
struct TextLines<D> {
    files: Arc<Vec<InputFile>>,
    bytes: u64,
    partitions: usize,
    decode: D,
    operation: Operation,
}

impl<D> Sealed for TextLines<D> {}
impl<D: Decode> Fused for TextLines<D> {}

impl<D: Decode> Pipeline for TextLines<D> {
    type Item = String;
    type Rows = LineRows<D>;

    fn open(&self, partition: usize, task: &TaskContext) -> LineRows<D> {
        let (low, high) = split_range(self.bytes, self.partitions, partition);
        let (mut pieces, mut file_start) = (VecDeque::new(), 0);
        for (file, listed) in self.files.iter().enumerate() {
            let file_end = file_start + listed.len;
            let (start, end) = (low.max(file_start), high.min(file_end));
            if start < end {
                pieces.push_back(Split { file, start: start - file_start, end: end - file_start });
            }
            file_start = file_end;
        }
        let files = Arc::clone(&self.files);
        let (decode, operation, task) = (self.decode, self.operation, task.clone());
        LineRows { files, pieces, reader: None, decode, operation, task }
    }

    fn depth(&self) -> usize {
        0
    }
}

/// The bytes of one file that belong to one partition.
#[derive(Clone, Copy)]
struct Split {
    file: usize,
    start: u64,
    end: u64,
}

struct LineRows<D> {
    files: Arc<Vec<InputFile>>,
    pieces: VecDeque<Split>,
    reader: Option<(usize, LineReader<File>)>,
    decode: D,
    operation: Operation,
    task: TaskContext,
}

impl<D: Decode> LineRows<D> {
    /// Opens the next piece, if there is one.
    fn next_split(&mut self) -> Option<()> {
        self.task.check_cancelled();
        let Split { file, start, end } = self.pieces.pop_front()?;
        let listed = &self.files[file];
        let opened = listed.open().and_then(|input| {
            let lines = LineReader::new(input, start..end, listed.len, &self.task);
            lines.map_err(|cause| reading(listed, cause))
        });
        self.reader =
            Some((file, or_raise(opened.map_err(|error| error.in_operation(self.operation)))));
        Some(())
    }
}

impl<D: Decode> Iterator for LineRows<D> {
    type Item = String;

    #[inline]
    fn next(&mut self) -> Option<String> {
        loop {
            if let Some((file, reader)) = &mut self.reader {
                let listed = &self.files[*file];
                match reader.next_line() {
                    Ok(Some((line, offset))) => {
                        let text = (self.decode)(line, listed, offset);
                        return Some(or_raise(
                            text.map_err(|error| error.in_operation(self.operation)),
                        ));
                    }
                    Ok(None) => {}
                    Err(cause) => raise(reading(listed, cause).in_operation(self.operation)),
                }
                self.reader = None;
            }
            self.next_split()?;
        }
    }
}

fn reading(file: &InputFile, cause: std::io::Error) -> Error {
    if cause.kind() == std::io::ErrorKind::UnexpectedEof {
        return Error::new(ErrorKind::InputChanged { path: file.path.clone() }).caused_by(cause);
    }
    Error::io(format!("reading `{}`", file.path.display()), cause)
}

//! A stored partition in one of three formats.

use crate::pipeline::materialized::MaterializedRows;
use emberline_core::block_store::{Block, EvictOutcome};
use emberline_core::bounds::Stored;
use emberline_core::config::Config;
use emberline_core::error::{Error, Result};
use emberline_core::scratch::Scratch;
use emberline_core::task::TaskContext;
use emberline_shuffle::{FileRows, RunFile, SerializedRows};
use std::iter;
use std::sync::Arc;

/// The stored rows of one partition.
pub(super) struct RowBlock<T> {
    format: BlockFormat<T>,
    on_evict: OnEvict,
}

/// The rows of a block, in memory or in a file.
#[derive(Clone)]
pub(super) enum BlockFormat<T> {
    Typed(Arc<Vec<T>>),
    Serialized(Vec<SerializedRows<T>>),
    InFile(RunFile<T>),
}

/// The action on a block when its memory is needed.
#[derive(Clone)]
pub(super) enum OnEvict {
    Drop,
    /// Moves the block to a file, and drops it if that fails.
    MoveToFile(FileFactory),
    /// Moves the block to a file, and keeps it in memory if that fails, since it cannot be
    /// recomputed.
    MoveToFileOrKeep(FileFactory),
}

/// Creates scratch files outside of a task.
#[derive(Clone)]
pub(super) struct FileFactory {
    scratch: Arc<Scratch>,
    config: Arc<Config>,
}

impl FileFactory {
    pub(super) fn of(task: &TaskContext) -> Self {
        FileFactory { scratch: Arc::clone(&task.scratch), config: Arc::clone(&task.config) }
    }
}

impl<T: Stored> RowBlock<T> {
    pub(super) fn new(format: BlockFormat<T>, on_evict: OnEvict) -> Self {
        RowBlock { format, on_evict }
    }

    pub(super) fn format(&self) -> &BlockFormat<T> {
        &self.format
    }

    fn to_file(&self, files: &FileFactory) -> Result<Self> {
        let format = BlockFormat::InFile(self.format.write(files)?);
        Ok(RowBlock { format, on_evict: self.on_evict.clone() })
    }
}

impl<T: Stored> BlockFormat<T> {
    fn write(&self, FileFactory { scratch, config }: &FileFactory) -> Result<RunFile<T>> {
        match self {
            BlockFormat::Typed(rows) => RunFile::write_in([rows.as_slice()], scratch, config),
            BlockFormat::InFile(file) => Ok(file.clone()),
            BlockFormat::Serialized(parts) => {
                let mut failed = Ok(());
                let frames = decoded(parts.clone()).map_while(|rows| match rows {
                    Ok(rows) => Some(rows),
                    Err(error) => {
                        failed = Err(error);
                        None
                    }
                });
                let file = RunFile::write_in(frames, scratch, config)?;
                failed.map(|()| file)
            }
        }
    }

    /// Reads the rows, and counts them as read if they were stored before (`was_stored`).
    /// `on_damage` is called with the error of a frame that cannot be read, and unwinds.
    pub(super) fn read(
        &self,
        task: &TaskContext,
        was_stored: bool,
        on_damage: impl Fn(Error) -> Vec<T> + 'static,
    ) -> MaterializedRows<T> {
        let counting = task.clone();
        let count = move |rows: usize| counting.count_read(if was_stored { rows } else { 0 });
        let read = move |rows: Result<Vec<T>>| {
            let rows = rows.unwrap_or_else(&on_damage);
            count(rows.len());
            rows
        };
        match self {
            BlockFormat::Typed(rows) => {
                task.count_read(if was_stored { rows.len() } else { 0 });
                MaterializedRows::new(Arc::clone(rows), 0..rows.len(), task)
            }
            BlockFormat::Serialized(parts) => {
                MaterializedRows::batched(decoded(parts.clone()).map(read), task)
            }
            BlockFormat::InFile(file) => {
                MaterializedRows::batched(frames_of(file.rows()).map(read), task)
            }
        }
    }
}

pub(super) fn decoded<T: Stored>(
    parts: Vec<SerializedRows<T>>,
) -> impl Iterator<Item = Result<Vec<T>>> {
    parts.into_iter().flat_map(|part| {
        let mut frames = part.frames();
        iter::from_fn(move || frames.next_rows().transpose())
    })
}

fn frames_of<T: Stored>(mut rows: FileRows<T>) -> impl Iterator<Item = Result<Vec<T>>> {
    iter::from_fn(move || rows.next_rows().transpose())
}

impl<T: Stored> Block for RowBlock<T> {
    fn rows(&self) -> u64 {
        let rows = match &self.format {
            BlockFormat::Typed(rows) => rows.len(),
            BlockFormat::Serialized(parts) => parts.iter().map(SerializedRows::len).sum(),
            BlockFormat::InFile(file) => file.len(),
        };
        rows as u64
    }

    fn file_bytes(&self) -> u64 {
        match &self.format {
            BlockFormat::InFile(file) => file.bytes(),
            _ => 0,
        }
    }

    fn can_be_recomputed(&self) -> bool {
        !matches!(self.on_evict, OnEvict::MoveToFileOrKeep(_))
    }

    fn evict(&self) -> EvictOutcome {
        let (files, otherwise) = match &self.on_evict {
            OnEvict::Drop => return EvictOutcome::Dropped,
            OnEvict::MoveToFile(files) => (files, EvictOutcome::Dropped),
            OnEvict::MoveToFileOrKeep(files) => (files, EvictOutcome::Retained),
        };
        self.to_file(files).map_or(otherwise, |block| EvictOutcome::Spilled(Arc::new(block)))
    }
}

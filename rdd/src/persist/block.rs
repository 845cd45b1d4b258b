//! A stored partition in one of its three forms.

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

/// The rows of one partition as the store keeps them.
pub(super) struct RowBlock<T> {
    form: BlockFormat<T>,
    way_out: WayOut,
}

/// Where the rows are.
#[derive(Clone)]
pub(super) enum BlockFormat<T> {
    Typed(Arc<Vec<T>>),
    Packed(Vec<SerializedRows<T>>),
    InFile(RunFile<T>),
}

/// What becomes of a block when its memory is needed.
#[derive(Clone)]
pub(super) enum WayOut {
    Dropped,
    ToFile(Files),
    /// To a file as well; and it stays if that fails, since nothing could compute it again.
    ToFileOnly(Files),
}

/// Where files are made.
#[derive(Clone)]
pub(super) struct Files {
    scratch: Arc<Scratch>,
    config: Arc<Config>,
}

impl Files {
    pub(super) fn of(task: &TaskContext) -> Self {
        Files { scratch: Arc::clone(&task.scratch), config: Arc::clone(&task.config) }
    }
}

impl<T: Stored> RowBlock<T> {
    pub(super) fn new(form: BlockFormat<T>, way_out: WayOut) -> Self {
        RowBlock { form, way_out }
    }

    pub(super) fn form(&self) -> &BlockFormat<T> {
        &self.form
    }

    fn to_file(&self, files: &Files) -> Result<Self> {
        let form = BlockFormat::InFile(self.form.write(files)?);
        Ok(RowBlock { form, way_out: self.way_out.clone() })
    }
}

impl<T: Stored> BlockFormat<T> {
    fn write(&self, Files { scratch, config }: &Files) -> Result<RunFile<T>> {
        match self {
            BlockFormat::Typed(rows) => RunFile::write_in([rows.as_slice()], scratch, config),
            BlockFormat::InFile(file) => Ok(file.clone()),
            BlockFormat::Packed(parts) => {
                let mut failed = Ok(());
                let frames = unpacked(parts.clone()).map_while(|rows| match rows {
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

    /// Reads the rows, and counts them as read if they `were_there` before. `on_damage` is given the
    /// error of a frame that cannot be read, and leaves.
    pub(super) fn read(
        &self,
        task: &TaskContext,
        were_there: bool,
        on_damage: impl Fn(Error) -> Vec<T> + 'static,
    ) -> MaterializedRows<T> {
        let counting = task.clone();
        let count = move |rows: usize| counting.count_read(if were_there { rows } else { 0 });
        let read = move |rows: Result<Vec<T>>| {
            let rows = rows.unwrap_or_else(&on_damage);
            count(rows.len());
            rows
        };
        match self {
            BlockFormat::Typed(rows) => {
                task.count_read(if were_there { rows.len() } else { 0 });
                MaterializedRows::new(Arc::clone(rows), 0..rows.len(), task)
            }
            BlockFormat::Packed(parts) => {
                MaterializedRows::batched(unpacked(parts.clone()).map(read), task)
            }
            BlockFormat::InFile(file) => {
                MaterializedRows::batched(frames_of(file.rows()).map(read), task)
            }
        }
    }
}

/// The frames of packed rows, one part after the other.
pub(super) fn unpacked<T: Stored>(
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
        let rows = match &self.form {
            BlockFormat::Typed(rows) => rows.len(),
            BlockFormat::Packed(parts) => parts.iter().map(SerializedRows::len).sum(),
            BlockFormat::InFile(file) => file.len(),
        };
        rows as u64
    }

    fn file_bytes(&self) -> u64 {
        match &self.form {
            BlockFormat::InFile(file) => file.bytes(),
            _ => 0,
        }
    }

    fn can_be_lost(&self) -> bool {
        !matches!(self.way_out, WayOut::ToFileOnly(_))
    }

    fn leave(&self) -> EvictOutcome {
        let (files, otherwise) = match &self.way_out {
            WayOut::Dropped => return EvictOutcome::Dropped,
            WayOut::ToFile(files) => (files, EvictOutcome::Dropped),
            WayOut::ToFileOnly(files) => (files, EvictOutcome::Stays),
        };
        self.to_file(files).map_or(otherwise, |block| EvictOutcome::Moved(Arc::new(block)))
    }
}

//! `explain`: the stages of an RDD, before and after they have run, as text and as a picture.

mod layout;
mod stages;
mod svg;
mod tree;

use crate::display::{bytes, counted, show_in_notebook};
use crate::pipeline::{Element, Pipeline};
use crate::rdd::Rdd;
use emberline_core::lineage::StorageStats;
use stages::Stage;
use std::fmt;

impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Shows the lineage as stages: their partitions, the operations in them with the lines they were
    /// called at, what is stored, and what is wrong with a source. An action runs these stages, but
    /// for those whose outputs are there from an earlier job or that lie behind stored partitions;
    /// before a sort it also runs a job that samples the keys.
    ///
    /// It is a value that displays as text or gives a picture ([`Explain::svg`]), and never fails.
    /// Operations come in the order of the rows; where one has several inputs, each input has a line
    /// at its left from its first operation down to the one that brings them together. What is
    /// reached twice is written once and then referred to by a number in brackets.
    ///
    /// Once stages have run it says how many rows they read, and how many rows and bytes are there of
    /// their outputs and of cached partitions. Bytes in memory are as the budget counts them.
    ///
    /// - **Shape**: `Rdd<T>` to `Explain`
    /// - **Partitions**: not read
    /// - **Partitioner**: shown
    /// - **Shuffle**: none runs
    /// - **Memory**: a line for each operation
    /// - **Order**: stages in the order they would run
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// # let first = line!() + 1;
    /// let few = ctx.range_with(2, 0..9_u64);
    /// let both = few.union(&few.map(|n| n + 1));
    /// let sums = both.map(|n| (n % 2, n)).with_partitions(3).reduce_by_key(|a, b| a + b);
    /// let text = sums.explain().to_string();
    /// # let text = (0..3).fold(text, |text, at| {
    /// #     text.replace(&format!("{}:{}", file!(), first + at), &format!("src/main.rs:{}", 4 + at))
    /// # });
    /// assert_eq!(text, "\
    /// stage 0: 4 partitions, writes a shuffle into 3
    ///   ┌─ range at src/main.rs:4 [1]
    ///   ├─ range at src/main.rs:4, see [1]
    ///   │  map at src/main.rs:5
    ///   └─ union at src/main.rs:5
    ///   map at src/main.rs:6
    /// stage 1: 3 partitions, reads stage 0, gives the result
    ///   reduce_by_key at src/main.rs:6, reads stage 0, partitioned by Hash(3)
    /// ");
    ///
    /// sums.count()?;
    /// let text = sums.explain().to_string();
    /// assert!(text.contains("\n  (read 18 rows; 4 of 4 map outputs hold 8 rows, "), "{text}");
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn explain(&self) -> Explain {
        Explain { stages: stages::behind(&self.lineage) }
    }

    /// Shows the lineage in a notebook: a Jupyter notebook with the kernel evcxr calls this for the
    /// value of a cell. It prints [`explain`](Rdd::explain) as a picture and as text.
    ///
    /// - **Shape**: `Rdd<T>` to nothing
    /// - **Partitions**: not read
    /// - **Partitioner**: shown
    /// - **Shuffle**: none runs
    /// - **Memory**: a line for each operation
    /// - **Order**: stages in the order they would run
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let squares = ctx.range(0..9_u64).map(|n| n * n);
    /// squares.evcxr_display(); // a cell that ends in `squares` does the same
    /// assert!(squares.explain().svg().starts_with("<svg "));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn evcxr_display(&self) {
        self.explain().evcxr_display();
    }
}

/// What an action would run and what is there already; made by [`Rdd::explain`]. It displays as text.
#[derive(Clone, Debug)]
pub struct Explain {
    stages: Vec<Stage>,
}

impl Explain {
    /// The stages as a picture: boxes with their operations, and a thick arrow for each shuffle. Equal
    /// lineages give equal pictures.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let svg = ctx.range(0..9_u64).map(|n| (n % 2, n)).group_by_key().explain().svg();
    /// assert!(svg.starts_with("<svg ") && svg.contains("group_by_key"));
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn svg(&self) -> String {
        svg::draw(&self.stages)
    }

    /// Shows the picture in a notebook, where the kernel evcxr calls this for the value of a cell.
    pub fn evcxr_display(&self) {
        show_in_notebook(&[("text/plain", self.to_string()), ("image/svg+xml", self.svg())]);
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stages.iter().enumerate().try_for_each(|(number, stage)| {
            writeln!(f, "{}", heading(number, stage))?;
            if let Some(numbers) = numbers(stage) {
                writeln!(f, "  ({numbers})")?;
            }
            tree::rows(&stage.nodes).iter().try_for_each(|row| writeln!(f, "  {row}"))
        })
    }
}

/// The first line of a stage.
fn heading(number: usize, stage: &Stage) -> String {
    let mut line = format!("stage {number}: {}", counted(stage.partitions as u64, "partition"));
    for parent in &stage.reads {
        line.push_str(&format!(", reads stage {parent}"));
    }
    match stage.writes {
        Some(partitions) => line.push_str(&format!(", writes a shuffle into {partitions}")),
        None => line.push_str(", gives the result"),
    }
    line
}

/// What a stage has read and what is there of its outputs, if it has run.
fn numbers(stage: &Stage) -> Option<String> {
    let kept = stage.kept?;
    let read = format!("read {}", counted(kept.rows_read, "row"));
    if stage.writes.is_none() {
        return Some(read);
    }
    let (there, all) = (kept.parts, counted(stage.partitions as u64, "map output"));
    let holds = if stage.partitions == 1 { "holds" } else { "hold" };
    Some(format!("{read}; {there} of {all} {holds} {}", size(&kept)))
}

/// Rows, and bytes with the place they are in.
fn size(kept: &StorageStats) -> String {
    let rows = counted(kept.rows, "row");
    match (kept.memory_bytes, kept.file_bytes) {
        (memory, 0) => format!("{rows}, {} in memory", bytes(memory)),
        (0, files) => format!("{rows}, {} in files", bytes(files)),
        (memory, files) => {
            format!("{rows}, {} in memory, {} in files", bytes(memory), bytes(files))
        }
    }
}

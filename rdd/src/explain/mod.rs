//! The stages of an RDD, before and after they have run, as text and as a picture.
//! - `stages`: finds the stages of a lineage.
//! - `tree`: the operations of a stage as lines of a tree.
//! - `layout`, `svg`: positions of stages in the picture; the picture.

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

/// # Inspection
impl<T: Element, P: Pipeline<Item = T>> Rdd<T, P> {
    /// Returns the lineage as stages, with call sites, partitions, partitioners and storage.
    ///
    /// An action runs these stages, except those whose outputs exist from an earlier job or that
    /// only stored partitions need. A sort also runs a job that samples the keys. The result
    /// displays as text; see also [`Explain::svg`]. A source that could not be listed shows its
    /// error.
    ///
    /// Operations are in the order of the data, and each input of an operation is a branch. One
    /// that several branches read is shown once, with a number to which the others refer. After a
    /// run the text has the rows that stages have read, and the size of map outputs and stored
    /// partitions.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// # let first = line!() + 1;
    /// let few = ctx.range_with(2, 0..9_u64);
    /// let both = few.union(&few.map(|n| n + 1));
    /// let sums = both.map(|n| (n % 2, n)).with_partitions(3).reduce_by_key(|a, b| a + b);
    /// let text = sums.explain().to_string();
    /// # let text = (0..3).fold(text, |text, at| {
    /// #     let line = format!("{}:{}", file!(), first + at);
    /// #     text.replace(&line, &format!("src/main.rs:{}", 4 + at))
    /// # });
    /// assert_eq!(text, "\
    /// stage 0: 4 partitions, writes a shuffle into 3 partitions
    ///   ┌─ range at src/main.rs:4 [1]
    ///   ├─ range at src/main.rs:4, see [1]
    ///   │  map at src/main.rs:5
    ///   └─ union at src/main.rs:5
    ///   map at src/main.rs:6
    /// stage 1: 3 partitions, reads stage 0, returns the result
    ///   reduce_by_key at src/main.rs:6, reads stage 0, partitioned by Hash(3)
    /// ");
    /// sums.count()?;
    /// let text = sums.explain().to_string();
    /// assert!(text.contains("\n  (read 18 rows; 4 of 4 map outputs hold 8 rows, "), "{text}");
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "toDebugString")]
    pub fn explain(&self) -> Explain {
        Explain { stages: stages::stages_of(&self.lineage) }
    }

    /// Prints [`explain`](Rdd::explain) as picture and text for the evcxr kernel, which calls it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let squares = ctx.range(0..9_u64).map(|n| n * n);
    /// squares.evcxr_display(); // a cell that ends in `squares` does the same
    /// assert!(squares.explain().svg().starts_with("<svg "));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn evcxr_display(&self) {
        self.explain().evcxr_display();
    }
}

/// The stages of an RDD and their state; made by [`Rdd::explain`]. It displays as text.
#[derive(Clone, Debug)]
pub struct Explain {
    stages: Vec<Stage>,
}

impl Explain {
    /// Returns the stages as an SVG picture, with an arrow per shuffle; equal for equal lineages.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let svg = ctx.range(0..9_u64).map(|n| (n % 2, n)).group_by_key().explain().svg();
    /// assert!(svg.starts_with("<svg ") && svg.contains("group_by_key"));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn svg(&self) -> String {
        svg::draw(&self.stages)
    }

    /// Prints the picture and the text for the evcxr Jupyter kernel.
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

/// Returns the first line of a stage.
fn heading(number: usize, stage: &Stage) -> String {
    let mut line = format!("stage {number}: {}", counted(stage.partitions as u64, "partition"));
    for parent in &stage.reads {
        line.push_str(&format!(", reads stage {parent}"));
    }
    match stage.writes {
        Some(partitions) => {
            let partitions = counted(partitions as u64, "partition");
            line.push_str(&format!(", writes a shuffle into {partitions}"));
        }
        None => line.push_str(", returns the result"),
    }
    line
}

/// Returns the rows that a stage has read and the state of its outputs, if it has run.
fn numbers(stage: &Stage) -> Option<String> {
    let stats = stage.stats?;
    let read = format!("read {}", counted(stats.rows_read, "row"));
    if stage.writes.is_none() {
        return Some(read);
    }
    let existing = stats.stored_partitions;
    let all = counted(stage.partitions as u64, "map output");
    let holds = if stage.partitions == 1 { "holds" } else { "hold" };
    Some(format!("{read}; {existing} of {all} {holds} {}", size(&stats)))
}

/// Returns rows, and bytes in memory and in files.
fn size(stats: &StorageStats) -> String {
    let rows = counted(stats.rows, "row");
    match (stats.memory_bytes, stats.file_bytes) {
        (memory, 0) => format!("{rows}, {} in memory", bytes(memory)),
        (0, files) => format!("{rows}, {} in files", bytes(files)),
        (memory, files) => {
            format!("{rows}, {} in memory, {} in files", bytes(memory), bytes(files))
        }
    }
}

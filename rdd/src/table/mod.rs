//! Collected rows as a table: text for a terminal, HTML for a notebook.
//!
//! - `value`: reads a row through serde as a tree of texts.

mod value;

use crate::display::{escaped, printable, shortened, show_in_notebook, with_separators};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use value::{Group, Shape, Value, read};

/// Rows that a table shows; the rest is counted.
const MAX_ROWS: usize = 50;
/// Columns that a table shows.
const MAX_COLUMNS: usize = 40;
/// Maximum width of a cell, in columns of text.
const MAX_CELL: usize = 60;
/// Longer tuples and arrays are one cell.
const MAX_TUPLE_COLUMNS: usize = 12;

/// Collected rows that can be shown as a table: slices of serde values, and maps by key.
///
/// ```
/// # use emberline_rdd::prelude::*;
/// let ctx = Context::local()?;
/// let words = ctx.parallelize(vec!["ember", "line", "ember"]).map(|it| (it.to_string(), 1_u64));
/// let rows = words.reduce_by_key(|a, b| a + b).top_by_key(5, |(_, n)| *n)?;
/// assert_eq!(rows.table().to_string(), "\
/// 0      1
/// ─────  ─
/// ember  2
/// line   1
/// ");
/// # Ok::<(), Error>(())
/// ```
pub trait AsTable {
    /// Returns the first 50 rows as a table.
    ///
    /// Fields of structs and keys of maps are columns with their names, elements of tuples with
    /// their indices. Those inside a row have columns such as `1.name`. Everything else is one
    /// cell.
    #[doc(alias = "show")]
    fn table(&self) -> Table;

    /// Prints the table for the evcxr Jupyter kernel, which calls it for the value of a cell.
    fn evcxr_display(&self) {
        self.table().evcxr_display();
    }
}

impl<T: Serialize> AsTable for [T] {
    fn table(&self) -> Table {
        let mut table =
            Table { more_rows: self.len().saturating_sub(MAX_ROWS), ..Table::default() };
        for row in self.iter().take(MAX_ROWS) {
            let mut cells = Vec::new();
            flatten(&read(row), &[], 2, &mut cells);
            table.add(cells);
        }
        table
    }
}

impl<K: Serialize + Ord, V: Serialize, S> AsTable for HashMap<K, V, S> {
    fn table(&self) -> Table {
        let mut rows: Vec<(&K, &V)> = self.iter().collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(b.0));
        rows.table()
    }
}

impl<K: Serialize, V: Serialize> AsTable for BTreeMap<K, V> {
    fn table(&self) -> Table {
        self.iter().collect::<Vec<(&K, &V)>>().table()
    }
}

/// The column of a cell: the names of the parts that lead to it, empty for a row that is one cell.
/// Names are not shortened here, since different names may look alike when they are.
type Path = Vec<String>;

/// A table of text, made by [`AsTable::table`]. It displays as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Path>,
    /// Cells by column; `None` where a row has no such column. Trailing cells may be missing.
    rows: Vec<Vec<Option<String>>>,
    more_rows: usize,
    more_columns: bool,
}

/// Adds the cells of a row. Groups are split into columns up to the depth `levels`.
fn flatten(value: &Value, path: &[String], levels: usize, cells: &mut Vec<(Path, String)>) {
    match value {
        Value::Group(group) if levels > 0 && has_columns(group, path) => {
            for (name, value) in &group.parts {
                flatten(value, &[path, std::slice::from_ref(name)].concat(), levels - 1, cells);
            }
        }
        value => cells.push((path.to_vec(), shortened(&value.cell(), MAX_CELL))),
    }
}

fn has_columns(group: &Group, path: &[String]) -> bool {
    let count = group.parts.len();
    let fits = match group.shape {
        Shape::List => false,
        Shape::Tuple => count <= MAX_TUPLE_COLUMNS,
        Shape::Fields => true,
        Shape::Map => path.is_empty(),
    };
    fits && count > 0 && group.variant.is_empty()
}

impl Table {
    /// Adds a row, with new columns at the end. A path that occurs twice has two columns.
    fn add(&mut self, cells: Vec<(Path, String)>) {
        let mut row = vec![None; self.columns.len()];
        for (path, cell) in cells {
            let is_free = |at: &usize| row[*at].is_none() && self.columns[*at] == path;
            match (0..row.len()).find(is_free) {
                Some(at) => row[at] = Some(cell),
                None if self.columns.len() == MAX_COLUMNS => self.more_columns = true,
                None => {
                    self.columns.push(path);
                    row.push(Some(cell));
                }
            }
        }
        self.rows.push(row);
    }
    fn header(&self, column: usize) -> String {
        match &self.columns[column][..] {
            [] => "value".into(),
            path => shortened(&printable(&path.join(".")), MAX_CELL),
        }
    }

    /// Returns the cell of a row, or an empty text if the row has no such column.
    fn cell<'a>(&'a self, row: &'a [Option<String>], column: usize) -> &'a str {
        row.get(column).and_then(Option::as_deref).unwrap_or("")
    }

    /// Returns true if a column contains only numbers, which are aligned to the right.
    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().map(|row| self.cell(row, column));
        cells.all(|cell| cell.is_empty() || cell.parse::<f64>().is_ok())
    }

    /// Returns a sentence about rows and columns that are not shown.
    fn remark(&self) -> Option<String> {
        if self.rows.is_empty() {
            return Some("no rows".into());
        }
        let rows = (self.more_rows > 0).then(|| {
            format!(
                "{} more row{}",
                with_separators(self.more_rows as u64),
                if self.more_rows == 1 { "" } else { "s" }
            )
        });
        let columns = self.more_columns.then(|| "more columns".to_string());
        let parts: Vec<String> = rows.into_iter().chain(columns).collect();
        (!parts.is_empty()).then(|| format!("... {}", parts.join(", ")))
    }

    /// Returns the table as HTML. Text of rows is escaped.
    pub fn html(&self) -> String {
        let mut html = String::from("<table>\n<thead><tr>");
        let headers = (0..self.columns.len()).map(|column| self.header(column));
        headers.for_each(|name| html.push_str(&format!("<th>{}</th>", escaped(&name))));
        html.push_str("</tr></thead>\n<tbody>\n");
        let styles: Vec<&str> = (0..self.columns.len())
            .map(|column| if self.is_numeric(column) { "right" } else { "left" })
            .collect();
        for row in &self.rows {
            html.push_str("<tr>");
            for (column, style) in styles.iter().enumerate() {
                let cell = escaped(self.cell(row, column));
                html.push_str(&format!("<td style=\"text-align:{style}\">{cell}</td>"));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table>\n");
        html.extend(self.remark().map(|remark| format!("<p>{remark}</p>\n")));
        html
    }

    /// Prints the table as text and HTML for the evcxr Jupyter kernel.
    pub fn evcxr_display(&self) {
        show_in_notebook(&[("text/plain", self.to_string()), ("text/html", self.html())]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<String> = (0..self.columns.len()).map(|at| self.header(at)).collect();
        let looks: Vec<(usize, bool)> = (0..headers.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| width(self.cell(row, column)));
                let widest = cells.chain([width(&headers[column])]).max().unwrap_or(0);
                (widest, self.is_numeric(column))
            })
            .collect();
        if !looks.is_empty() {
            write_line(f, &looks, |column| &headers[column])?;
            let rules: Vec<String> = looks.iter().map(|(widest, _)| "─".repeat(*widest)).collect();
            write_line(f, &looks, |column| &rules[column])?;
        }
        for row in &self.rows {
            write_line(f, &looks, |column| self.cell(row, column))?;
        }
        self.remark().map_or(Ok(()), |remark| writeln!(f, "{remark}"))
    }
}

/// Writes a line of cells, padded to the width of their columns and two spaces apart.
fn write_line<'a>(
    f: &mut fmt::Formatter<'_>,
    looks: &[(usize, bool)],
    cell: impl Fn(usize) -> &'a str,
) -> fmt::Result {
    let mut line = String::new();
    for (column, (widest, is_numeric)) in looks.iter().enumerate() {
        let text = cell(column);
        let gap = if column > 0 { "  " } else { "" };
        let space = " ".repeat(widest.saturating_sub(width(text)));
        let parts = if *is_numeric { [gap, &space, text] } else { [gap, text, &space] };
        line.extend(parts);
    }
    writeln!(f, "{}", line.trim_end())
}

/// Returns the columns that a text takes on a terminal.
fn width(text: &str) -> usize {
    let of = |c: char| match c {
        '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' => 2,
        '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' => 2,
        '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    };
    text.chars().map(of).sum()
}

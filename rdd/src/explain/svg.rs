//! Draws stages as an SVG picture, with text measured as a wide fixed-width font.

use super::layout::{GAP_Y, Item, Layout, MARGIN, layout};
use super::stages::Stage;
use super::tree::{self, Content, Rail, Row};
use super::{heading, numbers, size};
use crate::display::{columns, counted, escaped, shortened, with_separators};
use emberline_core::lineage::StorageStats;
use std::fmt::Write;

/// Width of a character.
const CHAR: f64 = 8.0;
/// Width of a character of small print.
const SMALL_CHAR: f64 = 6.8;
/// Width of a rail.
const RAIL: f64 = 18.0;
/// Padding of a box.
const PAD: f64 = 12.0;
/// Height of a line.
const LINE: f64 = 21.0;
/// Height of a line of small print.
const SMALL_LINE: f64 = 15.0;
/// Height of the title.
const TITLE: f64 = 28.0;
/// Columns of a line; longer text is shortened.
const MAX_COLUMNS: usize = 72;
/// Columns of small print.
const MAX_SMALL_COLUMNS: usize = 96;
/// Lines of a stage; longer stages are abbreviated.
const MAX_ROWS: usize = 24;
/// Length of the straight start of an arrow, next to which its labels are.
const STEM: f64 = 44.0;
/// Size of an arrow head.
const HEAD: f64 = 11.0;
const LEGEND_WIDTH: f64 = 380.0;

const STYLE: &str = "<style>\
.emberline text{font-family:'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace;font-size:13px;fill:#1d2733}\
.emberline .small{font-size:11px;fill:#566577}\
.emberline .stored{fill:#7a5200}\
.emberline .wrong{fill:#a3001b;font-weight:bold}\
.emberline .operation,.emberline .title{font-weight:bold}\
.emberline .label{font-size:12px;fill:#24466f;stroke:#fbfaf7;stroke-width:5px;paint-order:stroke;stroke-linejoin:round}\
.emberline .arrow{fill:none;stroke:#6f93c4;stroke-width:6px;stroke-linejoin:round}\
.emberline .head{fill:#6f93c4}\
.emberline .rail{fill:none;stroke:#8a97a6;stroke-width:1.5px}\
.emberline .stage{fill:#ffffff;stroke:#44566c;stroke-width:1.5px}\
.emberline .band{fill:#e4ebf4}\
.emberline .result{fill:#dcefe0}\
.emberline .cached{fill:#ffe9b3;stroke:#d39b1c}\
.emberline .problem{fill:#fbdde1;stroke:#c4283f}\
</style>";

/// The contents of a box, with its size.
struct Contents<'a> {
    number: usize,
    stage: &'a Stage,
    rows: Vec<Row<'a>>,
    width: f64,
    height: f64,
}

pub(super) fn draw(stages: &[Stage]) -> String {
    let boxes: Vec<Contents<'_>> = stages.iter().enumerate().map(contents).collect();
    let sizes: Vec<(f64, f64)> = boxes.iter().map(|it| (it.width, it.height)).collect();
    let reads: Vec<Vec<usize>> = stages.iter().map(|stage| stage.reads.clone()).collect();
    let layout = layout(&sizes, &reads);
    let width = layout.width.max(LEGEND_WIDTH + 2.0 * MARGIN).ceil();
    let bottom = layout.layers.last().map_or(MARGIN, |(_, bottom)| *bottom);
    let height = (bottom + 34.0 + MARGIN).ceil();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"emberline\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" style=\"max-width:100%;height:auto\" role=\"img\">\n\
         <title>{}</title>\n{STYLE}\n\
         <rect x=\"0\" y=\"0\" width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#fbfaf7\"/>\n",
        counted(stages.len() as u64, "stage"),
    );
    arrows(&mut svg, &layout, &boxes);
    for (item, contents) in layout.items.iter().zip(&boxes) {
        stage_box(&mut svg, contents, item.x - contents.width / 2.0, layout.layers[item.layer].0);
    }
    for (item, contents) in layout.items.iter().zip(&boxes) {
        label(&mut svg, contents, item.x, layout.layers[item.layer].0 + contents.height);
    }
    legend(&mut svg, bottom + 34.0);
    svg.push_str("</svg>\n");
    svg
}

fn contents((number, stage): (usize, &Stage)) -> Contents<'_> {
    let rows = tree::abbreviated(&stage.nodes, MAX_ROWS);
    // Labels are to the right of the arrow, which starts in the middle.
    let labels = labels(stage).into_iter().map(|label| 2.0 * (16.0 + wide(&label)));
    let title = wide(&title(number, stage)) + 2.0 * PAD;
    let small = subtitle(stage).map_or(0.0, |text| small(&text) + 2.0 * PAD);
    let width = labels.chain(rows.iter().map(row_width)).chain([title, small]).fold(0.0, f64::max);
    let height = top(stage) + rows.iter().map(row_height).sum::<f64>() + PAD / 2.0;
    Contents { number, stage, rows, width: width.ceil(), height }
}

fn wide(text: &str) -> f64 {
    columns(text).min(MAX_COLUMNS) as f64 * CHAR
}

fn small(text: &str) -> f64 {
    columns(text).min(MAX_SMALL_COLUMNS) as f64 * SMALL_CHAR
}

fn title(number: usize, stage: &Stage) -> String {
    let result = if stage.writes.is_none() { ", result" } else { "" };
    format!("stage {number}: {}{result}", counted(stage.partitions as u64, "partition"))
}

/// Returns the rows that a stage has read and its number of existing outputs.
fn subtitle(stage: &Stage) -> Option<String> {
    let StorageStats { stored_partitions, rows_read, .. } = stage.stats?;
    let read = format!("read {}", counted(rows_read, "row"));
    let all = counted(stage.partitions as u64, "map output");
    Some(match stage.writes {
        Some(_) => format!("{read}; {stored_partitions} of {all}"),
        None => read,
    })
}

/// Returns the distance from the top of a box to its lines.
fn top(stage: &Stage) -> f64 {
    let small = if stage.stats.is_some() { SMALL_LINE } else { 0.0 };
    TITLE + small + PAD / 2.0
}

/// Returns the labels of the arrow of a stage.
fn labels(stage: &Stage) -> Vec<String> {
    let Some(partitions) = stage.writes else { return Vec::new() };
    let shuffle = format!("shuffle into {}", with_separators(partitions as u64));
    [Some(shuffle), stage.stats.map(|stats| size(&stats))].into_iter().flatten().collect()
}

fn row_width(row: &Row<'_>) -> f64 {
    let (operation, location) = row.head();
    let text = wide(&format!("{operation} {location}")).max(small(&row.details()) + CHAR);
    row.rails.len() as f64 * RAIL + text + 2.0 * PAD
}

fn row_height(row: &Row<'_>) -> f64 {
    if row.details().is_empty() { LINE } else { LINE + SMALL_LINE }
}

/// Draws a box with its lines; its full text is the tooltip.
fn stage_box(svg: &mut String, contents: &Contents<'_>, x: f64, y: f64) {
    let Contents { number, stage, rows, width, height } = contents;
    let mut full = heading(*number, stage);
    full.extend(numbers(stage).map(|numbers| format!("\n  ({numbers})")));
    full.extend(rows.iter().map(|row| format!("\n  {row}")));
    let band = if stage.writes.is_none() { "band result" } else { "band" };
    let band_height = top(stage) - PAD / 2.0;
    let inner_x = x + 1.0;
    let inner_y = y + 1.0;
    let inner_width = width - 2.0;
    let _ = write!(
        svg,
        "<g><title>{}</title>\n\
         <rect class=\"stage\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"7\"/>\n\
         <rect class=\"{band}\" x=\"{inner_x}\" y=\"{inner_y}\" width=\"{inner_width}\" \
         height=\"{band_height}\" rx=\"6\"/>\n",
        escaped(&full),
    );
    text(svg, "title", x + PAD, y + 19.0, &title(*number, stage));
    if let Some(subtitle) = subtitle(stage) {
        text(svg, "small", x + PAD, y + 35.0, &subtitle);
    }
    let mut row_y = y + top(stage);
    for row in rows {
        draw_row(svg, row, x, row_y, *width);
        row_y += row_height(row);
    }
    svg.push_str("</g>\n");
}

fn draw_row(svg: &mut String, row: &Row<'_>, x: f64, y: f64, width: f64) {
    let height = row_height(row);
    let look = match row.content {
        Content::Problem => Some("problem"),
        Content::Operation(_) if row.node.is_cached => Some("cached"),
        _ => None,
    };
    let rails = row.rails.len() as f64 * RAIL;
    if let Some(look) = look {
        let x = x + PAD / 2.0 + rails;
        let width = width - PAD - rails;
        let _ = writeln!(
            svg,
            "<rect class=\"{look}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{}\" rx=\"4\"/>",
            height - 2.0
        );
    }
    for (at, rail) in row.rails.iter().enumerate() {
        draw_rail(svg, *rail, x + PAD + 4.0 + at as f64 * RAIL, y, height);
    }
    let x = x + PAD + rails;
    let (operation, location) = row.head();
    let full = format!("{operation} {location}");
    let max_columns = MAX_COLUMNS - columns(operation) - 1;
    let class = if row.content == Content::Problem { "wrong" } else { "operation" };
    let short = shortened(&location, max_columns);
    let _ = write!(svg, "<text x=\"{x}\" y=\"{}\">", y + 14.0);
    if short != location {
        let _ = write!(svg, "<title>{}</title>", escaped(&full));
    }
    let operation = escaped(operation);
    let short = escaped(&short);
    let _ = writeln!(svg, "<tspan class=\"{class}\">{operation}</tspan> {short}</text>");
    if !row.details().is_empty() {
        let class = if row.node.is_cached { "small stored" } else { "small" };
        text(svg, class, x + CHAR, y + 14.0 + SMALL_LINE, &row.details());
    }
}

/// Draws the part of a rail in one line.
fn draw_rail(svg: &mut String, rail: Rail, x: f64, y: f64, height: f64) {
    let middle = y + 10.0;
    let right = x + RAIL - 6.0;
    let bottom = y + height;
    let path = match rail {
        Rail::First => format!("M{right} {middle}H{x}V{bottom}"),
        Rail::Next => format!("M{x} {y}V{bottom}M{x} {middle}H{right}"),
        Rail::Through => format!("M{x} {y}V{bottom}"),
        Rail::Last => format!("M{x} {y}V{middle}H{right}"),
        Rail::Ended => return,
    };
    let _ = writeln!(svg, "<path class=\"rail\" d=\"{path}\"/>");
}

/// Draws one line of text; text that is too long is shortened and has a tooltip.
fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    let max_columns = if class.starts_with("small") { MAX_SMALL_COLUMNS } else { MAX_COLUMNS };
    let short = shortened(text, max_columns);
    let _ = write!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">");
    if short != text {
        let _ = write!(svg, "<title>{}</title>", escaped(text));
    }
    let _ = writeln!(svg, "{}</text>", escaped(&short));
}

/// Draws the arrows of all shuffles: from each box or lane to its links in the next layer.
fn arrows(svg: &mut String, layout: &Layout, boxes: &[Contents<'_>]) {
    let Layout { items, links, layers, .. } = layout;
    for (at, &(upper, lower)) in links.iter().enumerate() {
        let from = &items[upper];
        let to = &items[lower];
        let layer = from.layer;
        let start =
            from.stage.map_or(layers[layer].0, |stage| layers[layer].0 + boxes[stage].height);
        let bend = layers[layer].1 + STEM;
        let end = layers[to.layer].0;
        let Some(reader) = to.stage else {
            curve(svg, (from.x, start), bend, (to.x, end));
            continue;
        };
        let x = to.x + port(items, links, at, boxes[reader].width);
        curve(svg, (from.x, start), bend, (x, end - HEAD));
        let left = x - HEAD;
        let right = x + HEAD;
        let top = end - HEAD - 5.0;
        let _ = writeln!(svg, "<path class=\"head\" d=\"M{left} {top}H{right}L{x} {end}Z\"/>");
    }
}

/// Returns where an arrow ends, relative to the middle of its box: in the order of the starts.
fn port(items: &[Item], links: &[(usize, usize)], at: usize, width: f64) -> f64 {
    let (own, reader) = links[at];
    let others = links.iter().filter(|(_, lower)| *lower == reader).map(|(upper, _)| *upper);
    let others: Vec<usize> = others.collect();
    let key = |upper: usize| (items[upper].x, upper);
    let before = others.iter().filter(|upper| key(**upper) < key(own)).count();
    let gap = (width / (others.len() + 1) as f64).min(48.0);
    ((before as f64 - (others.len() - 1) as f64 / 2.0) * gap).round()
}

/// Draws a line straight down to `bend` and then a curve to the end.
fn curve(svg: &mut String, (x, y): (f64, f64), bend: f64, (to_x, to_y): (f64, f64)) {
    let middle = f64::midpoint(bend, to_y);
    let path = format!("M{x} {y}V{bend}C{x} {middle} {to_x} {middle} {to_x} {to_y}");
    let _ = writeln!(svg, "<path class=\"arrow\" d=\"{path}\"/>");
}

fn label(svg: &mut String, contents: &Contents<'_>, x: f64, y: f64) {
    for (line, label) in labels(contents.stage).iter().enumerate() {
        text(svg, "label", x + 12.0, y + 19.0 + 15.0 * line as f64, label);
    }
}
fn legend(svg: &mut String, y: f64) {
    let mut x = MARGIN;
    let _ = writeln!(svg, "<path class=\"arrow\" d=\"M{x} {y}h24\"/>");
    text(svg, "small", x + 32.0, y + 4.0, "shuffle");
    for word in ["cached", "problem"] {
        x += 110.0;
        let box_y = y - 7.0;
        let _ = writeln!(
            svg,
            "<rect class=\"{word}\" x=\"{x}\" y=\"{box_y}\" width=\"24\" height=\"14\" rx=\"4\"/>"
        );
        text(svg, "small", x + 32.0, y + 4.0, word);
    }
}

const _: () = assert!(STEM + HEAD < GAP_Y);

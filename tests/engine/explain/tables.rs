//! Collected rows as tables: any row that serde can serialize, as text and as HTML.

use crate::support::{context, test};
use emberline::prelude::*;
use serde::{Serialize, Serializer, ser::Error as _};
use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use testkit::{DEADLINE, within};

#[derive(Clone, Serialize)]
struct Plane {
    maker: String,
    seats: u32,
    speed: Option<f64>,
}

fn planes() -> Vec<Plane> {
    let plane = |maker: &str, seats, speed| Plane { maker: maker.into(), seats, speed };
    vec![plane("AIRBUS", 182, Some(432.5)), plane("Hélène", 4, None)]
}

#[test]
fn fields_are_columns_and_numbers_are_right_aligned() {
    let wanted = "\
maker   seats  speed
──────  ─────  ─────
AIRBUS    182  432.5
Hélène      4  None
";
    assert_eq!(planes().table().to_string(), wanted);
}

#[test]
fn pairs_with_a_struct_have_columns_for_its_fields() {
    let rows: Vec<(u64, Plane)> = planes().into_iter().map(|plane| (7, plane)).collect();
    let text = rows.table().to_string();
    assert!(text.starts_with("0  1.maker  1.seats  1.speed\n"), "{text}");
    let nested = [(1, ((2, 3), [4, 5]))];
    assert_eq!(
        nested.table().to_string(),
        "0  1.0     1.1\n─  ──────  ──────\n1  (2, 3)  (4, 5)\n"
    );
}

#[test]
fn collected_rows_can_be_displayed_with_the_prelude_alone() {
    test(|| {
        let rows = context().range_with(2, 0..3_u64).map(|n| (n.to_string(), n)).collect()?;
        assert_eq!((rows).table().to_string(), "0  1\n─  ─\n0  0\n1  1\n2  2\n");
        Ok(())
    });
}

// Starts this test again as the program whose output a notebook reads.
#[test]
fn a_notebook_receives_pictures_and_tables_on_standard_output() {
    within(DEADLINE, a_notebook);
}

fn a_notebook() {
    const CELL: &str = "EMBERLINE_TEST_CELL";
    if std::env::var_os(CELL).is_some() {
        let rdd = context().range_with(2, 0..3_u64).map(|n| (n.to_string(), n)).set_name("<all>");
        rdd.evcxr_display();
        (rdd.collect().unwrap()).evcxr_display();
        return;
    }
    let own_name = std::thread::current().name().unwrap().to_string();
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", &own_name, "--nocapture"]).env(CELL, "1");
    let out = String::from_utf8(program.output().unwrap().stdout).unwrap();
    let block = |mime: &str| -> Vec<&str> {
        let begin = format!("EVCXR_BEGIN_CONTENT {mime}\n");
        let blocks = out.match_indices(&begin).map(|(at, _)| &out[at + begin.len()..]);
        blocks.map(|rest| rest.split_once("\nEVCXR_END_CONTENT\n").unwrap().0).collect()
    };
    let [picture, html, text] = [block("image/svg+xml"), block("text/html"), block("text/plain")];
    assert!(picture.len() == 1 && picture[0].starts_with("<svg "), "{out}");
    assert!(picture[0].ends_with("</svg>") && picture[0].contains("&lt;all&gt;"), "{out}");
    assert!(html.len() == 1 && html[0].starts_with("<table>"), "{out}");
    assert!(text[0].starts_with("stage 0: 2 partitions") && text[1].starts_with("0  1"), "{out}");
}

#[derive(Serialize)]
enum Shape {
    FailPoint,
    Round(f64),
    Box(u8, u8),
    Named { a: Option<u8>, b: Vec<u8> },
}

#[test]
fn enums_options_and_units_are_one_cell() {
    let shapes = [
        Shape::FailPoint,
        Shape::Round(1.5),
        Shape::Box(1, 2),
        Shape::Named { a: None, b: vec![1, 2] },
    ];
    let wanted = "\
value
────────────────────────
FailPoint
Round(1.5)
Box(1, 2)
Named{a: None, b: [1, 2]}
";
    assert_eq!(shapes.table().to_string(), wanted.replacen("────", "─────", 1));
    let options = [Some(Some(1)), Some(None), None];
    assert_eq!(options.table().to_string(), "value\n─────\n1\nNone\nNone\n");
    assert_eq!([(), ()].table().to_string(), "value\n─────\n()\n()\n");
}

#[test]
fn scalars_of_any_kind_are_one_column() {
    let text = |table: &str| table.lines().skip(2).map(str::trim).collect::<Vec<_>>().join("|");
    let numbers = [u128::MAX, 0].table().to_string();
    assert_eq!(text(&numbers), "340282366920938463463374607431768211455|0");
    let floats = [f64::NAN, f64::NEG_INFINITY, 1e300, -0.0].table().to_string();
    assert_eq!(text(&floats), "NaN|-inf|1e300|-0.0");
    assert_eq!(text(&[i128::MIN].table().to_string()), i128::MIN.to_string());
    assert_eq!(text(&["a\u{1b}[2J\nb"].table().to_string()), "a\\u{1b}[2J\\nb");
    assert_eq!(text(&[vec![1, 2], vec![]].table().to_string()), "[1, 2]|[]");
    assert_eq!(text(&[vec!["a"], vec!["b\u{7}"]].table().to_string()), "[\"a\"]|[\"b\\u{7}\"]");
    assert_eq!(text(&[true, false].table().to_string()), "true|false");
}

#[test]
fn maps_have_a_column_for_each_key_and_rows_may_differ() {
    let rows = [BTreeMap::from([("a", 1), ("b", 2)]), BTreeMap::from([("c", 3)]), BTreeMap::new()];
    let lines: Vec<String> = rows.table().to_string().lines().map(String::from).collect();
    assert_eq!(lines[0], "a  b  c  value");
    assert_eq!(lines[2..], ["1  2", "      3", "         {}"]);
    let wide: BTreeMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    assert!([wide].table().to_string().ends_with("... more columns\n"));
}

/// Returns the cells row by row, and the number of columns with a header.
fn cells_and_headers(table: &emberline::table::Table) -> (Vec<String>, usize) {
    let html = table.html();
    let cells = html.split("<td style=\"text-align:right\">").skip(1);
    let cells = cells.map(|rest| rest.split_once("</td>").unwrap().0.to_string()).collect();
    (cells, html.matches("<th>").count())
}

#[test]
fn keys_with_equal_truncations_are_separate_columns() {
    let key = |middle: &str| format!("{}{middle}{}", "a".repeat(300), "z".repeat(300));
    let rows = [
        BTreeMap::from([(key("x"), 1), (key("y"), 2)]),
        BTreeMap::from([(key("y"), 3), (key("w"), 4)]),
    ];
    let table = rows.table();
    let each_under_its_own_key = ["1", "2", "", "", "3", "4"].map(String::from).to_vec();
    assert_eq!(cells_and_headers(&table), (each_under_its_own_key, 3));
    let text = table.to_string();
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest <= 3 * 60 + 4, "headers are cut: {text}");
    let nested = [(1, BTreeMap::from([(key("x"), 1)]))].table().to_string();
    assert!(nested.lines().all(|line| line.chars().count() < 70), "{nested}");
}

#[derive(Serialize)]
struct Inner {
    b: u8,
}

#[derive(Serialize)]
struct Dotted {
    #[serde(rename = "a.b")]
    flat: u8,
    a: Inner,
}

/// A map that serializes one key twice, which serde allows.
struct Twice;

impl Serialize for Twice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("a", 1), ("a", 2), ("a\n", 3), ("a\\n", 4)])
    }
}

#[test]
fn values_with_equal_names_are_all_shown() {
    let dotted = [Dotted { flat: 1, a: Inner { b: 2 } }].table().to_string();
    assert_eq!(dotted, "a.b  a.b\n───  ───\n  1    2\n");
    let twice = [Twice, Twice].table().to_string();
    let row = "1  2    3    4\n";
    assert_eq!(twice, format!("a  a  a\\n  a\\n\n─  ─  ───  ───\n{row}{row}"));
}

#[test]
fn maps_returned_by_actions_are_shown_in_key_order() {
    test(|| {
        let rows = context().range_with(2, 0..7_u64).map(|n| (n % 3, n));
        let counts: HashMap<u64, u64> = rows.count_by_key()?;
        assert_eq!(counts.table().to_string(), "0  1\n─  ─\n0  3\n1  2\n2  2\n");
        let last = rows.collect_as_map()?.into_iter().collect::<BTreeMap<_, _>>();
        assert_eq!(last.table().to_string(), "0  1\n─  ─\n0  6\n1  4\n2  5\n");
        let many = (0..60_u64).map(|n| (n, n)).collect::<HashMap<_, _>>();
        assert!(many.table().to_string().ends_with("49  49\n... 10 more rows\n"));
        Ok(())
    });
}

#[test]
fn fifty_rows_are_shown_and_the_rest_counted() {
    let rows: Vec<u64> = (0..1_234).collect();
    let text = rows.table().to_string();
    assert_eq!(text.lines().count(), 2 + 50 + 1);
    assert!(text.ends_with("... 1,184 more rows\n"), "{text}");
    assert!(rows.table().html().contains("<p>... 1,184 more rows</p>"));
    assert!(!rows[..50].table().to_string().contains("more"));
    assert!(rows[..51].table().to_string().ends_with("... 1 more row\n"));
}

#[test]
fn an_empty_table_displays_that_it_has_no_rows() {
    let none: Vec<Plane> = Vec::new();
    assert_eq!(none.table().to_string(), "no rows\n");
    assert!(none.table().html().contains("no rows"));
}

struct Broken;

impl Serialize for Broken {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("<no> idea"))
    }
}

#[test]
fn a_value_that_fails_to_serialize_shows_its_error_in_its_cell() {
    let rows = [(1, Broken, 2)];
    assert_eq!(rows.table().to_string().lines().last(), Some("1  error: <no> idea  2"));
    assert!([Broken].table().html().contains("error: &lt;no&gt; idea"));
}

#[derive(Serialize)]
struct Chain(Option<Box<Chain>>);

#[test]
fn long_and_deep_values_are_truncated() {
    let long = vec![vec![7_u8; 100_000]; 3];
    let text = [long].table().to_string();
    assert!(text.len() < 1_000 && text.contains('…'), "{text}");
    let words = ["x".repeat(1_000_000)];
    assert!(words.table().to_string().len() < 1_000);
    let deep = (0..5_000).fold(Chain(None), |chain, _| Chain(Some(Box::new(chain))));
    assert!([deep].table().to_string().contains('…'));
}

#[test]
fn html_escapes_rows_and_names() {
    let rows = [BTreeMap::from([("<k>&", "<script>'\"&\u{1}")])];
    let html = rows.table().html();
    assert!(html.contains("<th>&lt;k&gt;&amp;</th>"), "{html}");
    let cell = "<td style=\"text-align:left\">&lt;script&gt;&#39;&quot;&amp;\\u{1}</td>";
    assert!(html.contains(cell), "{html}");
}

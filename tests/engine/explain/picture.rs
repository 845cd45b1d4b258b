//! The picture of `explain`: well-formed for any name, without overlaps, and equal for equal programs.

use crate::support::{context, test};
use emberline::prelude::*;

/// The content of an XML file: elements with their attributes, and all text.
#[derive(Debug, Default)]
struct Xml {
    elements: Vec<(String, Vec<(String, String)>)>,
    text: String,
}

impl Xml {
    fn of_class(&self, class: &str) -> impl Iterator<Item = &Vec<(String, String)>> {
        let wanted = ("class".to_string(), class.to_string());
        self.elements
            .iter()
            .map(|(_, attributes)| attributes)
            .filter(move |it| it.contains(&wanted))
    }
}

/// Returns the text without entities, and panics at anything that XML 1.0 forbids.
fn plain(text: &str) -> String {
    assert!(!text.contains(['<', '>', '"', '\'']), "not escaped: {text}");
    let allowed = |c: char| !c.is_control() || c == '\n' || c == '\t';
    assert!(text.chars().all(|c| allowed(c) && c != '\u{fffe}' && c != '\u{ffff}'), "{text:?}");
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap().to_string();
    for part in parts {
        let (entity, rest) = part.split_once(';').expect("an entity ends");
        let known = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("#39", '\'')];
        plain.push(known.iter().find(|(name, _)| *name == entity).expect("a known entity").1);
        plain.push_str(rest);
    }
    plain
}

/// Reads XML; panics where it is not well-formed.
fn parse(svg: &str) -> Xml {
    let mut xml = Xml::default();
    let mut open = Vec::new();
    let mut parts = svg.split('<');
    assert_eq!(parts.next(), Some(""));
    for part in parts {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "tags balance");
        } else {
            let (inside, is_empty) = tag.strip_suffix('/').map_or((tag, false), |it| (it, true));
            let (name, mut rest) = inside.split_once(' ').unwrap_or((inside, ""));
            let mut attributes = Vec::new();
            while !rest.trim().is_empty() {
                let (key, after) = rest.trim_start().split_once("=\"").expect("a quoted attribute");
                let (value, after) = after.split_once('"').expect("the quote ends");
                assert!(attributes.iter().all(|(other, _)| other != key), "{key} twice");
                attributes.push((key.to_string(), plain(value)));
                rest = after;
            }
            xml.elements.push((name.to_string(), attributes));
            if !is_empty {
                open.push(name.to_string());
            }
        }
        // The one style sheet is text in which quotes are needed.
        if open.last().is_none_or(|name| name != "style") {
            xml.text.push_str(&plain(text));
        }
        assert!(!open.is_empty() || text.trim().is_empty(), "text after the end: {text}");
    }
    assert_eq!(open, [""; 0], "tags balance");
    xml
}

fn number(attributes: &[(String, String)], name: &str) -> f64 {
    attributes.iter().find(|(key, _)| key == name).unwrap().1.parse().unwrap()
}

/// Returns left, top, right and bottom of the boxes of all stages.
fn boxes(xml: &Xml) -> Vec<[f64; 4]> {
    let bounds = |it: &Vec<(String, String)>| {
        let x = number(it, "x");
        let y = number(it, "y");
        [x, y, x + number(it, "width"), y + number(it, "height")]
    };
    xml.of_class("stage").map(bounds).collect()
}

/// Makes a join of two sources and a chain that reads the first repeatedly.
fn program(ctx: &Context) -> Rdd<(u64, u64)> {
    let links = ctx.range_with(3, 0..90_u64).map(|n| (n % 9, n)).group_by_key().cache();
    let others = ctx.range_with(2, 0..9_u64).map(|n| (n, n)).repartition(5);
    let mut rows = others.boxed();
    for _ in 0..3 {
        let next = links.join(&rows).map(|(key, (list, n))| (key, n + list.len() as u64));
        rows = next.reduce_by_key(|a, b| a + b).boxed();
    }
    rows
}

/// Checks that boxes do not overlap and that arrows lead from writers to readers, and returns the
/// picture.
fn check(rdd: &Rdd<(u64, u64)>, stages: usize) -> Xml {
    let svg = rdd.explain().svg();
    let xml = parse(&svg);
    let picture = &xml.elements[0].1;
    let boxes = boxes(&xml);
    assert_eq!(boxes.len(), stages);
    for (at, [left, top, right, bottom]) in boxes.iter().enumerate() {
        assert!(*left >= 0.0 && *right <= number(picture, "width"), "{svg}");
        assert!(*top >= 0.0 && *bottom <= number(picture, "height"), "{svg}");
        for [other_left, other_top, other_right, other_bottom] in &boxes[at + 1..] {
            let apart = right <= other_left || other_right <= left;
            let below = bottom <= other_top || other_bottom <= top;
            assert!(apart || below, "boxes overlap: {svg}");
        }
    }
    let reads = rdd.explain().to_string().matches(", reads stage").count() / 2;
    assert_eq!(xml.of_class("head").count(), reads, "an arrow for each shuffle that is read");
    xml
}

#[test]
fn boxes_do_not_overlap_and_each_reader_has_an_arrow() {
    test(|| {
        let rows = program(&context());
        let xml = check(&rows, 7);
        assert!(
            xml.text.contains("group_by_key") && xml.text.contains("shuffle into 5"),
            "{xml:?}"
        );
        assert!(!xml.text.contains("rows"), "no numbers before a run: {}", xml.text);
        rows.count()?;
        let xml = check(&rows, 7);
        assert!(
            xml.text.contains("90 rows, ") && xml.text.contains("read 90 rows"),
            "{}",
            xml.text
        );
        assert!(xml.of_class("cached").count() == 4, "the legend and three stages");
        Ok(())
    });
}

#[test]
fn equal_programs_have_equal_pictures() {
    test(|| {
        let [one, two] = [context(), context()].map(|ctx| program(&ctx));
        assert_eq!(one.explain().svg(), two.explain().svg());
        one.collect()?;
        two.collect()?;
        assert_eq!(one.explain().svg(), two.explain().svg());
        Ok(())
    });
}

#[test]
fn names_are_escaped_in_the_picture() {
    test(|| {
        let ctx = context();
        let names = [
            "<script>alert(1)</script>&\"'",
            "]]><!-- \u{0}\u{1b}[2J\u{7f}\u{9b}\r\n\t\u{fffe}\u{ffff}",
            "\u{202e}turned",
            "漢字\u{1f525}e\u{301}",
            &"long ".repeat(500),
            "",
        ];
        for name in names {
            let rows = ctx.range_with(1, 0..9_u64).map(|n| (n, n)).set_name(name);
            let xml = check(&rows.reduce_by_key(|a, b| a + b), 2);
            let shown = format!("{name:?}").chars().take(20).collect::<String>();
            let shown = shown.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
            assert!(xml.text.contains(&shown), "{shown} in {}", xml.text);
        }
        Ok(())
    });
}

#[test]
fn a_long_name_is_shortened_and_complete_in_its_tooltip() {
    test(|| {
        let name = format!("start {} end", "x".repeat(300));
        let rows = context().range_with(1, 0..9_u64).map(|n| (n, n)).set_name(name.clone()).boxed();
        let xml = check(&rows, 1);
        assert!(xml.text.contains(&name), "the title has all of it");
        assert!(xml.text.contains("…xxx") && number(&xml.elements[0].1, "width") < 1_000.0);
        Ok(())
    });
}

#[test]
fn a_problem_and_an_rdd_without_partitions_are_drawn() {
    test(|| {
        let ctx = context();
        let missing = ctx.text_file("no/such/<file>").map(|_| (0_u64, 0_u64)).boxed();
        let xml = check(&missing, 1);
        assert!(xml.text.contains("no input at `no/such/<file>`"), "{}", xml.text);
        assert_eq!(xml.of_class("problem").count(), 2, "the legend and the problem");
        check(&ctx.union(Vec::<Rdd<(u64, u64)>>::new()), 1);
        Ok(())
    });
}

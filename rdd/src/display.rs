//! Formats numbers and names for people: in text, SVG and HTML, and in a notebook.

use std::io::{self, Write};

/// Formats a number with separators: `1,024`.
pub(crate) fn with_separators(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with a noun: `1 row`, `1,024 rows`.
pub(crate) fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", with_separators(n), if n == 1 { "" } else { "s" })
}

/// Formats bytes: `950 B`, `13.2 KiB`.
pub(crate) fn bytes(n: u64) -> String {
    if n < 1024 {
        return format!("{n} B");
    }
    let mut scaled = n as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB"] {
        // A value that would round up to 1024.0 has the next unit.
        if scaled < 1023.95 {
            return format!("{scaled:.1} {unit}");
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1} TiB")
}

/// Returns true if a character changes the text direction, ends a line or has no width.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Escapes characters that control a terminal, change the text direction or are invisible.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_unseen(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Escapes a text for XML and HTML. Characters that XML 1.0 forbids even as entities are replaced.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// Returns the maximum columns of a character in a fixed-width font, since the font is unknown.
fn columns_of(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// Returns the maximum columns of a text.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Shortens a text to `max_columns`, by leaving out its middle.
pub(crate) fn shortened(text: &str, max_columns: usize) -> String {
    if text.len() <= max_columns || columns(text) <= max_columns {
        return text.to_string();
    }
    let half = max_columns.saturating_sub(2) / 2;
    let head = fitting(text.chars(), half);
    let tail = fitting(text.chars().rev(), half);
    format!("{}…{}", &text[..head], &text[text.len() - tail..])
}

/// Returns the number of bytes of the first characters that fit in `max_columns`.
fn fitting(chars: impl Iterator<Item = char>, max_columns: usize) -> usize {
    let mut taken = 0;
    let mut bytes = 0;
    for c in chars {
        taken += columns_of(c);
        if taken > max_columns {
            break;
        }
        bytes += c.len_utf8();
    }
    bytes
}

/// Prints a value in several formats for a notebook, which shows the richest it supports.
pub(crate) fn show_in_notebook(forms: &[(&str, String)]) {
    // An error means that standard output is closed.
    let _ = write_forms(&mut io::stdout().lock(), forms);
}

fn write_forms(out: &mut impl Write, forms: &[(&str, String)]) -> io::Result<()> {
    for (mime, content) in forms {
        writeln!(out, "EVCXR_BEGIN_CONTENT {mime}")?;
        for line in content.lines() {
            // A row must not end its own block and begin another.
            let space = if line.starts_with("EVCXR_") { " " } else { "" };
            writeln!(out, "{space}{line}")?;
        }
        writeln!(out, "EVCXR_END_CONTENT")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        let texts: Vec<String> =
            [0, 999, 1_000, 1_234_567].into_iter().map(with_separators).collect();
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "row"), counted(2, "row")), ("1 row".into(), "2 rows".into()));
    }

    #[test]
    fn bytes_have_the_largest_unit_below_their_value() {
        let sizes = [0, 1023, 1024, 13_517, (1 << 20) - 1, 5 << 30, u64::MAX];
        let texts: Vec<String> = sizes.into_iter().map(bytes).collect();
        let wanted = ["0 B", "1023 B", "1.0 KiB", "13.2 KiB", "1.0 MiB", "5.0 GiB"];
        assert_eq!(texts[..6], wanted);
        assert_eq!(texts[6], "16777216.0 TiB");
    }

    #[test]
    fn control_characters_and_invisible_characters_are_escaped() {
        assert_eq!(
            printable("a\u{1b}[2J\r\n\u{9b}b\u{202e}c"),
            "a\\u{1b}[2J\\r\\n\\u{9b}b\\u{202e}c"
        );
        let unseen = ['\u{61c}', '\u{feff}'].into_iter().chain('\u{200b}'..='\u{200f}');
        for c in unseen.chain('\u{2028}'..='\u{202e}').chain('\u{2060}'..='\u{2069}') {
            assert_eq!(printable(&format!("a{c}b")), format!("a{}b", c.escape_default()));
        }
        assert_eq!(printable("Hélène \u{1f525} 漢 \u{a0}"), "Hélène \u{1f525} 漢 \u{a0}");
        assert_eq!(
            escaped("<a b='1' c=\"2\">&\u{0}\u{7f}\u{fffe}"),
            "&lt;a b=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\u{fffd}\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn shortened_text_has_both_ends_and_fits_its_columns() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefghijkl", 8), "abc…jkl");
        for text in ["ééééééééééé", "漢字漢字漢字漢字", "a\u{1f525}b\u{1f525}c\u{1f525}d\u{1f525}e"]
        {
            for most in 0..30 {
                let short = shortened(text, most);
                assert!(columns(&short) <= most.max(2), "{short} in {most}");
            }
        }
    }

    #[test]
    fn each_notebook_format_is_between_a_begin_and_an_end_line() {
        let mut out = Vec::new();
        let forms = [
            ("text/plain", "one\nEVCXR_END_CONTENT\n".to_string()),
            ("image/svg+xml", "<svg/>".into()),
        ];
        write_forms(&mut out, &forms).unwrap();
        let wanted = "EVCXR_BEGIN_CONTENT text/plain\none\n EVCXR_END_CONTENT\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT image/svg+xml\n<svg/>\nEVCXR_END_CONTENT\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}

//! Texts for users, compared with files that are reviewed in diffs.

use std::fs;
use std::path::Path;

/// The environment variable that rewrites the files instead of comparing with them.
const BLESS: &str = "EMBERLINE_BLESS";

/// Compares `text` with the file `name` in `folder`, or writes that file if `EMBERLINE_BLESS=1` is set.
///
/// # Panics
/// If the file is missing or different.
#[track_caller]
pub fn assert_snapshot(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os(BLESS).is_some() {
        fs::create_dir_all(folder).expect("the folder of snapshots can be created");
        fs::write(&path, text).expect("a snapshot can be written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        text == expected,
        "{} differs. If the new text is right, run the test with {BLESS}=1 and review the diff.\n\
         --- expected\n{expected}--- actual\n{text}",
        path.display()
    );
}

/// Returns `text` with the line and column of every `file.rs:12:5` replaced by `LINE`.
pub fn without_lines(text: &str) -> String {
    const ENDING: &str = ".rs:";
    let mut parts = text.split(ENDING);
    let mut stable = parts.next().unwrap_or_default().to_string();
    for part in parts {
        stable.push_str(ENDING);
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == part.len() {
            stable.push_str(part);
            continue;
        }
        stable.push_str("LINE");
        let column = rest.strip_prefix(':').unwrap_or(rest);
        let after = column.trim_start_matches(|c: char| c.is_ascii_digit());
        stable.push_str(if after.len() < column.len() { after } else { rest });
    }
    stable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_replaced_and_other_text_is_not() {
        let text = "map at a/b.rs:12:5, 7 rows; c.rs:3: lost, d.rs: none";
        assert_eq!(without_lines(text), "map at a/b.rs:LINE, 7 rows; c.rs:LINE: lost, d.rs: none");
    }
}

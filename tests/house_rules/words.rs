//! Retired names and phrases do not return, in any kind of text. `docs/GLOSSARY.md` has the words to use instead.
//!
//! Identifiers, string literals, comments, documents, scripts and the names of files are read as words:
//! `left_behind` and `LeftBehind` are the words "left behind".

use super::tokens::{Kind, Token, tokens};
use super::{FOLDERS, documents, project_files, sources};
use std::collections::HashSet;

/// This file, which names the retired words in order to find them.
const RULES: &str = "tests/house_rules/words.rs";

/// Names that may not occur in any Rust file or document. They are no English words.
const RETIRED_NAMES: &str = "\
    ShuffleStep LeftTask LeftBehind ThreadLeftBehind leave_behind left_behind patience_ends GivesWay \
    set_gives_way send_away which_go begin_leaving end_leaving unless_cancelled look_at_the_clock LiveTask \
    harm_map_output harm_block harm_to_output harm_to_block HarmOutput HarmBlock spoil_output SpoilOutput \
    is_spoilt come_to operator_bytes TaskPlace MemoryBudget budget_bytes task_share_bytes share_bytes \
    kept_bytes result_limit_bytes shuffle_to_files LEAST_BUDGET_BYTES LEAST_SHARE_BYTES RangeSlices \
    MapCombining is_in_vain give_away slice_of SegmentPlace FramePlace places_held PLACES_PART \
    OrderedGroups OrderedJoin JoinRows GroupAgain SmallTable LookedUpRows AtHand HotValues HotHash HotKeys \
    HOT_PART gets_hot is_hot HOT_AT_ONCE next_hot TableMeter Squeezer PackedRows SliceSource SliceGroups \
    SliceGroupsIter slices_each HeldRows pinning TRIALS take_back remove_dead in_one_action leave_pending \
    KeptParts join_task side_by_side side_by_side_of own_partitioning is_in_hash_order even_piece \
    SerialisedMemory SerialisedMemoryAndDisk is_serialised parts_at_once narrow_steps most_places \
    place_bytes max_steps MAX_STEPS in_step first_that_works try_out open_next until_weighed stands_for \
    MOST_STOOD_FOR STEPS_A_MERGE look_further TRIED_AFTER top_by union_all grouped_with \
    cogrouped_with sort_by_cmp sort_by_cmp_with text_file_strict text_file_strict_with union_all_with \
    combine_by_key_with reduce_by_key_with aggregate_by_key_with fold_by_key_with group_by_key_with \
    group_by_with group_sorted_by_key_with distinct_with cogroup_with cogroup3_with join_with \
    left_outer_join_with right_outer_join_with full_outer_join_with subtract_with subtract_by_key_with \
    intersection_with sort_by_with sort_by_key_with sort_pairs_with group_by_key_iter_with \
    cogroup_iter_with partitioning_with";

/// English words that may not be whole identifiers in code.
const RETIRED_IDENTIFIERS: &str = "\
    Step Lineage Kept Preparation Surroundings Ticket Goal Moment Harm Trial Aside Held Slices Combining \
    Combined Parted Waiting Places Place Meter Product Again LookUp Pairing Keeping Leaving Mark Shell \
    Form Piece Side OpenSide Home blame_on forgive make_room go_on die reach weigh leading lead \
    settle kept grouped cogrouped place places behind";

/// Beginnings of the names of constants, whose words are `MAX_` and `MIN_`.
const RETIRED_PREFIXES: [&str; 3] = ["MOST_", "LEAST_", "Serialised"];

/// Phrases that may occur nowhere.
const RETIRED_PHRASES: [&str; 66] = [
    "in vain",
    "so many",
    "so much",
    "so large",
    "so long a",
    "lies",
    "lie",
    "lay",
    "beside",
    "besides",
    "one behind the other",
    "for ever",
    "found out",
    "mended",
    "mends",
    "left behind",
    "whoever",
    "nobody",
    "no one",
    "at hand",
    "hand over",
    "hands over",
    "handed over",
    "hand out",
    "hands out",
    "handed out",
    "comes again",
    "come again",
    "once more",
    "anew",
    "afresh",
    "weighed",
    "weighs",
    "giant",
    "giants",
    "dear",
    "light row",
    "knob",
    "knobs",
    "budget",
    "budgets",
    "door",
    "harms",
    "harmed",
    "gives way",
    "gone",
    "patience",
    "mend",
    "mending",
    "weigh",
    "weighing",
    "lain",
    "lying",
    "tell",
    "tells",
    "told",
    "surroundings",
    "spoil",
    "spoils",
    "spoilt",
    "go on",
    "goes on",
    "hand it over",
    "hands it over",
    "hand it out",
    "hands it out",
];

/// Phrases that may not occur in identifiers. In prose they have other meanings, such as "in place of".
const RETIRED_IN_IDENTIFIERS: [&str; 3] = ["harm", "place of", "places of"];

/// Beginnings of documentation that say neither what a function does nor what a thing is.
const RETIRED_BEGINNINGS: [&str; 6] = ["What ", "Whether ", "Who ", "How ", "Whose ", "Where "];

/// A part of a file that is read as one text. Findings in it are reported at its first line.
struct Part {
    /// The kind of token in a Rust file; all of another file is one part without a kind.
    kind: Option<Kind>,
    line: usize,
    text: String,
}

/// Returns the parts of a file. Comments on consecutive lines are one part, because a phrase may be broken
/// between lines.
fn parts(file: &str, text: &str) -> Vec<Part> {
    let name = Part { kind: None, line: 0, text: file.to_string() };
    if file.rsplit('.').next() != Some("rs") {
        return [name].into_iter().chain(paragraphs(text)).collect();
    }
    let mut parts = vec![name];
    for token in tokens(text) {
        let comment = parts.last_mut().filter(|part| {
            let end = part.line + part.text.matches('\n').count();
            part.kind == Some(Kind::Comment) && token.kind == Kind::Comment && token.line == end + 1
        });
        match comment {
            Some(part) => {
                part.text.push('\n');
                part.text.push_str(token.text.trim_start_matches(['/', '!']));
            }
            None => {
                parts.push(Part {
                    kind: Some(token.kind),
                    line: token.line,
                    text: content(&token),
                });
            }
        }
    }
    parts
}

/// Returns the paragraphs of a text without kinds, which blank lines and items of lists separate.
fn paragraphs(text: &str) -> Vec<Part> {
    let mut paragraphs: Vec<Part> = Vec::new();
    let mut is_new = true;
    for (number, line) in text.lines().enumerate() {
        let begins = line.trim_start().starts_with(['-', '*', '|']);
        match paragraphs.last_mut().filter(|_| !is_new && !begins) {
            Some(paragraph) => {
                paragraph.text.push('\n');
                paragraph.text.push_str(line.trim_start_matches([' ', '#', '/']));
            }
            None => paragraphs.push(Part { kind: None, line: number + 1, text: line.to_string() }),
        }
        is_new = line.trim().is_empty();
    }
    paragraphs
}

/// Returns the text of a token, with spaces for the escapes of a string literal.
fn content(token: &Token<'_>) -> String {
    match token.kind {
        Kind::Literal => token.text.replace("\\n", "  ").replace("\\t", "  "),
        _ => token.text.to_string(),
    }
}

/// Returns the names in a text, with the number of line ends before each.
fn names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate();
    lines.flat_map(|(number, line)| {
        let names = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        names.filter(|name| !name.is_empty()).map(move |name| (number, name))
    })
}

/// Returns the words of a text in lower case, each between spaces. Names are split into their words. The end of a
/// sentence or a cell is a word of its own, so that no phrase spans it.
fn words(text: &str) -> String {
    let mut words = String::from(" ");
    let mut was_lower = false;
    for c in text.chars() {
        let begins = c.is_uppercase() && was_lower;
        was_lower = c.is_lowercase();
        if (begins || !c.is_alphanumeric()) && !words.ends_with(' ') {
            words.push(' ');
        }
        if c.is_alphanumeric() {
            words.extend(c.to_lowercase());
        } else if ".;:|?!".contains(c) {
            words.push_str(". ");
        }
    }
    words.push(' ');
    words
}

/// Returns the retired phrases in a text.
fn phrases<'a>(text: &str, retired: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let words = words(text);
    let is_here = |phrase: &&str| {
        let mut at = words.match_indices(phrase);
        at.any(|(at, _)| words[..at].ends_with(' ') && words[at + phrase.len()..].starts_with(' '))
    };
    retired.filter(is_here).collect()
}

/// Returns the retired names in a file, with their lines.
fn retired_names(file: &str, text: &str) -> Vec<String> {
    let anywhere: HashSet<&str> = RETIRED_NAMES.split_whitespace().collect();
    let in_code: HashSet<&str> = RETIRED_IDENTIFIERS.split_whitespace().collect();
    let mut found = Vec::new();
    for part in parts(file, text) {
        for (number, name) in names(&part.text) {
            let is_retired = anywhere.contains(name)
                || RETIRED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || part.kind == Some(Kind::Identifier) && in_code.contains(name);
            if is_retired {
                found.push(format!("{file}:{}: {name}", part.line + number));
            }
        }
    }
    found
}

/// Returns the retired phrases in a file, with their lines.
fn retired_phrases(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in parts(file, text) {
        let is_identifier = part.kind == Some(Kind::Identifier);
        let of_identifiers = RETIRED_IN_IDENTIFIERS.into_iter().filter(|_| is_identifier);
        let found_here = phrases(&part.text, RETIRED_PHRASES.into_iter().chain(of_identifiers));
        found.extend(found_here.iter().map(|phrase| format!("{file}:{}: {phrase}", part.line)));
    }
    found
}

/// Returns the first lines of documentation that begin with a retired word.
fn retired_beginnings(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut was_doc = false;
    for (number, line) in text.lines().map(str::trim_start).enumerate() {
        let doc = line.strip_prefix("/// ");
        if let Some(doc) = doc.filter(|_| !was_doc)
            && RETIRED_BEGINNINGS.iter().any(|word| doc.starts_with(word))
        {
            found.push(format!("{file}:{}: {doc}", number + 1));
        }
        was_doc = line.starts_with("///");
    }
    found
}

/// Fails if a rule finds something in the files of this workspace.
fn assert_none(rule: fn(&str, &str) -> Vec<String>) {
    let mut files = sources(&FOLDERS);
    files.extend(documents());
    files.extend(project_files());
    files.retain(|(name, _)| name != RULES);
    let found: Vec<String> = files.iter().flat_map(|(file, text)| rule(file, text)).collect();
    let count = found.len();
    assert!(
        found.is_empty(),
        "docs/GLOSSARY.md has other words for {count}:\n{}",
        found.join("\n")
    );
}

#[test]
fn no_retired_name_returns() {
    assert_none(retired_names);
}

#[test]
fn no_retired_phrase_returns() {
    assert_none(retired_phrases);
}

#[test]
fn no_documentation_begins_with_a_question_word() {
    assert_none(retired_beginnings);
}

#[test]
fn retired_names_are_found_in_every_kind_of_text() {
    let code = "enum Reason {\n    Kept,\n}\nfn f(kept: u8) {\n    let MOST_ROWS = kept;\n    \
                println!(\"is_in_vain\"); // SpoilOutput, and what is kept\n}\n";
    assert_eq!(
        retired_names("a.rs", code),
        ["a.rs:2: Kept", "a.rs:4: kept", "a.rs:5: MOST_ROWS", "a.rs:5: kept", "a.rs:6: is_in_vain"]
            .into_iter()
            .chain(["a.rs:6: SpoilOutput"])
            .collect::<Vec<_>>()
    );
    let code = "fn grouped() {} // Rows are grouped or cogrouped.\nlet cogrouped = \"grouped\";\n";
    assert_eq!(retired_names("a.rs", code), ["a.rs:1: grouped", "a.rs:2: cogrouped"]);
    assert_eq!(retired_names("a.toml", "kept = 1\nset_gives_way = 2"), ["a.toml:2: set_gives_way"]);
}

#[test]
fn retired_phrases_are_found_in_every_kind_of_text() {
    let code = "/// Reads so\n/// many rows.\nfn rows_left_behind() {\n    let AtHand = \"in \\\n        \
                vain\";\n}\n// This was so. Many are not.\n";
    let found = retired_phrases("a.rs", code);
    assert_eq!(
        found,
        ["a.rs:1: so many", "a.rs:3: left behind", "a.rs:4: at hand", "a.rs:4: in vain"]
    );
    assert_eq!(
        retired_phrases("left_behind.sh", "\n# nobody"),
        ["left_behind.sh:0: left behind", "left_behind.sh:2: nobody"]
    );
}

#[test]
fn documentation_that_begins_with_a_question_word_is_found() {
    let code = "/// What it does.\n/// How it does it.\nfn f() {}\n// Who calls it.\n";
    assert_eq!(retired_beginnings("a.rs", code), ["a.rs:1: What it does."]);
}

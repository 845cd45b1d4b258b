//! Checks the words of code and prose: retired names, phrases that need a second reading, and the verb that
//! begins the documentation of a function. `docs/GLOSSARY.md` has the words to use instead.

use super::{documents, sources};

/// The folders of the workspace with Rust files of ours.
const FOLDERS: [&str; 9] =
    ["core", "shuffle", "rdd", "src", "examples", "tests", "benches", "fuzz", "testkit"];

/// This folder, which names the retired words in order to find them.
const RULES: &str = "tests/house_rules/";

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

/// Names that are English words, so that only items of the code may not have them.
const RETIRED_ITEMS: &str = "\
    Step Lineage Kept Preparation Surroundings Ticket Goal Moment Harm Trial Aside Held Slices Combining \
    Combined Parted Waiting Places Place Meter Product Again LookUp Pairing Keeping Leaving Mark Shell \
    Form Piece Side OpenSide Home blame_on forgive make_room go_on die reach weigh leading lead \
    settle kept cogrouped";

/// Beginnings of the names of constants, whose words are `MAX_` and `MIN_`.
const RETIRED_PREFIXES: [&str; 2] = ["MOST_", "LEAST_"];

/// Phrases that may not occur in comments and documents.
const RETIRED_PHRASES: [&str; 41] = [
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
    "gives way",
    "are gone",
    "is gone",
];

/// Beginnings of documentation that say neither what a function does nor what a thing is.
const RETIRED_BEGINNINGS: [&str; 6] = ["What ", "Whether ", "Who ", "How ", "Whose ", "Where "];

/// The verbs with which the documentation of a function may begin.
const VERBS: &str = "\
    Abandons Aborts Accepts Acquires Adds Adjusts Advances Aggregates Allocates Allows Appends Applies \
    Asks Asserts Assigns Attaches Begins Blames Blocks Borrows Bounds Broadcasts Builds Caches Calls \
    Cancels Caps Casts Catches Chains Changes Charges Checks Chooses Claims Cleans Clears Clones Closes \
    Coalesces Cogroups Collects Combines Commits Compares Completes Compresses Computes Concatenates \
    Configures Connects Consumes Continues Converts Copies Counts Creates Damages Declares Decodes \
    Decompresses Decrements Deduplicates Defers Deletes Delivers Denies Derives Describes Deserializes \
    Detects Determines Disables Discards Displays Distributes Divides Downcasts Drains Draws Drops Emits \
    Empties Enables Encodes Ends Ensures Enters Enumerates Erases Escapes Estimates Evicts Exchanges \
    Executes Expects Explains Exports Extends Extracts Fails Fetches Fills Filters Finalizes Finds \
    Finishes Flattens Flips Flushes Folds Forces Forgets Formats Forwards Frees Generates Gets Groups \
    Grows Handles Hashes Hides Holds Identifies Ignores Includes Increments Indexes Initializes Injects \
    Inserts Inspects Installs Interrupts Intersects Invokes Iterates Joins Keeps Kills Launches Leaks \
    Leaves Limits Links Lists Loads Locates Locks Logs Lowers Makes Maps Marks Matches Measures Merges \
    Moves Names Normalizes Notifies Numbers Obtains Opens Orders Outputs Overrides Overwrites Packs Pads \
    Pairs Panics Parks Parses Partitions Passes Pauses Peeks Performs Persists Picks Pins Plans Polls \
    Pops Prepares Preserves Prints Probes Processes Produces Prunes Publishes Pulls Pushes Puts Queues \
    Raises Reads Rebuilds Receives Recomputes Records Recovers Recreates Redraws Reduces Refuses \
    Registers Rejects Releases Removes Renames Renders Reopens Repartitions Repeats Replaces Replays \
    Reports Requests Requires Reruns Reserves Resets Resizes Resolves Restores Restricts Resumes Retains \
    Retries Returns Reuses Reverts Rewinds Rewrites Rolls Rounds Runs Samples Saves Scans Scatters \
    Schedules Seals Searches Seeks Selects Sends Separates Serializes Sets Shares Shortens Shows Shrinks \
    Shuffles Shuts Signals Simulates Skips Sleeps Sorts Spawns Spills Splits Spreads Stages Stalls Starts \
    Stops Stores Streams Submits Subtracts Summarizes Sums Swaps Switches Syncs Takes Tests Throws Times \
    Tracks Transfers Transforms Traverses Tries Trims Truncates Turns Unions Unlinks Unlocks Unpacks \
    Unpersists Unpins Unwinds Unwraps Updates Uses Validates Verifies Visits Waits Wakes Walks Warns \
    Wraps Writes Yields Zips";

/// Returns the names in a line of code or text.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty())
}

/// Returns the text of the comment in a line of Rust, if it has one.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with("//") {
        return Some(line.trim_start_matches(['/', '!']).trim_start());
    }
    line.split_once(" // ").map(|(_, comment)| comment)
}

/// Returns the Rust files and the documents of this workspace that may have no retired words.
fn all_files() -> Vec<(String, String)> {
    let mut files = sources(&FOLDERS);
    files.extend(documents());
    files.retain(|(name, _)| !name.starts_with(RULES));
    files
}

#[test]
fn no_retired_name_returns() {
    let retired: Vec<&str> = RETIRED_NAMES.split_whitespace().collect();
    let mut found = Vec::new();
    for (file, text) in all_files() {
        for (number, line) in text.lines().enumerate() {
            for name in names(line) {
                let prefixed = |prefix: &&str| name.starts_with(*prefix);
                let is_retired = retired.contains(&name) || RETIRED_PREFIXES.iter().any(prefixed);
                if is_retired || name.starts_with("Serialised") {
                    found.push(format!("{file}:{}: {name}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "docs/GLOSSARY.md has the words for these:\n{}", found.join("\n"));
}

#[test]
fn no_item_has_a_retired_name() {
    const KINDS: [&str; 8] = ["struct", "enum", "trait", "type", "fn", "mod", "const", "static"];
    let retired: Vec<&str> = RETIRED_ITEMS.split_whitespace().collect();
    let mut found = Vec::new();
    for (file, text) in sources(&FOLDERS) {
        for (number, line) in text.lines().enumerate() {
            let code = if comment(line).is_some() { "" } else { line };
            let names: Vec<&str> = names(code).collect();
            for item in names.windows(2).filter(|item| KINDS.contains(&item[0])) {
                if retired.contains(&item[1]) {
                    found.push(format!("{file}:{}: {}", number + 1, item[1]));
                }
            }
        }
    }
    assert!(found.is_empty(), "docs/GLOSSARY.md has the words for these:\n{}", found.join("\n"));
}

#[test]
fn no_comment_or_document_has_a_retired_phrase() {
    let mut found = Vec::new();
    for (file, text) in all_files() {
        let is_rust = file.rsplit('.').next() == Some("rs");
        for (number, line) in text.lines().enumerate() {
            let prose = if is_rust { comment(line) } else { Some(line) };
            let words: Vec<&str> = names(prose.unwrap_or("")).collect();
            let words = format!(" {} ", words.join(" ").to_lowercase());
            for phrase in RETIRED_PHRASES {
                if words.contains(&format!(" {phrase} ")) {
                    found.push(format!("{file}:{}: {phrase}", number + 1));
                }
            }
            let documentation = line.trim_start().strip_prefix("/// ").unwrap_or("");
            if RETIRED_BEGINNINGS.iter().any(|word| documentation.starts_with(word)) {
                let starts = number == 0 || !text.lines().nth(number - 1).is_some_and(is_doc);
                if starts {
                    found.push(format!("{file}:{}: {documentation}", number + 1));
                }
            }
        }
    }
    let count = found.len();
    assert!(found.is_empty(), "{count} phrases need other words:\n{}", found.join("\n"));
}

fn is_doc(line: &str) -> bool {
    line.trim_start().starts_with("///")
}

/// Returns the first line of the documentation of each function that has one, with its position.
fn summaries(file: &str, text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut first: Option<(usize, &str)> = None;
    let mut inside_attribute = false;
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if let Some(doc) = line.strip_prefix("///") {
            first = first.or(Some((number + 1, doc.trim())));
        } else if inside_attribute || line.starts_with("#[") {
            inside_attribute = !line.ends_with(']');
        } else {
            let qualifiers = ["pub", "crate", "super", "const", "async", "default", "in"];
            let mut words = names(line).skip_while(|name| qualifiers.contains(name));
            let is_function = words.next() == Some("fn") && words.next().is_some();
            if let Some((at, doc)) = first.take().filter(|_| is_function) {
                found.push((format!("{file}:{at}"), doc.to_string()));
            }
        }
    }
    found
}

#[test]
fn the_documentation_of_a_function_begins_with_a_verb() {
    let verbs: Vec<&str> = VERBS.split_whitespace().collect();
    let mut total = 0;
    let mut found = Vec::new();
    for (file, text) in sources(&FOLDERS) {
        for (place, doc) in summaries(&file, &text) {
            total += 1;
            let verb = doc.split([' ', ':', ',', '.']).next().unwrap_or("");
            if !verbs.contains(&verb) {
                found.push(format!("{place}: {doc}"));
            }
        }
    }
    assert!(total > 1000, "found only {total} functions with documentation");
    let count = found.len();
    let advice = "begin with what the function does, such as `Returns`";
    assert!(found.is_empty(), "{count} of {total} do not; {advice}:\n{}", found.join("\n"));
}

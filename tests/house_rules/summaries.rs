//! The documentation of a function begins with a verb in the third person.

use super::{FOLDERS, sources};

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
            let names = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let names = names.filter(|name| !name.is_empty());
            let mut words = names.skip_while(|name| qualifiers.contains(name));
            let is_function = words.next() == Some("fn") && words.next().is_some();
            if let Some((at, doc)) = first.take().filter(|_| is_function) {
                found.push((format!("{file}:{at}"), doc.to_string()));
            }
        }
    }
    found
}

/// Returns true if a summary begins with one of the verbs.
fn begins_with_a_verb(summary: &str) -> bool {
    let first = summary.split([' ', ':', ',', '.']).next().unwrap_or("");
    VERBS.split_whitespace().any(|verb| verb == first)
}

#[test]
fn the_documentation_of_a_function_begins_with_a_verb() {
    let mut total = 0;
    let mut found = Vec::new();
    for (file, text) in sources(&FOLDERS) {
        for (position, summary) in summaries(&file, &text) {
            total += 1;
            if !begins_with_a_verb(&summary) {
                found.push(format!("{position}: {summary}"));
            }
        }
    }
    assert!(total > 1000, "found only {total} functions with documentation");
    let count = found.len();
    let advice = "begin with what the function does, such as `Returns`";
    assert!(found.is_empty(), "{count} of {total} do not; {advice}:\n{}", found.join("\n"));
}

#[test]
fn a_summary_without_a_verb_is_found() {
    let text = "/// Rows.\nstruct Rows;\n\n    /// The rows.\n    /// Sorts them.\n    #[inline]\n    \
                pub(crate) const fn rows() {}\n";
    assert_eq!(summaries("a.rs", text), [("a.rs:4".to_string(), "The rows.".to_string())]);
    assert!(begins_with_a_verb("Returns: rows.") && !begins_with_a_verb("The rows."));
    assert!(!begins_with_a_verb("Returned rows."), "the complete word counts");
}

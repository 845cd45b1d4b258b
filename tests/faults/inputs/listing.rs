//! Patterns, hidden names, folders and links list the files that the table of `text_file` says.

use super::folder_of;
use emberline::prelude::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;
use tempfile::TempDir;
use testkit::{DEADLINE, scaled, within};

/// Returns the lines of a path below a folder: the names of its files.
fn read(ctx: &Context, folder: &Path, path: &str) -> Result<Vec<String>> {
    ctx.text_file(folder.join(path)).collect()
}

// Case R-A4 of tests/PROMISES.md.
#[test]
fn each_row_of_the_table_of_patterns_holds() {
    within(DEADLINE, || {
        let names = [
            "2024-01/part-0",
            "2024-01/part-1",
            "2024-01/_SUCCESS",
            "2024-02/part-0",
            "2024-03.txt",
            "d/a",
            "d/_b",
            "d/.c",
            "e/_x/y",
            "e/f/g",
            "run[3]/x.txt",
            "run3/y.txt",
            "star*/z",
            "star2/w",
            "x]",
            "{a,b}",
            "new\nline",
            "Ä/ü",
        ];
        let folder = folder_of(&names);
        let ctx = Context::local().unwrap();
        let saved = ["2024-01/part-0", "2024-01/part-1", "2024-02/part-0", "2024-03.txt"];
        let wanted: [(&str, &[&str]); 34] = [
            ("2024-*", &saved),
            ("2024-0[12]", &saved[..3]),
            ("2024-0[!12]*", &saved[3..]),
            ("d", &["d/a"]),
            ("d/*", &["d/a"]),
            ("./d/*", &["d/a"]),
            ("d/../d/*", &["d/a"]),
            ("d/?", &["d/a"]),
            ("d/_b", &["d/_b"]),
            ("d/.c", &["d/.c"]),
            ("d/_*", &["d/_b"]),
            ("d/.*", &["d/.c"]),
            ("*/_b", &["d/_b"]),
            ("e/**/*", &["e/f/g"]),
            ("e/**", &["e/f/g"]),
            ("e/_x/*", &["e/_x/y"]),
            ("run[3]", &["run[3]/x.txt"]),
            ("run[3]/*.txt", &["run3/y.txt"]),
            ("run[[]3]/*.txt", &["run[3]/x.txt"]),
            ("star[*]/*", &["star*/z"]),
            ("star*/*", &["star*/z", "star2/w"]),
            ("**/[yz]*", &["run3/y.txt", "star*/z"]),
            ("./d//*/", &["d/a"]),
            ("2024-02/*/../part-1", &[]),
            ("d/../2024-0[1]/part-1", &["2024-01/part-1"]),
            ("e/*/../../d/*", &["d/a"]),
            ("e/**/../d/*", &["d/a"]),
            ("e/.*/a", &[]),
            ("x[]]", &["x]"]),
            ("[!a-w]]", &["x]"]),
            ("{a,b}", &["{a,b}"]),
            ("{*}", &["{a,b}"]),
            ("new*", &["new", "line"]),
            ("?/?", &["d/a", "e/f/g", "Ä/ü"]),
        ];
        for (path, files) in wanted {
            let found = read(&ctx, folder.path(), path);
            match files {
                [] => assert!(
                    matches!(found.unwrap_err().kind(), ErrorKind::InputNotFound { .. }),
                    "{path}"
                ),
                files => assert_eq!(found.unwrap(), *files, "{path}"),
            }
        }
        for path in ["e/_*/[!y]", "none*", "**/none", "d/[_]b", "run[3", "a**"] {
            let error = read(&ctx, folder.path(), path).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::InputNotFound { .. }), "{path}: {error}");
        }
        let error = read(&ctx, folder.path(), "[e]").unwrap_err().to_string();
        assert!(error.contains("nested directory"), "{error}");
    });
}

// Case R-A3 of tests/PROMISES.md.
#[cfg(unix)]
#[test]
fn links_in_a_circle_list_each_folder_once() {
    use std::os::unix::fs::symlink;
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        for links in 1..5 {
            let folder = folder_of(&["d/a.txt", "d/sub/b.txt"]);
            let d = folder.path().join("d");
            for link in 0..links {
                symlink("..", d.join("sub").join(format!("up{link}"))).unwrap();
                symlink(&d, d.join(format!("self{link}"))).unwrap();
            }
            symlink("circle", d.join("circle")).unwrap();
            let names = ["d/a.txt", "d/sub/b.txt"];
            assert_eq!(read(&ctx, folder.path(), "d/**/*.txt").unwrap(), names, "{links} links");
            assert_eq!(read(&ctx, folder.path(), "**/*.txt").unwrap(), names, "{links} links");
            assert_eq!(read(&ctx, folder.path(), "d/*/*.txt").unwrap(), names, "{links} links");
        }
    });
}

// Case R-A3 of tests/PROMISES.md.
#[test]
fn a_listing_ends_when_its_context_or_its_job_is_cancelled() {
    within(DEADLINE, || {
        let folder = folder_of(&["a"]);
        let ctx = Context::local().unwrap();
        let in_group = ctx.clone();
        let outcome = ctx.job_group("listing", || {
            in_group.cancel_group("listing", "enough");
            in_group.text_file(folder.path()).count()
        });
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");

        // A tree that takes a while, listed on a thread that no job belongs to.
        for number in 0..20_000 {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let lister = ctx.clone();
        let path = folder.path().to_path_buf();
        let listing = thread::spawn(move || {
            loop {
                let lines = lister.text_file(&path);
                if let Err(error) = lines.take(1) {
                    return error;
                }
            }
        });
        while !listing.is_finished() {
            ctx.cancel_all("enough");
        }
        let error = listing.join().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");
    });
}

/// A tree of files and folders by their paths: true for a folder.
type Tree = BTreeMap<Vec<String>, bool>;

/// Makes the tree and returns its paths.
fn make(folder: &TempDir, files: &[Vec<String>]) -> Tree {
    let mut tree = Tree::new();
    for file in files {
        let path = folder.path().join(file.join("/"));
        // A name that is a file already cannot be a folder, and the reverse.
        if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
            fs::write(&path, format!("{}\n", file.join("/"))).unwrap();
            tree.insert(file.clone(), false);
        }
        for length in 1..file.len() {
            if folder.path().join(file[..length].join("/")).is_dir() {
                tree.insert(file[..length].to_vec(), true);
            }
        }
    }
    tree
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Returns true if a part of a pattern, without `**`, matches a name: character by character.
fn part_matches(part: &[char], name: &[char]) -> bool {
    match part {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|skipped| part_matches(rest, &name[skipped..])),
        ['?', rest @ ..] => !name.is_empty() && part_matches(rest, &name[1..]),
        ['[', one, ']', rest @ ..] => name.first() == Some(one) && part_matches(rest, &name[1..]),
        [letter, rest @ ..] => name.first() == Some(letter) && part_matches(rest, &name[1..]),
    }
}

fn name_matches(part: &str, name: &str) -> bool {
    let letters = |text: &str| text.chars().collect::<Vec<_>>();
    let is_named = !part.contains(['*', '?', '[']);
    match is_named {
        true => part == name,
        false => {
            (!is_hidden(name) || is_hidden(part)) && part_matches(&letters(part), &letters(name))
        }
    }
}

/// Returns what remains of a pattern below a folder, in each way in which the pattern matches.
fn rests<'a>(parts: &'a [&'a str], folder: &[String]) -> BTreeSet<&'a [&'a str]> {
    let mut all = BTreeSet::new();
    match (parts, folder) {
        (["**", rest @ ..], [name, below @ ..]) => {
            all.extend(rests(rest, folder));
            if !is_hidden(name) {
                all.extend(rests(parts, below));
            }
        }
        (["**", rest @ ..], []) => {
            all.insert(parts);
            all.extend(rests(rest, folder));
        }
        ([part, rest @ ..], [name, below @ ..]) if name_matches(part, name) => {
            all.extend(rests(rest, below));
        }
        (parts, []) => {
            all.insert(parts);
        }
        _ => {}
    }
    all
}

/// Returns the files that a pattern matches in a tree without links, or nothing for an error.
fn expected(tree: &Tree, pattern: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = pattern.split('/').collect();
    let named: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
    let parts: &[&str] = match tree.get(&named) {
        // A path that exists is read as named.
        Some(false) => return Some(vec![pattern.to_string()]),
        Some(true) => &[],
        None => &parts,
    };
    let below = |path: &[String]| {
        if parts.is_empty() { path.starts_with(&named) && path.len() > named.len() } else { true }
    };
    let skip = if parts.is_empty() { named.len() } else { 0 };
    let mut files = Vec::new();
    let mut has_folder = rests(parts, &[]).contains(&[][..]);
    for (path, is_folder) in tree.iter().filter(|(path, _)| below(path)) {
        let (name, parent) = path[skip..].split_last().unwrap();
        let above = rests(parts, parent);
        let is_in_match = above.contains(&[][..]) && !is_hidden(name);
        if *is_folder {
            let here = rests(parts, &path[skip..]);
            has_folder |= here.contains(&[][..]);
            if is_in_match && here.is_empty() {
                return None;
            }
            continue;
        }
        let is_match = above
            .iter()
            .any(|rest| rest.len() == 1 && rest[0] != "**" && name_matches(rest[0], name));
        if is_match || is_in_match {
            files.push(path.join("/"));
        }
    }
    (has_folder || !files.is_empty()).then_some(files)
}

fn name() -> impl Strategy<Value = String> {
    let names = ["a", "b", "ab", "ba", ".a", "_b", "a*", "[a]", "a?b", "_"];
    prop::sample::select(names.to_vec()).prop_map(String::from)
}

fn part() -> impl Strategy<Value = &'static str> {
    let parts = [
        "*", "**", "?", "a", "b", "a*", "*b", "[a]", "[b]*", "_*", ".*", "_b", "a[*]", "[[]a]",
        "??", "*a*", "ab", "[a]?b",
    ];
    prop::sample::select(parts.to_vec())
}

// Case R-A4 of tests/PROMISES.md.
#[test]
fn any_pattern_lists_the_files_of_the_table_in_any_tree() {
    within(DEADLINE, || {
        let trees = prop::collection::vec(prop::collection::vec(name(), 1..5), 1..12);
        let patterns = prop::collection::vec(prop::collection::vec(part(), 1..5), 12);
        let ctx = Context::builder().threads(1).build().unwrap();
        let config =
            Config { cases: scaled(150) as u32, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&(trees, patterns), |(files, patterns)| {
            let folder = tempfile::tempdir().unwrap();
            let tree = make(&folder, &files);
            for pattern in patterns {
                let pattern = pattern.join("/");
                let found = read(&ctx, folder.path(), &pattern).ok();
                let mut wanted = expected(&tree, &pattern);
                if let Some(files) = &mut wanted {
                    files.sort_by(|one, other| Path::new(one).cmp(Path::new(other)));
                }
                prop_assert_eq!(found, wanted, "{} in {:?}", pattern, tree);
            }
            Ok(())
        });
        outcome.unwrap();
    });
}

// Case R-A3 of tests/PROMISES.md.
#[cfg(unix)]
#[test]
fn any_links_between_folders_list_each_reachable_file_once() {
    use std::os::unix::fs::symlink;
    within(DEADLINE, || {
        let trees = prop::collection::vec(prop::collection::vec(name(), 1..5), 1..12);
        let links = prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
            1..6,
        );
        let ctx = Context::builder().threads(1).build().unwrap();
        let config =
            Config { cases: scaled(80) as u32, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&(trees, links), |(files, links)| {
            let folder = tempfile::tempdir().unwrap();
            let tree = make(&folder, &files);
            let folders: Vec<_> = tree.iter().filter(|(_, is_folder)| **is_folder).collect();
            let mut paths: Vec<_> =
                folders.iter().map(|(path, _)| folder.path().join(path.join("/"))).collect();
            paths.push(folder.path().to_path_buf());
            for (number, (from, to)) in links.iter().enumerate() {
                let link = from.get(&paths).join(format!("link{number}"));
                symlink(to.get(&paths), link).unwrap();
            }
            // A folder that only a link can reach is reached: start from the root, and from each folder that a
            // reached link names.
            let mut reached = BTreeSet::from([folder.path().canonicalize().unwrap()]);
            let mut next: Vec<_> = reached.iter().cloned().collect();
            let mut wanted = Vec::new();
            while let Some(path) = next.pop() {
                for entry in fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()) {
                    if is_hidden(&entry.file_name().to_string_lossy()) {
                        continue;
                    }
                    match entry.path().is_dir() {
                        true => {
                            let real = entry.path().canonicalize().unwrap();
                            if reached.insert(real.clone()) {
                                next.push(real);
                            }
                        }
                        false => wanted
                            .push(fs::read_to_string(entry.path()).unwrap().trim().to_string()),
                    }
                }
            }
            wanted.sort();
            for pattern in ["**", "**/*", "**/**/*"] {
                let mut found = read(&ctx, folder.path(), pattern).unwrap_or_default();
                found.sort();
                prop_assert_eq!(&found, &wanted, "{} in {:?} with {:?}", pattern, tree, links);
            }
            Ok(())
        });
        outcome.unwrap();
    });
}

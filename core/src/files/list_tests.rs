//! Tests of listings.

use super::*;

fn folder_with(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), "x\n").unwrap();
    }
    folder
}

fn list_files(paths: &[PathBuf]) -> Result<Vec<ListedFile>> {
    list(paths, &|| Ok(()))
}

fn names(listed: Result<Vec<ListedFile>>) -> Vec<String> {
    let name = |file: &ListedFile| file.path.file_name().unwrap().to_string_lossy().into_owned();
    listed.unwrap().iter().map(name).collect()
}

#[test]
fn a_folder_lists_its_files_by_name_without_markers_and_dot_files() {
    let folder = folder_with(&["b.txt", "a.txt", "_SUCCESS", ".hidden"]);
    assert_eq!(names(list_files(&[folder.path().to_path_buf()])), ["a.txt", "b.txt"]);
}

#[test]
fn a_pattern_descends_into_nested_folders_and_a_folder_refuses_them() {
    let folder = folder_with(&["a.txt", "sub/b.txt", "sub/c.md"]);
    let pattern = folder.path().join("**").join("*.txt");
    assert_eq!(names(list_files(&[pattern])), ["a.txt", "b.txt"]);
    let error = list_files(&[folder.path().to_path_buf()]).unwrap_err().to_string();
    assert!(error.contains("to read recursively"), "{error}");
}

#[test]
fn a_list_keeps_its_order() {
    let folder = folder_with(&["a.txt", "b.txt"]);
    let list = [folder.path().join("b.txt"), folder.path().join("a.txt")];
    assert_eq!(names(list_files(&list)), ["b.txt", "a.txt"]);
}

#[test]
fn errors_name_missing_and_compressed_files() {
    let folder = folder_with(&["a.gz"]);
    for name in ["none.txt", "*.csv", "a.gz"] {
        let error = list_files(&[folder.path().join(name)]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_pattern_does_not_descend_into_hidden_folders() {
    let folder = folder_with(&["a/x", ".out.writing-1/part-00000", "_temporary/y", "b/.z"]);
    assert_eq!(names(list_files(&[folder.path().join("**").join("*")])), ["x"]);
    let named = folder.path().join("_temporary").join("*");
    assert_eq!(names(list_files(&[named])), ["y"]);
}

#[test]
fn an_empty_list_and_a_file_without_a_length_are_refused() {
    assert!(list_files(&[]).unwrap_err().to_string().contains("empty"));
    let kernel_file = Path::new("/proc/cpuinfo");
    if !kernel_file.exists() {
        println!("skipped: there is no /proc here");
        return;
    }
    let error = list_files(&[kernel_file.to_path_buf()]).unwrap_err().to_string();
    assert!(error.contains("not a regular file with a length"), "{error}");
}

#[test]
fn a_file_whose_name_looks_like_a_pattern_is_a_file() {
    let folder = folder_with(&["a[1].txt"]);
    assert_eq!(names(list_files(&[folder.path().join("a[1].txt")])), ["a[1].txt"]);
}

// Case R-A3 of tests/PROMISES.md.
#[test]
fn a_listing_is_bounded_and_can_be_cancelled() {
    let folder = folder_with(&["a", "b", "sub/c"]);
    let pattern = [folder.path().join("**").join("*")];
    assert_eq!(names(list_at_most(4, &pattern, &|| Ok(()))), ["a", "b", "c"]);
    let error = list_at_most(3, &pattern, &|| Ok(())).unwrap_err().to_string();
    assert!(error.contains("more than 3 names"), "{error}");
    let error = list(&pattern, &|| Err(Error::cancelled("enough"))).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Cancelled { .. }), "{error}");
}

#[test]
fn invalid_patterns_are_refused() {
    let folder = folder_with(&["a"]);
    for pattern in ["a**", "[", "x/***"] {
        let error = list_files(&[folder.path().join(pattern)]).unwrap_err().to_string();
        assert!(error.contains("invalid pattern"), "{pattern}: {error}");
    }
}

//! `docs/chronicle` names tests that hold what was repaired, and each of them exists.

use std::path::{Path, PathBuf};

/// Returns the text of every Rust file below `folder`.
fn code(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, all);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

fn pages(root: &Path) -> Vec<PathBuf> {
    let pages = std::fs::read_dir(root.join("docs/chronicle")).unwrap();
    pages.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

#[test]
fn every_test_that_the_chronicle_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    code(&root.join("src"), &mut all);
    code(&root.join("tests"), &mut all);
    let (mut wrong, mut count) = (String::new(), 0);
    for page in pages(root) {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            for name in line.split('`').skip(1).step_by(2) {
                let is_test =
                    name.matches('_').count() > 1 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                let exists = if line.starts_with("**Held by:**") {
                    all.contains(&format!("fn {name}(")) || root.join(name).exists()
                } else {
                    !is_test || all.contains(name)
                };
                count += usize::from(line.starts_with("**Held by:**"));
                if !exists {
                    wrong += &format!(
                        "docs/chronicle/{}:{number}: no test, file or folder {name}; name the one that took its place\n",
                        page.file_name().unwrap().to_string_lossy()
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(count > 100, "only {count} names found; has the form of the pages changed?");
}

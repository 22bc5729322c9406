//! `git-setup` and its drivers, by real `git` commands in repositories of their own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

mod diff;
mod merge;
mod others;
mod setup;
mod world;

/// A test file that is not listed above would never run.
#[test]
fn no_test_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/git");
    let main = std::fs::read_to_string(format!("{folder}/main.rs")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".rs").filter(|name| *name != "main") else { continue };
        assert!(main.contains(&format!("mod {name};")), "{file} is not in main.rs");
    }
}

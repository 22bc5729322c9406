//! The command line as a user meets it: whole output and exit code, in an environment of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails in a test fails the test")]

mod bad_input;
mod completion;
mod compromised;
mod document;
mod edit;
mod export;
mod help;
mod locked;
mod new_key;
mod plugin_links;
mod questions;
mod readme;
mod repository;
mod rotate_client;
mod rotate_faults;
mod rotate_key;
mod rules;
mod sandbox;
mod secrets;
mod selection;
mod set;
mod typist;
mod unreachable;
mod worker;

/// A test file that is not listed above would never run.
#[test]
fn no_test_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli");
    let main = std::fs::read_to_string(format!("{folder}/main.rs")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".rs").filter(|name| *name != "main") else { continue };
        assert!(main.contains(&format!("mod {name};")), "{file} is not in main.rs");
    }
}

//! All tests of the program as its users meet it: one binary, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "helpers of tests end the test, too")]

mod common;
mod test_archives;
mod test_charts;
mod test_cli;
mod test_client_hooks;
mod test_commits;
mod test_config;
mod test_debt;
mod test_doctor;
mod test_formats;
mod test_forms;
mod test_history;
mod test_install;
mod test_joins;
mod test_judged_once;
mod test_named_elsewhere;
mod test_names;
mod test_output;
mod test_owners;
mod test_portable;
mod test_push;
mod test_scan;
mod test_scan_sources;
mod test_servers;
mod test_stores;
mod test_trust;
mod test_work_tree;

#[test]
fn no_test_file_is_forgotten() {
    let runner = include_str!("runner.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            name == "runner" || runner.contains(&format!("\nmod {name};\n")),
            "{name} is not in runner.rs"
        );
    }
}

//! scripts/demo from start to end, and that the README shows what it prints.

use std::path::Path;
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A line without what differs between runs: ports, object names, ages.
fn steady(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let digits = word.trim_end_matches(',').rsplit([':', '@']).next().unwrap_or_default();
        let is_oid = digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let is_age = word.len() > 1
            && word.ends_with('s')
            && word[..word.len() - 1].bytes().all(|b| b.is_ascii_digit());
        words.push(match word.split_once("127.0.0.1:") {
            Some((before, after)) => {
                format!("{before}127.0.0.1:PORT{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            None if word.starts_with("age1") && word.contains('…') => "KEY".to_owned(),
            None if is_oid => word.replace(digits, "OID"),
            None if is_age => "AGE".to_owned(),
            None => word.to_owned(),
        });
    }
    words.join(" ")
}

#[test]
fn the_demo_runs_and_the_readme_shows_what_it_prints() {
    // A temporary folder of its own, so that what it leaves can be told from what others have.
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Command::new(Path::new(ROOT).join("scripts/demo"));
    // A build would replace programs that other tests are running.
    let output = demo.arg("--no-build").env("TMPDIR", temporary.path()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let block = readme.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let mut rest = printed.lines().map(steady);
    for line in block.lines().map(steady).filter(|line| !line.is_empty()) {
        assert!(
            rest.any(|found| found == line),
            "the demo does not print (in this order): {line}\n{printed}"
        );
    }
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    for name in names(temporary.path()) {
        assert!(name.starts_with("kubiya-rig-"), "the demo left {name}");
        assert_eq!(names(&temporary.path().join(name)), ["lock"], "the demo left a control plane");
    }
}

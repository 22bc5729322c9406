//! Archives in a push: what is in them is in Git, too.

use crate::common::{CANARY, World, lines_with, plain_secret};
use kubiya_testdata::env::TestEnv;
use std::io::Write as _;

/// A file that is packed as charts are.
fn package(path: &str, content: &str) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&tar.into_inner().unwrap()).unwrap();
    packer.finish().unwrap()
}

#[test]
fn an_archive_with_a_secret_is_told_of_and_refused_where_files_must_be_encrypted() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let packed = package("app/templates/db.yaml", &plain_secret());
    clone.commit_file("vendor/app-1.0.0.tgz", &packed);
    let told = world.push(["main"]);
    assert_eq!(told.code(), Some(0), "{told}");
    assert_eq!(lines_with(&told, "KBY031]").len(), 1, "{told}");
    assert!(!told.to_string().contains(CANARY), "{told}");
    let recipient = "age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77";
    clone.write(".sops.yaml", format!("creation_rules:\n- path_regex: ^sealed/\n  age: {recipient}\n"));
    clone.commit_file("sealed/app-1.0.0.tgz", &packed);
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "  sealed/app-1.0.0.tgz").len(), 1, "{refused}");
    assert_eq!(lines_with(&refused, "KBY003]").len(), 1, "{refused}");
}

#[test]
fn an_archive_with_a_private_age_identity_is_refused_everywhere() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let identity = "AGE-SECRET-KEY-1XLZ4Y4QMYYVQ4N5A8Q4C5F2V8YCLKMU0EVAJ3KW9WXV5N6H2XEQSNV6WJG";
    world.clone.commit_file("backup.tgz", package("keys.txt", identity));
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "  backup.tgz").len(), 1, "{refused}");
    assert!(!refused.to_string().contains(&identity[20..30]), "{refused}");
}

#[test]
fn an_archive_with_nothing_to_hide_passes_without_a_word() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.commit_file("vendor/app-1.0.0.tgz", package("app/values.yaml", "replicas: 3\n"));
    insta::assert_snapshot!(world.push(["main"]), @"");
}

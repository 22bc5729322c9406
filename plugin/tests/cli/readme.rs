//! The console blocks of the README are run and compared with what they say.

use kubiya_testdata::harness::workspace_bin;

#[test]
fn what_the_readme_shows_is_what_is_printed() {
    trycmd::TestCases::new()
        .register_bin("kubiya-hook", workspace_bin("kubiya-hook").unwrap())
        .register_bin("kubectl-kubiya", std::path::PathBuf::from(env!("CARGO_BIN_EXE_kubectl-kubiya")))
        .case(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
}

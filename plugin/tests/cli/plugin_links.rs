//! `plugin install`: links that can be made again, and files of others that stay.

use crate::sandbox::Sandbox;

#[test]
fn links_for_kubectl_and_flux() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.change(&["plugin", "install", "--kubectl=bin", "--flux"]), @r#"
    linked bin/kubectl-kubiya -> [BINARY]
    linked bin/kubectl_complete-kubiya -> [BINARY]
    warning: bin is not on PATH: kubectl will not find the plugin
    hint: export PATH="bin:$PATH"
    linked [DIR]/.fluxcd/plugins/flux-kubiya -> [BINARY]
    ------- exit code 0
    "#);
    insta::assert_snapshot!(sandbox.change(&["plugin", "install", "--flux"]), @"
    unchanged [DIR]/.fluxcd/plugins/flux-kubiya
    ------- exit code 0
    ");
    let target = sandbox.path(".fluxcd/plugins/flux-kubiya").canonicalize().unwrap();
    assert_eq!(target, std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-kubiya")).canonicalize().unwrap());
}

#[test]
fn a_file_of_somebody_else_stays() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    sandbox.write("bin/kubectl-kubiya", "precious");
    insta::assert_snapshot!(sandbox.run(&["plugin", "install", "--kubectl=bin"]), @"
    ------- stderr
    error: bin/kubectl-kubiya: a file of this name is there already

    hint: rm bin/kubectl-kubiya
    ------- exit code 2
    ");
    assert_eq!(std::fs::read_to_string(sandbox.path("bin/kubectl-kubiya")).unwrap(), "precious");
}

#[test]
fn it_must_be_said_for_which_program() {
    insta::assert_snapshot!(Sandbox::new().run(&["plugin", "install"]), @"
    ------- stderr
    error: for which program?

    hint: kubectl kubiya plugin install --kubectl, kubectl kubiya plugin install --flux, or both
    ------- exit code 2
    ");
}

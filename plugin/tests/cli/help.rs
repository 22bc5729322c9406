//! Help, version, and the name we were called by.

use crate::sandbox::Sandbox;

#[test]
fn help_names_the_command_as_it_was_called() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["-h"]), @"
    Flux with SOPS on an infra (hub) cluster and its worker clusters

    Usage: kubectl kubiya [OPTIONS] <COMMAND>

    Commands:
      bootstrap   Install Flux with SOPS decryption on the infra cluster, and the kubeconfigs of its
                  workers
      uninstall   Take Flux away from the infra cluster; what it has applied stays
      worker      Let Flux reach worker clusters, with credentials that can be revoked
      encrypt     Encrypt files by the creation rules of their .sops.yaml
      decrypt     Decrypt files
      edit        Edit an encrypted file in an editor
      set         Set one value of an encrypted file
      unset       Remove one value of an encrypted file
      check       Check that files are encrypted as their creation rules say
      rotate-key  Give Flux, rules and files a new age key, with no moment in which Flux cannot decrypt
      explain     Explain which rule is for a file, who can read it, and what it encrypts
      git-setup   Make git diff and git merge of this clone understand encrypted files
      plugin      Make `kubectl kubiya` and `flux kubiya` find this executable
      completion  Print a completion script for the plain executable `kubectl-kubiya`
      policies    Print admission policies against secrets in clear, and alerts
      schema      Print the JSON schema of the document for bootstrap -f
      man         Write the manual pages into a folder

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Kubernetes options:
          --kubeconfig <FILE>           Kubeconfig file to use instead of KUBECONFIG and ~/.kube/config
          --context <NAME>              Context of the infra cluster in the kubeconfig
      -n, --namespace <NAME>            Namespace of Flux [env: FLUX_SYSTEM_NAMESPACE=] [default:
                                        flux-system]
          --request-timeout <DURATION>  How long a single request may take, such as 30s; 0 for no limit
                                        [default: 30s]

    Exit codes:
      0    done, or nothing to do
      1    findings or differences
      2    wrong usage or bad input; nothing was changed
      3    a preflight failed or something could not be verified
      4    a deadline passed; a re-run goes on
      5    done in part; a re-run goes on
      130  interrupted
    ------- stderr
    ------- exit code 0
    ");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-kubiya"), sandbox.path("flux-kubiya")).unwrap();
    let flux = sandbox.run_as("flux-kubiya", &["bootstrap", "--help"]);
    assert!(flux.contains("Usage: flux kubiya bootstrap [OPTIONS]"), "{flux}");
    assert!(flux.contains("flux kubiya bootstrap --context infra"), "{flux}");
    assert!(!flux.contains("kubectl kubiya"), "{flux}");
}

#[test]
fn version() {
    let said = Sandbox::new().run(&["--version"]);
    assert_eq!(
        said,
        format!("kubectl-kubiya {}\n------- stderr\n------- exit code 0\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn global_flags_stand_before_and_after_the_subcommand() {
    let sandbox = Sandbox::new();
    let rest = [
        "--url",
        "https://git.invalid/r.git",
        "--age-key-file",
        "age.agekey",
        "--flux-manifests",
        "flux.yaml",
    ];
    let before =
        sandbox.run(&[&["--kubeconfig", "config", "--context", "hubb", "bootstrap"], &rest[..]].concat());
    let after =
        sandbox.run(&[&["bootstrap"], &rest[..], &["--context", "hubb", "--kubeconfig", "config"]].concat());
    assert_eq!(before, after);
    assert!(before.contains("no context `hubb`"), "{before}");
}

#[test]
fn manual_pages() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("man")).unwrap();
    assert!(sandbox.change(&["man", "man"]).contains("exit code 0"));
    let page = std::fs::read_to_string(sandbox.path("man/kubectl-kubiya-bootstrap.1")).unwrap();
    assert!(page.contains("age\\-key\\-file"), "{page}");
    let missing = sandbox.run(&["man", "nowhere"]);
    assert!(missing.contains("error: nowhere: cannot write the manual pages"), "{missing}");
}

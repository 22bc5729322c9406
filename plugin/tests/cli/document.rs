//! `bootstrap -f`: what the flags can say, out of a document.

use crate::sandbox::{CANARY, Sandbox};

const DOCUMENT: &str = "\
apiVersion: kubiya.dev/v1alpha1
kind: Bootstrap
metadata: {name: infra}
spec:
  git: {url: https://git.invalid/gitops.git, branch: next, path: clusters/infra}
  age: {keyFile: age.agekey}
  flux: {manifests: flux.yaml}
";

#[test]
fn a_document_says_what_flags_say_and_flags_win() {
    let sandbox = Sandbox::new();
    sandbox.write("kubiya.yaml", DOCUMENT);
    let by_document = sandbox.run(&["bootstrap", "-f", "kubiya.yaml", "--export"]);
    let by_flags = sandbox.run(&[
        "bootstrap",
        "--url=https://git.invalid/gitops.git",
        "--branch=next",
        "--path=clusters/infra",
        "--age-key-file=age.agekey",
        "--flux-manifests=flux.yaml",
        "--export",
    ]);
    assert!(by_document.ends_with("exit code 0\n"), "{by_document}");
    assert_eq!(by_document, by_flags);
    let other = sandbox.run(&["bootstrap", "-f", "kubiya.yaml", "--export", "--branch", "main"]);
    assert!(other.contains("branch: main") && !other.contains("branch: next"), "{other}");
}

#[test]
fn what_is_wrong_in_a_document_is_told_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write("kubiya.yaml", &DOCUMENT.replace("branch: next", &format!("password: {CANARY}")));
    insta::assert_snapshot!(sandbox.run(&["bootstrap", "-f", "kubiya.yaml"]), @"
    ------- stderr
    error: kubiya.yaml:5:46: spec.git: unknown field `password`, expected one of `url`, `branch`, `path`, `username`, `passwordFile`, `bearerTokenFile`, `caFile`, `tlsCrtFile`, `tlsKeyFile`, `githubApp`, `proxy`, `privateKeyFile`, `generatePrivateKey`, `knownHostsFile`, `verifyKeys`, `secretName`, `allowInsecureHttp`

    hint: kubectl kubiya schema   # what can be in it
    ------- exit code 2
    ");
    sandbox.write(
        "kubiya.yaml",
        &DOCUMENT.replace("keyFile: age.agekey", &format!("keyCommand: show {CANARY}")),
    );
    insta::assert_snapshot!(sandbox.run(&["bootstrap", "-f", "kubiya.yaml"]), @"
    ------- stderr
    error: the document has a command, which is not run unless you say so
      cause: spec.age.keyCommand

    hint: read it, then: --allow-commands
    ------- exit code 2
    ");
    sandbox.write("kubiya.yaml", "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec: {}\n");
    insta::assert_snapshot!(sandbox.run(&["bootstrap", "-f", "kubiya.yaml"]), @"
    ------- stderr
    error: the document has no spec.git.url, and no flag says it

    hint: --url URL
    ------- exit code 2
    ");
}

#[test]
fn a_command_gives_the_key_and_is_never_shown() {
    let sandbox = Sandbox::new();
    let flags = ["--url=https://git.invalid/r.git", "--flux-manifests=flux.yaml", "--export"];
    let said = sandbox.run(&[&["bootstrap", "--age-key-cmd", "/bin/cat age.agekey"], &flags[..]].concat());
    assert!(said.ends_with("exit code 0\n"), "{said}");
    let failing = format!("/bin/sh -c 'echo {CANARY}; exit 3'");
    let said = sandbox.run(&[&["bootstrap", "--age-key-cmd", &failing], &flags[..]].concat());
    assert!(said.contains("the command for the age key: there is no key"), "{said}");
    assert!(said.contains("exit status: 3") && said.ends_with("exit code 2\n"), "{said}");
}

#[test]
fn the_schema_is_printed() {
    let said = Sandbox::new().run(&["schema"]);
    let json = said.split("------- stderr").next().unwrap();
    let schema: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(schema["title"], "Bootstrap");
    assert_eq!(schema["additionalProperties"], false);
    // Every field that a document may have is in it, and the document of these tests is of it.
    for field in ["git", "age", "flux", "workers", "timeout"] {
        assert!(schema["$defs"]["BootstrapSpec"]["properties"][field].is_object(), "{field}\n{json}");
    }
}

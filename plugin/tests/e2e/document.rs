//! A bootstrap out of a document in Git, with a worker, a key that a command prints and a private repository.

use crate::world::World;
use kubiya_testdata::git_server::Options;

#[test]
fn a_document_bootstraps_as_flags_do() {
    let world =
        World::with_server(Options { token: Some("canary-token-8Hs".to_owned()), ..Options::default() });
    world.write("infra/git-token", "canary-token-8Hs\n");
    let document = format!(
        "apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec:\n  context: hub\n  \
         git: {{url: {}, path: clusters/infra, bearerTokenFile: git-token}}\n  \
         age: {{keyCommand: cat age.agekey}}\n  flux: {{manifests: {}}}\n  \
         workers: [{{name: worker01, context: worker01}}]\n  allowLoopback: true\n",
        world.url(),
        world.rig.info().flux_manifests.display()
    );
    world.write("infra/kubiya.yaml", &document);
    let run = |more: &[&str]| {
        let words = [&["kubiya", "bootstrap", "-f", "infra/kubiya.yaml"], more].concat();
        world.said(world.command(&world.rig.bin("kubectl")).args(words).output().unwrap())
    };
    let refused = run(&[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow-commands"), "{}", refused.stderr);
    assert_eq!(world.versions(), "");
    let said = run(&["--allow-commands"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("created Secret flux-system/worker01-kubeconfig"), "{}", said.stderr);
    let before = world.versions();
    let again = world.bootstrap(&["--worker", "worker01=worker01"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(before, world.versions());
}

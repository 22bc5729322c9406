//! `install` and `uninstall`: the hooks run where servers and clones want them, and go without a trace.
//!
//! Servers that are not here are stood for by their layout and by how they run hooks.

use crate::common::{World, hook, lines_with, plain_secret};
use insta::assert_snapshot;
use kubiya_hook::install::{Manager, Place, Request, install};
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn program<const N: usize>(env: &TestEnv, arguments: [&str; N]) -> Transcript {
    env.run(env.command(hook()).args(arguments))
}

/// A server without a hook, and a clone of it.
fn unguarded(env: &TestEnv) -> World<'_> {
    let world = World::new(env);
    std::fs::remove_file(world.server.path().join("hooks/pre-receive")).unwrap();
    world
}

fn script(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o750)).unwrap();
}

/// Every file and link below a folder, with its mode and content.
fn listing(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = if metadata.is_symlink() {
                std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else if metadata.is_dir() {
                folders.push(path);
                continue;
            } else {
                std::fs::read(&path).unwrap()
            };
            files.insert(path.display().to_string(), (metadata.permissions().mode(), content));
        }
    }
    files
}

/// Commits a good file and pushes it, then a bad one, and says what came of each.
fn good_and_bad(world: &World<'_>) -> (Transcript, Transcript) {
    world.clone.commit_file("good.txt", format!("{}\n", world.on_server("main")));
    let good = world.push(["main"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    let bad = world.push(["main"]);
    let _ = world.clone.ok(["reset", "--quiet", "--hard", "HEAD~1"]);
    (good, bad)
}

fn assert_guarded(world: &World<'_>) {
    let (good, bad) = good_and_bad(world);
    assert_eq!(good.code(), Some(0), "{good}");
    assert_eq!(lines_with(&bad, "  secret.yaml").len(), 1, "{bad}");
    assert_eq!(bad.code(), Some(1), "{bad}");
}

fn assert_unguarded(world: &World<'_>) {
    let (_, bad) = good_and_bad(world);
    assert_eq!(bad.code(), Some(0), "{bad}");
    let _ = world.clone.ok(["push", "--quiet", "--force", "origin", "main"]);
}

#[test]
fn a_bare_repository_is_guarded_and_set_free_again() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    assert_unguarded(&world);
    let before = listing(&world.server.path().join("hooks"));
    let shown = program(&env, ["install", "server.git", "--dry-run"]);
    assert_snapshot!(shown, @"
    would write $ROOT/server.git/kubiya-hook.yaml
    would write $ROOT/server.git/hooks/pre-receive
    ------- stderr -------
    note: changes of recipients and rules pass with a warning: `policyChanges: warn` in $ROOT/server.git/kubiya-hook.yaml; `owners` lets only named people make them, `refuse` nobody
    ");
    assert_eq!(listing(&world.server.path().join("hooks")), before, "only shown");
    let _ = program(&env, ["install", "server.git", "--policy-changes", "refuse"]).success();
    assert_guarded(&world);
    let config = std::fs::read_to_string(world.server.path().join("kubiya-hook.yaml")).unwrap();
    let expected = "apiVersion: kubiya.dev/v1alpha1\nkind: HookConfig\npolicyChanges: refuse\n";
    assert_eq!(config, expected);
    assert_snapshot!(program(&env, ["install", "server.git"]), @"
    ------- stderr -------
    nothing to do: all is as it should be
    ");
    let _ = program(&env, ["uninstall", "server.git"]).success();
    assert_eq!(listing(&world.server.path().join("hooks")), before);
    assert_unguarded(&world);
}

#[test]
fn a_hook_that_is_there_already_is_run_and_comes_back() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    let hooks = world.server.path().join("hooks");
    let theirs = "#!/bin/sh\ncat >>seen\n! grep -q forbidden seen\n";
    script(&hooks.join("pre-receive"), theirs);
    let before = listing(&hooks);
    let _ = program(&env, ["install", "server.git"]).success();
    let _ = program(&env, ["install", "server.git"]).success();
    assert_guarded(&world);
    let seen = std::fs::read_to_string(world.server.path().join("seen")).unwrap();
    assert_eq!(seen.lines().count(), 1, "only what passed ours, and whole: {seen}");
    assert!(seen.ends_with(" refs/heads/main\n"), "{seen}");
    assert_eq!(world.push(["main:refs/heads/forbidden"]).code(), Some(1));
    let _ = program(&env, ["uninstall", "server.git"]).success();
    assert_eq!(listing(&hooks), before);
    // A link beside itself, as some servers have it.
    std::fs::rename(hooks.join("pre-receive"), hooks.join("shared.sh")).unwrap();
    std::os::unix::fs::symlink("shared.sh", hooks.join("pre-receive")).unwrap();
    let _ = std::fs::remove_file(world.server.path().join("seen"));
    let before = listing(&hooks);
    let _ = program(&env, ["install", "server.git"]).success();
    assert_guarded(&world);
    let _ = program(&env, ["uninstall", "server.git"]).success();
    assert_eq!(listing(&hooks), before);
}

#[test]
fn a_program_that_is_gone_refuses() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    let copy = env.root().join("bin/kubiya-hook");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(hook(), &copy).unwrap();
    let _ = program(&env, ["install", "server.git", "--program", "bin/kubiya-hook"]).success();
    assert_guarded(&world);
    std::fs::remove_file(&copy).unwrap();
    world.clone.commit_file("good.txt", "good\n");
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "is not there; ask who runs this server").len(), 1, "{refused}");
    assert_eq!(refused.code(), Some(1));
}

#[test]
fn a_clone_gets_all_its_hooks_and_judges_what_others_staged() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    let repo = &world.clone;
    let hooks = repo.path().join(".git/hooks");
    script(&hooks.join("pre-commit"), "#!/bin/sh\n[ -e generated.yaml ] && git add generated.yaml\nexit 0\n");
    let before = listing(&hooks);
    let _ = program(&env, ["install", "clone"]).success();
    repo.write("good.txt", "good\n");
    let _ = repo.ok(["add", "good.txt"]);
    assert_snapshot!(repo.git(["commit", "--quiet", "--message", "good"]), @"");
    repo.write("generated.yaml", plain_secret());
    let refused = repo.git(["commit", "--quiet", "--allow-empty", "--message", "generated"]);
    assert_eq!(lines_with(&refused, "  --> generated.yaml").len(), 1, "{refused}");
    let _ = repo.ok(["rm", "--quiet", "--cached", "generated.yaml"]);
    std::fs::remove_file(repo.path().join("generated.yaml")).unwrap();
    let leak = format!("leak\n\n{}", plain_secret());
    assert_eq!(repo.git(["commit", "--quiet", "--allow-empty", "--message", &leak]).code(), Some(1));
    let (good, bad) = good_and_bad(&world);
    assert_eq!((good.code(), bad.code()), (Some(0), Some(1)), "before it is sent: {bad}");
    assert!(!bad.stderr().contains("remote:"), "{bad}");
    // A linked work tree has the same hooks.
    let _ = repo.ok(["worktree", "add", "--quiet", "-b", "linked", "../linked"]);
    let linked = GitRepo::at(&env, "linked");
    linked.write("secret.yaml", plain_secret());
    let _ = linked.ok(["add", "."]);
    assert_eq!(linked.git(["commit", "--quiet", "--message", "leak"]).code(), Some(1));
    let _ = program(&env, ["uninstall", "linked"]).success();
    assert_eq!(listing(&hooks), before);
}

#[test]
fn hooks_go_where_git_looks_for_them() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    let _ = world.server.ok(["config", "core.hooksPath", "../elsewhere"]);
    let _ = program(&env, ["install", "server.git"]).success();
    assert!(env.root().join("elsewhere/pre-receive").is_file());
    assert_guarded(&world);
    let _ = program(&env, ["uninstall", "server.git"]).success();
    assert_eq!(listing(&env.root().join("elsewhere")), BTreeMap::new());
}

/// What Gitea and Forgejo write into each repository, in short: every file of a folder, with the whole input.
const GITEA: &str = "#!/bin/sh\ndata=$(cat)\nfor hook in hooks/pre-receive.d/*; do\n  echo \"$data\" | \"$hook\" || exit $?\ndone\n";

#[test]
fn all_repositories_of_gitea_by_its_layout() {
    let env = TestEnv::new();
    let one = World::with_server(&env, "data/one/a.git");
    let two = GitRepo::init_bare(&env, "data/two/b.git");
    for server in [&one.server, &two] {
        let hooks = server.path().join("hooks");
        let _ = std::fs::remove_file(hooks.join("pre-receive"));
        script(&hooks.join("pre-receive"), GITEA);
        script(&hooks.join("pre-receive.d/gitea"), "#!/bin/sh\ncat >/dev/null\n");
    }
    assert_unguarded(&one);
    let before = listing(&env.root().join("data"));
    let done =
        program(&env, ["install", "--all", "data", "--policy-changes", "owners", "--policy-owner", "alice"]);
    assert_snapshot!(done, @"
    write $ROOT/data/kubiya-hook.yaml
    write $ROOT/data/one/a.git/hooks/pre-receive.d/kubiya
    write $ROOT/data/two/b.git/hooks/pre-receive.d/kubiya
    ------- stderr -------
    hint: see it refuse: kubiya-hook doctor
    ");
    assert_guarded(&one);
    let _ = program(&env, ["uninstall", "--all", "data"]).success();
    std::fs::remove_file(env.root().join("data/kubiya-hook.yaml")).unwrap();
    let after = listing(&env.root().join("data"));
    let hooks = |files: &BTreeMap<String, (u32, Vec<u8>)>| {
        files
            .iter()
            .filter(|(path, _)| path.contains("/hooks/"))
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(hooks(&after), hooks(&before));
}

/// GitLab runs the files of its folder with variables that name the user, and shows marked lines on its pages.
#[test]
fn gitlab_by_its_layout() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    std::fs::create_dir(env.root().join("custom_hooks")).unwrap();
    let done = program(&env, ["install", "--server", "gitlab", "custom_hooks"]);
    assert_eq!(lines_with(&done, "custom_hooks_dir").len(), 1, "{done}");
    let gitaly = format!(
        "#!/bin/sh\nexport GL_ID=user-1 GL_USERNAME=dev GL_PROTOCOL=ssh\ninput=$(cat)\nfor hook in {}/pre-receive.d/*; do printf '%s\\n' \"$input\" | \"$hook\" || exit 1; done\n",
        env.root().join("custom_hooks").display()
    );
    script(&world.server.path().join("hooks/pre-receive"), &gitaly);
    let (good, bad) = good_and_bad(&world);
    assert_eq!(good.code(), Some(0), "{good}");
    assert_eq!(lines_with(&bad, "remote: GL-HOOK-ERR:   secret.yaml").len(), 1, "{bad}");
}

/// Gerrit starts a program with options, and with `GIT_DIR` in its environment.
#[test]
fn gerrit_by_its_layout() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    std::fs::create_dir(env.root().join("site")).unwrap();
    let _ = program(&env, ["install", "--server", "gerrit", "site"]).success();
    let good = world.clone.commit_file("good.txt", "good\n");
    let bad = world.clone.commit_file("secret.yaml", plain_secret());
    // Objects are there before the hook is asked.
    let _ = world.server.ok(["fetch", "--quiet", "../clone", "main"]);
    let ask = |new: &str| {
        let mut command = env.command(env.root().join("site/hooks/ref-update"));
        command.args([
            "--project",
            "gitops",
            "--refname",
            "refs/heads/main",
            "--uploader",
            "Dev (dev@example.com)",
        ]);
        command.args(["--uploader-username", "dev", "--oldrev", &world.on_server("main"), "--newrev", new]);
        env.run(command.env("GIT_DIR", world.server.path()))
    };
    assert_eq!(ask(&good).code(), Some(0));
    let refused = ask(&bad);
    assert_eq!(lines_with(&refused, "  secret.yaml").len(), 1, "{refused}");
    assert_eq!(ask(&"0".repeat(40)).code(), Some(0), "a deletion");
}

/// gitolite links what is in its folder into every repository.
#[test]
fn gitolite_by_its_layout() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    script(&env.root().join("local/hooks/common/pre-receive"), "#!/bin/sh\ncat >theirs\n");
    let _ = program(&env, ["install", "--server", "gitolite", "local"]).success();
    for file in listing(&env.root().join("local/hooks/common")).into_keys() {
        let name = Path::new(&file).file_name().unwrap();
        std::os::unix::fs::symlink(&file, world.server.path().join("hooks").join(name)).unwrap();
    }
    assert_guarded(&world);
    assert!(world.server.path().join("theirs").is_file(), "the hook that was there is run, too");
}

#[test]
fn soft_serve_and_github_enterprise_by_their_layout() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    for folder in ["data", "scripts"] {
        std::fs::create_dir(env.root().join(folder)).unwrap();
    }
    let _ = program(&env, ["install", "--server", "soft-serve", "data"]).success();
    let _ = program(&env, ["install", "--server", "github-enterprise", "scripts"]).success();
    for installed in ["data/hooks/pre-receive", "scripts/kubiya-pre-receive.sh"] {
        let runner = format!("#!/bin/sh\nexec {}\n", env.root().join(installed).display());
        script(&world.server.path().join("hooks/pre-receive"), &runner);
        assert_guarded(&world);
    }
}

#[test]
fn every_repository_of_a_user_by_gits_configuration() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    script(&world.server.path().join("hooks/pre-receive"), "#!/bin/sh\ncat >theirs\n");
    script(&world.server.path().join("hooks/post-receive"), "#!/bin/sh\ncat >after\n");
    let before = listing(&env.root().join("home"));
    let _ = program(&env, ["install", "--everywhere", "user", "--server", "plain"]).success();
    assert_guarded(&world);
    for own in ["theirs", "after"] {
        assert!(world.server.path().join(own).is_file(), "the repository's own hooks are run, too: {own}");
    }
    let again = program(&env, ["install", "--everywhere", "user", "--server", "plain"]);
    assert_eq!(again.stdout(), b"", "{again}");
    let _ = program(&env, ["uninstall", "--everywhere", "user"]).success();
    assert_unguarded(&world);
    let left: Vec<_> = listing(&env.root().join("home"))
        .into_iter()
        .filter(|(path, (_, text))| !before.contains_key(path) && !text.trim_ascii().is_empty())
        .map(|(path, _)| path)
        .collect();
    assert!(left.iter().all(|path| path.ends_with("/kubiya-hook.yaml")), "{left:?}");
}

#[test]
fn somebody_elses_file_is_never_overwritten() {
    let env = TestEnv::new();
    let world = unguarded(&env);
    let hooks = world.server.path().join("hooks");
    script(&hooks.join("pre-receive"), "#!/bin/sh\ncat >/dev/null\n");
    let _ = program(&env, ["install", "server.git"]).success();
    // Another program writes its own over ours.
    script(&hooks.join("pre-receive"), "#!/bin/sh\nexit 0\n");
    let before = listing(&hooks);
    let refused = program(&env, ["install", "server.git"]);
    assert_eq!(refused.code(), Some(2), "{refused}");
    assert_eq!(lines_with(&refused, "are both there: keep one").len(), 1, "{refused}");
    assert_eq!(listing(&hooks), before);
    script(&env.root().join("custom/pre-receive.d/kubiya"), "#!/bin/sh\n");
    assert_eq!(program(&env, ["install", "--server", "gitlab", "custom"]).code(), Some(2));
    std::fs::create_dir(env.root().join("nothing")).unwrap();
    let lost = program(&env, ["install", "nothing"]);
    assert_eq!(lines_with(&lost, "is no repository").len(), 1, "{lost}");
}

#[test]
fn managers_of_hooks_are_told_apart_and_not_meddled_with() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let asked = |git| {
        let place = Place::find(repo.path(), None).unwrap();
        install(&place, &Request { program: hook(), config: None, git })
    };
    repo.write("lefthook.yml", "");
    let refused = asked((2, 53)).unwrap_err().to_string();
    assert!(refused.starts_with("lefthook makes the hooks of this clone"), "{refused}");
    // Git runs both, where it can.
    let plan = asked((2, 54)).unwrap();
    assert!(plan.changes.iter().all(|change| change.line().contains("hook.kubiya-")), "{plan:?}");
    std::fs::remove_file(repo.path().join("lefthook.yml")).unwrap();
    let _ = repo.ok(["config", "core.hooksPath", ".husky/_"]);
    assert_eq!(Manager::of(repo.path()), Some(Manager::Husky));
    let _ = repo.ok(["config", "--unset", "core.hooksPath"]);
    repo.write(".pre-commit-config.yaml", "repos: []\n");
    let plan = asked((2, 39)).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("default_install_hook_types")), "{plan:?}");
}

//! `git-setup` itself.

use crate::world::{BINARY, World, changes, copy_binary, secret};
use kubiya_testdata::env::{TestEnv, Transcript};
use kubiya_testdata::git::GitRepo;

fn setup(repo: &GitRepo<'_>, words: &[&str]) -> Transcript {
    repo.env().run(repo.command(BINARY).arg("git-setup").args(words))
}

fn read(repo: &GitRepo<'_>, path: &str) -> Option<String> {
    std::fs::read_to_string(repo.path().join(path)).ok()
}

#[test]
fn it_says_what_it_writes_writes_once_and_takes_everything_out_again() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    let _ = repo.ok(["config", "diff.other.textconv", "cat"]);
    let before = read(&repo, ".git/config").unwrap();
    let masked = |transcript: &Transcript| transcript.to_string().replace(BINARY, "[BINARY]");
    let dry = setup(&repo, &["--dry-run"]);
    insta::assert_snapshot!(masked(&dry), @r#"
    ------- stderr -------
    would set diff.kubiya.textconv = f() { '[BINARY]' git-textconv -- "$1" || cat -- "$1"; }; f
    would set diff.kubiya.cachetextconv = false
    would set merge.kubiya.name = values of files encrypted by SOPS
    would set merge.kubiya.driver = '[BINARY]' git-merge -- %O %A %B %P %L %S %X %Y
    would write .git/info/attributes: *.yaml *.yml *.json *.env *.ini
    "#);
    assert_eq!(read(&repo, ".git/config").as_ref(), Some(&before));
    assert!(read(&repo, ".git/info/attributes").is_none() && !repo.path().join(".git/kubiya").exists());
    assert_eq!(
        masked(&setup(&repo, &[])),
        masked(&dry).replace("would set", "set").replace("would write", "wrote")
    );
    insta::assert_snapshot!(read(&repo, ".git/info/attributes").unwrap(), @r"
    # kubectl kubiya git-setup: begin
    *.yaml diff=kubiya merge=kubiya
    *.yml diff=kubiya merge=kubiya
    *.json diff=kubiya merge=kubiya
    *.env diff=kubiya merge=kubiya
    *.ini diff=kubiya merge=kubiya
    # kubectl kubiya git-setup: end
    ");
    let after = read(&repo, ".git/config");
    let again = setup(&repo, &[]);
    assert!(again.stderr().lines().all(|line| line.starts_with("unchanged ")), "{again}");
    assert_eq!(read(&repo, ".git/config"), after);
    insta::assert_snapshot!(masked(&setup(&repo, &["--remove", "--dry-run"])), @r"
    ------- stderr -------
    would remove diff.kubiya.textconv
    would remove diff.kubiya.cachetextconv
    would remove merge.kubiya.name
    would remove merge.kubiya.driver
    would remove the attributes in .git/info/attributes
    would remove .git/kubiya/textconv.key
    ");
    assert_eq!(read(&repo, ".git/config"), after);
    assert_eq!(setup(&repo, &["--remove"]).code(), Some(0));
    assert_eq!(read(&repo, ".git/config"), Some(before));
    assert!(read(&repo, ".git/info/attributes").is_none() && !repo.path().join(".git/kubiya").exists());
    assert_eq!(setup(&repo, &["--remove"]).to_string(), "");
}

#[test]
fn attributes_of_others_stay() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write(".git/info/attributes", "*.png binary");
    repo.write(".gitattributes", "*.sh eol=lf\n");
    let _ = setup(&repo, &["--attributes"]).success();
    assert_eq!(read(&repo, ".git/info/attributes").unwrap(), "*.png binary");
    assert!(read(&repo, ".gitattributes").unwrap().starts_with("*.sh eol=lf\n# kubectl kubiya"));
    let _ = setup(&repo, &[]).success();
    let _ = setup(&repo, &["--remove", "--attributes"]).success();
    assert_eq!(read(&repo, ".git/info/attributes").unwrap(), "*.png binary\n");
    assert_eq!(read(&repo, ".gitattributes").unwrap(), "*.sh eol=lf\n");
}

#[test]
fn outside_of_a_work_tree_it_says_so() {
    let env = TestEnv::new();
    for repo in [GitRepo::init_bare(&env, "bare.git"), GitRepo::at(&env, "home")] {
        let said = setup(&repo, &[]);
        assert_eq!(said.code(), Some(2), "{said}");
        assert!(said.stderr().contains("error: not in the work tree of a Git repository"), "{said}");
    }
}

#[test]
fn linked_work_trees_and_submodules_work_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.commit("db.yaml", &secret("1", "2"));
    let _ = world.repo.ok(["worktree", "add", "-q", "-b", "linked", "../linked"]);
    let linked = GitRepo::at(&env, "linked");
    let again = setup(&linked, &[]);
    assert!(again.stderr().lines().all(|line| line.starts_with("unchanged ")), "{again}");
    let _ = linked.ok(["commit", "-q", "--allow-empty", "-m", "other"]);
    assert!(linked.ok(["show", "HEAD~1"]).contains("+  one: «str "));
    assert!(!env.root().join("linked/.git/kubiya").exists());

    let outer = GitRepo::init(&env, "outer");
    let _ = outer.ok(["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../repo", "inner"]);
    let inner = GitRepo::at(&env, "outer/inner");
    let _ = setup(&inner, &[]).success();
    assert!(outer.path().join(".git/modules/inner/info/attributes").exists());
    assert!(outer.path().join(".git/modules/inner/kubiya/textconv.key").exists());
    assert!(inner.ok(["show"]).contains("+  one: «str "));
    assert!(read(&outer, ".git/info/attributes").is_none());
}

#[test]
fn the_executable_may_stand_anywhere_and_have_any_name() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let executable = env.root().join("it's 100%O \"mine\"/flux-kubiya");
    copy_binary(&executable);
    let said = env.run(world.repo.command(&executable).arg("git-setup"));
    assert_eq!(said.code(), Some(0), "{said}");
    world.diverge("db.yaml", &secret("1", "2"), &secret("ours", "2"), &secret("1", "theirs"));
    let (code, said) = world.git(["merge", "-q", "theirs"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, diff) = world.git(["diff", "HEAD~1"]);
    assert!(changes(&diff).contains("+  two: «str B»"), "{diff}");
}

#[test]
fn attributes_that_would_count_no_more_are_told() {
    let env = TestEnv::new();
    let repo = GitRepo::init(&env, "repo");
    repo.write(".gitattributes", "package-lock.json -diff\n*.txt merge=union\n");
    repo.write("deep/package-lock.json", "{}");
    let _ = repo.commit_file("a.txt", "a");
    let said =
        env.run(repo.command(BINARY).args(["git-setup", "--dry-run"]).current_dir(repo.path().join("deep")));
    let warnings =
        said.stderr().lines().filter(|line| line.starts_with("warning:")).collect::<Vec<_>>().join("\n");
    assert_eq!(
        warnings,
        "warning: deep/package-lock.json has the attribute `diff: unset`, which counts no more in this clone"
    );
}

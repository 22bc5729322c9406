//! Files that are not encrypted: all is as in a clone without the setup.

use crate::world::BINARY;
use kubiya_testdata::env::TestEnv;
use kubiya_testdata::git::GitRepo;

/// Two clones of one repository, the second one with the setup.
fn clones(env: &TestEnv) -> [GitRepo<'_>; 2] {
    let origin = GitRepo::init(env, "origin");
    let write = |values: [&str; 4]| {
        let [a, b, json, plain] = values;
        origin.write("a b.yaml", format!("# head\na: {a}\nkept: 1\nkept2: 1\nkept3: 1\nb: {b}\n"));
        origin.write("it's.json", format!("{{\n  \"a\": {json}\n}}\n"));
        origin.write("x.env", format!("A={plain}\n"));
        origin.write("crlf.ini", format!("[s]\r\na = {a}\r\nb = {b}\r\n"));
        // What looks a little as if it were encrypted.
        origin.write("talk.yml", format!("text: ENC[AES256_GCM, sops lastmodified {a}\n"));
        origin.write("broken.yaml", format!("a: [{a}\nENC[AES256_GCM, sops: lastmodified\n"));
        origin.write("utf16.json", [&[0xff, 0xfe][..], a.as_bytes(), &[0]].concat());
    };
    write(["1", "1", "1", "1"]);
    let _ = origin.commit_all("base");
    let _ = origin.ok(["checkout", "-q", "-b", "theirs"]);
    write(["1", "theirs", "[2]", "theirs"]);
    let _ = origin.commit_all("theirs");
    let _ = origin.ok(["checkout", "-q", "-b", "conflict"]);
    write(["conflict", "1", "[3]", "theirs"]);
    let _ = origin.commit_all("conflict");
    let _ = origin.ok(["checkout", "-q", "main"]);
    write(["ours", "1", "1", "1"]);
    let _ = origin.commit_all("ours");
    ["plain", "set-up"].map(|name| {
        let _ = origin.ok(["clone", "-q", ".", &format!("../{name}")]);
        let clone = GitRepo::at(env, name);
        for branch in ["theirs", "conflict"] {
            let _ = clone.ok(["branch", "-q", branch, &format!("origin/{branch}")]);
        }
        if name == "set-up" {
            let _ = env.run(clone.command(BINARY).arg("git-setup")).success();
        }
        clone
    })
}

/// What a command says and leaves behind, with its exit code.
fn outcome(clone: &GitRepo<'_>, words: &[&str]) -> String {
    let said = clone.git(words);
    // Git tells of binary files on the one stream, drivers on the other.
    let text = format!("{}{}", String::from_utf8_lossy(said.stdout()), said.stderr());
    let mut lines = text.lines().collect::<Vec<_>>();
    if words[0] == "merge" {
        lines.sort_unstable();
    }
    let mut all = format!("{}\nexit code {:?}\n", lines.join("\n"), said.code());
    for path in ["a b.yaml", "it's.json", "x.env", "crlf.ini", "talk.yml", "broken.yaml"] {
        all += &format!("== {path}\n{}", std::fs::read_to_string(clone.path().join(path)).unwrap());
    }
    all + &clone.ok(["status", "--porcelain"])
}

/// Both clones do the same; its outcome is given back.
fn same(clones: &[GitRepo<'_>; 2], words: &[&str]) -> String {
    let [plain, set_up] = clones.each_ref().map(|clone| outcome(clone, words));
    assert_eq!(plain, set_up, "{words:?}");
    plain
}

#[test]
fn diffs_are_the_same() {
    let env = TestEnv::new();
    let clones = clones(&env);
    let text = [":!utf16.json"];
    assert!(same(&clones, &["diff", "theirs", "main", "--", text[0]]).contains("-b: theirs"));
    assert!(same(&clones, &["log", "-p", "--all", "--date-order", "--", text[0]]).contains("+b: theirs"));
    let _ = same(&clones, &["diff", "--stat", "-w", "theirs", "conflict", "--", text[0]]);
    // Raw content is no matter of a textconv.
    let _ = same(&clones, &["format-patch", "--stdout", "main~1..theirs"]);
}

#[test]
fn merges_are_the_same_with_markers_of_every_style() {
    for style in ["merge", "diff3", "zdiff3"] {
        let env = TestEnv::new();
        let clones = clones(&env);
        for clone in &clones {
            let _ = clone.ok(["config", "merge.conflictStyle", style]);
        }
        if style == "merge" {
            // The name of the base in markers is known to drivers from Git 2.44 on.
            let conflict = same(&clones, &["merge", "--no-edit", "conflict"]);
            assert!(
                conflict.contains("<<<<<<< HEAD\na: ours\n=======\na: conflict\n>>>>>>> conflict"),
                "{conflict}"
            );
        } else {
            let [plain, set_up] =
                clones.each_ref().map(|clone| outcome(clone, &["merge", "--no-edit", "conflict"]));
            let without_name = |text: &str| {
                let line = |line: &str| if line.starts_with("|||||||") { "|||||||" } else { line }.to_owned();
                text.lines().map(line).collect::<Vec<_>>()
            };
            assert_eq!(without_name(&plain), without_name(&set_up), "{style}");
        }
        let _ = same(&clones, &["merge", "--abort"]);
    }
}

#[test]
fn files_without_conflict_merge_as_before() {
    let env = TestEnv::new();
    let clones = clones(&env);
    for clone in &clones {
        // What is binary is Git's, and in conflict.
        let _ = clone.ok(["rm", "-q", "utf16.json", "broken.yaml", "talk.yml", "crlf.ini"]);
        let _ = clone.ok(["commit", "-q", "-m", "fewer files"]);
        let _ = clone.ok(["checkout", "-q", "theirs"]);
        let _ = clone.ok(["rm", "-q", "utf16.json", "broken.yaml", "talk.yml", "crlf.ini"]);
        let _ = clone.ok(["commit", "-q", "-m", "fewer files"]);
        let _ = clone.ok(["checkout", "-q", "main"]);
        let said = clone.git(["merge", "-q", "--no-edit", "theirs"]);
        assert_eq!(said.code(), Some(0), "{said}");
        let merged = std::fs::read_to_string(clone.path().join("a b.yaml")).unwrap();
        assert_eq!(merged, "# head\na: ours\nkept: 1\nkept2: 1\nkept3: 1\nb: theirs\n");
    }
    let names = clones.each_ref().map(|clone| clone.ok(["rev-parse", "HEAD^{tree}"]));
    assert_eq!(names[0], names[1]);
}

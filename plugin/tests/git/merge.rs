//! `git merge`, `rebase` and `cherry-pick` of encrypted files.

use crate::world::{CANARY, World, secret};
use kubiya_policies::sops::age::Identity;
use kubiya_testdata::env::TestEnv;

#[test]
fn neighbouring_values_merge_and_sops_accepts_the_result() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let ours = secret("ours", "2");
    let theirs = format!("{}  new: |\n    {CANARY}\n    lines\n", secret("1", "theirs"));
    world.diverge("my apps/it's.yaml", &secret("1", "2"), &ours, &theirs);
    let before = world.read("my apps/it's.yaml");
    let (code, said) = world.git(["merge", "-q", "theirs"]);
    assert_eq!((code, said.trim_end()), (Some(0), "Auto-merging my apps/it's.yaml"));
    let merged = format!("{}  new: |\n    {CANARY}\n    lines\n", secret("ours", "theirs"));
    assert_eq!(opened(&world.opened_by_sops("my apps/it's.yaml")), opened(&merged));
    world.kubiya(["decrypt", "my apps/it's.yaml"]);
    assert_eq!(world.read("my apps/it's.yaml"), merged, "byte for byte");
    let _ = world.repo.ok(["checkout", "-q", "--", "."]);
    // What did not change keeps its ciphertext, and the data key stays.
    let line = |text: &str, key: &str| text.lines().find(|line| line.contains(key)).unwrap().to_owned();
    let after = world.read("my apps/it's.yaml");
    assert_eq!(line(&before, "  one: "), line(&after, "  one: "));
    assert_eq!(line(&before, "AGE ENCRYPTED FILE"), line(&after, "AGE ENCRYPTED FILE"));
    assert_eq!(world.repo.ok(["status", "--porcelain"]), "");
}

/// sops indents by four.
fn opened(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_start).collect()
}

#[test]
fn a_value_that_both_changed_is_a_conflict_and_ours_stays_whole() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.diverge("db.yaml", &secret("1", "2"), &secret("ours", "2"), &secret("theirs", "3"));
    let ours = world.read("db.yaml");
    let (code, said) = world.git(["merge", "theirs"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(said, @"
    Auto-merging db.yaml
    CONFLICT (content): Merge conflict in db.yaml
    Automatic merge failed; fix conflicts and then commit the result.
    db.yaml: in conflict; the file is ours, and nothing of theirs is in it
    db.yaml: stringData.one: changed on both sides
    hint: ours stays, encrypted; or take theirs: git checkout --theirs -- db.yaml
    hint: then, with the values as they are to be: git add -- db.yaml
    ");
    assert_eq!(world.read("db.yaml"), ours);
    assert_eq!(world.repo.ok(["status", "--porcelain"]), "UU db.yaml");
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("ours", "2")));
    let _ = world.repo.ok(["checkout", "--theirs", "--", "db.yaml"]);
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("theirs", "3")));
}

#[test]
fn rebase_and_cherry_pick_merge_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.diverge("db.yaml", &secret("1", "2"), &secret("ours", "2"), &secret("1", "theirs"));
    let _ = world.repo.ok(["branch", "other"]);
    let (code, said) = world.git(["rebase", "-q", "theirs"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("ours", "theirs")));
    let _ = world.repo.ok(["checkout", "-q", "other"]);
    let (code, said) = world.git(["cherry-pick", "theirs"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("ours", "theirs")));
}

#[test]
fn a_rebase_stops_at_a_conflict_and_goes_on_when_it_is_solved() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.diverge("db.yaml", &secret("1", "2"), &secret("ours", "2"), &secret("theirs", "2"));
    let (code, said) = world.git(["rebase", "-q", "theirs"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("db.yaml: stringData.one: changed on both sides"), "{said}");
    world.put("db.yaml", &secret("solved", "2"));
    let _ = world.repo.ok(["add", "db.yaml"]);
    let (code, said) = world.git(["rebase", "--continue"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("solved", "2")));
}

#[test]
fn without_a_key_a_merge_is_a_conflict_and_ours_stays_as_it_is() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.diverge("db.yaml", &secret("1", "2"), &secret("ours", "2"), &secret("1", "theirs"));
    let ours = world.read("db.yaml");
    world.take_key();
    let (code, said) = world.git(["merge", "theirs"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("error: db.yaml: cannot be decrypted"), "{said}");
    assert!(said.contains("CONFLICT (content): Merge conflict in db.yaml"), "{said}");
    assert_eq!(world.read("db.yaml"), ours);
}

#[test]
fn recipients_of_both_sides_are_merged_and_one_who_left_gets_no_new_value() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let [left, came, new] = [Identity::generate(), Identity::generate(), Identity::generate()];
    world.rule(&[&world.identity, &left]);
    world.commit("db.yaml", &secret("1", "2"));
    let base = world.read("db.yaml");
    let _ = world.repo.ok(["checkout", "-q", "-b", "theirs"]);
    world.rule(&[&world.identity, &came]);
    world.kubiya(["encrypt", "db.yaml"]);
    world.commit("db.yaml", &secret("1", "theirs"));
    let _ = world.repo.ok(["checkout", "-q", "main"]);
    world.rule(&[&world.identity, &left, &new]);
    world.kubiya(["encrypt", "db.yaml"]);
    let _ = world.repo.ok(["checkout", "-q", "theirs", "--", ".sops.yaml"]);
    let _ = world.repo.commit_all("ours");
    let (code, said) = world.git(["merge", "-q", "theirs"]);
    assert_eq!(code, Some(0), "{said}");
    let merged = world.read("db.yaml");
    let has = |identity: &Identity| merged.contains(&identity.recipient().unwrap());
    assert!(has(&world.identity) && has(&came) && has(&new) && !has(&left), "{merged}");
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("1", "theirs")));
    // A new data key: not one ciphertext of before is left.
    let line = |text: &str| text.lines().find(|line| line.contains("  one: ")).unwrap().to_owned();
    assert_ne!(line(&base), line(&merged));
}

#[test]
fn a_file_that_both_added_merges_where_it_says_the_same() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.repo.ok(["checkout", "-q", "-b", "theirs"]);
    world.commit("same.yaml", &secret("1", "2"));
    world.commit("other.yaml", &secret("1", "2"));
    let _ = world.repo.ok(["checkout", "-q", "main"]);
    world.commit("same.yaml", &secret("1", "2"));
    world.commit("other.yaml", &secret("1", "3"));
    let (code, said) = world.git(["merge", "theirs"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("other.yaml: stringData.two: added on both sides"), "{said}");
    assert_eq!(world.repo.ok(["status", "--porcelain"]), "AA other.yaml");
}

#[test]
fn what_one_side_encrypts_does_not_become_plain_by_a_selector_of_the_other() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let file = |one: &str, more: &str| format!("secret: {CANARY}-{one}\ntoken: {CANARY}-t\n{more}");
    let rule = world.read(".sops.yaml").replace("^(data|stringData)$", "^(secret|token|more)$");
    world.repo.write(".sops.yaml", &rule);
    world.commit("a.yaml", &file("1", ""));
    let _ = world.repo.ok(["checkout", "-q", "-b", "theirs"]);
    // On their branch `more` is no secret.
    world.repo.write(".sops.yaml", rule.replace("|more", ""));
    world.kubiya(["encrypt", "a.yaml"]);
    let _ = world.repo.commit_all("another selector");
    let _ = world.repo.ok(["checkout", "-q", "main"]);
    world.commit("a.yaml", &file("1", &format!("more: {CANARY}-more\n")));
    let ours = world.read("a.yaml");
    let (code, said) = world.git(["merge", "theirs"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a.yaml: more: encrypted on one side, and merged it would stand plain"), "{said}");
    assert_eq!(world.read("a.yaml"), ours);
}

#[test]
fn a_version_that_somebody_tampered_with_is_not_merged() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.diverge("db.yaml", &secret("1", "2"), &secret("ours", "2"), &secret("1", "theirs"));
    let _ = world.repo.ok(["checkout", "-q", "theirs"]);
    world.repo.write("db.yaml", world.read("db.yaml").replace("name: db", "name: other"));
    let _ = world.repo.commit_all("by hand");
    let _ = world.repo.ok(["checkout", "-q", "main"]);
    let (code, said) = world.git(["merge", "theirs"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("the message authentication code does not fit"), "{said}");
    assert!(said.contains("this is the version of theirs"), "{said}");
}

#[test]
fn json_and_dotenv_files_merge_too() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let rule = world.read(".sops.yaml").replace("^(data|stringData)$", "^secret");
    world.repo.write(".sops.yaml", rule);
    let json = |one: &str, two: &str| {
        format!("{{\n\t\"secret1\": \"{CANARY}{one}\",\n\t\"secret2\": \"{CANARY}{two}\"\n}}\n")
    };
    let dotenv = |one: &str, two: &str| format!("secret1={CANARY}{one}\nsecret2={CANARY}{two}\n");
    for (path, file) in [("a.json", &json as &dyn Fn(&str, &str) -> String), ("a.env", &dotenv)] {
        world.diverge(path, &file("1", "2"), &file("ours", "2"), &file("1", "theirs"));
        let (code, said) = world.git(["merge", "-q", "theirs"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(world.opened_by_sops(path).trim_end(), file("ours", "theirs").trim_end());
        let _ = world.repo.ok(["branch", "-D", "-q", "theirs"]);
    }
}

#[test]
fn a_data_key_that_they_replaced_stays_replaced() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.commit("db.yaml", &secret("1", "2"));
    let _ = world.repo.ok(["checkout", "-q", "-b", "theirs"]);
    world.rotate_by_sops("db.yaml");
    let _ = world.repo.commit_all("rotate");
    let theirs = world.read("db.yaml");
    let _ = world.repo.ok(["checkout", "-q", "main"]);
    world.commit("db.yaml", &secret("ours", "2"));
    let (code, said) = world.git(["merge", "-q", "theirs"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(opened(&world.opened_by_sops("db.yaml")), opened(&secret("ours", "2")));
    let line = |text: &str| text.lines().find(|line| line.contains("  two: ")).unwrap().trim().to_owned();
    assert_eq!(line(&theirs), line(&world.read("db.yaml")));
}

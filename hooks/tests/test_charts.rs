//! Literals that one file of a chart holds and a template of another puts into a Secret, whichever of them comes last.

use crate::common::{CANARY, World, hook, lines_with};
use kubiya_testdata::env::TestEnv;

const CALLS: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  level: {{ include \"app.level\" . }}\n";
const READS: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata:\n  a: {{ .Files.Get \"conf/a.txt\" | b64enc }}\n";

fn helper() -> String {
    format!("{{{{- define \"app.level\" -}}}}\n{CANARY}\n{{{{- end }}}}\n")
}

#[test]
fn a_literal_that_another_template_makes_a_secret_of_is_refused_in_whatever_order_they_come() {
    let cases = [
        ("charts/app/templates/db.yaml", CALLS, "charts/app/templates/_helpers.tpl", helper()),
        ("charts/app/templates/db.yaml", READS, "charts/app/conf/a.txt", format!("{CANARY}\n")),
    ];
    for (template, uses, path, content) in cases {
        for order in ["before", "behind", "together", "merged"] {
            let env = TestEnv::new();
            let world = World::new(&env);
            let clone = &world.clone;
            clone.commit_file("charts/app/Chart.yaml", "name: app\n");
            let _ = world.push(["main"]).success();
            match order {
                "before" => {
                    clone.commit_file(template, uses);
                    let _ = world.push(["main"]).success();
                    clone.commit_file(path, &content);
                }
                "behind" => {
                    clone.commit_file(path, &content);
                    let _ = world.push(["main"]).success();
                    clone.commit_file(template, uses);
                }
                "together" => {
                    clone.write(template, uses);
                    clone.commit_file(path, &content);
                }
                _ => {
                    let _ = clone.ok(["checkout", "--quiet", "-b", "uses"]);
                    clone.commit_file(template, uses);
                    let _ = world.push(["uses"]).success();
                    let _ = clone.ok(["checkout", "--quiet", "main"]);
                    clone.commit_file(path, &content);
                    let _ = world.push(["main"]).success();
                    let _ = clone.ok(["merge", "--quiet", "--no-edit", "uses"]);
                }
            }
            let refused = world.push(["main"]);
            assert_eq!(lines_with(&refused, &format!("  {path}")).len(), 1, "{order}: {refused}");
            assert!(!refused.to_string().contains(CANARY), "{refused}");
        }
    }
}

#[test]
fn an_old_literal_of_a_chart_stops_nobody_and_a_new_one_does() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    let hooks = world.server.path().join("hooks/pre-receive");
    std::fs::remove_file(&hooks).unwrap();
    clone.write("Chart.yaml", "name: app\n");
    clone.write("templates/db.yaml", CALLS);
    clone.commit_file("templates/_helpers.tpl", helper());
    let _ = world.push(["main"]).success();
    world.server.hook("pre-receive", hook());
    clone.commit_file("templates/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let _ = world.push(["main"]).success();
    clone.commit_file("templates/_helpers.tpl", helper().replace(CANARY, "another-hunter3"));
    let refused = world.push(["main"]);
    assert_eq!(lines_with(&refused, "  templates/_helpers.tpl").len(), 1, "{refused}");
}

#[test]
fn a_chart_is_judged_in_the_index_and_in_the_work_tree() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let clone = &world.clone;
    clone.write("a/Chart.yaml", "name: app\n");
    clone.write("a/templates/db.yaml", CALLS);
    clone.commit_file("a/templates/_helpers.tpl", "{{ define \"app.level\" }}{{ .Values.level }}{{ end }}\n");
    let scan = || env.run(clone.command(hook().to_str().unwrap()).args(["scan", "."]));
    let passed = scan();
    assert_eq!(passed.code(), Some(0), "{passed}");
    clone.hook("pre-commit", hook());
    clone.write("a/templates/_helpers.tpl", helper());
    assert!(scan().to_string().contains("a/templates/_helpers.tpl"), "{}", scan());
    let _ = clone.ok(["add", "--all"]);
    let refused = clone.git(["commit", "--quiet", "--message", "plain"]);
    assert!(refused.to_string().contains("a/templates/_helpers.tpl"), "{refused}");
}

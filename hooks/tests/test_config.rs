//! What the operator of a server decides.

use crate::common::{CANARY, World, hook, lines_with, plain_secret};
use insta::assert_snapshot;
use kubiya_testdata::env::TestEnv;

const HEAD: &str = "apiVersion: kubiya.dev/v1alpha1\nkind: HookConfig\n";

#[test]
fn a_wrong_configuration_refuses_and_says_whom_to_ask() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.configure("contact: \"#platform\"\nenforcment: warn\n");
    world.clone.commit_file("a.txt", "a\n");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: refused, because it cannot be verified: the configuration
    remote:   $ROOT/hook.yaml is wrong: 5:1: `enforcment` is no field
    remote:   of a HookConfig; these are: apiVersion, kind, contact, enforcement,
    remote:   identity, trustedRef, policyChanges, policyOwners, protected,
    remote:   profiles, severities, exemptions, baseline, limits, audit, metrics,
    remote:   bypass
    remote: hint: this is no finding but a fault; ask who runs the hook
    remote: hint: questions: #platform
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
    let _ = world.server.ok(["config", "kubiya.config", "/nowhere/hook.yaml"]);
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn a_configuration_is_never_taken_from_what_is_pushed() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.clone.write("hook.yaml", format!("{HEAD}enforcement: shadow\n"));
    world.clone.write(".kubiya.yaml", format!("{HEAD}enforcement: shadow\n"));
    world.clone.write(".gitconfig", "[kubiya]\n\tconfig = hook.yaml\n");
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push(["main"]).code(), Some(1));
}

#[test]
fn the_servers_setting_goes_before_the_environment() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let shadow = env.root().join("shadow.yaml");
    std::fs::write(&shadow, format!("{HEAD}enforcement: shadow\n")).unwrap();
    world.clone.commit_file("secret.yaml", plain_secret());
    let push = || {
        let mut command = world.clone.command("git");
        command.args(["push", "--quiet", "origin", "main"]).env("KUBIYA_HOOK_CONFIG", &shadow);
        env.run(&mut command).code()
    };
    world.configure("enforcement: refuse\n");
    assert_eq!(push(), Some(1));
    let _ = world.server.ok(["config", "--unset", "kubiya.config"]);
    assert_eq!(push(), Some(0));
}

#[test]
fn warnings_and_shadows_let_pass_and_are_written_down() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let (log, metrics) = (env.root().join("audit.jsonl"), env.root().join("kubiya.prom"));
    let written = format!("audit: {{file: {}}}\nmetrics: {}\n", log.display(), metrics.display());
    world.clone.commit_file("one.yaml", plain_secret());
    world.configure(&format!("enforcement: shadow\n{written}"));
    assert_snapshot!(world.push_as("alice", ["main"]), @"");
    world.clone.commit_file("two.yaml", format!("# two\n{}", plain_secret()));
    world.configure(&format!("enforcement: warn\n{written}"));
    assert_snapshot!(world.push_as("alice", ["main"]), @"
    ------- stderr -------
    remote: warning: the push passes; worth a look:
    remote:
    remote: commit 6d5d148a67 on refs/heads/main
    remote:   two.yaml
    remote:     7:13 stringData.password: a value of a Secret is plaintext [KBY001]
    remote:
    remote: hint: Encrypt the file, and if it was ever pushed make a new value:
    remote: hint:   kubectl kubiya encrypt two.yaml
    remote: hint: Then take it into the commit, and push again:
    remote: hint:   git commit --all --amend --no-edit
    remote: hint: more about it: kubiya-hook explain KBY001
    ");
    world.clone.commit_file("three.yaml", format!("# three\n{}", plain_secret()));
    world.configure(&written);
    assert_eq!(world.push_as("bob", ["main"]).code(), Some(1));
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains(CANARY));
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            format!("{} {} {} {} {}", line["who"], line["ref"], line["code"], line["path"], line["decision"])
        })
        .collect();
    assert_snapshot!(told.join("\n"), @r#"
    "alice" "refs/heads/main" "KBY001" "one.yaml" "shadow"
    "alice" "refs/heads/main" "KBY001" "two.yaml" "warned"
    "bob" "refs/heads/main" "KBY001" "three.yaml" "refused"
    "#);
    assert_snapshot!(std::fs::read_to_string(&metrics).unwrap(), @r#"
    # HELP kubiya_hook_findings_total Findings in pushes.
    # TYPE kubiya_hook_findings_total counter
    kubiya_hook_findings_total{code="KBY001",decision="refused"} 1
    kubiya_hook_findings_total{code="KBY001",decision="shadow"} 1
    kubiya_hook_findings_total{code="KBY001",decision="warned"} 1
    # HELP kubiya_hook_pushes_total Pushes that were judged.
    # TYPE kubiya_hook_pushes_total counter
    kubiya_hook_pushes_total{decision="refused"} 1
    kubiya_hook_pushes_total{decision="shadow"} 1
    kubiya_hook_pushes_total{decision="warned"} 1
    "#);
}

#[test]
fn pushes_at_the_same_time_write_whole_lines() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let (log, metrics) = (env.root().join("audit.jsonl"), env.root().join("kubiya.prom"));
    world.configure(&format!("audit: {{file: {}}}\nmetrics: {}\n", log.display(), metrics.display()));
    world.clone.commit_file("secret.yaml", plain_secret());
    let mut children = Vec::new();
    for number in 0..20 {
        let mut command = world.clone.command("git");
        command.args(["push", "--quiet", "origin", &format!("main:refs/heads/b{number}")]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        children.push(command.spawn().unwrap());
    }
    for mut child in children {
        assert!(!child.wait().unwrap().success());
    }
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.lines().count(), 20);
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    let metrics = std::fs::read_to_string(&metrics).unwrap();
    assert!(metrics.contains("kubiya_hook_pushes_total{decision=\"refused\"} 20\n"), "{metrics}");
}

#[test]
fn what_cannot_be_written_down_does_not_happen() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.configure(
        "audit: {file: /dev/full}\nenforcement: refuse\nseverities: {KBY001: warning}\ncontact: the team\n",
    );
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: refused, because it cannot be verified: cannot write the audit
    remote:   log /dev/full: No space left on device (os error 28)
    remote: hint: this is no finding but a fault; ask who runs the hook
    remote: hint: questions: the team
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn a_syslog_daemon_gets_the_decisions() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let path = env.root().join("log.socket");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    world.configure(&format!("audit: {{syslog: {}}}\n", path.display()));
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push(["main"]).code(), Some(1));
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).unwrap();
    let message = String::from_utf8_lossy(&bytes[..length]);
    assert!(message.starts_with("<85>kubiya-hook[") && message.contains("\"KBY001\""), "{message}");
}

#[test]
fn a_bypass_is_for_those_who_are_named_and_is_written_down() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.server.ok(["config", "receive.advertisePushOptions", "true"]);
    let log = env.root().join("audit.jsonl");
    world.configure(&format!(
        "bypass: {{option: break-glass, users: [alice]}}\naudit: {{file: {}}}\n",
        log.display()
    ));
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push_as("bob", ["--push-option=break-glass", "main"]).code(), Some(1));
    assert_eq!(world.push_as("alice", ["main"]).code(), Some(1));
    assert_snapshot!(world.push_as("alice", ["--push-option=break-glass", "main"]), @"
    ------- stderr -------
    remote: warning: the push passes by the option `break-glass`, which is logged:
    remote:
    remote: commit 3915a8e59b on refs/heads/main
    remote:   secret.yaml
    remote:     6:13 stringData.password: a value of a Secret is plaintext [KBY001]
    ");
    let log = std::fs::read_to_string(&log).unwrap();
    let count = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    assert_eq!((count("\"denied\""), count("\"bypassed\""), count("\"refused\"")), (1, 2, 2), "{log}");
}

#[test]
fn what_takes_too_long_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.configure("limits: {timeout: 1ms}\ncontact: the team\n");
    // Enough that no machine is done in time.
    for number in 0..400 {
        world.clone.write(format!("{number}.yaml"), format!("# {number}\n{}", plain_secret().repeat(20)));
    }
    world.clone.commit_all("much");
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: refused, because it cannot be verified: it took longer than 1ms
    remote:   to judge
    remote: hint: this is no finding but a fault; ask who runs the hook
    remote: hint: questions: the team
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn limits_are_the_operators() {
    let env = TestEnv::new();
    let world = World::new(&env);
    world.configure("limits: {fileSize: 1KiB, newCommits: 2}\n");
    let noise: Vec<u8> = (0..2000_u32).map(|number| number.wrapping_mul(number).to_le_bytes()[0]).collect();
    world.clone.write("picture.png", noise);
    world.clone.commit_file("a.txt", "a".repeat(2000));
    let warned = world.push(["main"]);
    assert_eq!((warned.code(), lines_with(&warned, "[KBY016]").len()), (Some(0), 2), "{warned}");
    world.clone.write("values.sops.yaml", "a: b\n".repeat(2000));
    world.clone.commit_file("b.txt", format!("{}{}", "#\n".repeat(2000), plain_secret()));
    let refused = world.push(["main"]);
    assert_eq!((refused.code(), lines_with(&refused, "[KBY016]").len()), (Some(1), 2), "{refused}");
    let _ = world.clone.ok(["reset", "--hard", "--quiet", "HEAD^"]);
    for text in ["1", "2", "3"] {
        world.clone.commit_file("a.txt", text);
    }
    assert_snapshot!(world.push(["main"]), @"
    ------- stderr -------
    remote: error: refused, because it cannot be verified: the push has 3 new
    remote:   commits, and the server takes 2 at once
    remote: hint: this is no finding but a fault; ask who runs the hook
    To $ROOT/server.git
     ! [remote rejected] main -> main (pre-receive hook declined)
    error: failed to push some refs to '$ROOT/server.git'
    [exit status: 1]
    ");
}

#[test]
fn a_check_says_all_that_is_wrong() {
    let env = TestEnv::new();
    let file = env.root().join("hook.yaml");
    let check = || env.run(env.command(hook()).args(["config", "check", "hook.yaml"]));
    std::fs::write(&file, format!("{HEAD}enforcement: warm\nbaseline: {{}}\n")).unwrap();
    assert_snapshot!(check(), @"
    ------- stderr -------
    error: 2 problems in hook.yaml
    problem: hook.yaml:3:14: `enforcement` must be one of: refuse, warn, shadow
    problem: hook.yaml:4:11: `baseline` needs `file`, a file of the server, or `trusted`, a path in the trusted reference
    [exit status: 2]
    ");
    std::fs::write(&file, format!("{HEAD}exemptions: [{{paths: [a], reason: why, expires: 2001-01-01}}]\n"))
        .unwrap();
    assert_snapshot!(check(), @"
    ------- stderr -------
    hint: the exemption `why` ended on 2001-01-01: take it out
    the configuration is good
    ");
}

#[test]
fn the_documented_configuration_is_a_good_one() {
    let page = include_str!("../../docs/hook-config.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config = kubiya_hook::config::Config::parse(example.as_bytes()).unwrap();
    assert_eq!(config.protected.len(), 3);
    assert!(config.bypass.is_some() && config.audit.is_some() && config.baseline.is_some());
}

#[test]
fn a_setting_that_is_empty_is_no_configuration_and_not_none() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let _ = world.server.ok(["config", "kubiya.config", ""]);
    world.clone.commit_file("a.txt", "a\n");
    let refused = world.push(["main"]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert_eq!(lines_with(&refused, "cannot be verified").len(), 1, "{refused}");
}

#[test]
fn what_takes_too_long_is_written_down_and_what_cannot_be_is_refused() {
    let env = TestEnv::new();
    let world = World::new(&env);
    let log = env.root().join("audit.jsonl");
    let configure = |limits: &str, log: &std::path::Path| {
        world.configure(&format!("enforcement: warn\n{limits}audit: {{file: {}}}\n", log.display()));
    };
    for number in 0..400 {
        world.clone.write(format!("{number}.yaml"), format!("# {number}\n{}", plain_secret().repeat(20)));
    }
    world.clone.commit_all("much");
    configure("limits: {timeout: 1ms}\n", &log);
    let late = world.push(["main:refs/heads/late"]);
    assert_eq!(late.code(), Some(0), "{late}");
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.contains("\"fault\"") && lines.contains("refs/heads/late"), "{lines}");
    let _ = world.server.ok(["update-ref", "-d", "refs/heads/late"]);
    let nowhere = env.root().join("no/such/folder/log");
    configure("limits: {timeout: 1ms}\n", &nowhere);
    assert_eq!(world.push(["main:refs/heads/other"]).code(), Some(1));
    configure("", &nowhere);
    let _ = world.clone.ok(["checkout", "--quiet", "-b", "small", "HEAD^"]);
    world.clone.commit_file("secret.yaml", plain_secret());
    assert_eq!(world.push(["small"]).code(), Some(1));
}

#[test]
fn the_form_of_a_configuration_is_printed() {
    let env = TestEnv::new();
    let printed = env.run(env.command(hook()).args(["config", "schema"]));
    assert_eq!(printed.code(), Some(0), "{printed}");
    let schema: serde_json::Value = serde_json::from_slice(printed.stdout()).unwrap();
    assert_eq!((&schema["title"], &schema["additionalProperties"]), (&"HookConfig".into(), &false.into()));
}

//! What has to be changed, as a list that a person ticks off.

use super::{Exposed, Use};
use kubiya_hook::edge::shown;
use std::collections::BTreeSet;

/// A checklist in Markdown: one line to tick for each value that a key could read, and below it where the value is
/// used. Values are not in it, only their names.
#[must_use]
pub fn checklist(old: &str, exposed: &[Exposed]) -> String {
    let mut text = format!("{}\n\n{WHY}\n", heading(old));
    for one in exposed {
        let of =
            one.origin.title().map(|title| format!(" of {}", shown(title.as_bytes()))).unwrap_or_default();
        let place = match &one.branch {
            Some(branch) => format!("{} of branch {}", code(&one.path), code(branch)),
            None => code(&one.path),
        };
        text.push('\n');
        if one.keys.is_empty() {
            text.push_str(&format!("- [ ] all{of} in {place}\n"));
            one.used.iter().for_each(|used| text.push_str(&line(used)));
        }
        for key in &one.keys {
            text.push_str(&format!("- [ ] {}{of} in {place}\n", code(key)));
            let of_key = |used: &&Use| used.key.as_ref().is_none_or(|named| named == key);
            one.used.iter().filter(of_key).for_each(|used| text.push_str(&line(used)));
        }
    }
    text
}

const WHY: &str = "\
Whoever has the key can read these, in Git's history too, whatever the files are encrypted with now. Change each where
it comes from, encrypt the new value, and tick it off.";

fn heading(old: &str) -> String {
    format!("# Values that {old} could read")
}

fn line(used: &Use) -> String {
    let Use { path, object, field, .. } = used;
    format!("  - {} in {}: {}\n", shown(object.as_bytes()), code(path), code(field))
}

/// A name of any characters, as code.
fn code(name: &str) -> String {
    let name = shown(name.as_bytes());
    if name.contains('`') { format!("`` {name} ``") } else { format!("`{name}`") }
}

/// The checklist that was there, byte for byte, with the lines of a new one that it does not have: what is ticked
/// stays ticked, and notes stay. Each key has a section of its own, as a value that was changed after one leak
/// must be changed again after the next.
#[must_use]
pub fn with_ticks(there: &str, new: &str) -> String {
    let heading = new.lines().next().unwrap_or_default();
    let Some(start) = section_start(there, heading) else {
        let gap = if there.is_empty() || there.ends_with("\n\n") { "" } else { "\n" };
        let line_end = if there.is_empty() || there.ends_with('\n') { "" } else { "\n" };
        return format!("{there}{line_end}{gap}{new}");
    };
    let section = &there[start..];
    let end = section.match_indices("\n# ").map(|(at, _)| at + 1).next().unwrap_or(section.len());
    let (section, rest) = section.split_at(end);
    let known = section.lines().filter_map(item).collect::<BTreeSet<_>>();
    let mut missing = String::new();
    let mut is_missing = false;
    for line in new.lines() {
        match item(line) {
            Some(name) => is_missing = !known.contains(name),
            None if !line.starts_with("  - ") => is_missing = false,
            None => {}
        }
        if is_missing {
            missing.push_str(line);
            missing.push('\n');
        }
    }
    let line_end = if section.ends_with('\n') || missing.is_empty() { "" } else { "\n" };
    let gap = if rest.is_empty() || missing.is_empty() { "" } else { "\n" };
    format!("{}{section}{line_end}{missing}{gap}{rest}", &there[..start])
}

fn section_start(text: &str, heading: &str) -> Option<usize> {
    let lines = text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    });
    lines.into_iter().find_map(|(start, line)| (line.trim_end() == heading).then_some(start))
}

/// What a line is to tick, ticked or not.
fn item(line: &str) -> Option<&str> {
    let line = line.trim_end();
    ["- [ ] ", "- [x] ", "- [X] "].into_iter().find_map(|mark| line.strip_prefix(mark))
}

#[cfg(test)]
mod tests {
    use super::super::Origin;
    use super::*;

    fn exposed(keys: &[&str]) -> Exposed {
        let text = |text: &str| Some(text.to_owned());
        let used = |object: &str, key: Option<&str>| Use {
            path: "web.yaml".to_owned(),
            object: object.to_owned(),
            field: "spec.env".to_owned(),
            key: key.map(str::to_owned),
        };
        Exposed {
            path: "db.yaml".to_owned(),
            branch: None,
            from_top: "db.yaml".into(),
            origin: Origin { kind: text("Secret"), namespace: text("shop"), name: text("db") },
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            used: vec![used("Deployment shop/web", Some("user")), used("Pod shop/all", None)],
        }
    }

    #[test]
    fn each_value_is_a_line_with_its_uses() {
        let file = Exposed { origin: Origin::default(), keys: vec![], used: vec![], ..exposed(&[]) };
        let elsewhere = Exposed { branch: Some("staging".to_owned()), used: vec![], ..exposed(&["other"]) };
        insta::assert_snapshot!(checklist("age1old", &[exposed(&["user", "odd`key"]), file, elsewhere]), @"
        # Values that age1old could read

        Whoever has the key can read these, in Git's history too, whatever the files are encrypted with now. Change each where
        it comes from, encrypt the new value, and tick it off.

        - [ ] `user` of Secret shop/db in `db.yaml`
          - Deployment shop/web in `web.yaml`: `spec.env`
          - Pod shop/all in `web.yaml`: `spec.env`
        - [ ] `` odd`key `` of Secret shop/db in `db.yaml`
          - Pod shop/all in `web.yaml`: `spec.env`

        - [ ] all in `db.yaml`

        - [ ] `other` of Secret shop/db in `db.yaml` of branch `staging`
        ");
    }

    #[test]
    fn what_another_branch_has_is_told_unless_it_is_known_with_all_its_keys() {
        let known = exposed(&["user", "password"]);
        let of_branch = |keys| Exposed { branch: Some("staging".to_owned()), ..exposed(keys) };
        assert!(known.covers(&of_branch(&["password"])));
        assert!(!known.covers(&of_branch(&["password", "token"])));
        assert!(!known.covers(&Exposed { from_top: "web/db.yaml".into(), ..of_branch(&["user"]) }));
        assert!(!known.covers(&Exposed { origin: Origin::default(), ..of_branch(&["user"]) }));
    }

    #[test]
    fn what_is_ticked_and_noted_stays() {
        let first = checklist("age1old", &[exposed(&["user"])]);
        let ticked = first.replace("[ ]", "[x]") + "\nA note.\n";
        assert_eq!(with_ticks(&ticked, &first), ticked);
        let more = with_ticks(&ticked, &checklist("age1old", &[exposed(&["user", "password"])]));
        assert!(more.starts_with(&ticked) && more.contains("- [ ] `password` of Secret shop/db"), "{more}");
        assert_eq!(more.matches("`user`").count(), 1, "{more}");
        // Another key that leaks is another list.
        let other = checklist("age1other", &[exposed(&["user"])]);
        let both = with_ticks(&more, &other);
        assert_eq!(both, format!("{more}\n{other}"));
        let again = with_ticks(&both, &checklist("age1old", &[exposed(&["third"])]));
        assert!(again.find("`third`") < again.find("# Values that age1other"), "{again}");
        assert!(again.ends_with(&other), "{again}");
        assert_eq!(with_ticks("", &first), first);
    }
}

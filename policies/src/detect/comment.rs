//! Comments beside encrypted values: what was the value before, or what is to be it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::credential::{Strictness, assignment, in_urls, is_credential, is_value};
use super::literal::{is_base64_literal, is_literal};
use crate::sops::value;
use crate::yaml::tolerant;

/// The shortest value under a key that is not named like a credential.
const SHORTEST: usize = 4;

/// The comments, with their `#`, that hold a credential; `keys` are those of the encrypted values around them.
pub fn credentials<'t>(
    comments: impl Iterator<Item = (Range<usize>, &'t str)>,
    keys: &BTreeSet<String>,
) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // The comments without their signs, as if they had been none: a Secret may be commented out.
    let mut text = String::new();
    let mut places = Vec::new();
    for (range, comment) in comments {
        let content = comment.trim_start_matches(['#', ';']).trim_end();
        if tells(content, keys) {
            found.push(range.clone());
        }
        places.push((text.len(), range));
        text.push_str(content);
        text.push('\n');
    }
    for field in tolerant::secret_fields(&text) {
        let literal =
            if field.section == "data" { is_base64_literal(&field.value) } else { is_literal(&field.value) };
        if literal && !value::claims(&field.value) {
            let at = places.partition_point(|(start, _)| *start <= field.range.start);
            found.extend(at.checked_sub(1).and_then(|at| places.get(at)).map(|(_, range)| range.clone()));
        }
    }
    found.sort_by_key(|range| range.start);
    found.dedup();
    found
}

fn tells(comment: &str, keys: &BTreeSet<String>) -> bool {
    if value::claims(comment.trim_start()) {
        return false;
    }
    let told = |key: &str, value: &str| {
        let former = keys.contains(key) && value.len() >= SHORTEST && is_value(value) && is_literal(value);
        !value::claims(value) && (former || is_credential(key, value, Strictness::Anywhere))
    };
    !in_urls(comment, Strictness::Anywhere).is_empty()
        || assignment(comment).is_some_and(|found| told(found.key, found.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(comments: &[&str]) -> Vec<usize> {
        let keys = BTreeSet::from(["dsn".to_owned()]);
        let numbered = comments.iter().enumerate().map(|(number, comment)| (number..number + 1, *comment));
        credentials(numbered, &keys).into_iter().map(|range| range.start).collect()
    }

    #[test]
    fn former_values_are_told_from_remarks() {
        for comment in
            ["# old password: hunter2", "#token=abc123", "# dsn: server1", "# https://me:hunter2@example.com"]
        {
            assert_eq!(found(&[comment]), [0], "{comment}");
        }
        for comment in [
            "# the password: see the wiki",
            "# yaml-language-server: $schema=https://example.com/x.json",
            "#ENC[AES256_GCM,data:x,iv:x,tag:x,type:comment]",
            "# password: ${PW}",
            "# rotate the token: yearly!?? or so",
            "# port: 5432",
            "",
        ] {
            assert_eq!(found(&[comment]), [0; 0], "{comment}");
        }
    }

    #[test]
    fn a_secret_that_is_commented_out_is_one() {
        let block = ["# kind: Secret", "# stringData:", "#   user: app", "#   host: ${HOST}"];
        assert_eq!(found(&block), [2]);
    }
}

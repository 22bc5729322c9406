//! The Secret `sops-age`: what is there and Flux reads stays, what is given is added.

use super::plan::{AGE_ENTRY, PlanError, secret_object};
use crate::cluster::{LiveSecret, Manifest};
use crate::flux::EntryKind;
use crate::keys;
use crate::rotation::RETIRED_RECIPIENTS;
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::age::{Identity, IdentityFile, IdentityFileError};
use secrecy::SecretString;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What an entry is called that a rotation took out of what Flux reads.
const RETIRED: &str = ".agekey.retired";

/// Identities and other entries, for the Secret of one namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'g> {
    pub(super) identities: &'g [Identity],
    pub(super) entries: &'g BTreeMap<String, SecretString>,
}

/// The Secret as it is to be; `None` where nothing was given and none of ours is there.
///
/// Server-side apply takes away what its manager wrote once and no longer names, so entries of other kinds that are
/// there are named again. Entries `*.agekey` beside the main one belong to others or to a rotation, and stay theirs.
///
/// # Errors
/// A malformed entry, for which Flux refuses the whole Secret; a key that a rotation took away.
pub(super) fn secret(
    (namespace, name): (&str, &str),
    given: Given<'_>,
    live: Option<&LiveSecret>,
) -> Result<Option<Manifest>, PlanError> {
    let ours = live.is_some_and(LiveSecret::is_ours);
    if given.identities.is_empty() && given.entries.is_empty() && !ours {
        return Ok(None);
    }
    let active = live.map(active).transpose()?.unwrap_or_default();
    let retired = live.map(retired).unwrap_or_default();
    let comes_back =
        given.identities.iter().filter_map(Identity::recipient).find(|one| retired.contains(one));
    if let Some(recipient) = comes_back {
        let (namespace, secret) = (namespace.to_owned(), name.to_owned());
        return Err(PlanError::Retired { recipient, namespace, secret });
    }
    let mut data = BTreeMap::new();
    let missing: Vec<&Identity> = given.identities.iter().filter(|one| !active.contains(one)).collect();
    let main = live.and_then(|live| live.data.get(AGE_ENTRY)).filter(|bytes| !is_blank(bytes));
    let main = main.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).map(Zeroizing::new);
    if main.is_some() || !missing.is_empty() {
        let text = keys::with_identities(main.as_ref().map_or("", |text| text.as_str()), &missing);
        data.insert(AGE_ENTRY.to_owned(), SecretString::from(text.as_str()));
    }
    for (name, bytes) in live.iter().flat_map(|live| &live.data) {
        let kept = EntryKind::of(name).is_some_and(|kind| kind != EntryKind::Age);
        if let (true, Ok(text)) = (kept, std::str::from_utf8(bytes)) {
            data.insert(name.clone(), SecretString::from(text));
        }
    }
    data.extend(given.entries.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(Some(Manifest::secret(secret_object(namespace, name), data)))
}

/// The identities that Flux decrypts with.
///
/// # Errors
/// A malformed entry.
pub(super) fn active(live: &LiveSecret) -> Result<Vec<Identity>, PlanError> {
    for (entry, bytes) in &live.data {
        if EntryKind::of(entry) != Some(EntryKind::Age) || (entry == AGE_ENTRY && is_blank(bytes)) {
            continue;
        }
        match IdentityFile::parse(bytes) {
            Ok(_) | Err(IdentityFileError::Empty) => {}
            Err(source) => {
                return Err(PlanError::MalformedAgeEntry {
                    namespace: live.namespace.clone(),
                    secret: live.name.clone(),
                    entry: entry.clone(),
                    source,
                });
            }
        }
    }
    let entries = live.data.iter().filter(|(entry, _)| EntryKind::of(entry) == Some(EntryKind::Age));
    let files = entries.filter_map(|(_, bytes)| IdentityFile::parse(bytes).ok());
    Ok(files.flat_map(IdentityFile::into_identities).collect())
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// The public keys that a rotation took out.
fn retired(live: &LiveSecret) -> Vec<String> {
    let text = live.annotations.get(RETIRED_RECIPIENTS);
    text.map(|text| text.split(',').map(str::to_owned).collect()).unwrap_or_default()
}

/// What people should know of a Secret that is there, and what keeps it from being as it must.
pub(super) fn judge(live: &LiveSecret, problems: &mut Vec<Failure>, warnings: &mut Vec<Failure>) {
    let (namespace, name) = (&live.namespace, &live.name);
    let ignored =
        live.data.iter().filter(|(entry, _)| EntryKind::of(entry).is_none() && !entry.ends_with(RETIRED));
    for (entry, bytes) in ignored {
        let holds_key = IdentityFile::parse(bytes).is_ok();
        let what = if holds_key { ", although it holds an age key" } else { "" };
        let failure =
            Failure::unverified(format!("Flux does not read the entry `{entry}`{what}")).at(live.id());
        warnings.push(if holds_key {
            failure.hint("Flux reads entries by their names: give it that key by --age-key-file, which adds it to `age.agekey`")
        } else {
            failure.hint(format!(
                "if nobody else does: kubectl -n {namespace} patch secret {name} --type=json -p '[{{\"op\":\"remove\",\"path\":\"/data/{}\"}}]'",
                entry.replace('~', "~0").replace('/', "~1")
            ))
        });
    }
    if live.immutable {
        problems.push(
            Failure::unverified("it is immutable, so no key can be added to it").at(live.id()).hint(format!(
                "kubectl -n {namespace} get secret {name} -o yaml | sed '/^immutable:/d' | kubectl -n {namespace} replace --force -f -"
            )),
        );
    }
    if live.kind != "Opaque" {
        problems.push(
            Failure::unverified(format!("its type is `{}` instead of Opaque, and the type of a Secret cannot be changed", live.kind))
                .at(live.id())
                .hint(format!(
                    "kubectl -n {namespace} get secret {name} -o yaml | sed 's|^type: .*|type: Opaque|' | kubectl -n {namespace} replace --force -f -"
                )),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn line(identity: &Identity) -> String {
        format!("{}\n", identity.expose_line().expose_secret())
    }

    /// The entries as they would be written.
    fn entries(
        given: &[&Identity],
        more: &[(&str, &str)],
        live: &[(&str, &str)],
    ) -> Option<BTreeMap<String, String>> {
        let identities: Vec<Identity> = given.iter().map(|one| (*one).clone()).collect();
        let more = more.iter().map(|(name, text)| ((*name).to_owned(), SecretString::from(*text))).collect();
        let live = (!live.is_empty()).then(|| LiveSecret::of_entries(live));
        let given = Given { identities: &identities, entries: &more };
        let manifest = secret(("flux-system", "sops-age"), given, live.as_ref()).unwrap()?;
        use base64::Engine as _;
        let data = manifest.expose()["data"].as_object().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        Some(data.iter().map(|(name, value)| (name.clone(), text(value))).collect())
    }

    #[test]
    fn an_identity_in_another_entry_is_not_written_twice_and_that_entry_stays_its_owners() {
        let (other, new) = (Identity::generate(), Identity::generate());
        let live = [("age-1.agekey", line(&other))];
        let live: Vec<(&str, &str)> = live.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let written = entries(&[&other, &new], &[], &live).unwrap();
        assert_eq!(written.keys().collect::<Vec<_>>(), ["age.agekey"]);
        assert_eq!(IdentityFile::parse(written["age.agekey"].as_bytes()).unwrap().identities(), [new]);
    }

    #[test]
    fn entries_of_other_kinds_stay_and_are_replaced_by_their_name_alone() {
        let identity = Identity::generate();
        let live = [("sops.vault-token", "old"), ("team.asc", "pgp"), ("keys.txt", "ignored")];
        let written = entries(&[&identity], &[("sops.vault-token", "new")], &live).unwrap();
        assert_eq!(written.keys().collect::<Vec<_>>(), ["age.agekey", "sops.vault-token", "team.asc"]);
        assert_eq!((written["sops.vault-token"].as_str(), written["team.asc"].as_str()), ("new", "pgp"));
    }

    #[test]
    fn without_anything_to_add_a_secret_of_ours_stays_and_one_of_others_is_left_alone() {
        let identity = Identity::generate();
        let text = line(&identity);
        let live = LiveSecret::of_entries(&[("age.agekey", &text)]);
        let none = Given { identities: &[], entries: &BTreeMap::new() };
        let id = ("flux-system", "sops-age");
        assert!(secret(id, none, None).unwrap().is_none());
        assert!(secret(id, none, Some(&live)).unwrap().is_none());
        let (label, value) = LiveSecret::OURS;
        let labels = BTreeMap::from([(label.to_owned(), value.to_owned())]);
        let ours = LiveSecret { labels, ..live };
        let kept = secret(id, none, Some(&ours)).unwrap().unwrap();
        use base64::Engine as _;
        let wanted = base64::engine::general_purpose::STANDARD.encode(&text);
        assert_eq!(kept.expose()["data"][AGE_ENTRY], wanted.as_str());
    }

    #[test]
    fn one_malformed_line_of_any_entry_is_refused_with_its_name_and_place() {
        for (entry, text) in [
            ("age.agekey", "AGE-SECRET-KEY-1BROKEN"),
            ("old.agekey", " # a blank first\n"),
            (".agekey", "junk CANARY"),
        ] {
            let live = LiveSecret::of_entries(&[(entry, text)]);
            let given = [Identity::generate()];
            let given = Given { identities: &given, entries: &BTreeMap::new() };
            let error = secret(("flux-system", "sops-age"), given, Some(&live)).unwrap_err();
            let shown = format!("{:?}", Failure::from(error));
            assert!(
                shown.contains(entry) && shown.contains("line 1") && !shown.contains("CANARY"),
                "{shown}"
            );
        }
        // What a comment or nothing is, Flux passes over.
        let live = LiveSecret::of_entries(&[("old.agekey", "# gone\n"), ("age.agekey", "  \n")]);
        assert!(active(&live).unwrap().is_empty());
    }

    #[test]
    fn what_flux_passes_over_is_named_with_what_to_do() {
        let key = line(&Identity::generate());
        let live = LiveSecret::of_entries(&[
            ("age.key", &key),
            ("notes", "x"),
            ("age-1.agekey.retired", &key),
            ("a.agekey", &key),
        ]);
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        judge(&live, &mut problems, &mut warnings);
        let said: Vec<String> = warnings.iter().flat_map(Failure::lines).collect();
        assert!(problems.is_empty());
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("`age.key`, although it holds an age key") && said[1].contains("`notes`"),
            "{said:?}"
        );
    }

    #[test]
    fn a_secret_that_cannot_be_changed_is_a_problem() {
        let live =
            LiveSecret { immutable: true, kind: "example.com/key".to_owned(), ..LiveSecret::of_entries(&[]) };
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        judge(&live, &mut problems, &mut warnings);
        assert_eq!(problems.len(), 2);
        assert!(format!("{problems:?}").contains("instead of Opaque"), "{problems:?}");
    }
}

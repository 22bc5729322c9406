//! The metadata of a sealed file: new in alphabetical order, or that of before with what changed.

use super::VERSION;
use super::seal::{Lock, Sealing};
use crate::sops::block::{Block, Meta};
use crate::sops::keys::WrappedKey;
use crate::sops::recipient::Recipient;
use crate::sops::selector::Selector;
use crate::sops::store::Format;

/// Metadata as sops 3.13 writes it, without `mac` and `lastmodified`.
pub(super) fn new_block(sealing: &Sealing<'_>, format: Format) -> Block {
    let mut block = Block::default();
    set_keys(&mut block, sealing, None);
    set_recipe(&mut block, sealing, format);
    block.set("version", Meta::Text(VERSION.to_owned()));
    block
}

/// The metadata of the version before, in its order, with the new keys and selector. Fields that nobody
/// knows stay.
pub(super) fn renewed(before: &Block, sealing: &Sealing<'_>, format: Format) -> Block {
    let mut block = before.clone();
    if !matches!(sealing.lock, Lock::Kept) {
        set_keys(&mut block, sealing, Some(before));
    }
    set_recipe(&mut block, sealing, format);
    if block.text("version").is_none() {
        block.set("version", Meta::Text(VERSION.to_owned()));
    }
    block
}

fn set_recipe(block: &mut Block, sealing: &Sealing<'_>, format: Format) {
    let selector = sealing.recipe.selector_for(format);
    let names = Selector::NAMES;
    // sops writes no selector for binary files, and leaves one that is there.
    if format != Format::Binary {
        for name in names.into_iter().filter(|name| *name != selector.name()) {
            block.remove(name);
        }
        let known = block.text(selector.name()).as_deref() == Some(selector.pattern());
        // Files that name no selector mean sops's default.
        let implied =
            selector == Selector::default() && !block.fields.is_empty() && block.get("mac").is_some();
        if !known && !implied {
            block.set(selector.name(), Meta::Text(selector.pattern().to_owned()));
        }
    }
    let only = block.text("mac_only_encrypted").is_some_and(|text| text == "true");
    match (sealing.recipe.mac_only_encrypted, only) {
        (true, false) => block.set("mac_only_encrypted", Meta::Bool(true)),
        (false, true) => block.remove("mac_only_encrypted"),
        _ => {}
    }
}

fn set_keys(block: &mut Block, sealing: &Sealing<'_>, before: Option<&Block>) {
    let (Lock::New(_, groups) | Lock::Wrapped(groups)) = &sealing.lock else { return };
    for kind in Recipient::KINDS.into_iter().chain(["key_groups", "shamir_threshold"]) {
        let single = groups.len() == 1 && groups[0].iter().any(|key| key.recipient.kind() == kind);
        let grouped = groups.len() > 1 && matches!(kind, "key_groups" | "shamir_threshold");
        if !single && !grouped {
            block.remove(kind);
        }
    }
    if let [group] = groups.as_slice() {
        for (kind, keys) in by_kind(group, before) {
            block.set(kind, keys);
        }
        return;
    }
    let list = groups.iter().map(|group| {
        let mut map = Block::default();
        by_kind(group, before).into_iter().for_each(|(kind, keys)| map.set(kind, keys));
        Meta::Map(map)
    });
    block.set("key_groups", Meta::List(list.collect()));
    let threshold = sealing.recipe.shamir_threshold.map_or(groups.len(), |threshold| threshold as usize);
    block.set("shamir_threshold", Meta::Int(i64::try_from(threshold).unwrap_or(i64::MAX)));
}

fn by_kind(group: &[WrappedKey], before: Option<&Block>) -> Vec<(&'static str, Meta)> {
    let mut kinds = Vec::new();
    for kind in Recipient::KINDS {
        let of_kind = group.iter().filter(|key| key.recipient.kind() == kind);
        let keys = of_kind.map(|key| Meta::Map(entry(key, before))).collect::<Vec<_>>();
        if !keys.is_empty() {
            kinds.push((kind, Meta::List(keys)));
        }
    }
    kinds
}

/// The entry of one recipient: as it was where the wrapped key is the same, with all its fields.
fn entry(key: &WrappedKey, before: Option<&Block>) -> Block {
    let kind = key.recipient.kind();
    let same = |entry: &&Block| entry.text("enc").as_deref() == Some(&key.enc);
    let old = before.and_then(|block| {
        let grouped = block.maps("key_groups").flat_map(|group| group.maps(kind));
        block.maps(kind).chain(grouped).find(same)
    });
    if let Some(old) = old {
        return old.clone();
    }
    let fields = [("enc", key.enc.clone()), ("recipient", key.recipient.to_string())];
    Block { fields: fields.map(|(name, text)| (name.to_owned(), Meta::Text(text))).to_vec() }
}

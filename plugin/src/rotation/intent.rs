//! What a rotation is about, as it is written at the Secret for everybody to see, and in the clone for its operator.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The annotation of a Secret while its key is rotated.
pub const ROTATION: &str = "kubiya.dev/rotation";
/// The annotation of a Secret with the public keys that were taken out of it.
pub const RETIRED_RECIPIENTS: &str = "kubiya.dev/retired-recipients";
/// The annotation with who changed the keys of a Secret last.
pub const CHANGED_BY: &str = "kubiya.dev/changed-by";
/// The annotation with when that was.
pub const CHANGED_AT: &str = "kubiya.dev/changed-at";
/// The annotation with the public keys of what Flux decrypts with.
pub const RECIPIENTS: &str = "kubiya.dev/recipients";

/// One key goes and another one comes. Public keys alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The recipient that goes.
    pub old: String,
    /// The recipient that comes.
    pub new: String,
    /// Who began.
    pub by: String,
    /// When (RFC 3339).
    pub started: String,
    /// Whether the old key is known to somebody who should not have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compromised: bool,
    /// Whether this is the way back of a rotation that was given up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// Whether commits were pushed that the key that goes reads alone: it stays for a while even so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_new: bool,
    /// How commits reach the branch, where they are not pushed to it: `pull-request` or `no-push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// Since when nothing that Flux has applied needs the old key (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_out: Option<String>,
}

impl Intent {
    /// The same two keys.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.old, &self.new) == (&other.old, &other.new)
    }

    /// The way back.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            old: self.new.clone(),
            new: self.old.clone(),
            given_up: true,
            old_out: None,
            compromised: false,
            ..self.clone()
        }
    }

    /// The recipient that was to go, and the one that was to come, when the rotation was begun.
    #[must_use]
    pub fn asked(&self) -> (&str, &str) {
        if self.given_up { (&self.new, &self.old) } else { (&self.old, &self.new) }
    }

    /// How long nothing has needed the old key; `None` where something may.
    #[must_use]
    pub fn idle_for(&self, now: jiff::Timestamp) -> Option<Duration> {
        let since: jiff::Timestamp = self.old_out.as_ref()?.parse().ok()?;
        Some(Duration::try_from(now.duration_since(since)).unwrap_or_default())
    }

    /// The text of the annotation.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Texts and flags always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the annotation; `None` where it is not ours.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// A public key as people tell it from others.
#[must_use]
pub fn short(recipient: &str) -> String {
    let end = recipient.char_indices().nth(10).map_or(recipient.len(), |(at, _)| at);
    let start = recipient.char_indices().rev().nth(5).map_or(0, |(at, _)| at);
    if start <= end {
        recipient.to_owned()
    } else {
        format!("{}…{}", &recipient[..end], &recipient[start..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_is_read_back_and_the_way_back_swaps_the_keys() {
        let intent = Intent {
            old: "age1old".to_owned(),
            new: "age1new".to_owned(),
            by: "me".to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            compromised: true,
            given_up: false,
            keep_new: false,
            publish: None,
            old_out: Some("2026-01-02T00:00:00Z".to_owned()),
        };
        assert_eq!(Intent::of_text(&intent.to_text()), Some(intent.clone()));
        let now = "2026-01-02T01:00:00Z".parse().unwrap();
        assert_eq!(intent.idle_for(now), Some(Duration::from_secs(3600)));
        let back = intent.reversed();
        assert_eq!((back.old.as_str(), back.idle_for(now), back.compromised), ("age1new", None, false));
        assert_eq!((intent.asked(), back.asked()), (("age1old", "age1new"), ("age1old", "age1new")));
        assert_eq!(Intent::of_text("not ours"), None);
    }

    #[test]
    fn a_short_public_key_keeps_both_ends() {
        assert_eq!(short("age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqabcdef"), "age1qqqqqq…abcdef");
        assert_eq!(short("short"), "short");
    }
}

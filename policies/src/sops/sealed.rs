//! A file of SOPS inside of a value. Flux decrypts a value of a Secret's `data` that is one (kustomize-controller,
//! `internal/decryptor`), so such a value is as good as an encrypted one.

use super::metadata::Metadata;
use super::state::{self, Leaf};
use super::store::{self, Flat};
use crate::yaml::{KeyPath, Limits, NodeRef, Sort, Source, leaves, readings};

/// Whether the bytes are a file that SOPS encrypted, whichever its store: metadata that are whole, and no value
/// that is not empty in clear.
pub fn is_sealed_file(bytes: &[u8]) -> bool {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if !has(b"sops") || !has(b"ENC[AES256_GCM,") {
        return false;
    }
    let source = Source::new(bytes);
    let readings = readings(&source, Limits::DEFAULT);
    let trees = readings.iter().all(|(_, stream)| {
        let mut documents = stream.documents().map(|(_, root)| root).peekable();
        stream.errors().is_empty() && documents.peek().is_some() && documents.all(is_sealed_document)
    });
    trees || is_sealed_flat(&store::dotenv(source.text())) || is_sealed_flat(&store::ini(source.text()))
}

fn is_sealed_document(root: NodeRef<'_>) -> bool {
    let Some(metadata) = Metadata::of_document(root).filter(|metadata| metadata.whole().is_ok()) else {
        return false;
    };
    let mut sealed = root.sort() == Sort::Mapping && state::faults(root, &metadata).is_empty();
    leaves(root, &mut KeyPath::root(), &mut |path, node| {
        let of_metadata = path.keys().first() == Some(&"sops");
        sealed &= of_metadata || matches!(state::leaf(node), Leaf::Empty | Leaf::Sealed);
    });
    sealed
}

fn is_sealed_flat(flat: &Flat) -> bool {
    let whole = flat.metadata.as_ref().is_some_and(|metadata| metadata.whole().is_ok());
    whole
        && flat
            .entries
            .iter()
            .all(|entry| matches!(state::text_leaf(&entry.value), Leaf::Empty | Leaf::Sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#""sops":{"age":[{"enc":"-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBkRFY4ZXV5a2ozOElBbE5u\nRTVXOU51SVBvSkZIYTYwYzNqM2xNb21DNlRVCkI1THhjNWtZZWJLS1hUMWF4NWpR\nT3IyYnBFaGl1cmhRZGVkUUp6MVFLdkEKLS0tIE96Q0h5dExUbkRLVEdVS0NsVXRC\nWHBsay8wVWVGOFhlMzIwM2ZDT0VMTG8Klzrv6OqscrfS3vcDmndC31EwDhx1AFtj\n3nYTI8yEDPWltmoodn74Gy2cnHfnemlI/vtPvQKO4VFo8Ys7XDJyDQ==\n-----END AGE ENCRYPTED FILE-----\n","recipient":"age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77"}],"lastmodified":"2026-11-21T04:39:44Z","mac":"ENC[AES256_GCM,data:ID5uFY47nYW/clrhQNU4av280VlfSRZGnj1EUK+v9Gy+v9U/LqJDtunHPHxzQFnkDEFc8oQ4+ZoxN1NKMPawvwpjWovtf+ob2b+rAyDQkSxL9H78IqqtDJ8m01ehy5cOFho/UaWdKP2IH1pFyKSUrnIgvHp+nnFxBwuoR76tyjM=,iv:VYJK/KB4eSt0sZ8X5o9nE1KGuubB6a1Thxeo5+3VqD4=,tag:odf0w/wD86hkDBlNYzYttA==,type:str]","unencrypted_suffix":"_unencrypted","version":"3.13.3"}"#;
    const VALUE: &str = "ENC[AES256_GCM,data:oYyi,iv:MyIDYbT718JRr11QtBkcj3Dwm4k1aCGZBVeZf0EyV8o=,tag:t5z2Z023Up0kxwCgw1gNxg==,type:str]";

    fn file(leaves: &str) -> Vec<u8> {
        format!("{{{leaves},{METADATA}}}").replace("VALUE", VALUE).into_bytes()
    }

    #[test]
    fn a_file_of_sops_is_told_from_what_only_looks_like_one() {
        assert!(is_sealed_file(&file("\"data\":\"VALUE\"")));
        assert!(is_sealed_file(&file("\"a\":{\"b\":[\"VALUE\",\"\"]}")));
        assert!(!is_sealed_file(&file("\"data\":\"VALUE\",\"b\":\"hunter2\"")));
        assert!(
            !is_sealed_file(&file("\"data\":\"VALUE\",\"b_unencrypted\":\"hunter2\"")),
            "in clear all the same"
        );
        assert!(!is_sealed_file(VALUE.as_bytes()));
        assert!(!is_sealed_file(format!("{{\"data\":\"{VALUE}\",\"sops\":{{}}}}").as_bytes()));
        assert!(!is_sealed_file(b""));
    }
}

//! Every known way past a naive check that is about content, and a file of the corpus for it. What they are found
//! for is in their names.

use super::*;

/// Ways, and the files that go them.
const WAYS: [(&str, &[&str]); 33] = [
    ("a flow mapping", &["KBY001-flow.yaml"]),
    ("JSON, also in pieces and on one line", &["KBY001-json.json", "KBY001-json-stream.json"]),
    ("quoted keys, blanks and tabs around the colon", &["KBY001-quoted.yaml", "KBY001-tabs.yaml"]),
    ("explicit keys, escapes", &["KBY001-quoted.yaml", "KBY001-escapes.yaml"]),
    ("tags", &["KBY001-tags.yaml", "KBY001-non-specific-tag.yaml", "KBY001-tag-directive.yaml"]),
    (
        "line ends, marks, directives, document ends",
        &[
            "KBY001-crlf.yaml",
            "KBY001-bom.yaml",
            "KBY001-directive.yaml",
            "KBY001-document-end.yaml",
            "KBY001-carriage-returns.yaml",
            "KBY001-mark-in-the-middle.yaml",
            "KBY001-document-on-the-marker.yaml",
        ],
    ),
    ("line ends that not every reader knows", &["KBY001-nel.yaml", "KBY001-line-separator.yaml"]),
    (
        "a later document, also behind an encrypted one",
        &[
            "KBY001-second-document.yaml",
            "KBY001-appended-to-encrypted.yaml",
            "KBY001-marker-in-a-string.yaml",
        ],
    ),
    ("lists", &["KBY001-list.yaml", "KBY001-secret-list.yaml", "KBY001-root-sequence.yaml"]),
    ("the order of keys", &["KBY001-key-order.yaml"]),
    ("scalars over several lines", &["KBY001-folded-kind.yaml"]),
    ("short, numeric and boolean values", &["KBY001-number.yaml", "KBY001-boolean.yaml"]),
    (
        "templates",
        &[
            "KBY030-helm.yaml",
            "KBY030-helm-default.yaml",
            "KBY030-template-flow.yaml",
            "KBY030-template-encoded.yaml",
            "KBY030-one-line-template.json.tpl",
            "KBY030-jinja.yaml.j2",
            "KBY030-jinja-default.yaml.j2",
        ],
    ),
    (
        "literals on their way through a template",
        &[
            "KBY030-variable.yaml",
            "KBY030-variable-in-comment.yaml",
            "KBY030-variable-default.yaml",
            "KBY030-named-template.yaml",
            "KBY030-named-template-of-entries.yaml",
            "KBY030-argument-of-named-template.yaml",
            "KBY030-map-as-yaml.yaml",
            "KBY030-map-in-loop.yaml",
            "KBY030-set-in-values.yaml",
            "KBY030-with.yaml",
            "KBY030-tpl.yaml",
            "KBY030-kind-in-variable.yaml",
            "KBY030-jinja-set.yaml.j2",
        ],
    ),
    ("bytes that are no text", &["KBY001-nul.yaml", "KBY001-latin1.yaml", "KBY001-utf16.yaml"]),
    ("depth", &["KBY016-deep.sops.yaml"]),
    ("what cannot be read where it must be encrypted", &["KBY015-broken.sops.yaml"]),
    (
        "duplicate keys, merge keys, aliases",
        &[
            "KBY001-duplicate.yaml",
            "KBY001-merge.yaml",
            "KBY001-merge-list.yaml",
            "KBY001-alias.yaml",
            "KBY001-alias-as-key.yaml",
        ],
    ),
    (
        "generators",
        &[
            "KBY006-literals.yaml",
            "KBY006-component.yaml",
            "KBY006-generator-file.yaml",
            "KBY006-generator-in-a-string.yaml",
        ],
    ),
    (
        "patches",
        &[
            "KBY008-inline-patch.yaml",
            "KBY008-patch-operations.yaml",
            "KBY008-flux-patch.yaml",
            "KBY008-post-renderer.yaml",
            "KBY008-argo-patch.yaml",
        ],
    ),
    (
        "values of releases and applications",
        &[
            "KBY020-helm-release.yaml",
            "KBY020-helm-release-env.yaml",
            "KBY020-helm-release-nested.yaml",
            "KBY020-helm-release-default.yaml",
            "KBY020-helm-chart.yaml",
            "KBY020-argo-values.yaml",
            "KBY020-argo-values-object.yaml",
            "KBY020-argo-parameters.yaml",
            "KBY020-substitute.yaml",
            "KBY020-values-inline.yaml",
            "KBY020-config-map-generator.yaml",
        ],
    ),
    (
        "manifests in strings",
        &[
            "KBY009-in-configmap.yaml",
            "KBY009-twice.yaml",
            "KBY009-json-in-json.yaml",
            "KBY009-base64.yaml",
            "KBY009-base64-wrapped.yaml",
            "KBY001-crossplane-object.yaml",
        ],
    ),
    (
        "templates of Secrets",
        &[
            "KBY001-sealed-secret-template.yaml",
            "KBY001-external-secret-template.yaml",
            "KBY001-external-secret-default.yaml",
            "KBY001-external-secret-url.yaml",
            "KBY001-cluster-external-secret.yaml",
            "KBY001-push-secret.yaml",
            "KBY001-sops-secret.yaml",
        ],
    ),
    (
        "annotations of an encrypted Secret",
        &["KBY010-last-applied.yaml", "KBY021-annotation.yaml", "KBY021-annotation-json.yaml"],
    ),
    (
        "comments of an encrypted Secret",
        &[
            "KBY021-comment.yaml",
            "KBY021-comment-inline.yaml",
            "KBY021-comment-of-a-value.yaml",
            "KBY021-comment-address.yaml",
            "KBY021-commented-out.yaml",
        ],
    ),
    ("types of Secrets", &["KBY001-tls.yaml", "KBY001-docker-config.yaml", "KBY001-bootstrap-token.yaml"]),
    (
        "kubeconfigs and docker configurations",
        &[
            "KBY014-kubeconfig",
            "KBY020-docker-config.json",
            "KBY020-legacy.dockercfg",
            "KBY020-legacy-docker-in-a-map.yaml",
        ],
    ),
    ("private keys", &["KBY012-pgp.asc", "KBY013-pem.key", "KBY013-base64.yaml"]),
    (
        "names that claim encryption",
        &[
            "KBY003-claimed.sops.yaml",
            "KBY003-claimed.enc.env",
            "KBY003-claimed.sops.ini",
            "KBY003-claimed.enc.bin",
        ],
    ),
    (
        "stubs of metadata",
        &["KBY001-stub.yaml", "KBY001-stub-null.yaml", "KBY002-fake-metadata.yaml", "KBY004-stub.yaml"],
    ),
    (
        "values that only look encrypted",
        &[
            "KBY005-not-really.yaml",
            "KBY005-junk-after.yaml",
            "KBY005-readable.yaml",
            "KBY005-readable-nonce.yaml",
            "KBY005-short-nonce.yaml",
            "KBY005-wide-text.yaml",
        ],
    ),
    (
        "values put in by hand",
        &["KBY002-edited.yaml", "KBY002-number.yaml", "KBY002-unencrypted-suffix.sops.yaml"],
    ),
    (
        "metadata with parts missing or made up",
        &[
            "KBY004-no-mac.yaml",
            "KBY004-mac-placeholder.yaml",
            "KBY004-mac-of-another-length.yaml",
            "KBY004-no-time.yaml",
            "KBY004-far-future.yaml",
            "KBY004-enc-is-no-age-file.yaml",
            "KBY004-no-recipients.yaml",
        ],
    ),
];

#[test]
fn every_way_has_its_files_and_is_refused() {
    let files = corpus("bad");
    let rules = rules("creation_rules: []");
    for (way, names) in WAYS {
        for name in names {
            let (_, bytes) =
                files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("{way}: {name}"));
            let report = report(name, bytes, Some(&rules), Role::File);
            assert_eq!(report.worst(), Some(Severity::Error), "{way}: {name}");
        }
    }
}

#[test]
fn the_same_file_under_another_name_is_as_bad() {
    // Names that claim encryption mean something; what is not whole is YAML by its name alone.
    let by_content = corpus("bad").into_iter().filter(|(name, _)| {
        name.ends_with(".yaml")
            && !name.contains(".sops.")
            && !name.contains(".enc.")
            && !name.contains("template")
            && !name.starts_with("KBY030")
            && !name.contains("broken")
            && !name.contains("marker-in")
    });
    for (name, bytes) in by_content {
        let rules = rules("creation_rules: []");
        for other in ["manifest", "manifest.txt", "a.YML", "x.json"] {
            let report = report(other, &bytes, Some(&rules), Role::File);
            assert_eq!(report.worst(), Some(Severity::Error), "{name} as {other}: {}", shown(&report));
        }
    }
}

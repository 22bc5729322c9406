//! Disguises of secrets in what Kubernetes, Kustomize, Helm, Flux, Argo and SOPS allow. The files are short: each is one
//! idea, told by its name.

use super::*;

/// What must be refused: the idea, the path, the file.
const BAD: &[(&str, &str, &str)] = &[
    (
        "a macro",
        "s.yaml.j2",
        "{% macro level() %}hunter2{% endmacro %}\nkind: Secret\nstringData:\n  a: {{ level() }}\n",
    ),
    (
        "a block with a name",
        "s.yaml.j2",
        "{% set level %}hunter2{% endset %}\nkind: Secret\nstringData:\n  a: \"{{ level }}\"\n",
    ),
    (
        "a list in a list",
        "a.yaml",
        "kind: List\nitems:\n- kind: List\n  apiVersion: v1\n  items:\n  - {apiVersion: v1, kind: Secret, stringData: {a: hunter2}}\n",
    ),
    (
        "a template's parameter with a value",
        "t.yaml",
        "apiVersion: template.openshift.io/v1\nkind: Template\nobjects:\n- apiVersion: v1\n  kind: Secret\n  stringData: {a: '${PW}'}\nparameters:\n- name: PW\n  value: hunter2\n",
    ),
    (
        "an object in a template",
        "t.yaml",
        "kind: Template\nobjects:\n- kind: Secret\n  stringData: {a: hunter2}\n",
    ),
    (
        "a policy that generates",
        "p.yaml",
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec:\n  rules:\n  - generate:\n      apiVersion: v1\n      kind: Secret\n      name: a\n      data:\n        stringData: {a: hunter2}\n",
    ),
    (
        "a policy that mutates",
        "p.yaml",
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec:\n  rules:\n  - match: {any: [{resources: {kinds: [Secret]}}]}\n    mutate:\n      patchStrategicMerge:\n        stringData: {a: hunter2}\n",
    ),
    (
        "an object of an object",
        "o.yaml",
        "apiVersion: kubernetes.crossplane.io/v1alpha2\nkind: Object\nspec:\n  forProvider:\n    manifest: {apiVersion: v1, kind: Secret, stringData: {a: hunter2}}\n",
    ),
    (
        "a base of a composition",
        "c.yaml",
        "kind: Composition\nspec:\n  resources:\n  - base:\n      kind: Object\n      spec: {forProvider: {manifest: {kind: Secret, data: {a: aHVudGVyMg==}}}}\n",
    ),
    (
        "work for another cluster",
        "w.yaml",
        "kind: ManifestWork\nspec:\n  workload:\n    manifests:\n    - {apiVersion: v1, kind: Secret, stringData: {a: hunter2}}\n",
    ),
    (
        "resources of a set",
        "r.yaml",
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nspec:\n  resources:\n  - apiVersion: v1\n    kind: Secret\n    stringData: {a: hunter2}\n",
    ),
    (
        "a template of a set",
        "r.yaml",
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nspec:\n  resourcesTemplate: |\n    apiVersion: v1\n    kind: Secret\n    stringData:\n      a: hunter2\n",
    ),
    (
        "inputs of a set",
        "r.yaml",
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nspec:\n  inputs:\n  - password: hunter2\n  resources:\n  - apiVersion: v1\n    kind: Secret\n    stringData: {a: << inputs.password >>}\n",
    ),
    (
        "what is substituted",
        "k.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  postBuild:\n    substitute: {db_password: hunter2}\n",
    ),
    (
        "objects in values",
        "h.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  values:\n    extraObjects:\n    - {apiVersion: v1, kind: Secret, stringData: {a: hunter2}}\n",
    ),
    (
        "objects in values, as text",
        "h.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  values:\n    extraDeploy:\n    - |\n      apiVersion: v1\n      kind: Secret\n      stringData:\n        a: hunter2\n",
    ),
    (
        "patches behind a release",
        "h.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  postRenderers:\n  - kustomize:\n      patches:\n      - target: {kind: Secret, name: a}\n        patch: |\n          - op: add\n            path: /data/a\n            value: aHVudGVyMg==\n",
    ),
    (
        "elements of a generator",
        "a.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  generators:\n  - list:\n      elements:\n      - {cluster: a, password: hunter2}\n",
    ),
    (
        "parameters of an application",
        "a.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n      parameters:\n      - {name: db.password, value: hunter2}\n",
    ),
    (
        "values of an application, as text",
        "a.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  sources:\n  - helm:\n      values: |\n        db:\n          password: hunter2\n",
    ),
    (
        "a plugin's environment",
        "a.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    plugin:\n      env:\n      - {name: DB_PASSWORD, value: hunter2}\n",
    ),
    (
        "values of a chart of k3s",
        "c.yaml",
        "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  valuesContent: |-\n    db:\n      password: hunter2\n",
    ),
    (
        "a set of a chart of k3s",
        "c.yaml",
        "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  set:\n    db.password: hunter2\n",
    ),
    (
        "a template of a sealed secret",
        "s.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  encryptedData: {a: AgB}\n  template:\n    stringData: {b: hunter2}\n",
    ),
    (
        "a template of an external secret for many",
        "e.yaml",
        "apiVersion: external-secrets.io/v1\nkind: ClusterExternalSecret\nspec:\n  externalSecretSpec:\n    target:\n      template:\n        data: {password: hunter2}\n",
    ),
    (
        "a store of secrets that has them itself",
        "s.yaml",
        "apiVersion: external-secrets.io/v1\nkind: ClusterSecretStore\nspec:\n  provider:\n    fake:\n      data:\n      - {key: db, value: hunter2}\n",
    ),
    (
        "an inline replacement",
        "kustomization.yaml",
        "replacements:\n- sourceValue: hunter2\n  targets:\n  - select: {kind: Secret}\n    fieldPaths: [stringData.a]\n",
    ),
    (
        "a value that is added",
        "add.yaml",
        "apiVersion: builtin\nkind: ValueAddTransformer\nmetadata: {name: a}\nvalue: aHVudGVyMg==\ntargets:\n- selector: {kind: Secret}\n  fieldPath: data/a\n",
    ),
    (
        "a patch of a whole map",
        "kustomization.yaml",
        "patches:\n- target: {kind: Secret}\n  patch: '[{\"op\":\"add\",\"path\":\"/stringData\",\"value\":{\"a\":\"hunter2\"}}]'\n",
    ),
    (
        "a patch of a whole object",
        "kustomization.yaml",
        "patches:\n- target: {kind: ConfigMap}\n  patch: '[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"kind\":\"Secret\",\"apiVersion\":\"v1\",\"stringData\":{\"a\":\"hunter2\"}}}]'\n",
    ),
    (
        "a path with escapes",
        "kustomization.yaml",
        "patches:\n- target: {kind: Secret}\n  patch: '[{\"op\":\"add\",\"path\":\"/data/tls~1key\",\"value\":\"aHVudGVyMg==\"}]'\n",
    ),
    (
        "a target by a pattern",
        "kustomization.yaml",
        "patches:\n- target: {kind: '(Secret)'}\n  patch: '[{\"op\":\"add\",\"path\":\"/data/a\",\"value\":\"aHVudGVyMg==\"}]'\n",
    ),
    (
        "a target by its version alone",
        "kustomization.yaml",
        "patches:\n- target: {version: v1, name: db}\n  patch: '[{\"op\":\"add\",\"path\":\"/stringData/a\",\"value\":\"hunter2\"}]'\n",
    ),
    (
        "objects in values of an inflated chart",
        "kustomization.yaml",
        "helmCharts:\n- name: a\n  valuesInline:\n    extraObjects:\n    - {kind: Secret, apiVersion: v1, stringData: {a: hunter2}}\n",
    ),
    ("an anchor elsewhere", "a.yaml", "x: &p hunter2\napiVersion: v1\nkind: Secret\nstringData: {a: *p}\n"),
    ("an anchor on the kind", "a.yaml", "apiVersion: v1\nkind: &k Secret\nstringData: {a: hunter2}\n"),
    (
        "an anchor of a whole map",
        "a.yaml",
        "x: &d {a: hunter2}\napiVersion: v1\nkind: Secret\nstringData: *d\n",
    ),
    ("merged maps", "a.yaml", "x: &d {stringData: {a: hunter2}}\n<<: *d\napiVersion: v1\nkind: Secret\n"),
    (
        "merged maps with a tag",
        "a.yaml",
        "x: &d {kind: Secret}\n!!merge <<: *d\napiVersion: v1\nstringData: {a: hunter2}\n",
    ),
    ("a kind over two lines", "a.yaml", "apiVersion: v1\nkind: \"Sec\\\n  ret\"\nstringData: {a: hunter2}\n"),
    (
        "two kinds",
        "a.json",
        "{\"kind\":\"ConfigMap\",\"kind\":\"Secret\",\"stringData\":{\"a\":\"hunter2\"}}",
    ),
    (
        "two kinds, the other way",
        "a.json",
        "{\"kind\":\"Secret\",\"kind\":\"ConfigMap\",\"stringData\":{\"a\":\"hunter2\"}}",
    ),
    ("a key in octets", "a.json", "{\"\\u006bind\":\"Secret\",\"string\\u0044ata\":{\"a\":\"hunter2\"}}"),
    (
        "behind a document of comments",
        "a.yaml",
        "# only a comment\n---\n# another\n--- # Secret\nkind: Secret\nstringData: {a: hunter2}\n",
    ),
    ("without a version", "a.yaml", "kind: Secret\nmetadata: {name: a}\nstringData: {a: hunter2}\n"),
    (
        "in a file of another name",
        "notes.dat",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  a: hunter2\n",
    ),
    (
        "in a file with no name to speak of",
        ".a",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  a: hunter2\n",
    ),
    (
        "a map that becomes one",
        "cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  all.json: '{\"kind\":\"List\",\"items\":[{\"kind\":\"Secret\",\"stringData\":{\"a\":\"hunter2\"}}]}'\n",
    ),
    (
        "text in text in a map",
        "cm.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata:\n  outer.yaml: |\n    kind: ConfigMap\n    data:\n      inner.yaml: |\n        kind: Secret\n        stringData: {a: hunter2}\n",
    ),
    (
        "cloud-init that writes a manifest",
        "m.yaml",
        "kind: KubeadmConfig\nspec:\n  files:\n  - path: /etc/a.yaml\n    content: |\n      apiVersion: v1\n      kind: Secret\n      stringData:\n        a: hunter2\n",
    ),
    (
        "cloud-init that writes base64",
        "m.yaml",
        "kind: KubeadmConfig\nspec:\n  files:\n  - path: /etc/a.yaml\n    encoding: base64\n    content: YXBpVmVyc2lvbjogdjEKa2luZDogU2VjcmV0CnN0cmluZ0RhdGE6CiAgYTogaHVudGVyMgo=\n",
    ),
    ("a default of a substitution", "a.yaml", "kind: Secret\nstringData: {a: '${A:=hunter2}'}\n"),
    ("a default in a default", "a.yaml", "kind: Secret\nstringData: {a: '${A:=${B:-hunter2}}'}\n"),
    ("a replacement in a substitution", "a.yaml", "kind: Secret\nstringData: {a: '${A/x/hunter2}'}\n"),
    ("a kind that is substituted", "a.yaml", "kind: ${K:=Secret}\nstringData: {a: hunter2}\n"),
    (
        "a token of a plugin in a kubeconfig",
        "a.sops.yaml",
        "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    exec:\n      env:\n      - {name: TOKEN, value: hunter2}\n",
    ),
    (
        "a value between two that are encrypted",
        "a.yaml",
        "kind: Secret\nstringData:\n  a: ENC[AES256_GCM,data:aaaa,iv:aaaa,tag:aaaa,type:str]hunter2\n",
    ),
    ("an alias as a key", "a.yaml", "x: [&k kind, &s stringData]\n*k : Secret\n*s : {a: hunter2}\n"),
    ("carriage returns alone", "a.yaml", "apiVersion: v1\rkind: Secret\rstringData:\r  a: hunter2\r"),
    ("a list under data", "a.yaml", "kind: Secret\nstringData:\n- {a: hunter2}\n"),
    ("a number in another base", "a.yaml", "kind: Secret\nstringData:\n  a: 0x1F\n"),
    ("a date", "a.yaml", "kind: Secret\nstringData:\n  a: 2001-01-01\n"),
];

#[test]
fn disguises_are_seen_through() {
    let missed: Vec<_> = BAD
        .iter()
        .filter(|(_, path, text)| {
            report(path, text.as_bytes(), None, Role::File).worst() != Some(Severity::Error)
        })
        .map(|(idea, ..)| idea)
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

//! Good files that look like bad ones. They are short: each is one idea, told by its name.

use super::*;

/// What must pass without an error: the idea, the path, the file.
const GOOD: &[(&str, &str, &str)] = &[
    ("a Secret with nothing in it", "a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"),
    (
        "empty values",
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: '', b: ~}\ndata: {}\n",
    ),
    (
        "a token that the cluster makes",
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {kubernetes.io/service-account.name: a}}\ntype: kubernetes.io/service-account-token\n",
    ),
    ("substitutions", "a.yaml", "kind: Secret\nstringData: {a: '${A}', b: '${B:-}', c: '${C:=}'}\n"),
    (
        "placeholders",
        "a.yaml",
        "kind: Secret\nstringData: {a: '<your password>', b: '{{ .Values.password }}'}\n",
    ),
    (
        "a Secret of another API",
        "a.yaml",
        "apiVersion: secretsmanager.aws.crossplane.io/v1beta1\nkind: Secret\nspec: {forProvider: {region: eu-west-1}}\n",
    ),
    (
        "a deletion",
        "kustomization.yaml",
        "patches:\n- patch: |\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: a}\n    $patch: delete\n",
    ),
    (
        "a removal",
        "kustomization.yaml",
        "patches:\n- target: {kind: Secret}\n  patch: '[{\"op\":\"remove\",\"path\":\"/data/a\"}]'\n",
    ),
    (
        "a new name for a Secret",
        "kustomization.yaml",
        "patches:\n- target: {kind: Secret}\n  patch: '[{\"op\":\"replace\",\"path\":\"/metadata/name\",\"value\":\"b\"}]'\n",
    ),
    (
        "a label for all",
        "kustomization.yaml",
        "patches:\n- target: {labelSelector: app=a}\n  patch: '[{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"b\"}]'\n",
    ),
    (
        "a generator of encrypted files",
        "kustomization.yaml",
        "secretGenerator:\n- name: a\n  files: [a.sops.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\n",
    ),
    (
        "a generator of settings",
        "kustomization.yaml",
        "configMapGenerator:\n- name: a\n  literals: [LEVEL=debug]\n",
    ),
    (
        "a replacement from another object",
        "kustomization.yaml",
        "replacements:\n- source: {kind: ConfigMap, fieldPath: data.a}\n  targets:\n  - select: {kind: Secret}\n    fieldPaths: [stringData.a]\n",
    ),
    (
        "who decrypts",
        "k.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  decryption: {provider: sops, secretRef: {name: sops-age}}\n  postBuild:\n    substitute: {cluster: a, domain: example.com}\n    substituteFrom: [{kind: Secret, name: vars}]\n",
    ),
    (
        "values from a Secret",
        "h.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  valuesFrom: [{kind: Secret, name: a, valuesKey: password}]\n  values: {auth: {existingSecret: a, secretKeys: {adminPasswordKey: password}}}\n",
    ),
    (
        "sources with credentials elsewhere",
        "g.yaml",
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nspec: {url: 'ssh://git@example.com/a', secretRef: {name: a}}\n",
    ),
    (
        "notifications with credentials elsewhere",
        "n.yaml",
        "apiVersion: notification.toolkit.fluxcd.io/v1\nkind: Receiver\nspec: {type: github, secretRef: {name: webhook-token}}\n",
    ),
    (
        "inputs of a set that no Secret takes",
        "r.yaml",
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nspec:\n  inputs:\n  - tenant: a\n  resources:\n  - {apiVersion: v1, kind: Namespace, metadata: {name: << inputs.tenant >>}}\n",
    ),
    (
        "a name of a Secret from inputs",
        "r.yaml",
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nspec:\n  inputs:\n  - tenant: a\n  resources:\n  - {apiVersion: v1, kind: Secret, metadata: {name: << inputs.tenant >>, annotations: {a/copyFrom: b/c}}}\n",
    ),
    (
        "parameters that are asked for",
        "t.yaml",
        "apiVersion: template.openshift.io/v1\nkind: Template\nobjects:\n- {apiVersion: v1, kind: Secret, stringData: {a: '${PW}'}}\nparameters:\n- {name: PW, generate: expression, from: '[a-z]{16}'}\n- {name: OTHER, value: b}\n",
    ),
    (
        "what is fetched",
        "e.yaml",
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nspec:\n  data: [{secretKey: password, remoteRef: {key: db, property: password}}]\n  target: {template: {data: {url: 'postgres://{{ .user }}:{{ .password }}@db/a'}}}\n",
    ),
    (
        "what is sealed",
        "s.yaml",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  encryptedData: {a: AgBy3i4OJSWK+PiTySYZZA==}\n  template: {type: Opaque, metadata: {labels: {a: b}}}\n",
    ),
    (
        "who may read Secrets",
        "r.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nrules:\n- {apiGroups: [''], resources: [secrets], verbs: [get], resourceNames: [db-password]}\n",
    ),
    (
        "a policy about Secrets",
        "p.yaml",
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec:\n  rules:\n  - match: {any: [{resources: {kinds: [Secret]}}]}\n    validate: {message: no, pattern: {metadata: {labels: {a: '?*'}}}}\n",
    ),
    (
        "a policy that labels Secrets",
        "p.yaml",
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec:\n  rules:\n  - match: {any: [{resources: {kinds: [Secret]}}]}\n    mutate: {patchStrategicMerge: {metadata: {labels: {a: b}}}}\n",
    ),
    (
        "a policy that changes maps",
        "p.yaml",
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec:\n  rules:\n  - match: {any: [{resources: {kinds: [ConfigMap]}}]}\n    mutate: {patchStrategicMerge: {data: {a: b}}}\n",
    ),
    (
        "a policy that copies",
        "p.yaml",
        "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec:\n  rules:\n  - generate: {apiVersion: v1, kind: Secret, name: regcred, clone: {namespace: default, name: regcred}}\n",
    ),
    (
        "variables from a Secret",
        "d.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: a, env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}}], envFrom: [{secretRef: {name: a}}]}]}}}\n",
    ),
    (
        "a volume of a Secret",
        "d.yaml",
        "kind: Pod\nspec: {volumes: [{name: a, secret: {secretName: a, items: [{key: password, path: password}]}}]}\n",
    ),
    (
        "a claim for a certificate",
        "c.yaml",
        "apiVersion: cert-manager.io/v1\nkind: Certificate\nspec: {secretName: tls, privateKey: {algorithm: ECDSA, rotationPolicy: Always}}\n",
    ),
    (
        "an ingress with a certificate",
        "i.yaml",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {tls: [{hosts: [a.example.com], secretName: a-tls}]}\n",
    ),
    (
        "a class of storage",
        "s.yaml",
        "kind: StorageClass\nparameters: {csi.storage.k8s.io/provisioner-secret-name: a}\n",
    ),
    (
        "a definition of a resource",
        "d.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {names: {kind: Secret}, versions: [{schema: {openAPIV3Schema: {properties: {password: {type: string, default: a}}}}}]}\n",
    ),
    (
        "a settings map",
        "c.yaml",
        "apiVersion: v1\nkind: ConfigMap\ndata: {app.conf: \"level = debug\\npassword_file = /run/secrets/db\"}\n",
    ),
    ("a chart's values", "values.yaml", "auth:\n  enabled: true\n  existingSecret: ''\n  password: ''\n"),
    (
        "a chart's values with a hint",
        "values.yaml",
        "auth:\n  # password: the password of the database\n  password: null\n  passwordFile: /run/secrets/password\n",
    ),
    (
        "a chart's template",
        "templates/s.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: {{ include \"a.fullname\" . }}}\ndata:\n  password: {{ .Values.password | b64enc | quote }}\n",
    ),
    (
        "a chart's template with a random value",
        "templates/s.yaml",
        "apiVersion: v1\nkind: Secret\ndata:\n  password: {{ randAlphaNum 32 | b64enc }}\n",
    ),
    (
        "a chart's template with a look at the cluster",
        "templates/s.yaml",
        "{{- $old := lookup \"v1\" \"Secret\" .Release.Namespace \"a\" }}\napiVersion: v1\nkind: Secret\ndata:\n  a: {{ if $old }}{{ index $old.data \"a\" }}{{ else }}{{ randAlphaNum 9 | b64enc }}{{ end }}\n",
    ),
    (
        "a chart's template with values from a map",
        "templates/s.yaml",
        "apiVersion: v1\nkind: Secret\nstringData:\n{{- range $k, $v := .Values.secrets }}\n  {{ $k }}: {{ $v | quote }}\n{{- end }}\n",
    ),
    (
        "a template of Jinja",
        "s.yaml.j2",
        "apiVersion: v1\nkind: Secret\nstringData:\n{% for k, v in secrets.items() %}\n  {{ k }}: \"{{ v }}\"\n{% endfor %}\n",
    ),
    (
        "a kubeconfig without credentials",
        "k.yaml",
        "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {exec: {command: kubelogin, args: [get-token]}}\n",
    ),
    (
        "a public key",
        "k.pem",
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
    ),
    (
        "a certificate",
        "c.pem",
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n",
    ),
    (
        "a recipient",
        ".sops.yaml",
        "creation_rules:\n- path_regex: \\.sops\\.yaml$\n  encrypted_regex: ^(data|stringData)$\n  age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n",
    ),
    (
        "an application without credentials",
        "a.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {helm: {parameters: [{name: image.tag, value: v1}], valueFiles: [values.yaml]}}}\n",
    ),
    (
        "a workflow",
        ".github/workflows/a.yaml",
        "jobs:\n  a:\n    steps:\n    - uses: a/b@v1\n      with: {token: '${{ secrets.GITHUB_TOKEN }}'}\n",
    ),
    (
        "a compose file",
        "compose.yaml",
        "services: {db: {environment: {POSTGRES_PASSWORD_FILE: /run/secrets/db}, secrets: [db]}}\nsecrets: {db: {file: ./db.txt}}\n",
    ),
    ("prose", "README.md", "Make a Secret with `kind: Secret` and put your password under `stringData`.\n"),
    ("a program", "main.go", "package main\n\nvar kind = \"Secret\" // stringData: password\n"),
    ("a manifest of a list of nothing", "l.yaml", "apiVersion: v1\nkind: SecretList\nitems: []\n"),
    (
        "a map that speaks of Secrets",
        "c.yaml",
        "kind: ConfigMap\ndata:\n  policy.rego: |\n    deny { input.kind == \"Secret\"; input.data.password }\n",
    ),
    (
        "a test of a chart",
        "tests/a_test.yaml",
        "suite: a\ntests:\n- asserts:\n  - isKind: {of: Secret}\n  - exists: {path: data.password}\n",
    ),
    (
        "an import of a state",
        "i.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {annotations: {auth-secret: default/basic-auth}}\n",
    ),
    (
        "a dashboard",
        "d.json",
        "{\"title\":\"Secrets\",\"panels\":[{\"targets\":[{\"expr\":\"kube_secret_info{secret=\\\"a\\\"}\"}]}]}",
    ),
    (
        "a schedule",
        "v.yaml",
        "apiVersion: velero.io/v1\nkind: Schedule\nspec: {template: {includedResources: [secrets], credential: {name: a, key: cloud}}}\n",
    ),
    (
        "a store of secrets",
        "s.yaml",
        "apiVersion: external-secrets.io/v1\nkind: ClusterSecretStore\nspec: {provider: {vault: {server: 'https://vault', path: secret, auth: {tokenSecretRef: {name: a, key: token}}}}}\n",
    ),
    (
        "a store of secrets that has none yet",
        "s.yaml",
        "apiVersion: external-secrets.io/v1\nkind: SecretStore\nspec: {provider: {fake: {data: [{key: db, value: '${DB}'}, {key: empty, value: ''}]}}}\n",
    ),
    ("an empty file", "a.yaml", ""),
    ("only comments", "a.yaml", "# kind: Secret\n# stringData: {password: <fill in>}\n"),
    ("nothing but a document's end", "a.yaml", "---\n...\n"),
];

#[test]
fn good_files_that_look_like_them_pass() {
    let stopped: Vec<_> = GOOD
        .iter()
        .map(|(idea, path, text)| (idea, report(path, text.as_bytes(), None, Role::File)))
        .filter(|(_, report)| report.worst() == Some(Severity::Error))
        .map(|(idea, report)| format!("{idea}: {}", shown(&report)))
        .collect();
    assert!(stopped.is_empty(), "{stopped:#?}");
}

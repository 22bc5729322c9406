# shellcheck shell=bash
# The part of `scripts/bench` that measures a bootstrap. Sourced, not run.
# shellcheck disable=SC2154  # root, target, work, samples, runs are those of scripts/bench

# The rig and the Git server watch the pipe on their stdin: closing it takes them down, however we end.
bootstrap_world() {
    cargo build --locked --quiet --bin kubiya-rig
    rig=$target/debug/kubiya-rig
    bin=$("$rig" build --set test)
    # The parts stay where they are: HOME says where the cache is.
    KUBIYA_RIG_CACHE=$(dirname "$(dirname "$bin")")
    mkdir -p "$work/home" "$work/path"
    export KUBIYA_RIG_CACHE HOME=$work/home GIT_CONFIG_NOSYSTEM=1 SOPS_DISABLE_VERSION_CHECK=1
    ln -s "$target/release/kubectl-kubiya" "$work/path/"
    export PATH=$work/path:$bin:$PATH
    cd "$work" || exit
    mkfifo rig.stdin git.stdin
    "$rig" up --workers 1 --set test <rig.stdin >rig.json 2>rig.log &
    exec 9>rig.stdin
    "$rig" git-server --root server gitops <git.stdin >git.json 2>git.log &
    exec 8>git.stdin
    until [ -s rig.json ] && [ -s git.json ]; do sleep 0.1; done
    KUBECONFIG=$("$rig" get kubeconfig <rig.json)
    export KUBECONFIG
    manifests=$("$rig" get flux_manifests <rig.json)
    url=$("$rig" get repositories.gitops <git.json)
    age-keygen -o age.agekey 2>/dev/null
    local as=(-c user.name=a -c user.email=a@example.com)
    git init --quiet --initial-branch=main gitops
    mkdir -p gitops/clusters/infra gitops/apps
    cat >gitops/clusters/infra/worker01.yaml <<'YAML'
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: apps-worker01, namespace: flux-system}
spec:
  interval: 10m
  path: ./apps
  prune: true
  sourceRef: {kind: GitRepository, name: flux-system}
  decryption: {provider: sops, secretRef: {name: sops-age}}
  kubeConfig: {secretRef: {name: worker01-kubeconfig}}
YAML
    kubectl create secret generic from-git -n default --dry-run=client -o yaml --from-literal=password=x >gitops/apps/secret.yaml
    sops encrypt --in-place --age "$(age-keygen -y age.agekey)" --encrypted-regex '^data$' gitops/apps/secret.yaml
    git -C gitops add . && git -C gitops "${as[@]}" commit --quiet -m first && git -C gitops push --quiet "$url" main
    # What a hand has: a kubeconfig of the worker with a token for Flux.
    kubectl --context worker01 config view --minify --raw >worker01.yaml
    components=--components=source-controller,kustomize-controller,helm-controller
}

on_worker() { until kubectl --context worker01 get secret from-git >/dev/null 2>&1; do sleep 0.05; done; }

ours_bootstraps() { kubectl kubiya bootstrap --context hub --url "$url" --path clusters/infra --age-key-file age.agekey \
    --worker worker01=worker01 --flux-manifests "$manifests" --allow-loopback; }
ours_to_worker() { ours_bootstraps && on_worker; }

# The sequence of the seed, with the real flux CLI and kubectl.
by_hand() {
    flux --context hub install "$components" &&
        kubectl --context hub -n flux-system create secret generic sops-age --from-file=age.agekey=age.agekey &&
        kubectl --context hub -n flux-system create secret generic worker01-kubeconfig --from-file=value=worker01.yaml &&
        flux --context hub create source git flux-system --url="$url" --branch=main &&
        flux --context hub create kustomization flux-system --source=flux-system --path=clusters/infra --prune \
            --decryption-provider=sops --decryption-secret=sops-age --wait &&
        on_worker
}

# The least that can be done: the same objects, one apply for the definitions and one for the rest, one wait.
floor() {
    kubectl --context hub apply --server-side --force-conflicts -f "$manifests" &&
        kubectl --context hub -n flux-system wait deployments --all --for=condition=Available --timeout=2m
}
ours_alone() { kubectl kubiya bootstrap --context hub --url "$url" --path clusters/none --age-key-file age.agekey \
    --flux-manifests "$manifests" --allow-loopback; }

# Nothing of Flux, of what it applied and of the worker's access.
nothing_there() {
    kubectl --context hub -n flux-system delete kustomizations --all --wait=false --ignore-not-found 2>/dev/null
    kubectl kubiya uninstall --context hub --yes --delete-keys
    kubectl --context hub delete namespace flux-system --ignore-not-found
    kubectl --context worker01 delete secret from-git --ignore-not-found
} >/dev/null 2>&1

bootstrap() {
    local round name
    trap 'exec 8>&- 9>&-; wait; rm -rf "$samples" "$work"' EXIT
    bootstrap_world
    # A folder with nothing in it, for the comparison with the floor.
    mkdir -p gitops/clusters/none
    printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: nothing, namespace: default}\n' >gitops/clusters/none/a.yaml
    git -C gitops add . && git -C gitops -c user.name=a -c user.email=a@example.com commit --quiet -m none
    git -C gitops push --quiet "$url" main
    for ((round = 0; round < runs; round++)); do
        nothing_there && measure 'ours/to the worker' ours_to_worker
        measure 'ours/again' ours_bootstraps
        nothing_there && measure 'hand/to the worker' by_hand
        measure 'hand/again' flux --context hub install "$components"
        nothing_there && measure 'hand/floor' floor
        nothing_there && measure 'ours/floor' ours_alone
    done
    printf '%-24s %12s %12s %8s\n' work 'theirs ms' 'ours ms' ratio
    for name in 'to the worker' floor again; do
        awk -v n="$name" -v a="$(median "hand/$name")" -v b="$(median "ours/$name")" \
            'BEGIN { printf "%-24s %12.1f %12.1f %8.2f\n", n, a / 1000, b / 1000, b / a }'
    done
}

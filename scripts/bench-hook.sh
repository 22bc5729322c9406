# shellcheck shell=bash
# The part of `scripts/bench` that measures the hook. Sourced, not run.
# shellcheck disable=SC2154  # root, target, work, samples, runs are those of scripts/bench

# The gitleaks to compare with; fails where there is none.
gitleaks_program() {
    command -v gitleaks && return
    command -v go >/dev/null || return 1
    GOBIN=$work/bin go install github.com/zricethezav/gitleaks/v8@v8.30.0 >&2 && echo "$work/bin/gitleaks"
}

# A bare repository with a generated history on `main`, packed as a server would have it.
history() { # NAME
    git init --quiet --initial-branch=main --bare "$1.git"
    "$root/scripts/bench-history" "$1" | git -C "$1.git" fast-import --quiet
    git -C "$1.git" repack -adfq
}

# What `measure` runs where a pipe is needed.
plumbing() {
    git rev-list "$new" --not --all | git diff-tree --stdin -r -m --root --no-commit-id |
        cut -d' ' -f4 | git cat-file --batch
}
reading() { git cat-file --batch <"$work/blobs"; }
cat_all() { find . -path ./.git -prune -o -type f -print0 | xargs -0 cat; }
judging() { "$hook" pre-receive <<<"$updates"; }

# The most memory that a command took, in MiB, noted under a name.
memory() { # NAME COMMAND...
    python3 -c 'import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], stdin=sys.stdin).returncode
print(sys.argv[1], resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, sep="\t")
sys.exit(code)' "$@" >>"$samples"
}

# What runs in place of the hook, with all that `git receive-pack` gives it: rounds of all programs on one push.
inside() { # NAME
    local name=$1 round
    case $name in
    memory/*) memory "$name" "$hook" pre-receive <<<"$updates" || say "failed: $name" ;;
    *)
        for ((round = 0; round < runs; round++)); do
            measure "ours/$name" judging
            if [ "$name" = 'push of 10 commits' ]; then measure "git/$name" plumbing; else measure "git/$name" reading; fi
            [ -z "$gitleaks" ] || measure "gitleaks/$name" "$gitleaks" git --no-banner --log-opts="$new --not --all" .
        done
        ;;
    esac
}
# Pushes a commit of one repository into another one, and measures in place of the hook there; nothing gets in.
push_measured() { # NAME FROM TO COMMIT
    local script=$3/hooks/pre-receive
    {
        echo '#!/usr/bin/env bash'
        # shellcheck disable=SC2016  # the script expands it
        echo 'set -euo pipefail; updates=$(cat); new=$(cut -d" " -f2 <<<"$updates")'
        declare -p root work samples runs hook gitleaks
        declare -f say die measure memory plumbing reading judging inside
        printf 'inside %q\nexit 1\n' "$1"
    } >"$script"
    chmod +x "$script"
    git -C "$2" push --quiet "$work/hook/$3" "$4:refs/heads/main" 2>"$work/push.log" || true
    grep -q 'failed:' "$work/push.log" && die "failed: $1" "$(cat "$work/push.log")"
    return 0
}

hook_rows() {
    local name ours git gitleaks_time
    printf '%-34s %9s %9s %7s %12s %7s\n' work 'ours ms' 'git ms' ratio 'gitleaks ms' times
    for name in 'push of 10 commits' 'push of 2,000 commits' 'commit of 20 files of 10,000' 'scan of 10,000 files'; do
        ours=$(median "ours/$name") git=$(median "git/$name") gitleaks_time=$(median "gitleaks/$name")
        awk -v n="$name" -v a="$ours" -v b="$git" -v c="${gitleaks_time:-0}" \
            'BEGIN { printf "%-34s %9.1f %9.1f %7.2f", n, a / 1000, b / 1000, a / b; if (c > 0) printf " %12.1f %6.0fx", c / 1000, c / a; print "" }'
    done
    printf '\n%-34s %9s\n' 'most memory' MiB
    for name in 'push of 100,000 objects' 'push of a blob of 100 MiB' 'push of 2,000 commits'; do
        awk -v n="$name" -v m="$(median "memory/$name")" 'BEGIN { printf "%-34s %9.1f\n", n, m / 1048576 }'
    done
}

hook() {
    local hook=$target/release/kubiya-hook gitleaks round number
    command -v python3 >/dev/null || die "missing on this machine: python3, which generates the history"
    gitleaks=$(gitleaks_program) || say "no gitleaks on PATH, and no Go to build it: measured without"
    mkdir "$work/hook" && cd "$work/hook" || exit
    export HOME=$work GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
    local name
    for name in manifests objects blob; do
        history $name
        git init --quiet --initial-branch=main --bare "$name-server.git"
    done
    git -C manifests.git push --quiet "$work/hook/manifests-server.git" 'main~10:refs/heads/old'
    git init --quiet --initial-branch=main --bare empty-server.git
    git -C manifests.git rev-list --objects main | cut -d' ' -f1 |
        git -C manifests.git cat-file --batch-check | awk '$2 == "blob" { print $1 }' >"$work/blobs"

    push_measured 'push of 10 commits' manifests.git manifests-server.git main
    push_measured 'push of 2,000 commits' manifests.git empty-server.git main
    push_measured 'memory/push of 2,000 commits' manifests.git empty-server.git main
    push_measured 'memory/push of 100,000 objects' objects.git objects-server.git main
    push_measured 'memory/push of a blob of 100 MiB' blob.git blob-server.git main

    git clone --quiet manifests.git clone && cd clone || exit
    for ((number = 0; number < 20; number++)); do
        echo '# edited' >>"clusters/c$((number % 10))/app-00$((number + 20))/part-$((number % 4 + 1)).yaml"
    done
    git add --all
    for ((round = 0; round < runs; round++)); do
        measure 'ours/commit of 20 files of 10,000' "$hook" pre-commit
        measure 'git/commit of 20 files of 10,000' git diff-index --cached HEAD
        [ -z "$gitleaks" ] || measure 'gitleaks/commit of 20 files of 10,000' "$gitleaks" git --no-banner --pre-commit --staged .
        measure 'ours/scan of 10,000 files' "$hook" scan .
        measure 'git/scan of 10,000 files' cat_all
        [ -z "$gitleaks" ] || measure 'gitleaks/scan of 10,000 files' "$gitleaks" dir --no-banner .
    done
    hook_rows
}

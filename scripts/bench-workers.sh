# shellcheck shell=bash
# The part of `scripts/bench` that measures many workers in one document. Sourced, not run.
# shellcheck disable=SC2154  # root, target, work, samples, runs are those of scripts/bench

# Two API servers behind a front that gives each name a cluster of its own: see testdata/src/crowd. The front is
# a development build and shares the machine with the API servers, so the times are theirs more than ours.

# Starts a program that prints one line when it is ready, and ends with its standard input or a signal. Leaves the
# line in $line and its process in $pid.
in_background() { # NAME COMMAND...
    local name=$1 hold output
    shift
    mkfifo "$name.in" "$name.out"
    # shellcheck disable=SC2034  # kept open, so that the program does not see an end
    exec {hold}<>"$name.in"
    "$@" <"$name.in" >"$name.out" &
    pid=$!
    exec {output}<"$name.out"
    read -r line <&"$output" || die "did not start: $*"
}
ended() { # PID
    kill "$1"
    wait "$1" 2>/dev/null || true
}

workers_document() { # COUNT
    printf 'apiVersion: kubiya.dev/v1alpha1\nkind: Bootstrap\nspec:\n  context: hub\n  allowLoopback: true\n  workers:\n'
    # The second API server grants no token for longer.
    awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++) printf "    - {name: w%04d, context: w%04d, duration: 2d}\n", i, i }'
}

# How many requests there were since this was asked last, of all names together.
requests() {
    local address
    address=$(sed -n 's|.*server: "\(https://[^/]*\)/.*|\1|p' many.kubeconfig | head -n 1)
    curl --silent --show-error --insecure "$address/counts" | tr ',{}' '\n' | awk -F: 'NF == 2 { all += $2 } END { print all + 0 }'
}

# One command on so many workers: its time, memory and requests.
on_workers() { # COUNT WORK COMMAND...
    local count=$1 name="$2/$1"
    shift 2
    requests >/dev/null
    KUBECONFIG=many.kubeconfig resources "$name" "$@"
    printf 'requests/%s\t%s\n' "$name" "$(requests)" >>"$samples"
}

measure_workers() { # COUNT
    local count=$1 line pid rig run hub kubiya=$target/release/kubectl-kubiya
    mkdir -p "$work/workers-$count" && cd "$work/workers-$count" || exit
    in_background rig "$target/debug/kubiya-rig" up --workers 2 --set test --no-flux-processes
    rig=$pid run=$line
    hub=$("$target/debug/kubiya-rig" get hub <<<"$run")
    in_background crowd "$target/debug/kubiya-rig" crowd --names "$count" --kubeconfig many.kubeconfig --hub "$hub" \
        --worker "$("$target/debug/kubiya-rig" get workers.worker01 <<<"$run")" \
        --worker "$("$target/debug/kubiya-rig" get workers.worker02 <<<"$run")"
    workers_document "$count" >many.yaml
    KUBECONFIG=$hub "$("$target/debug/kubiya-rig" build --set test)/kubectl" create namespace flux-system >/dev/null
    on_workers "$count" 'add -f, the first time' "$kubiya" worker add -f many.yaml
    on_workers "$count" 'add -f, unchanged' "$kubiya" worker add -f many.yaml
    on_workers "$count" 'check --all' "$kubiya" worker check --all --context hub
    on_workers "$count" 'list -o wide' "$kubiya" worker list -o wide --context hub
    ended "$pid"
    ended "$rig"
}

workers() {
    local count name
    command -v curl >/dev/null || die "curl is missing" "install curl: it asks the front for its counts"
    cargo build --locked --quiet --bin kubiya-rig
    unset KUBIYA_RIG
    for count in 100 1000; do (set -e && measure_workers "$count") || die "the workers were not measured"; done
    printf '%-26s %8s %10s %12s %14s %14s\n' work workers s 'ms each' 'requests each' 'resident MiB'
    for name in 'add -f, the first time' 'add -f, unchanged' 'check --all' 'list -o wide'; do
        for count in 100 1000; do
            awk -v n="$name" -v c="$count" -v t="$(median "$name/$count")" -v r="$(median "requests/$name/$count")" \
                -v m="$(median "memory/$name/$count")" \
                'BEGIN { printf "%-26s %8d %10.1f %12.1f %14.2f %14.1f\n", n, c, t / 1e6, t / 1000 / c, r / c, m / 1048576 }'
        done
    done
}

# shellcheck shell=bash
# The part of `scripts/bench` that measures the rotation of an age key. Sourced, not run.
# shellcheck disable=SC2154  # root, target, work, samples, runs are those of scripts/bench

# Secrets of 2 kB, each with four values and two comments, in a folder for each hundred.
secrets_in() { # FOLDER COUNT
    local number
    for ((number = 0; number < $2; number += 100)); do mkdir -p "$1/$((number / 100))"; done
    awk -v folder="$1" -v count="$2" 'BEGIN {
        for (n = 0; n < count; n++) {
            file = folder "/" int(n / 100) "/s" n ".yaml"
            printf "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s%d\nstringData:\n  # who may know it\n", n >file
            for (k = 0; k < 3; k++) {
                printf "  key%d: \"", k >file
                for (i = 0; i < 60; i++) printf "%08x", (n * 7919 + k * 104729 + i * 31) % 4294967296 >file
                print "\"" >file
            }
            printf "  # and this\n  url: postgres://user@host-%d/db\n", n >file
            close(file)
        } }'
}

rules_for() { printf 'creation_rules:\n  - encrypted_regex: ^(data|stringData)$\n    age: %s\n' "$1" >.sops.yaml; }

# A repository with encrypted Secrets in plain/ and secrets/, and two keys.
rotation_repository() { # NAME COUNT
    git init --quiet "$work/$1" && cd "$work/$1" || exit
    age-keygen -o old.agekey 2>/dev/null && age-keygen -o new.agekey 2>/dev/null
    printf '*.agekey\nplain/\nencrypted/\n' >.gitignore
    rules_for "$(age-keygen -y old.agekey)"
    secrets_in secrets "$2"
    cp -r secrets plain
    "$target/release/kubectl-kubiya" encrypt --age-key-file old.agekey secrets 2>/dev/null
    cp -r secrets encrypted
}

# Everything encrypted to the old key again, and the rules for a key.
as_before() { # KEY
    rules_for "$(age-keygen -y "$1")"
    renewed encrypted secrets
}

ours_rotates() { "$target/release/kubectl-kubiya" rotate-key --no-cluster --age-key-file old.agekey --new-age-key-file new.agekey; }

sops_rotation() {
    local file
    for file in secrets/*/*.yaml; do sops updatekeys -y "$file" && sops rotate -i "$file"; done
}

sops_updatekeys() { sops updatekeys -y secrets/*/*.yaml; }

# A wrong rotation would be a fast one: the new key opens every file to what it was, and the old one opens none.
rotated() { # old key's say
    local file
    for file in secrets/*/*.yaml; do
        diff -q <(SOPS_AGE_KEY_FILE=new.agekey sops decrypt --output-type json "$file") \
            <(SOPS_AGE_KEY_FILE=old.agekey sops decrypt --output-type json "encrypted/${file#secrets/}") >/dev/null ||
            die "$file is not what it was"
        ! SOPS_AGE_KEY_FILE=old.agekey sops decrypt "$file" >/dev/null 2>&1 || die "the old key opens $file"
    done
}

# Time, time of all cores, and the most memory that a command took, noted under a name.
resources() { # NAME COMMAND...
    python3 -c 'import resource, subprocess, sys, time
name, begin = sys.argv[1], time.monotonic()
code = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(name, int((time.monotonic() - begin) * 1e6), sep="\t")
print("cpu/" + name, int((used.ru_utime + used.ru_stime) * 1e6), sep="\t")
print("memory/" + name, used.ru_maxrss * 1024, sep="\t")
sys.exit(code)' "$@" >>"$samples" || die "failed: $*"
}

rotate() {
    local bin round count name
    cargo build --locked --quiet --bin kubiya-rig
    bin=$("$target/debug/kubiya-rig" build --set quick)
    export PATH=$bin:$PATH SOPS_DISABLE_VERSION_CHECK=1 HOME=$work GIT_CONFIG_NOSYSTEM=1
    unset SOPS_AGE_KEY SOPS_AGE_RECIPIENTS SOPS_CONFIG XDG_CONFIG_HOME
    rotation_repository two-hundred 200
    cat old.agekey new.agekey >both.agekey
    export SOPS_AGE_KEY_FILE=both.agekey
    for ((round = 0; round < runs; round++)); do
        as_before old.agekey && measure 'ours/200 files' ours_rotates
        [ "$round" -gt 0 ] || rotated
        as_before new.agekey && measure 'sops/200 files, updatekeys and rotate for each' sops_rotation
        as_before old.agekey && measure 'ours/200 files' ours_rotates
        as_before new.agekey && measure 'sops/200 files, one updatekeys' sops_updatekeys
    done
    printf '%-44s %12s %12s %8s\n' work 'sops ms' 'ours ms' ratio
    for name in '200 files, updatekeys and rotate for each' '200 files, one updatekeys'; do
        awk -v n="$name" -v a="$(median "sops/$name")" -v b="$(median 'ours/200 files')" \
            'BEGIN { printf "%-44s %12.1f %12.1f %7.1fx\n", n, a / 1000, b / 1000, a / b }'
    done
    for count in 1000 10000; do
        rotation_repository "of-$count" $count
        for ((round = 0; round < runs; round++)); do
            as_before old.agekey
            resources "$count files" "$target/release/kubectl-kubiya" rotate-key --no-cluster \
                --age-key-file old.agekey --new-age-key-file new.agekey
        done
    done
    printf '\n%-16s %10s %12s %12s %14s\n' work ms 'us a file' 'cores used' 'resident MiB'
    for count in 1000 10000; do
        awk -v c=$count -v t="$(median "$count files")" -v u="$(median "cpu/$count files")" -v m="$(median "memory/$count files")" \
            'BEGIN { printf "%-16s %10.1f %12.1f %12.1f %14.1f\n", c " files", t / 1000, t / c, u / t, m / 1048576 }'
    done
}

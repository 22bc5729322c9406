# shellcheck shell=bash
# What the scripts share: where things are, what must be installed, how it is built.
# Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
# shellcheck disable=SC2034  # used by the scripts that source this
target=${CARGO_TARGET_DIR:-$root/target}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $1"
    shift
    [ $# -eq 0 ] || say ""
    for hint in "$@"; do say "hint: $hint"; done
    exit 2
}

# Names everything that is missing at once.
need_tools() { # go|rust
    local missing=() hints=()
    command -v cargo >/dev/null || { missing+=("Rust (cargo)"); hints+=("install Rust by rustup: https://rustup.rs"); }
    command -v git >/dev/null || { missing+=("git"); hints+=("install git with your system's package manager"); }
    command -v cc >/dev/null || { missing+=("a C compiler (cc)"); hints+=("install gcc or clang: libgit2 is C"); }
    if [ "$1" = go ]; then
        command -v go >/dev/null || { missing+=("Go 1.26 or later"); hints+=("install Go: https://go.dev/dl, the control plane's parts are Go programs"); }
    fi
    [ ${#missing[@]} -eq 0 ] && return
    local list
    list=$(printf ', %s' "${missing[@]}")
    die "missing on this machine: ${list:2}" "${hints[@]}"
}

#!/bin/sh
# Makes sure that what building and testing needs beside Rust is there: a C compiler (the allocator, jemalloc, is C), make,
# curl (the demo's lines are tried with it), python3 (what tests and an example start as local programs), and Rust's own
# rustfmt and clippy. As root on Debian or Ubuntu it installs what is missing; else it says in one sentence what to install.
set -eu

say() { echo "setup: $*" >&2; }

if ! command -v cargo >/dev/null 2>&1; then
    say "Rust is missing: install it as https://rustup.rs says, then try again."
    exit 1
fi

# A command and the package that has it.
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cc gcc
need make make
need curl curl
need python3 python3
[ -e /usr/include/stdlib.h ] || [ "$(uname -s)" != Linux ] || missing="$missing libc6-dev"

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing$missing"
        # shellcheck disable=SC2086
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing; } >/dev/null 2>&1 || {
            say "apt-get could not install$missing: install them and try again."
            exit 1
        }
    else
        say "missing:$missing; install them ('sudo apt-get install$missing') and try again."
        exit 1
    fi
fi

for component in rustfmt clippy; do
    command -v "cargo-${component#rust}" >/dev/null 2>&1 && cargo "${component#rust}" --version >/dev/null 2>&1 && continue
    command -v rustup >/dev/null 2>&1 && rustup component add "$component" >/dev/null 2>&1 ||
        say "$component is missing, 'make lint' needs it: rustup component add $component"
done

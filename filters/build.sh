#!/bin/sh
# Builds filters into filters/out/NAME.wasm: the standard ones, or the crates whose directories are given.
#
#   filters/build.sh                        url-rewrite and header-rules
#   filters/build.sh tests/guests/hostile   only that one
#
# Each is a core module with its component type embedded; the gateway makes the component itself.
# FILTERS_TARGET_DIR says where cargo works (default: filters/target). CARGO_TARGET_DIR is left alone on purpose: this
# script may run inside of a cargo build that has it locked.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=wasm32-unknown-unknown
out="$here/out"
standard="$here/url-rewrite $here/header-rules"

export CARGO_TARGET_DIR="${FILTERS_TARGET_DIR:-$here/target}"
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC RUSTC_WRAPPER \
    RUSTC_WORKSPACE_WRAPPER RUSTUP_TOOLCHAIN CARGO RUSTDOC

# Panic messages name files as the repository does, and the same sources give the same module everywhere.
separator=$(printf '\037')
CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$(dirname "$here")=.${separator}--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
export CARGO_ENCODED_RUSTFLAGS

say() { echo "filters: $*" >&2; }

# The toolchain on the path has the target's standard library.
path_has_target() {
    lib=$(rustc --print target-libdir --target "$target" 2>/dev/null) && ls "$lib"/libstd-*.rlib >/dev/null 2>&1
}

# Debian's rustc-web can build the standard library from its source package.
debian_has_source() {
    [ -x /usr/bin/cargo ] && [ -d /usr/lib/rustlib/src/rust/library/std ] &&
        /usr/bin/rustc --version 2>/dev/null | grep -qE '^rustc 1\.(8[5-9]|9[0-9]|[1-9][0-9][0-9])\.'
}

find_lld() {
    for lld in "${RUSTUP_HOME:-$HOME/.rustup}"/toolchains/*/lib/rustlib/*/bin/rust-lld \
        /usr/bin/rust-lld /usr/bin/wasm-ld /usr/bin/wasm-ld-[0-9]*; do
        if [ -x "$lld" ]; then
            echo "$lld"
            return 0
        fi
    done
    return 1
}

add_by_rustup() {
    command -v rustup >/dev/null 2>&1 || return 1
    say "adding the target $target with rustup"
    timeout 60 rustup target add "$target" >/dev/null 2>&1 && path_has_target
}

add_by_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    packages="rustc-web libstd-rust-web-dev rust-web-src cargo-web"
    find_lld >/dev/null || packages="$packages lld"
    say "installing $packages"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null 2>&1 ||
        { apt-get update -qq >/dev/null 2>&1 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null 2>&1; } || return 1
    debian_has_source
}

choose_toolchain() {
    if path_has_target; then
        toolchain=path
    elif debian_has_source && linker=$(find_lld); then
        toolchain=debian
    elif add_by_rustup; then
        toolchain=path
    elif add_by_apt && linker=$(find_lld); then
        toolchain=debian
    else
        say "no toolchain for $target: run 'rustup target add $target', or on Debian 12 as root" \
            "'apt-get install rustc-web libstd-rust-web-dev rust-web-src cargo-web lld'."
        exit 1
    fi
}

# build DIR [cargo's arguments]
build() {
    dir=$1
    shift
    case $toolchain in
    path) (cd "$dir" && cargo build --release --target "$target" "$@") ;;
    debian)
        (cd "$dir" && RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$linker" \
            /usr/bin/cargo build --release --target "$target" -Zbuild-std=std,panic_abort "$@")
        ;;
    esac
}

# The value of `name` in a section of a manifest.
name_in() {
    sed -n "/^\[$1\]/,/^\[/s/^name *= *\"\(.*\)\".*/\1/p" "$2" | head -n 1
}

# Copies only what changed, in one step: what embeds the file is not rebuilt for nothing, and never sees half of it.
deliver() {
    package=$(name_in package "$1/Cargo.toml")
    lib=$(name_in lib "$1/Cargo.toml")
    built="$CARGO_TARGET_DIR/$target/release/$(echo "${lib:-$package}" | tr - _).wasm"
    [ -f "$built" ] || { say "$1 has no [lib] with crate-type = [\"cdylib\"]."; exit 1; }
    if ! cmp -s "$built" "$out/$package.wasm"; then
        cp "$built" "$out/.$package.$$" && mv "$out/.$package.$$" "$out/$package.wasm"
        say "$package.wasm, $(wc -c <"$built") bytes"
    fi
}

mkdir -p "$out"
choose_toolchain
if [ $# -eq 0 ]; then
    build "$here" --locked -p url-rewrite -p header-rules
    for dir in $standard; do deliver "$dir"; done
else
    for dir in "$@"; do
        dir=$(cd "$dir" && pwd)
        build "$dir"
        deliver "$dir"
    done
fi

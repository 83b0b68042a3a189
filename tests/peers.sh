#!/bin/sh
# Makes sure that the programs of other people that suites hold the gateway against are there: curl, h2load, nginx, a browser
# without a screen, and Python packages in an environment of their own, tests/.peers. As root on Debian it installs what is missing;
# else it says in one sentence what to install. When everything is there it only looks.
set -eu

cd "$(dirname "$0")"
home=.peers
pins="aioquic==1.7.2 grpcio==1.85.1 h2==4.4.1 hyperframe==6.1.0 websockets==17.4"

say() { echo "peers: $*" >&2; }

# A command and the package that has it.
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need curl curl
need h2load nghttp2-client
need nginx nginx
need chromium-headless-shell chromium-headless-shell
need python3 python3
need strace strace
python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing$missing"
        # Nginx is wanted as a program: as a service it would take port 80. This is how Debian asks whether to start one.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
        fi
        # shellcheck disable=SC2086
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
            >/dev/null 2>&1 || {
            say "apt-get could not install$missing: install them and try again."
            exit 1
        }
    else
        say "missing:$missing; install them ('sudo apt-get install --no-install-recommends$missing') and try again."
        exit 1
    fi
fi

# The stamp says what was installed and for which Python, and is written last.
stamp="$pins $(python3 -c 'import sys; print(sys.version.split()[0], sys.base_prefix)')"
[ -x "$home/bin/python" ] && [ "$(cat "$home/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
say "installing $pins"
rm -rf "$home"
python3 -m venv "$home"
# Wheels only: what has to be compiled is not what was tried. One more try, because networks have bad moments.
# shellcheck disable=SC2086
install() { "$home/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: $pins; }
install || install || {
    rm -rf "$home"
    say "pip could not install $pins: make sure that it reaches its package index and try again."
    exit 1
}
printf '%s\n' "$stamp" >"$home/stamp"

#!/bin/sh
# Runs h2spec, the conformance suite of HTTP/2 servers (github.com/summerwind/h2spec), against the gateway: in the clear and
# under TLS. The sources are not part of this project: `tests/h2spec.sh DIRECTORY` names a checkout of them. They are built
# with Go and the libraries that Debian packages, beside the project. GATEWAY names the program; the development build else.
set -eu

say() { echo "h2spec: $*" >&2; }

[ $# = 1 ] && [ -d "$1/cmd/h2spec" ] || { say "usage: tests/h2spec.sh DIRECTORY, a checkout of h2spec"; exit 2; }
source=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
gateway=${GATEWAY:-${CARGO_TARGET_DIR:-target}/debug/weir}
[ -x "$gateway" ] || { say "$gateway is missing: cargo build -p weir"; exit 1; }
gateway=$(cd "$(dirname "$gateway")" && pwd)/$(basename "$gateway")

packages="golang-go golang-golang-x-net-dev golang-github-spf13-cobra-dev golang-github-fatih-color-dev openssl"
for package in $packages; do
    dpkg -s "$package" >/dev/null 2>&1 && continue
    [ "$(id -u)" = 0 ] || { say "missing $package: sudo apt-get install $packages"; exit 1; }
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
    break
done

place=$(mktemp -d)
pid=""
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$place"' EXIT
mkdir -p "$place/go/src/github.com/summerwind"
cp -R "$source" "$place/go/src/github.com/summerwind/h2spec"
(cd "$place/go/src/github.com/summerwind/h2spec" &&
    GO111MODULE=off GOPATH="$place/go:/usr/share/gocode" GOFLAGS= go build -o "$place/h2spec" ./cmd/h2spec)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$place/key.pem" -out "$place/cert.pem" 2>/dev/null
cat >"$place/weir.toml" <<END
[log]
format = "json"
[access-log]
format = "off"
[listener.clear]
bind = "127.0.0.1:0"
protocols = ["h2"]
[listener.tls]
bind = "127.0.0.1:0"
tls = { certificate = { chain = "cert.pem", key = "key.pem" } }
[site.all]
route = [{ respond = { status = 200, body = "conformance" } }]
END
(cd "$place" && exec "$gateway" run -c weir.toml 2>"$place/log") &
pid=$!
port() { sed -n "s/.*\"listener\":\"$1\",\"address\":\"127.0.0.1:\([0-9]*\)\".*/\1/p" "$place/log"; }
for _ in $(seq 100); do [ -z "$(port tls)" ] || break; sleep 0.1; done
[ -n "$(port tls)" ] || { say "the gateway does not listen:"; cat "$place/log" >&2; exit 1; }

failed=0
run() {
    name=$1
    shift
    "$place/h2spec" -h 127.0.0.1 -o 5 "$@" >"$place/report" || true
    echo "$name: $(grep -E '^[0-9]+ tests, ' "$place/report" || echo 'no report')"
    grep -qE '^146 tests, 146 passed, 0 skipped, 0 failed$' "$place/report" || {
        sed -n '/^Failures/,$p' "$place/report"
        failed=1
    }
}
run clear -p "$(port clear)"
run tls -p "$(port tls)" -t -k
exit $failed

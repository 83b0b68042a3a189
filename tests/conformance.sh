#!/bin/sh
# Runs http-tests/cache-tests against the release build, and prints its score beside those of others.
#
#   tests/conformance.sh CHECKOUT [RESULTS.json]
#   tests/conformance.sh --look CHECKOUT      says what is missing, before anybody waits for a build
#
# CHECKOUT is a checkout of https://github.com/http-tests/cache-tests with its dependencies installed in it
# (`npm install --omit=dev`, Node.js 20 or later). Nothing is fetched here. WEIR names another program than target/release/weir.
set -eu

look=
[ "${1:-}" != --look ] || { look=yes; shift; }
checkout=${1:-}
results=${2:-}
root=$(cd "$(dirname "$0")/.." && pwd)
weir=${WEIR:-$root/target/release/weir}

if [ ! -f "$checkout/test-engine/cli.mjs" ]; then
    echo "conformance: give the path of a checkout of https://github.com/http-tests/cache-tests, as in" >&2
    echo "  make conformance CACHE_TESTS=../cache-tests" >&2
    exit 2
fi
if [ ! -d "$checkout/node_modules/undici" ]; then
    echo "conformance: in $checkout, say \`npm install --omit=dev\` first" >&2
    exit 2
fi
command -v node >/dev/null || { echo "conformance: Node.js is needed (Debian: nodejs)" >&2; exit 2; }
[ -z "$look" ] || exit 0
[ -x "$weir" ] || { echo "conformance: there is no $weir; say \`make build\`" >&2; exit 2; }
checkout=$(cd "$checkout" && pwd)

place=$(mktemp -d)
pids=
# shellcheck disable=SC2317,SC2329 # called by the trap
leave() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$place"
}
trap leave EXIT
trap 'exit 1' INT TERM

# Ports that nobody has now.
ports=$(node -e '
const net = require("net"); const servers = [0, 1].map(() => net.createServer().listen(0, "127.0.0.1"));
Promise.all(servers.map(s => new Promise(r => s.on("listening", r)))).then(() => {
    console.log(servers.map(s => s.address().port).join(" ")); servers.forEach(s => s.close()) })')
origin=${ports% *}
gateway=${ports#* }

cat >"$place/weir.toml" <<CONFIG
cache-directory = "off"
[access-log]
format = "off"
[listener.web]
bind = "127.0.0.1:$gateway"
[pool.origin]
member = ["http://127.0.0.1:$origin"]
[cache.tests]
[site.all]
route = [{ pool = "origin", cache = "tests" }]
CONFIG

cd "$checkout"
export npm_config_protocol=http npm_config_pidfile="$place/origin.pid" npm_package_config_id=
npm_config_port=$origin node --no-warnings test-engine/server/server.mjs >"$place/origin.log" 2>&1 &
pids=$!
"$weir" run -c "$place/weir.toml" >"$place/weir.log" 2>&1 &
pids="$pids $!"

tries=0
until node -e "fetch('http://127.0.0.1:$gateway/').then(() => process.exit(0), () => process.exit(1))" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || { cat "$place/weir.log" "$place/origin.log" >&2; exit 1; }
    sleep 0.2
done
npm_config_base=http://127.0.0.1:$gateway node --no-warnings test-engine/cli.mjs >"$place/results.json"
[ -z "$results" ] || cp "$place/results.json" "$results"

cat >"$place/score.mjs" <<'SCORE'
import fs from 'fs'
const [checkout, file] = process.argv.slice(2)
const { determineTestResult, resultTypes } = await import(`${checkout}/test-engine/lib/results.mjs`)
const suites = (await import(`${checkout}/tests/index.mjs`)).default
const ours = JSON.parse(fs.readFileSync(file))
const published = Object.fromEntries(['trafficserver', 'apache', 'varnish', 'nginx', 'haproxy', 'squid', 'caddy', 'fastly']
  .map(name => [name, `${checkout}/results/${name}.json`]).filter(([, path]) => fs.existsSync(path))
  .map(([name, path]) => [name, JSON.parse(fs.readFileSync(path))]))
const tests = suites.flatMap(suite => suite.tests).filter(test => !test.browser_only)
const kind = test => test.kind ?? 'required'
const passes = (test, results) =>
  [resultTypes.pass, resultTypes.yes].includes(determineTestResult(suites, test.id, results))
const count = (wanted, results) => tests.filter(test => kind(test) === wanted && passes(test, results)).length
const all = wanted => tests.filter(test => kind(test) === wanted).length
const row = (name, required, optimal) =>
  console.log(`| ${name.padEnd(32)} | ${String(required).padStart(8)} | ${String(optimal).padStart(7)} |`)
row('cache', `of ${all('required')}`, `of ${all('optimal')}`)
console.log(`|${'-'.repeat(34)}|${'-'.repeat(9)}:|${'-'.repeat(8)}:|`)
row('Weir', count('required', ours), count('optimal', ours))
// Run by this project with the tests for CDNs included, each as Debian or its makers build it.
for (const [name, required, optimal] of [['Apache Traffic Server', 134, 73], ['Apache httpd', 131, 68], ['Varnish', 119, 45],
  ['Envoy', 103, 39], ['nginx', 100, 58], ['HAProxy', 89, 39]]) row(`${name} (measured)`, required, optimal)
for (const [name, results] of Object.entries(published)) {
  row(`${name} (published)`, count('required', results), count('optimal', results))
}
const failed = tests.filter(test => kind(test) !== 'check' && !passes(test, ours))
console.log(`\nNot passed by Weir: ${failed.map(test => `${test.id} (${kind(test)})`).join(', ') || 'none'}`)
process.exit(count('required', ours) === all('required') ? 0 : 1)
SCORE
node --no-warnings "$place/score.mjs" "$checkout" "$place/results.json"

#!/bin/sh
# Installs what the tests use beyond Go: a browser, fonts for four languages,
# command line clients of Kafka and JSON, and the npm packages of the client scripts.
set -eu
cd "$(dirname "$0")/.."

need=""
command -v chromium >/dev/null 2>&1 || need="$need chromium"
command -v kcat >/dev/null 2>&1 || need="$need kcat"
command -v curl >/dev/null 2>&1 || need="$need curl"
command -v jq >/dev/null 2>&1 || need="$need jq"
command -v npm >/dev/null 2>&1 || need="$need nodejs npm"
[ -d /usr/share/fonts/truetype/noto ] || need="$need fonts-noto-core"
[ -d /usr/share/fonts/opentype/noto ] || need="$need fonts-noto-cjk"
if [ -n "$need" ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -q
  # shellcheck disable=SC2086 # a list of names
  $sudo apt-get install -q -y --no-install-recommends $need
fi
if [ -f test/clients/package.json ]; then
  (cd test/clients && { [ -d node_modules ] && [ node_modules -nt package-lock.json ] || npm ci --no-audit --no-fund; })
fi

#!/bin/sh
# Installs what the tests use beyond Go: a browser, fonts for four languages,
# command line clients of Kafka and JSON, a Python with PyJWT, Prosody, the programs that read
# what installations are made from, the npm packages of the client scripts,
# and Java with the jars of Apache Kafka, HAPI FHIR and HL7's validator.
set -eu
cd "$(dirname "$0")/.."

need=""
command -v chromium >/dev/null 2>&1 || need="$need chromium"
command -v kcat >/dev/null 2>&1 || need="$need kcat"
command -v curl >/dev/null 2>&1 || need="$need curl"
command -v jq >/dev/null 2>&1 || need="$need jq"
command -v npm >/dev/null 2>&1 || need="$need nodejs npm"
/usr/bin/python3 -c "import jwt, cryptography" 2>/dev/null || need="$need python3 python3-jwt python3-cryptography"
{ command -v prosody && ls /usr/share/lua/*/openssl/pkey.lua; } >/dev/null 2>&1 || need="$need prosody lua-luaossl"
command -v promtool >/dev/null 2>&1 || need="$need prometheus"
command -v javac >/dev/null 2>&1 || need="$need default-jdk-headless"
command -v mvn >/dev/null 2>&1 || need="$need maven"
command -v caddy >/dev/null 2>&1 || need="$need caddy"
command -v systemd-analyze >/dev/null 2>&1 || need="$need systemd"
command -v luac >/dev/null 2>&1 || need="$need lua5.4"
command -v sqlite3 >/dev/null 2>&1 || need="$need sqlite3"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need="$need postgresql"
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
for folder in test/kafka test/oracle; do
  lib=$folder/target/lib
  if [ ! -f "$lib/complete" ] || [ "$folder/pom.xml" -nt "$lib/complete" ]; then
    rm -rf "$lib"
    mvn -q -B -f "$folder/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=target/lib
    touch "$lib/complete"
  fi
done
